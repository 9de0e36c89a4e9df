"""A second opinion on geometry and verdicts, slow and obvious, sharing nothing with geo/ but the numbers put in.

Each question is asked in an azimuthal equidistant projection about the fix itself, so that every distance from the
fix is the geodesic one. Inside is a crossing count, distance a walk along every edge, Phi the error function.
"""

import math
from collections.abc import Sequence

from pyproj import Transformer

LonLat = tuple[float, float]
Ring = Sequence[LonLat]
Part = Sequence[Ring]  # The outer ring first, then holes; closed or not.

PIECES_OF_AN_EDGE = 12  # Edges are straight in degrees; in the projection they bend.


def signed_distance_m(parts: Sequence[Part], lon: float, lat: float) -> float:
    """Metres to the nearest border of disjoint parts, positive inside."""
    about = Transformer.from_crs(
        "EPSG:4326", f"+proj=aeqd +lat_0={lat!r} +lon_0={lon!r} +datum=WGS84 +units=m", always_xy=True
    )
    nearest = math.inf
    crossings = 0
    for part in parts:
        for ring in part:
            corners = divided(ring)
            xs, ys = about.transform([c[0] for c in corners], [c[1] for c in corners])
            for (ax, ay), (bx, by) in zip(
                zip(xs, ys, strict=True), zip([*xs[1:], xs[0]], [*ys[1:], ys[0]], strict=True), strict=True
            ):
                nearest = min(nearest, from_origin(ax, ay, bx, by))
                if (ay > 0) != (by > 0) and ax + (0 - ay) / (by - ay) * (bx - ax) > 0:
                    crossings += 1
    return nearest if crossings % 2 else -nearest


def divided(ring: Ring) -> list[LonLat]:
    corners = []
    for (alon, alat), (blon, blat) in zip(ring, [*ring[1:], ring[0]], strict=True):
        for step in range(PIECES_OF_AN_EDGE):
            share = step / PIECES_OF_AN_EDGE
            corners.append((alon + share * (blon - alon), alat + share * (blat - alat)))
    return corners


def from_origin(ax: float, ay: float, bx: float, by: float) -> float:
    length2 = (bx - ax) ** 2 + (by - ay) ** 2
    if length2 == 0:
        return math.hypot(ax, ay)
    share = -(ax * (bx - ax) + ay * (by - ay)) / length2
    share = min(1.0, max(0.0, share))
    return math.hypot(ax + share * (bx - ax), ay + share * (by - ay))


def phi(margin_m: float, accuracy_m: float, boundary_m: float) -> float:
    sigma_m = math.sqrt((accuracy_m / 1.515) ** 2 + (boundary_m / 1.515) ** 2)
    return (1 + math.erf(margin_m / sigma_m / math.sqrt(2))) / 2


def kind_of(p_zone: float, p_village: float, *, accuracy_known: bool = True) -> str:
    """Rulings 1 and 2 in their own words, default thresholds."""
    if p_zone >= 0.80:
        return "town"
    if p_zone > 0.05:
        return "unsure"
    if p_village <= 0.05:
        return "outside"
    if p_village >= 0.80:
        return "inside" if accuracy_known else "unsure"
    return "unsure"
