"""The documents that are made from the code, openapi.json and problems.md, and `zaicun openapi` that writes them."""

import json
from pathlib import Path

import click

from server import problems
from server.app import create_app
from server.console import plainly, say
from server.settings import Settings

FOLDER = Path(__file__).resolve().parent.parent / "mobile_api_docs"


def openapi_text() -> str:
    """Return the OpenAPI document as it is kept, with sorted keys so that changes show as changes."""
    document = create_app(Settings()).openapi()
    return json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def problems_text() -> str:
    """Return the table of problems as Markdown."""
    lines = [
        "# Problems · 错误代码",
        "",
        "Every refusal is an RFC 9457 document (`application/problem+json`) with both languages. `code` is stable for",
        "ever: decide by it and by the status, show `detail` (Chinese, or English by `Accept-Language`).",
        "",
        "所有拒绝都以 RFC 9457 格式返回，同时带中英文。请按 `code` 和状态码判断，把 `detail` 显示给使用者。",
        "",
        "| code | status | 中文 | English |",
        "| --- | --- | --- | --- |",
    ]
    kinds = sorted(problems.registry().values(), key=lambda kind: (kind.status, kind.code))
    lines += [f"| `{kind.code}` | {kind.status} | {kind.zh} | {kind.en} |" for kind in kinds]
    return "\n".join(lines) + "\n"


def _made() -> dict[str, str]:
    return {"openapi.json": openapi_text(), "problems.md": problems_text()}


def stale() -> list[str]:
    """Return the names of documents that differ from what the code says."""
    return [
        name
        for name, text in _made().items()
        if not (FOLDER / name).exists() or (FOLDER / name).read_text("utf-8") != text
    ]


def write() -> None:
    """Write every document."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in _made().items():
        (FOLDER / name).write_text(text, "utf-8")


@click.command("openapi")
@click.option("--check", is_flag=True, help="Only compare; exit with 1 when a document is stale.")
@plainly
def openapi(*, check: bool) -> None:
    """Write mobile_api_docs/openapi.json and problems.md from the code."""
    found = stale()
    if check and found:
        raise click.ClickException(f"stale: {', '.join(found)}; run `zaicun openapi`")
    if not check:
        write()
    say("up to date" if not found else f"written: {', '.join(found)}")
