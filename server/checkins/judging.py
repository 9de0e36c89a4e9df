"""Judging a check-in: its day, its verdict, what it sets in the month, and what the phone is told. No I/O.

Whoever calls has read the rows (`Views`, postings, masks) before: the intake for a group at once, the re-judging in
its own transaction. So both judge by the same lines.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from geo.datum import SaidDatum
from geo.fix import MOST_SHIFT_M, Fix
from geo.verdict import COUNTED, Thresholds, Verdict, VerdictKind, judge
from server.checkins import dating, rules
from server.checkins.instants import Timing
from server.checkins.receipts import Receipt
from server.checkins.record import Record, StoredPosition
from server.checkins.rules import ExactPosition, Standing
from server.checkins.schemas import CheckInIn, PositionIn, RunningClockIn
from server.checkins.signing import Proof
from server.checkins.storing import MASKS, ActivePosting, Kept, Masks
from server.month.book import Book, Governing
from server.month.masks import Month, day_mask, days_of, range_mask
from server.month.policy import Basis, Policy, legal_day
from server.month.policy import Thresholds as PolicyThresholds
from server.month.rules import FACT_NAMES, Sort
from server.month.statements import SoFar, so_far
from server.places.atlas import Atlas, Register

E7 = 10**7
SMALLEST = 1e-30
LARGEST = 1e30
"""Bounds of a 4-byte real, with a margin."""
REACH_M = 1_500.0
"""Exclusion zones farther away have no say: p_zone falls under 0.05 within 1.65 sigma, and sigma is at most 740 m."""
FALLBACK = Policy(basis=Basis.CALENDAR, duty_counts_in_village=False)
"""Where no policy is published yet, check-ins are still judged, by the default thresholds; no month is told."""
NOTHING: Masks = (0, 0, 0, 0, 0)
NOTHING_RECORDED: Sequence[int] = (0,) * len(Sort)


@dataclass
class Views:
    """What judging knows of the world: boundaries, policies, successors of villages. Replaced as a whole."""

    register: Register = field(default_factory=Register)
    book: Book = field(default_factory=Book)
    successors: Mapping[str, tuple[str, date]] = field(default_factory=dict)
    default_region: str = ""

    def region(self, code: str, day: date) -> str:
        """Follow a merged village to what it is on the day (edge 48); a ring of successors ends somewhere."""
        for _ in range(8):
            following = self.successors.get(code)
            if following is None or day < following[1]:
                break
            code = following[0]
        return code


class Question(NamedTuple):
    """One check-in to judge, with the day and the postings it is judged for, and the versions it needs."""

    event_at: datetime
    day: date
    governing: Governing | None
    postings: tuple[ActivePosting, ...]
    fix: Fix | None
    assigned: tuple[tuple[UUID, ...], tuple[str, ...]]
    excluded: tuple[UUID, ...]
    villages: tuple[UUID | None, ...]  # The boundary version of each posting's village.

    @property
    def policy(self) -> Policy:
        """Return the policy in force, or the fallback."""
        return self.governing.policy if self.governing else FALLBACK

    def matched(self, verdict: Verdict) -> ActivePosting | None:
        """Return the posting whose village the fix lies in; the first where none or no single one does."""
        for posting, version in zip(self.postings, self.villages, strict=True):
            if version is not None and str(version) in verdict.place_ids:
                return posting
        return self.postings[0] if self.postings else None


def ask(event_at: datetime, fix: Fix | None, postings: Collection[ActivePosting], views: Views) -> Question:
    """Find the day, the policy, the postings and the boundary versions of the event's time (edges 46, 47)."""
    known = tuple(postings)
    day = legal_day(event_at, FALLBACK)
    governing = _governing(day, known, views)
    if governing is not None:
        day = legal_day(event_at, governing.policy)
    active = tuple(posting for posting in known if posting.holds(day))
    codes = [views.region(posting.village_code, day) for posting in active]
    extras = [
        zone
        for posting in active
        for zone, first, last in posting.extras
        if first <= day and (last is None or day <= last)
    ]
    assigned: tuple[tuple[UUID, ...], tuple[str, ...]] = ((), ())
    excluded: tuple[UUID, ...] = ()
    if active and fix is not None:
        assigned = views.register.assigned(codes, extras, event_at)
        at = fix.position()
        reach = REACH_M if fix.datum is not None else REACH_M + MOST_SHIFT_M
        excluded = views.register.exclusions_near(lon=at.lon, lat=at.lat, reach_m=reach, at=event_at)
    villages = tuple(views.register.village(code, event_at) for code in codes)
    return Question(event_at, day, governing, active, fix, assigned, excluded, villages)


