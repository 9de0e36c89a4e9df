"""Examples and descriptions in the OpenAPI document that no single route gives: one exchange of every operation.

examples.json holds real exchanges with a sandbox and with the servers of the tests, with their secrets blotted out as
``{{name}}`` and long lists cut. That each fits its schema is a test's business (tests/docs).
"""

import json
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("examples.json")
_PARAMETERS = {
    "account_id": "账号 / the account",
    "appeal_id": "申诉 / the appeal",
    "attachment_id": "附件 / the attachment",
    "checkin_id": "签到编号，由手机生成（UUIDv7）/ the check-in's id, made by the phone (UUIDv7)",
    "columns": "列的对应，如 code=村代码 / which column is which, like code=村代码",
    "correction_id": "补签申请 / the correction",
    "encoding": "文字编码，缺省自动识别 / the text encoding; recognised by default",
    "filename": "文件名 / the name of the file",
    "grant_id": "授权 / the grant",
    "hold_id": "保留 / the legal hold",
    "import_id": "导入编号 / the import",
    "layer": "图层名，文件有多个图层时 / the layer, where a file has several",
    "month": "月份，yyyy-mm / the month, yyyy-mm",
    "outage_id": "故障登记 / the outage",
    "person_id": "人员 / the person",
    "place_id": "另加的驻点 / the extra place",
    "policy_id": "政策版本 / the version of a policy",
    "posting_id": "任职 / the posting",
    "region": "区划代码前缀 / prefix of region codes",
    "review_id": "复核事项 / the item of the review queue",
    "rejudging_id": "试算编号 / the dry run",
    "token": "下载链接中的凭证 / the last part of the link",
    "valid_until": "到何时失效（不含），缺省无限期 / in force until then (exclusive); without end by default",
    "version_id": "边界版本 / the version of a boundary",
    "zone_id": "点位范围 / the zone",
}
"""Parameters that mean the same wherever they stand."""


def read() -> dict[str, dict[str, Any]]:
    """Return the exchanges by operation id: `request` and `response`, as far as there is content."""
    found: dict[str, dict[str, Any]] = json.loads(_FILE.read_text("utf-8"))
    return found


def write_into(operation: dict[str, Any], exchange: dict[str, Any]) -> None:
    """Show an exchange in the description of its operation, and explain the parameters that do not say what they are."""
    for parameter in operation.get("parameters", []):
        known = _PARAMETERS.get(parameter["name"])
        if known and not parameter.get("description"):
            parameter["description"] = known
    if "request" in exchange:
        wanted = "text/csv" if isinstance(exchange["request"], str) else "application/json"
        _show(operation["requestBody"]["content"].get(wanted), exchange["request"])
    if "response" in exchange:
        for status, answer in operation["responses"].items():
            if status < "300":
                for media, content in answer.get("content", {}).items():
                    _show(content if media.endswith("json") else None, exchange["response"])


def _show(content: dict[str, Any] | None, value: object) -> None:
    if content is not None and "examples" not in content and "example" not in content:
        content["examples"] = {"example": {"value": value}}
