"""What judging needs of the boundaries, in memory and bounded: which versions were in force, and their shapes.

`Register` is the list of all versions without their shapes: a few hundred bytes each, loaded whole whenever the counter
``boundaries`` of `server.state` has moved. `Atlas` keeps the shapes themselves. They are keyed by the version's id, and
a version never changes, so nothing in it can go stale; it forgets what was not used for longest. The part here is pure:
the intake, which is asynchronous, and the others, which are not, bring the rows themselves::

    ids = register.assigned(codes, extra_zones, at), register.exclusions_near(...)
    if missing := atlas.missing(ids):
        atlas.put(rows of SHAPES_SQL for missing)
    verdict = judge(fix, atlas.assigned(...), atlas.excluded(...), ...)
    ...
    atlas.trim()  # after the group: nothing is forgotten between put and judge
"""

import math
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

import shapely
from shapely import MultiPolygon, Polygon

from geo.zones import ASSIGNED_KINDS, EXCLUDED_KINDS, Places, Zone, ZoneKind, joinable

MOST_BYTES: Final = 24_000_000
"""What prepared places may take in one worker: about 3,900 villages of 564 vertices, 6 kB each.

A place that was forgotten costs 0.2 ms and a row to have again.
"""

_CELL_DEG: Final = 0.05
_METRES_PER_DEGREE: Final = (
    110_000.0  # A little less than any degree of latitude, so that a box is never too small.
)

VERSIONS_SQL: Final = """
SELECT v.id, v.zone_id, z.kind, z.region_code, v.valid_from, v.valid_until, v.shape IS NULL AS ended,
       CASE WHEN z.kind IN ('town_seat', 'urban') THEN ST_XMin(v.shape) END AS west,
       CASE WHEN z.kind IN ('town_seat', 'urban') THEN ST_YMin(v.shape) END AS south,
       CASE WHEN z.kind IN ('town_seat', 'urban') THEN ST_XMax(v.shape) END AS east,
       CASE WHEN z.kind IN ('town_seat', 'urban') THEN ST_YMax(v.shape) END AS north
FROM zone_versions AS v JOIN zones AS z ON z.id = v.zone_id
ORDER BY v.seq
"""
"""Every version, in the order of publishing: what `Register` is made from. No parameters."""

SHAPES_SQL: Final = """
SELECT v.id, z.kind, v.name, ST_AsBinary(v.shape) AS wkb, v.accuracy_m
FROM zone_versions AS v JOIN zones AS z ON z.id = v.zone_id
WHERE v.id = ANY(%(ids)s) AND v.shape IS NOT NULL
"""
"""The shapes of versions, for psycopg; `ids` is a list of uuid. `Atlas.put` takes ``{id: Stored(kind, name, ...)}``."""


class Version(NamedTuple):
    """A row of `VERSIONS_SQL`. The box is given for exclusion zones only, in degrees."""

    id: UUID
    zone_id: UUID
    kind: str
    region_code: str
    valid_from: datetime
    valid_until: datetime | None
    ended: bool
    west: float | None = None
    south: float | None = None
    east: float | None = None
    north: float | None = None

    def holds(self, at: datetime) -> bool:
        """Tell whether the row speaks of the instant."""
        return self.valid_from <= at and (self.valid_until is None or at < self.valid_until)


class Stored(NamedTuple):
    """The shape of one version, as `SHAPES_SQL` gives it after the id. `wkb` is WGS-84, longitude first."""

    kind: str
    name: str
    wkb: bytes
    accuracy_m: float


class Register:
    """Which versions were in force at an instant. Immutable; built from the rows of `VERSIONS_SQL`."""

    def __init__(self, rows: Iterable[Sequence[object]] = ()) -> None:
        """Take the rows in the order of publishing; the latest that speaks of an instant is in force then."""
        same: dict[object, object] = {}  # Thousands of rows share a few codes, kinds and instants.
        self._versions: dict[UUID, tuple[Version, ...]] = {}
        villages: dict[str, UUID] = {}
        exclusions: list[Version] = []
        for row in rows:
            version = Version._make(same.setdefault(value, value) for value in row)
            self._versions[version.zone_id] = (version, *self._versions.get(version.zone_id, ()))
            if version.kind == ZoneKind.VILLAGE:
                villages[version.region_code] = version.zone_id
            elif version.kind in EXCLUDED_KINDS and not version.ended:
                exclusions.append(version)
        self._villages: Final = villages
        self._grid: Final = _gridded(exclusions)

    def __len__(self) -> int:
        """Return the number of zones."""
        return len(self._versions)

    def in_force(self, zone_id: UUID, at: datetime) -> UUID | None:
        """Return the version of a zone that was in force; None when there was none, or the zone had ended."""
        for version in self._versions.get(zone_id, ()):
            if version.holds(at):
                return None if version.ended else version.id
        return None

    def village(self, region_code: str, at: datetime) -> UUID | None:
        """Return the version of a village's boundary; None: it has no boundary at the instant (edge 49)."""
        zone_id = self._villages.get(region_code)
        return None if zone_id is None else self.in_force(zone_id, at)

    def assigned(
        self, region_codes: Iterable[str], zone_ids: Iterable[UUID], at: datetime
    ) -> tuple[tuple[UUID, ...], tuple[str, ...]]:
        """Return the versions of a posting's places, and the codes of its villages without a boundary.

        An extra place that is not in force at the instant is no place of the posting then (edge 51); a zone that is
        no place for anybody never is.
        """
        versions: list[UUID] = []
        unfenced: list[str] = []
        for code in region_codes:
            version = self.village(code, at)
            if version is None:
                unfenced.append(code)
            else:
                versions.append(version)
        for zone_id in zone_ids:
            known = self._versions.get(zone_id)
            version = self.in_force(zone_id, at)
            if known is not None and version is not None and known[0].kind in ASSIGNED_KINDS:
                versions.append(version)
        return tuple(dict.fromkeys(versions)), tuple(unfenced)

    def exclusions_near(self, *, lon: float, lat: float, reach_m: float, at: datetime) -> tuple[UUID, ...]:
        """Return the versions of exclusion zones whose box comes within `reach_m` of a WGS-84 position, sorted.

        Sorted, so that two positions near the same zones ask the atlas for the same key.
        """
        north = reach_m / _METRES_PER_DEGREE
        east = north / max(0.01, math.cos(math.radians(min(89.0, abs(lat) + north))))
        around = (lon - east, lat - north, lon + east, lat + north)
        found: set[UUID] = set()
        for cell in _cells(*around):
            for box, version in self._grid.get(cell, ()):
                if (
                    _meet(box, around)
                    and version.holds(at)
                    and self.in_force(version.zone_id, at) == version.id
                ):
                    found.add(version.id)
        return tuple(sorted(found))


