"""What things are called, Chinese and English."""

from collections.abc import Mapping

from server.access import Role
from server.looks import OPERATOR, What

WHAT: Mapping[What, tuple[str, str]] = {
    What.MONTHS: ("月度在岗表中的一行", "a row of the table of a month"),
    What.MONTH: ("月度在岗情况及逐日记录", "the month with each day and its records"),
    What.CHECK_INS: ("签到记录", "check-ins"),
    What.POSITION: ("精确位置", "an exact position"),
    What.ATTEMPTS: ("未被接受的签到", "refused check-ins"),
    What.REQUEST: ("更正或申诉", "a correction or an appeal"),
    What.SIGNALS: ("可信度提示及其依据", "plausibility signals and their evidence"),
    What.ATTACHMENT: ("附件", "an attachment"),
    What.EVIDENCE: ("证明材料", "the evidence of a proof"),
}
ROLES: Mapping[str, tuple[str, str]] = {
    Role.CADRE: ("驻村干部", "cadre"),
    Role.CLERK: ("村文书", "village clerk"),
    Role.TOWN: ("镇党委专人", "town officer"),
    Role.INSPECTOR: ("督查人员", "inspector"),
    Role.DISTRICT: ("区委组织部", "district officer"),
    Role.UNIT: ("派出单位", "sending unit"),
    Role.ADMIN: ("系统管理员", "administrator"),
    OPERATOR: ("本机运维人员", "operator of the machine"),
}
