"""From a judged month to what is shown of it: the statement, the counters, and the days with their records."""

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import orm

from server.checkins import judging
from server.checkins import queries as checkins
from server.checkins.answers import TimeTold
from server.checkins.queries import Seen
from server.checkins.record import sentence
from server.checkins.rules import Kind, Standing
from server.checkins.storing import MASKS
from server.checkins.time_words import time_told
from server.compliance import entries, rules, service
from server.compliance.queries import PersonMonth
from server.compliance.rules import Judged
from server.compliance.schemas import (
    CalendarRef,
    CountersOut,
    DayOut,
    FactOut,
    MissingOut,
    MonthRowOut,
    PersonRef,
    PolicyRef,
    RecordOut,
    ResultOut,
    StatementOut,
    VillageRef,
)
from server.month.masks import Month, day_mask
from server.month.policy import provisional_until
from server.month.reasons import DayReason
from server.month.statements import DayState, day_states
from server.places import region_queries

_DECIDES = {
    "sure": DayReason.CHECKED_IN,
    "unsure": DayReason.UNSURE,
    "unfenced": DayReason.UNFENCED,
    "outside": DayReason.OUTSIDE,
    "claimed": DayReason.CLAIMED,
}
"""The state of a day that a check-in with such bits can have decided."""


def statement_out(judged: Judged) -> StatementOut:
    """Write a statement as it is shown; days are halves over two."""
    made, policy, version = judged.statement, judged.policy, judged.version
    zh, en = rules.result_sentence(judged)
    projection = made.projection
    need = made.need_halves if made.in_halves else made.need_halves + made.need_halves % 2
    until = provisional_until(judged.calendar.month, policy)
    return StatementOut(
        policy=PolicyRef(
            id=judged.policy_id,
            code=policy.code,
            version=version.version,
            valid_from=version.valid_from,
            name_zh=policy.name_zh,
            name_en=policy.name_en,
            clause=policy.clause,
            basis=policy.basis,
            duty_counts_in_village=policy.duty_counts_in_village,
        ),
        calendar=CalendarRef(
            source=judged.calendar.source,
            working_days=judged.calendar.working_days,
            provisional=judged.calendar.provisional,
        ),
        as_of=judged.as_of,
        result=ResultOut(code=made.result, zh=zh, en=en),
        due=made.due_halves / 2,
        counted=made.counted_halves / 2,
        need=need / 2,
        need_text=made.need_shown,
        percent=made.percent_shown,
        away_at_most=projection.away_at_most_halves / 2 if projection else None,
        tier=projection.tier if projection else None,
        needs_review=made.needs_review,
        review=made.review,
        no_data=made.no_data,
        provisional=judged.as_of <= until,
        provisional_until=until,
        unsure_days=list(made.unsure_days),
        unfenced_days=list(made.unfenced_days),
        claimed_days=list(made.claimed_days),
        outage_days=list(made.outage_days),
        conflict_days=list(made.conflict_days),
        corrected_days=list(made.corrected_days),
        attested_days=list(made.attested_days),
        missing=[
            MissingOut(reason=reason, days=halves / 2, zh=rules.noun(reason)[0], en=rules.noun(reason)[1])
            for reason, halves in rules.missing(judged).items()
        ],
    )


def counters_out(judged: Judged) -> CountersOut:
    """Write the three counters."""
    made = judged.statement
    return CountersOut(
        village=made.village_halves / 2, on_post=made.on_post_halves / 2, allowance=made.allowance_halves / 2
    )


def person_ref(row: PersonMonth) -> PersonRef:
    """Write whose month it is."""
    return PersonRef(
        id=row.person_id, number=row.number, name=row.name, unit_id=row.unit_id, unit_name=row.unit_name
    )


def place_names(session: orm.Session, codes: Collection[str], month: Month) -> dict[str, str]:
    """Return what villages and their towns were called at the end of the month (edge 48)."""
    wanted = set(codes) | {town_of(code) for code in codes}
    return region_queries.names_on(session, sorted(wanted), month.last)


def town_of(village_code: str) -> str:
    """Return the 12-digit code of a village's town."""
    return village_code[:9] + "000"


def village_ref(code: str, names: Mapping[str, str]) -> VillageRef:
    """Write a village with its town; a region without a recorded name is shown by its code."""
    town = town_of(code)
    return VillageRef(code=code, name=names.get(code, code), town_name=names.get(town, town))


def row_out(row: PersonMonth, judged: Judged | None, names: Mapping[str, str]) -> MonthRowOut:
    """Write one row of the list: the statement for its owner, the own days for others, the counters for units."""
    return MonthRowOut(
        person=person_ref(row),
        village=village_ref(row.place, names),
        owned=row.owned,
        days_posted=service.days_judged(row).bit_count() / 2,
        counters=counters_out(judged) if judged else None,
        statement=statement_out(judged) if judged and row.owned else None,
    )


def days_out(
    session: orm.Session, row: PersonMonth, judged: Judged, *, with_notes: bool, only: int | None = None
) -> list[DayOut]:
    """Explain the days of a month, or those of the mask `only`, each with its records in the order they were made."""
    month = judged.calendar.month
    seen = checkins.of_days(session, row.person_id, month.first, month.last)
    entered = entries.of_month(session, row, month, with_notes=with_notes)
    states = day_states(judged.facts, judged.calendar, judged.policy, today=judged.as_of)
    return [
        _day(
            state,
            (each for each in seen if each.checkin.day == state.day),
            [entry.on(state) for entry in entered if entry.touches(state.day)],
            with_notes=with_notes,
        )
        for state in states
        if only is None or only & day_mask(state.day.day)
    ]


def _day(state: DayState, records: Iterable[Seen], entered: list[FactOut], *, with_notes: bool) -> DayOut:
    zh, en = state.sentence()
    return DayOut(
        day=state.day,
        reasons=list(state.reasons),
        zh=zh,
        en=en,
        in_basis=state.in_basis,
        due=state.due_halves / 2,
        village=state.village_halves / 2,
        on_post=state.on_post_halves / 2,
        allowance=state.allowance_halves / 2,
        in_conflict=state.in_conflict,
        records=[_record(seen, state, with_notes=with_notes) for seen in records],
        facts=entered,
    )


def _record(seen: Seen, state: DayState, *, with_notes: bool) -> RecordOut:
    made, speaks = seen.checkin, seen.judgement or seen.checkin
    zh, en = sentence(speaks.reason, speaks.zone_name)
    bits = judging.bits(speaks.verdict, speaks.standing, made.day)
    says = {_DECIDES[name] for name, bit in zip(MASKS, bits, strict=True) if bit}
    return RecordOut(
        id=made.id,
        check_in_kind=Kind(made.kind),
        event_at=made.event_at,
        received_at=made.received_at,
        verdict=speaks.verdict,
        standing=Standing(speaks.standing),
        reason=speaks.reason,
        zh=zh,
        en=en,
        village_code=speaks.village_code,
        outside_work=made.outside_work,
        note=made.note if with_notes else None,
        judged_again=seen.judgement is not None,
        withdrawn=seen.withdrawal is not None,
        duplicate_of=seen.duplicate_of,
        decided=seen.withdrawal is None and not says.isdisjoint(state.reasons),
        time=None if (time := time_told(made)) is None else TimeTold.model_validate(time),
    )
