"""What people entered of a person's days (corrections, findings, duty, leave, attestations, outages), as it is shown."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Literal
from uuid import UUID

from sqlalchemy import orm

from server.auth.queries import account_names
from server.compliance import queries
from server.compliance.queries import PersonMonth
from server.compliance.schemas import FactOut
from server.month import facts, outages
from server.month.facts import Span
from server.month.masks import Half, Month, day_mask, span_mask
from server.month.models import DayFact, Outage, Provenance, SourceKind
from server.month.reasons import SENTENCES, DayReason
from server.month.rules import STATE_OF, Sort
from server.month.statements import DayState


@dataclass(frozen=True, slots=True)
class Entry:
    """A fact with the halves of the month that it names, and how it is shown but for the day."""

    mask: int
    shown: FactOut

    def touches(self, day: date) -> bool:
        """Tell whether it names a half of the day."""
        return bool(self.mask & day_mask(day.day))

    def on(self, state: DayState) -> FactOut:
        """Return it as it is shown on a day."""
        halves = self.mask >> 2 * (state.day.day - 1) & 3
        named: Literal["day", "morning", "afternoon"] = (
            "day" if halves == 3 else "morning" if halves == 1 else "afternoon"  # noqa: PLR2004  Both bits of a day.
        )
        return self.shown.model_copy(update={"halves": named, "decided": self._decides(state)})

    def _decides(self, state: DayState) -> bool:
        halves = ((Half.MORNING, state.morning), (Half.AFTERNOON, state.afternoon))
        return any(
            self.mask >> (2 * (state.day.day - 1) + half) & 1 and reason is self.shown.state
            for half, reason in halves
        )


def of_month(session: orm.Session, row: PersonMonth, month: Month, *, with_notes: bool) -> list[Entry]:
    """Return what was entered of a person's month: the ledger in the order of its recording, then outages."""
    ledger = facts.of_days(session, row.person_id, month.first, month.last)
    met = {each.outage_id: each.mask for each in queries.outages_met(session, row.person_id, month)}
    down = outages.of_ids(session, met) if met else []
    names = account_names(session, (*_authors(ledger), *(outage.recorded_by for outage in down)))
    return [
        *(
            Entry(_mask(facts.span_of(fact), month), _fact_out(fact, names, with_notes=with_notes))
            for fact in ledger
        ),
        *(Entry(met[outage.id], _outage_out(outage, names)) for outage in down),
    ]


def _mask(span: Span, month: Month) -> int:
    return span_mask(month, span.first, span.last, starts=span.starts, ends=span.ends)


def _authors(ledger: Iterable[DayFact]) -> Iterable[UUID | None]:
    for fact in ledger:
        yield from (fact.entered_by, fact.decided_by)


def _fact_out(fact: DayFact, names: dict[UUID | None, str], *, with_notes: bool) -> FactOut:
    state = STATE_OF[Sort(fact.sort)]
    zh, en = SENTENCES[state]
    return FactOut(
        state=state,
        zh=zh,
        en=en,
        halves="day",
        source_kind=SourceKind(fact.source_kind),
        source_id=fact.source_id,
        provenance=Provenance(fact.provenance),
        reason=fact.reason,
        text=fact.text if with_notes else None,
        entered_by=names.get(fact.entered_by),
        decided_by=names.get(fact.decided_by),
        recorded_at=fact.recorded_at,
        decided=False,
    )


def _outage_out(outage: Outage, names: dict[UUID | None, str]) -> FactOut:
    zh, en = SENTENCES[DayReason.OUTAGE]
    return FactOut(
        state=DayReason.OUTAGE,
        zh=zh,
        en=en,
        halves="day",
        source_kind="outage",
        source_id=outage.id,
        provenance=Provenance.TOWN if outage.recorded_by else Provenance.SYSTEM,
        reason="outage",
        text=outage.reason,
        entered_by=names.get(outage.recorded_by),
        decided_by=None,
        recorded_at=outage.recorded_at,
        decided=False,
    )
