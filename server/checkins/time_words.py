"""What is said about the time of a check-in: which one was taken and why, in words (ruling 11, edges 54 to 62)."""

from datetime import datetime
from typing import Final, Protocol

from server.checkins.instants import Doubt, TimeBasis
from server.places.rules import BEIJING

_BASES: Final = {
    TimeBasis.PHONE: ("按手机时间", "by the phone's clock"),
    TimeBasis.CORRECTED: (
        "手机时间不准，按服务器收到的时刻更正",
        "the phone's clock was off and is corrected by when the server received it",
    ),
    TimeBasis.RUNNING: (
        "按手机开机计时推算，与手机时间的设置无关",
        "by the phone's running clock, whatever its time was set to",
    ),
    TimeBasis.ANCHOR: (
        "按服务器对时凭证与手机开机计时推算，与手机时间的设置无关",
        "by the server's time anchor and the phone's running clock, whatever its time was set to",
    ),
    TimeBasis.RESTARTED: (
        "手机重新启动过，只知道在上次对时与收到之间",
        "the phone was restarted, so only between its last anchor and the arrival is certain",
    ),
    TimeBasis.CONTRADICTED: (
        "手机各项计时互相矛盾",
        "the phone's clocks contradict each other",
    ),
}
_DOUBTS: Final = {
    Doubt.DAY: (
        "可能是前后两天之一，先计入，待复核",
        "it may be either of two days; it counts for now and is reviewed",
    ),
    Doubt.CLOCK: (
        "补传且手机时间相差超过 5 分钟，先计入，待复核",
        "it came late from a phone that was more than 5 minutes off; it counts for now and is reviewed",
    ),
    Doubt.CONTRADICTION: ("先计入，待复核", "it counts for now and is reviewed"),
}


class Timed(Protocol):
    """What has a time to tell: a stored check-in."""

    @property
    def time_basis(self) -> str | None: ...  # noqa: D102  The columns of `checkins`.
    @property
    def time_doubt(self) -> str | None: ...  # noqa: D102
    @property
    def earliest_at(self) -> datetime | None: ...  # noqa: D102
    @property
    def latest_at(self) -> datetime | None: ...  # noqa: D102


def time_told(record: Timed) -> dict[str, object] | None:
    """Return how the time was taken, as TimeTold shows it; None where there is nothing to tell."""
    if record.time_basis is None or record.earliest_at is None or record.latest_at is None:
        return None
    zh, en = words(record.time_basis, record.time_doubt, record.earliest_at, record.latest_at)
    return {
        "basis": record.time_basis,
        "doubt": record.time_doubt,
        "earliest": record.earliest_at,
        "latest": record.latest_at,
        "text_zh": zh,
        "text_en": en,
    }


def words(basis: str, doubt: str | None, earliest: datetime, latest: datetime) -> tuple[str, str]:
    """Say in Chinese and English between which instants (Beijing time) the tap was, why, and what is open."""
    first, last = (each.astimezone(BEIJING) for each in (earliest, latest))
    zh_why, en_why = _BASES[TimeBasis(basis)]
    zh = f"打卡在 {first:%m-%d %H:%M:%S} 至 {last:%m-%d %H:%M:%S} 之间：{zh_why}"
    en = f"Made between {first:%d %b %H:%M:%S} and {last:%d %b %H:%M:%S} Beijing time: {en_why}"
    if doubt is None:
        return f"{zh}。", f"{en}."
    zh_doubt, en_doubt = _DOUBTS[Doubt(doubt)]
    return f"{zh}；{zh_doubt}。", f"{en}; {en_doubt}."
