"""pyproj, loaded at its first use: it takes 10 MB, and a worker that only judges check-ins never needs it."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyproj import Geod


@cache
def geodesic(ellipsoid: str = "WGS84") -> "Geod":
    """Return the geodesics of an ellipsoid, named as PROJ names it."""
    from pyproj import Geod  # noqa: PLC0415  The module says why.

    return Geod(ellps=ellipsoid)
