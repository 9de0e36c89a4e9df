"""The verdict: what one fix says about being in the village (rulings 1, 2 and 14).

A phone's accuracy is the radius that holds the truth with 68 %; for a round normal error sigma is that radius divided
by 1.515. The boundary's own stated accuracy, and what a conversion of the datum may err, come in as root of squares.
The probability of being inside is then taken as Phi(signed distance / sigma): exact along a straight border, and at
the scale of a fix a border is nearly that.

    zone first   p_zone >= 0.80          town: it does not prove a day in the village
                 0.05 < p_zone < 0.80    unsure
    then village p >= 0.80               inside
                 p <= 0.05               outside
                 between                 unsure

An exclusion zone says "this does not prove a village day", never "violation": meetings are held there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Final
from uuid import UUID

from geo.datum import Position
from geo.fix import MAX_ACCURACY_M, MAX_AGE_S, UNKNOWN_ACCURACY_M, Accuracy, Fix, Sentence
from geo.zones import Places, ZoneKind

SIGMA_PER_ACCURACY: Final = 1.515
"""A 68 % radius of a round normal error is this many sigmas: sqrt(-2 ln 0.3173) (field.md, section 1)."""


_EVEN: Final = 0.5
# Farther than this from every zone's box the probability of being in one is below 1e-9, and is taken as none.
_NO_ZONE_SIGMAS: Final = 6.0


class VerdictKind(StrEnum):
    """What a fix amounts to. Stored as text; the values are for ever."""

    INSIDE = "inside"
    UNSURE = "unsure"
    OUTSIDE = "outside"
    TOWN = "town"
    UNUSABLE = "unusable"
    NO_FENCE = "no_fence"
    NOT_POSTED = "not_posted"


COUNTED: Final = frozenset({VerdictKind.INSIDE, VerdictKind.UNSURE, VerdictKind.NO_FENCE})
PROVISIONAL: Final = frozenset({VerdictKind.UNSURE, VerdictKind.NO_FENCE})


class Reason(StrEnum):
    """Why. Stored as text; the values are for ever."""

    IN_VILLAGE = "in-village"
    NEAR_VILLAGE_BORDER = "near-village-border"
    ACCURACY_UNKNOWN = "accuracy-unknown"
    DATUM_UNKNOWN = "datum-unknown"
    AGE_UNKNOWN = "age-unknown"
    NEAR_ZONE_BORDER = "near-zone-border"
    NEAR_ZONE_FAR_FROM_VILLAGE = "near-zone-far-from-village"
    OUT_OF_VILLAGE = "out-of-village"
    IN_TOWN_SEAT = "in-town-seat"
    IN_URBAN_AREA = "in-urban-area"
    NO_FIX = "no-fix"
    FIX_TOO_OLD = "fix-too-old"
    ACCURACY_TOO_COARSE = "accuracy-too-coarse"
    NO_BOUNDARY = "no-boundary"
    NOT_POSTED = "not-posted"


SENTENCES: Final[dict[Reason, Sentence]] = {
    Reason.IN_VILLAGE: Sentence("您在派驻的村内。", "You are in your village."),
    Reason.NEAR_VILLAGE_BORDER: Sentence(
        "您在村界附近,定位精度不足以判断在村内还是村外,先计为在村。",
        "You are near the village's border and the fix cannot tell the sides apart; the day counts for now.",
    ),
    Reason.ACCURACY_UNKNOWN: Sentence(
        "手机没有给出定位精度,先计为在村;请打开精确定位。",
        "The phone did not say how accurate the fix is; the day counts for now. Please allow precise location.",
    ),
    Reason.DATUM_UNKNOWN: Sentence(
        "应用版本过旧,没有说明坐标系,位置可能偏差数百米,先计为在村;请更新应用。",
        "This old version of the app does not say which datum the position is in, so it may be hundreds of metres off; "
        "the day counts for now. Please update the app.",
    ),
    Reason.AGE_UNKNOWN: Sentence(
        "应用版本过旧,没有说明定位是何时取得的,先计为在村;请更新应用。",
        "This old version of the app does not say when the position was taken; the day counts for now. "
        "Please update the app.",
    ),
    Reason.NEAR_ZONE_BORDER: Sentence(
        "您在场镇或城区边缘,定位精度不足以判断在哪一侧,先计为在村。",
        "You are at the edge of a town seat or urban area and the fix cannot tell the sides apart; "
        "the day counts for now.",
    ),
    Reason.NEAR_ZONE_FAR_FROM_VILLAGE: Sentence(
        "您在场镇或城区边缘,且不在派驻的村内,暂计为在村,可能需要说明情况。",
        "You are at the edge of a town seat or urban area and away from your village; "
        "the day counts for now and may need a word of explanation.",
    ),
    Reason.OUT_OF_VILLAGE: Sentence(
        "您不在派驻的村内,本次签到已保存,但不能证明当天在村;回村后可再签到。",
        "You are not in your village. The check-in is kept but does not prove the day; you can check in again there.",
    ),
    Reason.IN_TOWN_SEAT: Sentence(
        "您在场镇范围内。在场镇办事并无不妥,但本次签到不能证明当天在村;回村后可再签到。",
        "You are in a town seat. There is nothing wrong with that, but it does not prove a day in the village; "
        "you can check in again there.",
    ),
    Reason.IN_URBAN_AREA: Sentence(
        "您在城区范围内。在城区办事并无不妥,但本次签到不能证明当天在村;回村后可再签到。",
        "You are in an urban area. There is nothing wrong with that, but it does not prove a day in the village; "
        "you can check in again there.",
    ),
    Reason.NO_FIX: Sentence(
        "没有取得定位,本次签到已作为申报保存;有信号时请再试。",
        "There was no position; the check-in is kept as a claim. Please try again where there is a signal.",
    ),
    Reason.FIX_TOO_OLD: Sentence(
        "定位是较早以前取得的,本次签到已保存;请重新定位后再试。",
        "The position was taken too long before; the check-in is kept. Please get a new position and try again.",
    ),
    Reason.ACCURACY_TOO_COARSE: Sentence(
        "定位太粗略,本次签到已保存;请到开阔处打开精确定位后再试。",
        "The position is too coarse; the check-in is kept. Please allow precise location and try again in the open.",
    ),
    Reason.NO_BOUNDARY: Sentence(
        "您派驻的村还没有录入边界,先计为在村,您不需要做什么。",
        "Your village has no boundary on record yet; the day counts for now and you need not do anything.",
    ),
    Reason.NOT_POSTED: Sentence(
        "您当天没有派驻任务,本次签到已保存,不计入在村天数。",
        "You are not posted on this day; the check-in is kept and does not count.",
    ),
}
"""What a phone may say. No probability and no metres: those would let a phone feel its way along a border (ruling 14)."""


class Band(StrEnum):
    """How far from the village a phone may be told that it is (ruling 14). Stored as text; the values are for ever."""

    INSIDE = "inside"
    WITHIN_100M = "within-100m"
    WITHIN_500M = "within-500m"
    WITHIN_2KM = "within-2km"
    FARTHER = "farther"


_BANDS: Final = ((100.0, Band.WITHIN_100M), (500.0, Band.WITHIN_500M), (2000.0, Band.WITHIN_2KM))


def band_of(margin_m: float) -> Band:
    """Give the band of a signed distance to the village, metres; the border itself is inside, 100 m within 100 m."""
    if margin_m >= 0:
        return Band.INSIDE
    return next((band for limit, band in _BANDS if -margin_m <= limit), Band.FARTHER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What a policy may set (ruling 1); the defaults are the rulings'.

    Probabilities are within 0 to 1, and what is called clear must be at most even and at least even respectively.
    ValueError, with the name of the field, for anything else.
    """

    inside_at_least: float = 0.80
    outside_at_most: float = 0.05
    town_at_least: float = 0.80
    zone_clear_at_most: float = 0.05
    max_accuracy_m: float = MAX_ACCURACY_M
    unknown_accuracy_m: float = UNKNOWN_ACCURACY_M
    max_age_s: float = MAX_AGE_S

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_at_least"):
                allowed, wanted = _EVEN <= value < 1, "at least 0.5 and less than 1"
            elif field.name.endswith("_at_most"):
                allowed, wanted = 0 < value <= _EVEN, "more than 0 and at most 0.5"
            else:
                allowed, wanted = 0 < value < math.inf, "more than 0 and finite"
            if not allowed:
                raise ValueError(f"{field.name} must be {wanted}, not {value}")


