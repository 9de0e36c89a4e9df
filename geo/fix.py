"""One fix of a phone: a position as it came, how good it says it is, and how good it can be at best.

Nothing here converts or judges. A fix keeps the datum and the digits it came with, because both say something: the
datum where it really is (`geo.datum`), the digits how finely the phone or an app in between has rounded it.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple, TypeGuard

from geo.datum import CONVERSION_ERROR_M, Datum, Position, to_wgs84

MAX_ACCURACY_M: Final = 500.0
"""A coarser fix is unusable (ruling 1): it is kept, and the phone is asked to try again."""
MAX_AGE_S: Final = 120.0
"""An older fix is unusable (ruling 1)."""
UNKNOWN_ACCURACY_M: Final = 500.0
"""What a missing, zero, negative or NaN accuracy is judged as (ruling 2, edge 36): unknown is never perfect."""

FINEST_DECIMALS: Final = 7
"""Positions travel and are signed as integers of 1e-7 degree (ruling 23), so no digit beyond the seventh counts."""
MOST_SHIFT_M: Final = 1_800.0
"""A position whose datum is not known lies no farther than this from where it is: GCJ-02 moves by 731 m at most within
its rectangle, and BD-09 by 1,000 m more."""
_E7: Final = 10**FINEST_DECIMALS
# Metres in a degree of the meridian at its longest (the pole), and of the equator: a rounding error is never understated.
_DEGREE_NORTH_M: Final = 111_694.0
_DEGREE_EAST_M: Final = 111_320.0

_CHINA_LAT: Final = (18.0, 54.0)
_CHINA_LON: Final = (73.0, 136.0)
# A phone without a fix answers exactly 0, 0; an app that "rounds" it still lands within this of it.
_NULL_ISLAND_DEG: Final = 0.001


class PositionFault(StrEnum):
    """Why a pair of numbers cannot be a position here (edges 38, 53). Codes are for ever."""

    NOT_A_NUMBER = "not-a-number"
    AXES_SWAPPED = "axes-swapped"
    OUT_OF_RANGE = "out-of-range"
    NULL_ISLAND = "null-island"
    FAR_AWAY = "far-away"


class Sentence(NamedTuple):
    """One sentence for a person, in both languages of the product."""

    zh: str
    en: str


POSITION_FAULTS: Final[dict[PositionFault, Sentence]] = {
    PositionFault.NOT_A_NUMBER: Sentence(
        "经度和纬度必须是有限的数字。", "Longitude and latitude must be finite numbers."
    ),
    PositionFault.AXES_SWAPPED: Sentence(
        "经纬度似乎写反了:经度在前,纬度在后。", "Axes swapped? Longitude comes first, then latitude."
    ),
    PositionFault.OUT_OF_RANGE: Sentence(
        "经度须在 -180 至 180 度之间,纬度须在 -90 至 90 度之间。",
        "Longitude must be within -180 to 180 degrees, latitude within -90 to 90.",
    ),
    PositionFault.NULL_ISLAND: Sentence(
        "位置为 0, 0,说明手机没有定位成功。", "The position 0, 0 means that the phone had no fix."
    ),
    PositionFault.FAR_AWAY: Sentence(
        "位置远在本地区之外,请检查坐标系和经纬度。",
        "The position is far outside this region; check the datum and the axes.",
    ),
}


class Box(NamedTuple):
    """A rectangle in degrees that positions are expected in; its edge belongs to it."""

    west: float
    south: float
    east: float
    north: float


def position_fault(lon: object, lat: object, *, box: Box | None = None) -> PositionFault | None:
    """Name what makes `lon`, `lat` (degrees) impossible as a position, or None where nothing does.

    `box`, where given, is the district's with a wide margin (edge 53). Anything but an int or a float is
    `not-a-number`; a string of digits too, for what is nearly a position must not fall through (edge 38). Swapped axes
    are looked for before the range, because 106 as a latitude is out of range for a reason that can be told: they are
    swapped where both numbers fit China only the other way round (latitude 18-54, longitude 73-136).
    """
    if not (_is_number(lon) and _is_number(lat)):
        return PositionFault.NOT_A_NUMBER
    if _CHINA_LAT[0] <= lon <= _CHINA_LAT[1] and _CHINA_LON[0] <= lat <= _CHINA_LON[1]:
        return PositionFault.AXES_SWAPPED
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):  # noqa: PLR2004  (Degrees of the globe.)
        return PositionFault.OUT_OF_RANGE
    if abs(lon) <= _NULL_ISLAND_DEG and abs(lat) <= _NULL_ISLAND_DEG:
        return PositionFault.NULL_ISLAND
    if box is not None and not (box.west <= lon <= box.east and box.south <= lat <= box.north):
        return PositionFault.FAR_AWAY
    return None


class Accuracy(NamedTuple):
    """How good a fix is, after ruling 2 and edge 41.

    `metres` is the 68 % radius to judge with; `known` says whether the phone stated one; `rounding_m` is the part the
    digits allow at best; `rounded` says that the digits, not the receiver, decide.
    """

    metres: float
    known: bool
    rounding_m: float

    @property
    def rounded(self) -> bool:
        """Whether rounding of the coordinates is what limits the fix: worth a flag (edge 41)."""
        return self.rounding_m >= self.metres


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """A position of a phone as it was sent.

    `lon` and `lat` are degrees in `datum`, unconverted; a `datum` or `age_s` of None was not said, which old apps were
    allowed (edge 140). `accuracy_m` is the 68 % radius the phone states (Android's
    `getAccuracy`), as it came: None, zero, negative and NaN are kept and mean unknown. `age_s` is the age of the fix
    when it was used, seconds. The rest is evidence for plausibility and takes no part in the verdict. ValueError for
    a position that `position_fault` would name and for an age that is not a finite number of seconds from 0.
    """

    lon: float
    lat: float
    datum: Datum | None
    age_s: float | None
    accuracy_m: float | None = None
    altitude_m: float | None = None
    speed_mps: float | None = None
    provider: str | None = None
    mocked: bool | None = None

    def __post_init__(self) -> None:
        fault = position_fault(self.lon, self.lat)
        if fault is not None:
            raise ValueError(f"{fault}: {POSITION_FAULTS[fault].en}")
        if self.age_s is not None and not (math.isfinite(self.age_s) and self.age_s >= 0):
            raise ValueError(f"the age of a fix is a finite number of seconds from 0, not {self.age_s}")

    def position(self) -> Position:
        """Give the position in WGS-84. Converts each time it is asked (up to 30 microseconds for GCJ-02 and BD-09).

        Of an unknown datum as it came: within `MOST_SHIFT_M` of the truth, to be judged by its `readings` alone.
        """
        if self.datum is None:
            return Position(self.lon, self.lat)
        return to_wgs84(lon=self.lon, lat=self.lat, datum=self.datum)

    def readings(self) -> tuple["Fix", ...]:
        """Give the fix in each datum that it can be in: itself where it says which, else in WGS-84, GCJ-02 and BD-09.

        CGCS2000 is WGS-84 to within a metre, and nothing else comes out of a phone.
        """
        if self.datum is not None:
            return (self,)
        return tuple(replace(self, datum=datum) for datum in (Datum.WGS84, Datum.GCJ02, Datum.BD09))

    def decimals(self) -> int:
        """How many decimals the coordinates evidently carry, as they came: a conversion would hide it."""
        return evident_decimals(lon=self.lon, lat=self.lat)

    def accuracy(self, *, unknown_m: float = UNKNOWN_ACCURACY_M) -> Accuracy:
        """Give the accuracy to judge with: the larger of what the phone states (or `unknown_m`) and the rounding error."""
        stated = self.accuracy_m
        rounding_m = rounding_error_m(lat=self.lat, decimals=self.decimals())
        # NaN fails every comparison, so "greater than zero" takes it out together with zero and the negatives.
        if stated is None or not stated > 0:
            return Accuracy(max(unknown_m, rounding_m), known=False, rounding_m=rounding_m)
        return Accuracy(max(stated, rounding_m), known=True, rounding_m=rounding_m)

    def conversion_error_m(self) -> float:
        """Say what the conversion of this datum to WGS-84 may be wrong by (edge 39), metres, 68 % radius."""
        return MOST_SHIFT_M if self.datum is None else CONVERSION_ERROR_M[self.datum]


def evident_decimals(*, lon: float, lat: float) -> int:
    """How many decimals a position in degrees evidently carries, 0 to 7: the larger of its two coordinates' number.

    A coordinate that happens to end in zeros proves nothing alone, hence the larger; that both of an unrounded pair
    end in four zeros happens once in a hundred million fixes.
    """
    return evident_decimals_e7(lon_e7=round(lon * _E7), lat_e7=round(lat * _E7))


def evident_decimals_e7(*, lon_e7: int, lat_e7: int) -> int:
    """Say the same of a position in integers of 1e-7 degree."""
    common = math.gcd(lon_e7, lat_e7, _E7)
    decimals = FINEST_DECIMALS
    while decimals > 0 and common % 10 == 0:
        common //= 10
        decimals -= 1
    return decimals


def rounding_error_m(*, lat: float, decimals: int) -> float:
    """How far rounding to so many decimals of a degree can have moved a position at this latitude, metres.

    Half the diagonal of one step of the grid: 74 m for three decimals at Jiangjin (edge 41), 7 mm for seven.
    ValueError for a negative number of decimals; more than seven are seven.
    """
    if decimals < 0:
        raise ValueError(f"a number of decimals from 0 is needed, not {decimals}")
    half_step = 0.5 * 10.0 ** -min(decimals, FINEST_DECIMALS)
    return half_step * math.hypot(_DEGREE_NORTH_M, _DEGREE_EAST_M * math.cos(math.radians(lat)))


def _is_number(value: object) -> TypeGuard[int | float]:
    # An int is finite however long it is; math.isfinite would fail to convert one of 400 digits.
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and math.isfinite(value)
    )
