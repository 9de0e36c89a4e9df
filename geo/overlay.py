"""Overlays of shapes in the plane that do not fail.

In floating point the overlay of valid shapes can end in a TopologyException, where edges nearly coincide. On a grid it
cannot (GEOS OverlayNG with snap rounding), so what failed is done again on one of a millimetre, which is finer than any
boundary is known. Shapes are areas in metres; what has nearly none may come out as nothing.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.errors import GEOSException
from shapely.geometry.base import BaseGeometry

GRID_M = 0.001
_AREA = 2
Shapes = Sequence[BaseGeometry] | NDArray[np.object_]


def intersection(one: BaseGeometry, other: BaseGeometry) -> BaseGeometry:
    """Return what both cover."""
    return _done(shapely.intersection, one, other)


def difference(one: BaseGeometry, other: BaseGeometry) -> BaseGeometry:
    """Return what the first covers and the second does not."""
    return _done(shapely.difference, one, other)


def union(one: BaseGeometry, other: BaseGeometry) -> BaseGeometry:
    """Return what either covers."""
    return _done(shapely.union, one, other)


def union_all(shapes: Shapes) -> BaseGeometry:
    """Return what any of them covers."""
    return _done(shapely.union_all, np.asarray(shapes, dtype=object))


def _done(overlay: Any, *shapes: Any) -> BaseGeometry:  # noqa: ANN401  Shapely's functions take shapes and arrays.
    try:
        found: BaseGeometry = overlay(*shapes)
    except GEOSException:
        found = overlay(*(_areas(shape) for shape in shapes), grid_size=GRID_M)
    return found


def _areas(shapes: Any) -> Any:  # noqa: ANN401  As above.
    """Return the valid areas of a shape, or of each of an array; lines and points that overlays left beside them go."""
    if isinstance(shapes, np.ndarray):
        return np.array([_areas(shape) for shape in shapes], dtype=object)
    parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(shapes)))
    return shapely.union_all(parts[shapely.get_dimensions(parts) == _AREA], grid_size=GRID_M)
