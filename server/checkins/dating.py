"""How far the day of a check-in is to be trusted, and what is kept of how its time was taken. No I/O."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from server.checkins.instants import LATE_AFTER, SKEW_LIMIT, Doubt, TimeBasis, Timing
from server.checkins.record import StoredTime
from server.month.masks import Month
from server.month.policy import Policy, legal_day, provisional_until

_ONE_DAY = timedelta(days=1)


class Placed(Protocol):
    """What of a stored check-in says when it was made."""

    @property
    def received_at(self) -> datetime: ...  # noqa: D102  The columns of `checkins`.
    @property
    def event_at(self) -> datetime: ...  # noqa: D102
    @property
    def earliest_at(self) -> datetime | None: ...  # noqa: D102
    @property
    def latest_at(self) -> datetime | None: ...  # noqa: D102
    @property
    def time_basis(self) -> str | None: ...  # noqa: D102
    @property
    def time_doubt(self) -> str | None: ...  # noqa: D102
    @property
    def anchored_at(self) -> datetime | None: ...  # noqa: D102


class Dated(NamedTuple):
    """How far the day of a check-in is to be trusted."""

    age: timedelta  # From the tap to the arrival.
    doubt: Doubt | None
    anchored: bool  # An anchor of ours bounds the tap.
    after_grace: bool  # It arrived after the grace day of its month.


def dated_of(timing: Timing, received_at: datetime, policy: Policy) -> Dated:
    """Return how far the day is to be trusted under a policy, which says when a day begins."""
    age = received_at - timing.event_at
    doubt = None
    if timing.basis is TimeBasis.CONTRADICTED:
        doubt = Doubt.CONTRADICTION
    elif legal_day(timing.earliest, policy) != legal_day(timing.latest, policy):
        doubt = Doubt.DAY
    elif timing.basis is TimeBasis.CORRECTED and age > LATE_AFTER and abs(timing.clock_off) > SKEW_LIMIT:
        doubt = Doubt.CLOCK
    return Dated(age, doubt, timing.anchored, after_grace(timing.event_at, received_at, policy))


def dated_again(record: Placed, policy: Policy) -> Dated:
    """Return the same for a stored check-in: under another policy a day may begin at another minute."""
    doubt = None if record.time_doubt is None else Doubt(record.time_doubt)
    if doubt in {None, Doubt.DAY} and record.earliest_at is not None and record.latest_at is not None:
        one_day = legal_day(record.earliest_at, policy) == legal_day(record.latest_at, policy)
        doubt = None if one_day else Doubt.DAY
    anchored = record.anchored_at is not None and record.time_basis != TimeBasis.CONTRADICTED
    late = after_grace(record.event_at, record.received_at, policy)
    return Dated(record.received_at - record.event_at, doubt, anchored, late)


def after_grace(event_at: datetime, received_at: datetime, policy: Policy) -> bool:
    """Tell whether a check-in arrived when its month could no longer change by itself (edges 24, 58)."""
    if received_at - event_at <= _ONE_DAY:  # The first of the next month is a grace day at the earliest.
        return False
    month = Month.of(legal_day(event_at, policy))
    return legal_day(received_at, policy) > provisional_until(month, policy)


def stored_time(timing: Timing, doubt: Doubt | None) -> StoredTime:
    """Return the row that keeps how the time was taken."""
    running = timing.running
    anchor = running.anchor if running else None
    sent = running.sent if running else None
    return StoredTime(
        basis=timing.basis,
        doubt=doubt,
        earliest_at=timing.earliest,
        latest_at=timing.latest,
        claimed_at=timing.event_at if running is None else timing.claimed_at,
        anchored_at=anchor.at if anchor else None,
        asked_ms=anchor.asked.ms if anchor else None,
        got_ms=anchor.got_ms if anchor else None,
        tapped_ms=running.tapped.ms if running else None,
        sent_ms=sent.ms if sent else None,
        anchor_boot=running.tapped.boot == anchor.asked.boot if running and anchor else None,
        sent_boot=running.tapped.boot == sent.boot if running and sent else None,
        spoiled=running is not None and running.spoiled,
    )


_SHOWN = ("time_basis", "time_doubt", "earliest_at", "latest_at", "claimed_at", "anchored_at")
ORDINARY: Any = dict.fromkeys(_SHOWN)


def shown_time(time: StoredTime) -> Any:  # noqa: ANN401  Each by its name, as Record has it.
    """Return what of a row the view `checkins` shows, by its names there."""
    return dict(zip(_SHOWN, time, strict=False))  # The first columns of the row.