Box: TypeAlias = tuple[float, float, float, float]
_Cell: TypeAlias = tuple[int, int]


def _cells(west: float, south: float, east: float, north: float) -> Iterator[_Cell]:
    """Give the cells of a grid of a twentieth of a degree, about 5 km, that a box touches.

    A dictionary of cells answers in 3 us where a tree of boxes in Shapely takes 13 to 26: every check-in asks.
    """
    for column in range(math.floor(west / _CELL_DEG), math.floor(east / _CELL_DEG) + 1):
        for row in range(math.floor(south / _CELL_DEG), math.floor(north / _CELL_DEG) + 1):
            yield column, row


def _gridded(versions: Iterable[Version]) -> dict[_Cell, list[tuple[Box, Version]]]:
    grid: dict[_Cell, list[tuple[Box, Version]]] = {}
    for version in versions:
        west, south, east, north = version.west, version.south, version.east, version.north
        if west is None or south is None or east is None or north is None:
            continue
        box = (west, south, east, north)
        for cell in _cells(*box):
            grid.setdefault(cell, []).append((box, version))
    return grid


def _meet(one: Box, other: Box) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


Key: TypeAlias = tuple[bool, tuple[UUID, ...], tuple[str, ...]]


class Atlas:
    """Prepared places by the versions they consist of, the least recently used forgotten. Not for several threads."""

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes: Final = most_bytes
        self.bytes = 0
        self._zones: OrderedDict[UUID, Zone] = (
            OrderedDict()
        )  # Decoded, waiting to be joined; emptied by `trim`.
        self._places: OrderedDict[Key, Places] = OrderedDict()

    def missing(
        self,
        assigned: Collection[tuple[tuple[UUID, ...], tuple[str, ...]]],
        excluded: Collection[tuple[UUID, ...]],
    ) -> list[UUID]:
        """Return the versions whose shapes must be `put` before all these places can be had."""
        keys = [(True, ids, unfenced) for ids, unfenced in assigned]
        keys += [(False, ids, ()) for ids in excluded]
        wanted = {version for key in keys if key not in self._places for version in key[1]}
        return sorted(wanted - self._zones.keys())

    def put(self, shapes: Mapping[UUID, Stored]) -> None:
        """Take shapes in. ValueError when one is no valid polygon, which publishing never lets pass."""
        for version, stored in shapes.items():
            geometry = shapely.from_wkb(stored.wkb)
            if not isinstance(geometry, Polygon | MultiPolygon):
                raise ValueError(f"zone version {version} is a {geometry.geom_type}")  # noqa: TRY004  The data's fault.
            self._zones[version] = Zone(
                id=str(version),
                kind=ZoneKind(stored.kind),
                name=stored.name,
                geometry=geometry,
                version=version,
                accuracy_m=stored.accuracy_m,
                proven=True,
            )

    def assigned(self, versions: tuple[UUID, ...], unfenced: tuple[str, ...] = ()) -> Places:
        """Return the places of a posting, joined. KeyError names a version that was not put."""
        return self._prepared((True, versions, unfenced))

    def excluded(self, versions: tuple[UUID, ...]) -> Places:
        """Return exclusion zones, joined. KeyError names a version that was not put."""
        return self._prepared((False, versions, ()))

    def _prepared(self, key: Key) -> Places:
        held = self._places.get(key)
        if held is not None:
            self._places.move_to_end(key)
            return held
        posted, versions, unfenced = key
        # A zone drawn far away by mistake must keep nobody from checking in; nobody is said to be outside of it either.
        zones, far = joinable([self._zones[version] for version in versions])
        if posted:
            places = Places.assigned(zones, unfenced=(*unfenced, *(zone.name for zone in far)))
        else:
            places = Places.excluded(zones)
        self._places[key] = places
        self.bytes += places.kept_bytes
        return places

    def trim(self) -> None:
        """Forget decoded shapes, and places beyond the bound, oldest use first. Call it after each group."""
        self._zones.clear()
        while self.bytes > self.most_bytes:
            _key, places = self._places.popitem(last=False)
            self.bytes -= places.kept_bytes