def _governing(day: date, postings: Sequence[ActivePosting], views: Views) -> Governing | None:
    region = next((p.village_code for p in postings if p.holds(day)), views.default_region)
    return views.book.governing(region, Month.of(day))


def decide(question: Question, atlas: Atlas) -> Verdict:
    """Return the verdict; the atlas must hold the question's versions."""
    if not question.postings:
        return judge(None, None)
    places = atlas.assigned(*question.assigned)
    excluded = atlas.excluded(question.excluded) if question.excluded else None
    return judge(question.fix, places, excluded, _thresholds(question.policy.thresholds))


@lru_cache(maxsize=256)
def _thresholds(limits: PolicyThresholds) -> Thresholds:
    return Thresholds(
        inside_at_least=limits.inside_at,
        outside_at_most=limits.outside_at,
        town_at_least=limits.inside_at,
        zone_clear_at_most=limits.outside_at,
        max_accuracy_m=limits.accuracy_limit_m,
        max_age_s=limits.fix_age_limit_s,
    )


def standing_of(kind: VerdictKind, dated: dating.Dated, policy: Policy) -> Standing:
    """Return what a verdict does to its day.

    No usable position is kept as a claim (ruling 2); so is a check-in that says it is older than the policy's claimed
    time, because without an anchor only the phone says when it was made (ruling 9, edge 55). With one that leaves a
    single day it counts however old it is (edge 57). One that arrives after its month's grace day changes no day by
    itself: it is a claim, and a correction case is opened for it (edge 58). Whatever its place, a time in doubt counts
    only provisionally.
    """
    certain = dated.anchored and dated.doubt is None
    too_old = not certain and dated.age > timedelta(hours=policy.claimed_max_hours)
    counts = kind in COUNTED
    claimed = kind is VerdictKind.UNUSABLE or (counts and (too_old or dated.after_grace))
    sure = kind is VerdictKind.INSIDE and dated.doubt is None
    return rules.standing(counts=counts, sure=sure, claimed=claimed)


def bits(verdict: str, standing: str, day: date) -> Masks:
    """Return the halves that a check-in sets in its month, in the order of MASKS: both halves of its day (ruling 4)."""
    counts = standing in {Standing.COUNTED, Standing.PROVISIONAL}
    flags = {
        "sure": standing == Standing.COUNTED and verdict == VerdictKind.INSIDE,
        # Inside, but at a time in doubt, is as unsure as a place in doubt: the same review looks at it (ruling 2).
        "unsure": counts
        and (
            verdict == VerdictKind.UNSURE or (verdict == VerdictKind.INSIDE and standing != Standing.COUNTED)
        ),
        "unfenced": counts and verdict == VerdictKind.NO_FENCE,
        "outside": verdict in {VerdictKind.OUTSIDE, VerdictKind.TOWN},
        "claimed": standing == Standing.CLAIMED,
    }
    whole = day_mask(day.day)
    sure, unsure, unfenced, outside, claimed = (whole if flags[name] else 0 for name in MASKS)
    return sure, unsure, unfenced, outside, claimed


def both(one: Masks, other: Masks) -> Masks:
    """Join two sets of masks."""
    return (one[0] | other[0], one[1] | other[1], one[2] | other[2], one[3] | other[3], one[4] | other[4])


