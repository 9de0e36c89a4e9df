"""How often borders cross, estimated from a few of their segments: what validity tests and repairs would cost.

GEOS takes time and memory with every crossing. A star of 99,000 vertices crosses itself billions of times; asking
whether it is valid took 23 seconds, so such a shape is recognised here and left alone.
"""

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

MOST_CROSSINGS = 200_000
"""Borders that cross more often are not repaired, intersected or even tested."""
_SAMPLED_SEGMENTS = 60
_ENOUGH_HITS = 50_000
_HONEST_VERTICES = 5_000


def crossings_of(one: BaseGeometry, other: BaseGeometry) -> int:
    """Estimate how often the borders of two shapes (or of one with itself) meet.

    A sample of segments is compared with all, until it is plain that there are very many.
    """
    first, second = _segments(one), _segments(other)
    if not len(first) or not len(second):
        return 0
    tree = shapely.STRtree(second)
    # In one and the same shape every segment meets itself and its two neighbours.
    honest = 3 if one is other else 0
    hits = asked = 0
    for segment in first[:: max(1, len(first) // _SAMPLED_SEGMENTS)]:
        hits += max(0, len(tree.query(segment, predicate="intersects")) - honest)
        asked += 1
        if hits > _ENOUGH_HITS:
            break
    return int(hits / asked * len(first) / (2 if one is other else 1))


def too_tangled(shape: BaseGeometry) -> bool:
    """Tell a shape that crosses itself so often that GEOS should not be asked about it."""
    if shapely.get_num_coordinates(shape) <= _HONEST_VERTICES:
        return False
    return crossings_of(shape, shape) > MOST_CROSSINGS


def _segments(shape: BaseGeometry) -> NDArray[np.object_]:
    pieces = []
    for ring in shapely.get_rings(shapely.get_parts(shape)):
        points = shapely.get_coordinates(ring)
        pieces.append(np.stack([points[:-1], points[1:]], axis=1))
    return np.asarray(shapely.linestrings(np.concatenate(pieces)) if pieces else [], dtype=object)