DEFAULT_THRESHOLDS: Final = Thresholds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one fix says, with everything a reviewer needs to follow it. No coordinates: they have their own table.

    `margin_m` and `zone_margin_m` are signed distances in metres, positive inside, to the posting's places and to the
    exclusion zones (less the duty places among the posting's); `p` and `p_zone` the probabilities of being inside of
    them. None where there is nothing to measure; no `zone_margin_m` either where every zone is six sigmas away and
    `p_zone` is 0. `accuracy_m` is what was judged with. `place_ids` are all assigned zones that cover the fix (edge
    31). `zone_id` and `zone_name` name the exclusion zone that had a say. `versions` are the boundary versions judged
    by: those of the posting, and the named zone's. Only `kind`, `reason` and `band` may go to a phone (ruling 14).
    """

    kind: VerdictKind
    reason: Reason
    p: float | None = None
    p_zone: float | None = None
    margin_m: float | None = None
    zone_margin_m: float | None = None
    accuracy_m: float | None = None
    place_ids: tuple[str, ...] = ()
    zone_id: str | None = None
    zone_name: str | None = None
    versions: tuple[UUID, ...] = ()
    band: Band | None = None

    @property
    def counts(self) -> bool:
        """Whether the check-in counts, provisionally or fully (ruling 2)."""
        return self.kind in COUNTED

    @property
    def provisional(self) -> bool:
        """Whether it counts only until somebody finds otherwise."""
        return self.kind in PROVISIONAL

    @property
    def sentence(self) -> Sentence:
        """The reason as a sentence in both languages, fit for a phone."""
        return SENTENCES[self.reason]


@dataclass(frozen=True, slots=True)
class _Village:
    """How a fix lies to the posting's places; without numbers where none has a boundary."""

    margin_m: float | None
    p: float | None
    accuracy_m: float
    duty_m: float

    def clearly_out(self, thresholds: Thresholds) -> bool:
        # Within the boundary's own accuracy nothing is: a gap of that width is the survey's, not the cadre's (edge 32).
        if self.p is None or self.margin_m is None:
            return False
        return self.p <= thresholds.outside_at_most and -self.margin_m > self.accuracy_m


@dataclass(frozen=True, slots=True)
class _Zone:
    """How a fix lies to the exclusion zones; named where that had a say."""

    margin_m: float | None
    p: float | None
    id: str | None = None
    name: str | None = None
    kind: ZoneKind | None = None
    version: UUID | None = None


def judge(
    fix: Fix | None,
    places: Places | None,
    excluded: Places | None = None,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
) -> Verdict:
    """Judge one fix against the places of a posting and the exclusion zones about it (rulings 1 and 2).

    `fix` is None where the phone sent no position, `places` None where the person is not posted that day. Exclusion
    zones are prepared by `Places.excluded`. In this order: not posted; unusable; town; then the village, where

    - a posting without any boundary, or a fix outside of all boundaries of a posting that has a place without one, is
      `no_fence` (edge 49). The exclusion zones still come first: a fix clearly in a town seat proves no village day
      wherever the unknown border runs. A fix at a zone's edge is `no_fence` though, for a better fix settles nothing.
    - a duty place of the posting (the village office in the town) is cut out of the exclusion zones (edge 33).
    - an unknown accuracy never makes more than `unsure` (ruling 2).
    - nor does an age or a datum that was not said (edge 140). Without a datum the fix is judged in each that it can be
      in, because a GCJ-02 position read as WGS-84 lies up to 731 m away. What counts in any is `unsure`, what counts in
      none is `outside`, or `town` where it is that in all.
    - nothing within the boundary's own stated accuracy is `outside`, whatever the thresholds (edge 32).

    A fix at the edge of a zone is `unsure` even where it is clearly not in the village: ruling 1 asks the zone first.
    Its reason then is `near-zone-far-from-village`, so that such days can be told apart in a review.
    """
    if places is None:
        return Verdict(kind=VerdictKind.NOT_POSTED, reason=Reason.NOT_POSTED)
    if fix is None:
        return Verdict(kind=VerdictKind.UNUSABLE, reason=Reason.NO_FIX)
    if fix.datum is None:
        return _in_any_datum([judge(reading, places, excluded, thresholds) for reading in fix.readings()])
    accuracy = fix.accuracy(unknown_m=thresholds.unknown_accuracy_m)
    useless = _useless(fix, accuracy, thresholds)
    if useless is not None:
        return Verdict(kind=VerdictKind.UNUSABLE, reason=useless, accuracy_m=accuracy.metres)
    at = fix.position()
    radius = math.hypot(accuracy.metres, fix.conversion_error_m())
    village = _in_village(at, radius, places)
    zone = _in_zone(at, radius, excluded, village, thresholds.zone_clear_at_most)
    kind, reason = _decide(accuracy, places, village, zone, thresholds)
    if fix.age_s is None and kind in {VerdictKind.INSIDE, VerdictKind.UNSURE}:
        kind, reason = VerdictKind.UNSURE, Reason.AGE_UNKNOWN
    return Verdict(
        kind=kind,
        reason=reason,
        p=village.p,
        p_zone=zone.p,
        margin_m=village.margin_m,
        zone_margin_m=zone.margin_m,
        accuracy_m=accuracy.metres,
        place_ids=_covering(at, places, village),
        zone_id=zone.id,
        zone_name=zone.name,
        versions=places.versions if zone.version is None else (*places.versions, zone.version),
        band=None if village.margin_m is None else band_of(village.margin_m),
    )


def _in_any_datum(readings: Sequence[Verdict]) -> Verdict:
    """Join the verdicts on one fix in each datum that it can be in, to the one with the figures of the nearest place."""
    kinds = {each.kind for each in readings}
    counting = [each for each in readings if each.counts]
    nearest = max(
        counting or readings, key=lambda each: -math.inf if each.margin_m is None else each.margin_m
    )
    if len(kinds) == 1 and kinds.isdisjoint({VerdictKind.INSIDE, VerdictKind.UNSURE}):
        return nearest
    if counting:
        return replace(nearest, kind=VerdictKind.UNSURE, reason=Reason.DATUM_UNKNOWN)
    # Outside in one and in a town seat in another: not in the village whichever it is, and no more can be said.
    return next(each for each in readings if each.kind is VerdictKind.OUTSIDE)


def probability_inside(margin_m: float, *radii_m: float) -> float:
    """Give Phi(signed distance / sigma) for 68 % radii in metres, combined as root of squares; not all zero."""
    sigma = math.hypot(*radii_m) / SIGMA_PER_ACCURACY
    return 0.5 * math.erfc(-margin_m / (sigma * math.sqrt(2.0)))


def _useless(fix: Fix, accuracy: Accuracy, thresholds: Thresholds) -> Reason | None:
    if fix.age_s is not None and fix.age_s > thresholds.max_age_s:
        return Reason.FIX_TOO_OLD
    # An unknown accuracy is judged as 500 m however strict the policy is about stated ones; coarse digits are known.
    if (accuracy.known or accuracy.rounded) and accuracy.metres > thresholds.max_accuracy_m:
        return Reason.ACCURACY_TOO_COARSE
    return None


def _in_village(at: Position, radius: float, places: Places) -> _Village:
    if not places.zones:
        return _Village(None, None, 0.0, -math.inf)
    spot = places.spot(lon=at.lon, lat=at.lat)
    margin = places.depth_m(spot)
    stated = places.accuracy_m
    if places.accuracies_differ and (place := places.deepest(spot, margin)) is not None:
        stated = place.accuracy_m
    return _Village(margin, probability_inside(margin, radius, stated), stated, places.duty_depth_m(spot))


def _in_zone(
    at: Position, radius: float, excluded: Places | None, village: _Village, clear_at_most: float
) -> _Zone:
    if excluded is None:
        return _Zone(None, None)
    reach = _NO_ZONE_SIGMAS * math.hypot(radius, excluded.accuracy_m) / SIGMA_PER_ACCURACY
    if not excluded.may_reach(lon=at.lon, lat=at.lat, reach_m=reach):
        return _Zone(None, 0.0)
    spot = excluded.spot(lon=at.lon, lat=at.lat)
    margin = depth = excluded.depth_m(spot)
    stated = excluded.accuracy_m
    if excluded.accuracies_differ and (nearest := excluded.deepest(spot, depth)) is not None:
        stated = nearest.accuracy_m
    if -village.duty_m < margin:
        # The duty place's border is the nearer way out of "in the zone and not in the duty place".
        margin, stated = -village.duty_m, village.accuracy_m
    p = probability_inside(margin, radius, stated)
    named = excluded.deepest(spot, depth) if p > clear_at_most else None
    if named is None:
        return _Zone(margin, p)
    return _Zone(margin, p, named.id, named.name, named.kind, named.version)


def _covering(at: Position, places: Places, village: _Village) -> tuple[str, ...]:
    if village.margin_m is None or village.margin_m < 0:
        return ()
    if len(places.zones) == 1:
        return (places.zones[0].id,)
    return places.covering(places.spot(lon=at.lon, lat=at.lat))


def _decide(
    accuracy: Accuracy, places: Places, village: _Village, zone: _Zone, thresholds: Thresholds
) -> tuple[VerdictKind, Reason]:
    p_zone = 0.0 if zone.p is None else zone.p
    if p_zone >= thresholds.town_at_least:
        urban = zone.kind is ZoneKind.URBAN
        return VerdictKind.TOWN, Reason.IN_URBAN_AREA if urban else Reason.IN_TOWN_SEAT
    clearly_out = village.clearly_out(thresholds)
    if village.p is None or (clearly_out and places.unfenced):
        return VerdictKind.NO_FENCE, Reason.NO_BOUNDARY
    if p_zone > thresholds.zone_clear_at_most:
        far = Reason.NEAR_ZONE_FAR_FROM_VILLAGE if clearly_out else Reason.NEAR_ZONE_BORDER
        return VerdictKind.UNSURE, far
    if clearly_out:
        return VerdictKind.OUTSIDE, Reason.OUT_OF_VILLAGE
    if accuracy.known and village.p >= thresholds.inside_at_least:
        return VerdictKind.INSIDE, Reason.IN_VILLAGE
    return VerdictKind.UNSURE, Reason.NEAR_VILLAGE_BORDER if accuracy.known else Reason.ACCURACY_UNKNOWN