def month_told(
    question: Question,
    postings: Collection[ActivePosting],
    masks: Masks,
    views: Views,
    *,
    now: datetime,
    recorded: Sequence[int] = NOTHING_RECORDED,
) -> SoFar | None:
    """Return how the event's month stands as of `now`; None without a policy or a posting in it.

    `recorded` are the masks of the ledger in the order of Sort.
    """
    governing = question.governing
    if governing is None:
        return None
    month = Month.of(question.day)
    posted = 0
    for posting in postings:
        if posting.until_day is None or posting.until_day >= posting.from_day:
            posted |= range_mask(month, posting.from_day, posting.until_day)
    if not posted:
        return None
    facts = _NO_FACTS.copy()
    facts["posted"] = posted
    facts["sure"], facts["unsure"], facts["unfenced"], facts["outside"], facts["claimed"] = masks
    if recorded is not NOTHING_RECORDED:
        facts.update(zip(Sort, recorded, strict=True))
    policy = governing.policy
    if views.book.outages and policy.outages_count:
        facts["outage"] = _without_service(postings, month, views)
    return so_far(facts, views.book.frame(month, governing, legal_day(now, policy)), policy)


def _without_service(postings: Collection[ActivePosting], month: Month, views: Views) -> int:
    """Return the days of the month on which the service could not be reached where the person was posted."""
    mask = 0
    for down in views.book.outages:
        for day in days_of(month, down.mask(month)):
            here = (views.region(posting.village_code, day) for posting in postings if posting.holds(day))
            if any(code.startswith(down.region_prefix) for code in here):
                mask |= day_mask(day.day)
    return mask


_NO_FACTS = dict.fromkeys(FACT_NAMES, 0)


def fix_of(position: PositionIn | None) -> Fix | None:
    """Return the fix as geo judges it. A negative age is the two clocks of a phone disagreeing: the fix is fresh."""
    if position is None:
        return None
    return Fix(
        lon=position.lon,
        lat=position.lat,
        datum=position.datum,
        age_s=None if position.age_s is None else max(0.0, position.age_s),
        accuracy_m=position.accuracy_m,
        altitude_m=position.altitude_m,
        speed_mps=position.speed_mps,
        provider=position.provider,
        mocked=position.mocked,
    )


def exact(position: PositionIn) -> ExactPosition:
    """Return the position in integers: degrees of 1e-7, altitude and speed of 0.01."""
    return ExactPosition(
        round(position.lon * E7),
        round(position.lat * E7),
        None if position.altitude_m is None else round(position.altitude_m * 100),
        None if position.speed_mps is None else round(position.speed_mps * 100),
    )


def stored_position(fix: Fix, position: ExactPosition, salt: bytes) -> StoredPosition:
    """Return the row that keeps the coordinates, as sent and, where that differs, in WGS-84."""
    at = fix.position()
    wgs = round(at.lon * E7), round(at.lat * E7)
    differs = wgs != (position.lon_e7, position.lat_e7)
    return StoredPosition(
        salt=salt,
        lon_e7=position.lon_e7,
        lat_e7=position.lat_e7,
        wgs_lon_e7=wgs[0] if differs else None,
        wgs_lat_e7=wgs[1] if differs else None,
        altitude_cm=position.altitude_cm,
        speed_cmps=position.speed_cmps,
    )


def fix_again(record: Record, position: StoredPosition) -> Fix:
    """Return the fix of a stored check-in, to be judged again."""
    return Fix(
        lon=position.lon_e7 / E7,
        lat=position.lat_e7 / E7,
        datum=SaidDatum(record.datum or SaidDatum.WGS84).known,
        age_s=None if record.fix_age_s is None else max(0.0, record.fix_age_s),
        accuracy_m=record.accuracy_m,
        mocked=record.mocked,
    )


def content_of(given: CheckInIn) -> bytes:
    """Return the hash of all that was sent but `sent_at` and the coordinates (those have their salted commitment)."""
    position = given.position
    shown = () if position is None else (
        position.datum and position.datum.value, position.accuracy_m, position.age_s, position.provider, position.mocked
    )  # fmt: skip
    return rules.content_hash(
        given.kind.value,
        given.captured_at.timestamp(),
        given.utc_offset_min,
        given.no_position and given.no_position.value,
        given.outside_work,
        given.note,
        given.client,
        given.salt,
        *shown,
        *([] if given.clock is None else _clock_content(given.clock)),
    )


