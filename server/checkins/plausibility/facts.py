"""What plausibility knows of check-ins: one `Sighting` each, and many of them as columns.

The rules work on columns, so that one person's last month and a whole district's half year are the same code. What is
known of others (at the same spot, with the same device) is simply more rows. Instants are seconds since 1970 in UTC;
unknown numbers are NaN, unknown codes -1. Coordinates are integers of 1e-7 degree (ruling 23), as sent, because a
conversion would hide the digits, and in WGS-84, because distances need it.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias, TypeVar
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from geo.datum import Datum, FloatArray, SaidDatum
from geo.fix import evident_decimals_e7

IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

Name = TypeVar("Name", bound=Hashable)

UNKNOWN: Final = -1
_E7: Final = 1e-7
LOCAL_S: Final = 8 * 3600
"""China has one time zone and no summer time: a day of the rules begins at midnight in Shanghai."""
DAY_S: Final = 86_400
OLDEST_FIX_S: Final = 400 * DAY_S
"""A fix that claims to be older says nothing about when it was taken."""


class Platform(StrEnum):
    """The kind of phone program a check-in came from: it decides which fields of a fix can be there at all."""

    ANDROID = "android"
    IOS = "ios"
    BROWSER = "browser"
    MINI_PROGRAM = "mini-program"
    OTHER = "other"


class Source(StrEnum):
    """Where a phone says that the fix came from. Browsers and mini-programs do not say."""

    SATELLITES = "gps"
    NETWORK = "network"
    FUSED = "fused"
    OTHER = "other"
    UNSAID = "unsaid"


PLATFORMS: Final = tuple(Platform)
SOURCES: Final = tuple(Source)
DATUMS: Final = tuple(SaidDatum)
_SPOKEN: Final = {
    "gps": Source.SATELLITES, "gnss": Source.SATELLITES,
    "network": Source.NETWORK, "wifi": Source.NETWORK, "cell": Source.NETWORK,
    "fused": Source.FUSED,
}  # fmt: skip


def source_of(provider: str | None) -> Source:
    """Read the provider as phones write it; a word nobody knows is `other`."""
    if not provider:
        return Source.UNSAID
    return _SPOKEN.get(provider.strip().lower(), Source.OTHER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One check-in with what its fix says. All that is unknown is None.

    `earliest` and `latest` enclose the tap by the server's clock (edges 55, 59); equal where it is known. `claimed_at`
    is what the phone's own reading, corrected, gives. `clock_off_s` is the phone's clock minus the server's when it was
    sent. `age_s` is the age of the fix at the tap by the phone's clock, negative where the fix is stamped later.
    `device` names the key that signed (None: unsigned), `device_since` when this key was enrolled in place of another
    (None for a first one).
    """

    id: UUID
    person: UUID
    earliest: datetime
    latest: datetime
    received_at: datetime
    claimed_at: datetime | None = None
    clock_off_s: float | None = None
    lon_e7: int | None = None
    lat_e7: int | None = None
    wgs_lon_e7: int | None = None
    wgs_lat_e7: int | None = None
    datum: Datum | SaidDatum = SaidDatum.WGS84
    accuracy_m: float | None = None
    age_s: float | None = None
    altitude_cm: int | None = None
    speed_cmps: int | None = None
    provider: str | None = None
    mocked: bool | None = None
    client: str | None = None
    platform: Platform = Platform.OTHER
    device: str | None = None
    device_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a person may do by a recorded decision: a registered receiver, a borrowed phone (edge 70).

    The signal is still told, with the reason, and adds no points. `person` or `device`, where given, must match;
    `since` and `until` are instants of the tap, `until` open when None.
    """

    code: str
    since: datetime
    reason: str
    until: datetime | None = None
    person: UUID | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Check-ins as arrays of one length, in any order. `ids` name the rows, `people`, `devices`, `clients` the codes."""

    person: IntArray
    earliest_s: FloatArray
    latest_s: FloatArray
    claimed_s: FloatArray
    received_s: FloatArray
    clock_off_s: FloatArray
    placed: BoolArray  # Whether there is a position at all.
    lon_e7: IntArray
    lat_e7: IntArray
    wgs_lon_e7: IntArray
    wgs_lat_e7: IntArray
    decimals: IntArray
    datum: IntArray
    accuracy_m: FloatArray
    age_s: FloatArray
    altitude_cm: FloatArray
    speed_cmps: FloatArray
    source: IntArray
    mocked: IntArray  # 1, 0, or -1 where the platform does not say.
    client: IntArray
    platform: IntArray
    device: IntArray
    device_since_s: FloatArray

    def __post_init__(self) -> None:
        sizes = {len(getattr(self, field.name)) for field in fields(self)}
        if len(sizes) != 1:
            raise ValueError(f"columns of one length are needed, not of {sorted(sizes)}")

    def __len__(self) -> int:
        return len(self.person)

    def take(self, rows: IntArray | BoolArray) -> "Columns":
        """Return the chosen rows alone."""
        return Columns(**{each.name: getattr(self, each.name)[rows] for each in fields(self)})

    @property
    def lon(self) -> FloatArray:
        """Return longitudes, degrees in WGS-84."""
        return np.asarray(self.wgs_lon_e7 * _E7, dtype=np.float64)

    @property
    def lat(self) -> FloatArray:
        """Return latitudes, degrees in WGS-84."""
        return np.asarray(self.wgs_lat_e7 * _E7, dtype=np.float64)

    @property
    def fixed_s(self) -> FloatArray:
        """Return when each fix was taken, seconds; NaN where that is unknown. A cached fix keeps its instant.

        The tap by the phone's own reading, where there is one: two taps that use one cached fix then give one instant,
        however wide the intervals are that the server knows of them.
        """
        tapped = np.where(np.isfinite(self.claimed_s), self.claimed_s, self.latest_s)
        known = self.placed & (np.abs(self.age_s) <= OLDEST_FIX_S)
        return np.where(known, tapped - self.age_s, np.nan)

    def of_source(self, source: Source) -> BoolArray:
        """Return which rows come from a source."""
        return np.asarray(self.source == SOURCES.index(source))

    def listed(self, from_m: float) -> BoolArray:
        """Return which positions were looked up in a list of towers or Wi-Fi points rather than measured.

        Said by the provider; where it is silent, satellites are told by an altitude, a speed, or an accuracy below
        `from_m`: no list has these. Such a position is the same for everybody who hears the same tower, for years.
        """
        silent = self.of_source(Source.UNSAID) | self.of_source(Source.FUSED) | self.of_source(Source.OTHER)
        coarse = ~(self.accuracy_m > 0) | (self.accuracy_m >= from_m)
        bare = np.isnan(self.altitude_cm) & ~(self.speed_cmps > 0)
        return self.of_source(Source.NETWORK) | (silent & bare & coarse)

    def altitude_digits(self) -> IntArray:
        """Return how finely each altitude is evidently given: 2 for centimetres, 1, 0 for metres, -1 without one."""
        whole = np.where(np.isfinite(self.altitude_cm), self.altitude_cm, 0.0).astype(np.int64)
        digits = np.where(whole % 10 != 0, 2, np.where(whole % 100 != 0, 1, 0))
        return np.where(np.isfinite(self.altitude_cm), digits, UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Columns with the names behind their codes."""

    columns: Columns
    ids: Sequence[UUID]
    people: Sequence[UUID]
    devices: Sequence[str]
    clients: Sequence[str]


def in_columns(sightings: Iterable[Sighting]) -> Named:
    """Turn sightings into columns, in the order of person and id, so that the order of arrival is forgotten at once.

    An id that a person sent twice is one check-in.
    """
    rows = sorted(
        {(each.person, each.id): each for each in sightings}.values(), key=lambda each: (each.person, each.id)
    )
    people, person = _coded([each.person for each in rows])
    devices, device = _coded([each.device for each in rows])
    clients, client = _coded([each.client for each in rows])
    placed = [each.lon_e7 is not None and each.lat_e7 is not None for each in rows]
    columns = Columns(
        person=person,
        earliest_s=_seconds([each.earliest for each in rows]),
        latest_s=_seconds([each.latest for each in rows]),
        claimed_s=_seconds([each.claimed_at for each in rows]),
        received_s=_seconds([each.received_at for each in rows]),
        clock_off_s=_real([each.clock_off_s for each in rows]),
        placed=np.array(placed, dtype=np.bool_),
        lon_e7=_whole([each.lon_e7 for each in rows]),
        lat_e7=_whole([each.lat_e7 for each in rows]),
        wgs_lon_e7=_whole([each.lon_e7 if each.wgs_lon_e7 is None else each.wgs_lon_e7 for each in rows]),
        wgs_lat_e7=_whole([each.lat_e7 if each.wgs_lat_e7 is None else each.wgs_lat_e7 for each in rows]),
        decimals=np.array(
            [evident_decimals_e7(lon_e7=each.lon_e7 or 0, lat_e7=each.lat_e7 or 0) for each in rows],
            dtype=np.int64,
        ),
        datum=np.array([DATUMS.index(each.datum) for each in rows], dtype=np.int64),
        accuracy_m=_real([each.accuracy_m for each in rows]),
        age_s=_real([each.age_s for each in rows]),
        altitude_cm=_real([each.altitude_cm for each in rows]),
        speed_cmps=_real([each.speed_cmps for each in rows]),
        source=np.array([SOURCES.index(source_of(each.provider)) for each in rows], dtype=np.int64),
        mocked=np.array([UNKNOWN if e.mocked is None else int(e.mocked) for e in rows], dtype=np.int64),
        client=client,
        platform=np.array([PLATFORMS.index(each.platform) for each in rows], dtype=np.int64),
        device=device,
        device_since_s=_seconds([each.device_since for each in rows]),
    )
    return Named(
        columns=columns, ids=[each.id for each in rows], people=people, devices=devices, clients=clients
    )


def _coded(names: Sequence[Name | None]) -> tuple[list[Name], IntArray]:
    """Return the names in the order of their first appearance, and their numbers; None is unknown."""
    numbers: dict[Name, int] = {}
    codes = [UNKNOWN if name is None else numbers.setdefault(name, len(numbers)) for name in names]
    return list(numbers), np.array(codes, dtype=np.int64)


def _seconds(instants: Sequence[datetime | None]) -> FloatArray:
    return _real([None if instant is None else instant.timestamp() for instant in instants])


def _real(numbers: Sequence[float | None]) -> FloatArray:
    return np.array([np.nan if number is None else number for number in numbers], dtype=np.float64)


def _whole(numbers: Sequence[int | None]) -> IntArray:
    return np.array([0 if number is None else number for number in numbers], dtype=np.int64)
