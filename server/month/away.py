"""Who is away when: the half days that requests of leave and of duty claim, in one table (ruling 27, edge 85).

A request claims its halves when it is submitted and holds them while it waits, is granted or runs; one that is refused,
withdrawn or cancelled releases them. That two of a person share no half day is the database's to refuse; which one
stands in the way is asked after its refusal.

Whoever claims or releases takes the person's turn, which lasts until the transaction ends: two that overlap would
otherwise wait for each other, and what refused one of them could be gone before it was named. Lock the row of the
request first, take the turn next, and the months (server.month.facts) last: everybody in this order.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects.postgresql import Range

from server import db, problems
from server.month.facts import Span
from server.month.masks import half_at, half_number
from server.month.models import AwayKind, AwaySpan
from server.problems import Problem

_EXCLUDED = "away_spans_no_overlap_excl"


@dataclass(frozen=True, slots=True)
class Away:
    """The halves that one request claims."""

    request_id: UUID
    person_id: UUID
    kind: AwayKind
    span: Span

    def told(self) -> dict[str, str]:
        """Return it as the refusal of another request names it."""
        return {
            "id": str(self.request_id),
            "kind": self.kind.value,
            "first_day": self.span.first.isoformat(),
            "starts": self.span.starts.name.lower(),
            "last_day": self.span.last.isoformat(),
            "ends": self.span.ends.name.lower(),
        }


def numbers(span: Span) -> range:
    """Return the numbers of a span's halves (server.month.masks.half_number)."""
    return range(half_number(span.first, span.starts), half_number(span.last, span.ends) + 1)


def span_of(claimed: range) -> Span:
    """Return the span of halves. Raises ValueError when there are none."""
    if not claimed:
        raise ValueError("A span has one half at least.")
    (first, starts), (last, ends) = half_at(claimed[0]), half_at(claimed[-1])
    return Span(first, last, starts, ends)


def _kept(span: Span) -> Range[int]:
    counted = numbers(span)
    return Range(counted.start, counted.stop, bounds="[)")


def _span(kept: Range[int]) -> Span:
    if kept.lower is None or kept.upper is None:
        raise ValueError("What is claimed has a beginning and an end.")
    return span_of(range(kept.lower, kept.upper))


def take_turn(session: orm.Session, person_id: UUID) -> None:
    """Let what is claimed of one person follow one after the other, until the transaction ends."""
    db.one_at_a_time(session, f"away:{person_id}")


def claim(session: orm.Session, away: Away) -> None:
    """Claim the halves for a request that has claimed none.

    Raises Problem (409 away-overlaps), with every request that stands in the way in ``conflicts``, the earliest first;
    nothing of the transaction is lost by the refusal.
    """
    take_turn(session, away.person_id)
    _insert(session, away)


def move(session: orm.Session, away: Away) -> None:
    """Let a request claim these halves instead of those it has: shorter, longer, or others. Raises as :func:`claim`."""
    take_turn(session, away.person_id)
    _insert(session, away, instead=True)


def release(session: orm.Session, person_id: UUID, request_id: UUID) -> bool:
    """Let a request claim nothing any more; tell whether it had claimed something."""
    take_turn(session, person_id)
    return _delete(session, request_id)


def _delete(session: orm.Session, request_id: UUID) -> bool:
    gone = sa.delete(AwaySpan).where(AwaySpan.request_id == request_id).returning(AwaySpan.request_id)
    return session.execute(gone).scalar_one_or_none() is not None


def _insert(session: orm.Session, away: Away, *, instead: bool = False) -> None:
    values = {
        "request_id": away.request_id,
        "person_id": away.person_id,
        "kind": away.kind.value,
        "halves": _kept(away.span),
    }
    try:
        with session.begin_nested():
            if instead:
                _delete(session, away.request_id)
            session.execute(sa.insert(AwaySpan).values(values))
    except sa.exc.IntegrityError as error:
        if getattr(getattr(error.orig, "diag", None), "constraint_name", None) != _EXCLUDED:
            raise
        found = overlapping(session, away.person_id, away.span, but=away.request_id)
        raise refusal(found) from error


def refusal(conflicts: Sequence[Away]) -> Problem:
    """Return the problem that names what stands in the way."""
    words = {AwayKind.LEAVE: ("请假", "leave"), AwayKind.DUTY: ("公出", "duty")}
    zh = "、".join(f"{words[each.kind][0]} {each.span.first} 至 {each.span.last}" for each in conflicts)
    en = ", ".join(f"{words[each.kind][1]} from {each.span.first} to {each.span.last}" for each in conflicts)
    return Problem(
        problems.AWAY_OVERLAPS,
        zh=f"与下列申请重叠：{zh}。",
        en=f"It overlaps with {en}.",
        conflicts=[each.told() for each in conflicts],
    )


def overlapping(session: orm.Session, person_id: UUID, span: Span, *, but: UUID | None = None) -> list[Away]:
    """Return what a person's other requests claim of these halves, the earliest first."""
    return [each for each in of_people(session, [person_id], span) if each.request_id != but]


def of_people(session: orm.Session, people: Collection[UUID], span: Span) -> list[Away]:
    """Return what the requests of these people claim of these halves, the earliest first."""
    chosen = _QUERY.where(AwaySpan.person_id.in_(set(people)), AwaySpan.halves.overlaps(_kept(span)))
    return _read(session, chosen.order_by(sa.func.lower(AwaySpan.halves), AwaySpan.request_id))


def of_requests(session: orm.Session, requests: Collection[UUID]) -> dict[UUID, Away]:
    """Return what these requests claim now, by request; one that claims nothing is missing."""
    found = _read(session, _QUERY.where(AwaySpan.request_id.in_(set(requests))))
    return {each.request_id: each for each in found}


# Columns, not rows of the session: it would give back what it read before a request moved.
_QUERY = sa.select(AwaySpan.request_id, AwaySpan.person_id, AwaySpan.kind, AwaySpan.halves)


def _read(session: orm.Session, query: sa.Select[UUID, UUID, str, Range[int]]) -> list[Away]:
    return [
        Away(request, person, AwayKind(kind), _span(claimed))
        for request, person, kind, claimed in session.execute(query)
    ]