def _clock_content(clock: RunningClockIn) -> tuple[object, ...]:
    """Return what of the running clock belongs to the content (ruling 11): what was fixed at the tap, not the sending."""
    return "clock", clock.boot_id, clock.tapped_ms, clock.anchor, clock.got_ms


class Back(NamedTuple):
    """That a check-in comes back after a backup was restored: when, and by which receipt."""

    at: datetime
    receipt: Receipt


class Incoming(NamedTuple):
    """A check-in as it reached the intake; one that comes back (`back`) as it had reached it before."""

    person_id: UUID
    account_id: UUID
    session_id: UUID
    version: int
    id: UUID
    given: CheckInIn
    body: bytes
    received_at: datetime
    timing: Timing
    salt: bytes
    back: Back | None = None
    proof: Proof | None = None


def kept(
    incoming: Incoming,
    question: Question,
    verdict: Verdict,
    *,
    before: Masks,
    recorded: Sequence[int] = NOTHING_RECORDED,
    postings: Collection[ActivePosting],
    views: Views,
) -> Kept:
    """Return the rows of a judged check-in, with the month as it is told to the phone.

    `before` are the masks of its month without it, `recorded` those of the ledger in the order of Sort, `postings` all
    that the person has in the month.
    """
    given, position = incoming.given, incoming.given.position
    timing = incoming.timing
    dated = dating.dated_of(timing, incoming.received_at, question.policy)
    standing = standing_of(verdict.kind, dated, question.policy)
    time = None if dated.doubt is None and timing.running is None else dating.stored_time(timing, dated.doubt)
    masks = bits(verdict.kind, standing, question.day)
    told = both(before, masks)
    month = month_told(question, postings, told, views, now=incoming.received_at, recorded=recorded)
    projection = month.projection if month else None
    spot = None if position is None else exact(position)
    matched = question.matched(verdict)
    record = Record(
        person_id=incoming.person_id,
        id=incoming.id,
        received_at=incoming.received_at,
        event_at=question.event_at,
        captured_at=given.captured_at,
        sent_at=given.sent_at,
        day=question.day,
        utc_offset_min=given.utc_offset_min,
        kind=given.kind,
        verdict=verdict.kind,
        reason=verdict.reason,
        standing=standing,
        band=verdict.band,
        datum=(position.datum or SaidDatum.UNKNOWN) if position else None,
        provider=position.provider if position else None,
        mocked=position.mocked if position else None,
        accuracy_m=real(position.accuracy_m) if position else None,
        fix_age_s=real(position.age_s) if position else None,
        margin_m=real(verdict.margin_m),
        p_inside=real(verdict.p),
        p_zone=real(verdict.p_zone),
        no_position=given.no_position if position is None else None,
        outside_work=given.outside_work,
        note=given.note,
        client=given.client,
        posting_id=matched.id if matched else None,
        village_code=matched.village_code if matched else None,
        zone_name=verdict.zone_name if verdict.kind is VerdictKind.TOWN else None,
        versions=list(verdict.versions) or None,
        commitment=None if spot is None else rules.commitment(incoming.salt, spot),
        content_hash=content_of(given),
        month_counted=month.counted_halves if month else None,
        month_need=month.need_told if month else None,
        month_due=month.due_halves if month else None,
        month_away=projection.away_at_most_halves if projection else None,
        month_tier=projection.tier if projection else None,
        **(dating.ORDINARY if time is None else dating.shown_time(time)),
        restored_at=incoming.back.at if incoming.back else None,
        restores=incoming.back.receipt.digest if incoming.back else None,
        proof_hash=incoming.proof.digest() if incoming.proof else None,
    )
    row = None
    if spot is not None and question.fix is not None:
        row = stored_position(question.fix, spot, incoming.salt)
    return Kept(record, row, masks, time, proof=incoming.proof)


def real(number: float | None) -> float | None:
    """Keep a number within what a 4-byte real can hold: PostgreSQL refuses larger and, unlike others, smaller ones."""
    if number is None or not math.isfinite(number):
        return None
    return 0.0 if abs(number) < SMALLEST else max(-LARGEST, min(LARGEST, number))
