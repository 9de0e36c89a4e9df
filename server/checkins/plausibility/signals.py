"""The signals: their codes, families and sentences. A signal is a question to a person, never a verdict on one.

No sentence says "cheated" and none says where somebody was: each tells what was seen, so that the person concerned
can check it against the check-ins it names and say how it came about.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from geo.datum import FloatArray
from geo.fix import Sentence
from server.checkins.plausibility.facts import IntArray


class Family(StrEnum):
    """Signals that tell of the same thing: their points together are capped. Codes are for ever."""

    DEVICE = "device"
    QUALITY = "fix-quality"
    MOVEMENT = "movement"
    IDENTITY = "identity"
    TIME = "time"


class Code(StrEnum):
    """What was noticed. Codes are for ever."""

    MOCKED = "mocked"
    SAME_POINT = "same-point"
    POINT_OF_SEVERAL = "point-of-several"
    ZERO_SCATTER = "zero-scatter"
    SAME_ALTITUDE = "same-altitude"
    CONSTANT_ACCURACY = "constant-accuracy"
    ZERO_ACCURACY = "zero-accuracy"
    FEW_DECIMALS = "few-decimals"
    ODD_PROVIDER = "odd-provider"
    STALE_FIX = "stale-fix"
    FAST = "fast"
    IMPOSSIBLE = "impossible"
    SHARED_DEVICE = "shared-device"
    SHARED_FIX = "shared-fix"
    NEW_DEVICE = "new-device"
    CLOCK_SKEW = "clock-skew"
    FUTURE_FIX = "future-fix"
    OUTSIDE_INTERVAL = "outside-interval"
    LATE = "late"


FAMILIES: Final[dict[Code, Family]] = {
    Code.MOCKED: Family.DEVICE,
    Code.SAME_POINT: Family.QUALITY,
    Code.POINT_OF_SEVERAL: Family.QUALITY,
    Code.ZERO_SCATTER: Family.QUALITY,
    Code.SAME_ALTITUDE: Family.QUALITY,
    Code.CONSTANT_ACCURACY: Family.QUALITY,
    Code.ZERO_ACCURACY: Family.QUALITY,
    Code.FEW_DECIMALS: Family.QUALITY,
    Code.ODD_PROVIDER: Family.QUALITY,
    Code.STALE_FIX: Family.QUALITY,
    Code.FAST: Family.MOVEMENT,
    Code.IMPOSSIBLE: Family.MOVEMENT,
    Code.SHARED_DEVICE: Family.IDENTITY,
    Code.SHARED_FIX: Family.IDENTITY,
    Code.NEW_DEVICE: Family.IDENTITY,
    Code.CLOCK_SKEW: Family.TIME,
    Code.FUTURE_FIX: Family.TIME,
    Code.OUTSIDE_INTERVAL: Family.TIME,
    Code.LATE: Family.TIME,
}

SENTENCES: Final[dict[Code, Sentence]] = {
    Code.MOCKED: Sentence(
        "手机系统把这次定位标为模拟位置;外接定位设备也会这样,登记后不再提示。",
        "The phone's system marked this fix as a mock; external receivers look the same, and are no longer asked about once registered.",
    ),
    Code.SAME_POINT: Sentence(
        "{days:.0f} 天的不同定位在同一点上,小数 {decimals:.0f} 位完全相同;偶然如此的概率不到 10 的 {power:.0f} 次方。",
        "Different fixes of {days:.0f} days are the same point to all {decimals:.0f} decimals; by chance that has a probability below 10^{power:.0f}.",
    ),
    Code.POINT_OF_SEVERAL: Sentence(
        "本人 {own:.0f} 天、他人 {others:.0f} 人天的不同定位在同一点上,完全相同;偶然如此的概率不到 10 的 {power:.0f} 次方。",
        "Different fixes, {own:.0f} days of this person and {others:.0f} person-days of others, are exactly the same point; by chance that has a probability below 10^{power:.0f}.",
    ),
    Code.ZERO_SCATTER: Sentence(
        "{days:.0f} 天的定位几乎没有散布,都在 {cell_m:.2g} 米见方内,而标称精度为 {accuracy_m:.0f} 米。",
        "The fixes of {days:.0f} days hardly scatter: all lie within a square of {cell_m:.2g} m, at a stated accuracy of {accuracy_m:.0f} m.",
    ),
    Code.SAME_ALTITUDE: Sentence(
        "{days:.0f} 天的海拔完全相同;偶然如此的概率不到 10 的 {power:.0f} 次方。",
        "The altitude was exactly the same on {days:.0f} days; by chance that has a probability below 10^{power:.0f}.",
    ),
    Code.CONSTANT_ACCURACY: Sentence(
        "{days:.0f} 天的标称精度都正好是 {accuracy_m:.2f} 米,而同版本客户端的其他人很少如此。",
        "The stated accuracy was exactly {accuracy_m:.2f} m on {days:.0f} days, which is rare among others with the same client.",
    ),
    Code.ZERO_ACCURACY: Sentence(
        "标称精度为 {accuracy_m:.0f} 米,没有接收机能做到。",
        "The stated accuracy is {accuracy_m:.0f} m, which no receiver achieves.",
    ),
    Code.FEW_DECIMALS: Sentence(
        "坐标只有 {decimals:.0f} 位小数,而同版本客户端的其他人很少如此。",
        "The coordinates have only {decimals:.0f} decimals, which is rare among others with the same client.",
    ),
    Code.ODD_PROVIDER: Sentence(
        "定位来源与其内容不相符(精度 {accuracy_m:.1f} 米)。",
        "What the fix says does not fit where it is said to come from (accuracy {accuracy_m:.1f} m).",
    ),
    Code.STALE_FIX: Sentence(
        "定位是签到前 {age_s:.0f} 秒取得的。", "The fix was taken {age_s:.0f} seconds before the check-in."
    ),
    Code.FAST: Sentence(
        "与另一次签到相距至少 {km:.0f} 公里,间隔至多 {minutes:.0f} 分钟,即每小时 {kmh:.0f} 公里。",
        "At least {km:.0f} km from another check-in within at most {minutes:.0f} minutes: {kmh:.0f} km/h.",
    ),
    Code.IMPOSSIBLE: Sentence(
        "与另一次签到相距至少 {km:.0f} 公里,间隔至多 {minutes:.0f} 分钟,飞机也做不到。",
        "At least {km:.0f} km from another check-in within at most {minutes:.0f} minutes, which no aeroplane does.",
    ),
    Code.SHARED_DEVICE: Sentence(
        "同一设备在 {hours:.0f} 小时内为 {others:.0f} 次他人的签到签名。",
        "The same device signed {others:.0f} check-ins of others within {hours:.0f} hours.",
    ),
    Code.SHARED_FIX: Sentence(
        "{days:.0f} 天里,与他人的签到用了同一时刻、同一点的定位,像是同一部手机。",
        "On {days:.0f} days this person's and another's check-in used a fix of the same instant and point, as one phone would.",
    ),
    Code.NEW_DEVICE: Sentence(
        "设备在签到前 {hours:.0f} 小时才换上。",
        "The device was enrolled {hours:.0f} hours before the check-in.",
    ),
    Code.CLOCK_SKEW: Sentence(
        "手机时钟与服务器相差 {minutes:.0f} 分钟。",
        "The phone's clock and the server's differ by {minutes:.0f} minutes.",
    ),
    Code.FUTURE_FIX: Sentence(
        "定位的时间比手机的签到时间晚 {minutes:.0f} 分钟,手机时钟可能在其间改过。",
        "The fix is stamped {minutes:.0f} minutes later than the tap by the phone's clock, which may have been set in between.",
    ),
    Code.OUTSIDE_INTERVAL: Sentence(
        "手机所说的签到时间与服务器时间锚点相差 {minutes:.0f} 分钟。",
        "The time of the tap by the phone lies {minutes:.0f} minutes outside what the server's time anchors allow.",
    ),
    Code.LATE: Sentence(
        "签到在 {hours:.0f} 小时后才上传。", "The check-in was uploaded {hours:.0f} hours later."
    ),
}


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of a batch at which one signal was found.

    The check-ins that show it, besides the row itself, are `order[low:high]`; `figures` are what was measured, one
    value a row. `rows` has no row twice.
    """

    code: Code
    rows: IntArray
    order: IntArray
    low: IntArray
    high: IntArray
    figures: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One signal at one check-in, with all that a person needs to check and contest it.

    `points` are what it added before the family's cap; 0 where a recorded decision allows it (`allowed_because`).
    `check_ins` are the others that show it, `figures` what was measured. Figures hold no coordinates.
    """

    code: Code
    family: Family
    points: int
    zh: str
    en: str
    check_ins: tuple[UUID, ...]
    figures: Mapping[str, float]
    allowed_because: str | None = None
