"""By what a client's positions can move: the offsets between datums, and how each is undone.

Apart from the sentinel that looks for them (fleet.py), because judging a check-in needs to know no more than this.
"""

from enum import StrEnum
from typing import Final

from geo.datum import Datum, Position, gcj02_to_bd09, gcj02_to_wgs84, to_wgs84, wgs84_to_gcj02


class Shift(StrEnum):
    """By what positions moved: a conversion once too often, or once too few. Codes are for ever."""

    GCJ02_ADDED = "gcj02-added"
    GCJ02_REMOVED = "gcj02-removed"
    BD09_ADDED = "bd09-added"
    BD09_REMOVED = "bd09-removed"


def shifted(shift: Shift, *, lon: float, lat: float) -> Position:
    """Give where a position comes to lie when this shift befalls it. WGS-84 degrees."""
    at = Position(lon, lat)
    match shift:
        case Shift.GCJ02_ADDED:
            return wgs84_to_gcj02(lon=lon, lat=lat)
        case Shift.GCJ02_REMOVED:
            return gcj02_to_wgs84(lon=lon, lat=lat)
        case Shift.BD09_ADDED:
            at = wgs84_to_gcj02(lon=lon, lat=lat)
            return gcj02_to_bd09(lon=at.lon, lat=at.lat)
        case Shift.BD09_REMOVED:
            return to_wgs84(lon=lon, lat=lat, datum=Datum.BD09)


_UNDONE: Final = {
    Shift.GCJ02_ADDED: Shift.GCJ02_REMOVED,
    Shift.GCJ02_REMOVED: Shift.GCJ02_ADDED,
    Shift.BD09_ADDED: Shift.BD09_REMOVED,
    Shift.BD09_REMOVED: Shift.BD09_ADDED,
}


def undone(shift: Shift, *, lon: float, lat: float) -> Position:
    """Give where a shifted position was before: what an `outside` is to be judged by, before it is held as unsure."""
    return shifted(_UNDONE[shift], lon=lon, lat=lat)
