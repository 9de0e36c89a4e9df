"""Corrections and appeals driven by Hypothesis beside a model of their rules, through HTTP (issue 4, point 6).

The model knows nothing of the product: who may decide, what goes higher, what a day counts as, are written down here a
second time, from the rulings and the edge cases (98, 101, 107 to 109, S6).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import sqlalchemy as sa
from conftest import Service, SetClock
from factories_checkins import FAR, check_in, make_world, position
from factories_corrections import Desk, make_officers
from factories_month import make_policy
from factories_office import code_of
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from server import ids
from server.compliance.recomputing import different_masks
from server.month.masks import Month

NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
LAST = datetime(2026, 12, 12, 4, 0, tzinfo=UTC)
QUOTA, CORRECTION_DAYS, APPEAL_DAYS, GRACE = 3, 5, 7, date(2026, 12, 5)
TOWN, DISTRICT = ("town", "town2"), ("district", "district2")
HALVES = {"day": ("am", "pm"), "morning": ("am",), "afternoon": ("pm",)}
WAITING = ("open", "second-review")


@dataclass
class Asked:
    """A correction as the model knows it."""

    id: UUID
    day: int
    halves: tuple[str, ...]
    claim: str
    by: str
    over_quota: bool
    late: bool
    state: str = "open"
    took_part: list[str] = field(default_factory=list)
    decided_on: date | None = None
    events: list[str] = field(default_factory=lambda: ["entered"])

    @property
    def level(self) -> str:
        return "district" if self.over_quota or self.late or self.state == "second-review" else "town"


@dataclass
class Appealed:
    """An appeal as the model knows it."""

    id: UUID
    against: Asked
    by: str
    state: str = "open"


class Requests(RuleBasedStateMachine):
    """One person's requests, asked for, taken back, decided and appealed against by whoever tries."""

    service: Service
    desk: Desk
    clock: SetClock

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.clock.set(NOON)
        self.desk.another()
        self.asked: list[Asked] = []
        self.appealed: list[Appealed] = []
        self.counts: dict[tuple[int, str], str] = {}  # What a half was corrected to.
        for days, place in ((0, position()), (1, position(**FAR)), (2, position())):
            body = check_in(NOON - timedelta(days=days), sent=NOON, position=place)
            answer = self.desk.clients["cadre"].put(f"/v1/check-ins/{ids.new_id()}", json=body)
            assert answer.status_code == 201, answer.text
        self.records = [self._records(day) for day in self.desk.days("2026-11")]
        self.rows = self._rows()

    @staticmethod
    def _records(day: dict[str, Any]) -> list[dict[str, Any]]:
        return [{name: part for name, part in each.items() if name != "decided"} for each in day["records"]]

    def _rows(self) -> list[str]:
        with self.service.database.read() as session:
            query = sa.text("SELECT r::text FROM checkin_rows AS r WHERE person_id = :p ORDER BY seq")
            return list(session.execute(query, {"p": self.desk.person}).scalars())

    @property
    def today(self) -> date:
        return (self.now + timedelta(hours=8)).date()

    def teardown(self) -> None:
        self.everything_waits_where_it_belongs()
        self.days_count_as_they_were_corrected_and_show_both_verdicts()
        self.what_happened_is_told_in_its_order()
        assert self._rows() == self.rows  # A correction is an overlay: no record is ever rewritten.
        with self.service.database.read() as session:
            assert different_masks(session, Month(2026, 11), [self.desk.person]) == []

    # --- what people try
    @rule(days=st.integers(1, 3))
    @precondition(lambda self: self.now < LAST)
    def days_pass(self, days: int) -> None:
        self.now += timedelta(days=days)
        self.clock.set(self.now)
        self.desk.refresh()

    @rule(
        number=st.sampled_from([13, 18, 19, 20, 22]),
        claim=st.sampled_from(["present", "present", "absent"]),
        halves=st.sampled_from(sorted(HALVES)),
        by=st.sampled_from(["cadre", "cadre", *TOWN]),
    )
    def ask(self, number: int, claim: str, halves: str, by: str) -> None:
        day = date(2026, 11, number)
        key = ids.new_id()
        answer = self.desk.ask(day, by, id=str(key), claim=claim, halves=halves)
        if day > self.today:
            assert code_of(answer) == (422, "invalid-request")
            return
        if any(each.day == number and each.state in WAITING for each in self.asked):
            assert code_of(answer) == (409, "correction-open")
            return
        used = [each for each in self.asked if each.claim == "present" and each.state != "withdrawn"]
        late = self.today > day + timedelta(days=CORRECTION_DAYS) or self.today > GRACE
        over = claim == "present" and len(used) >= QUOTA
        assert answer.status_code == 201, answer.text  # Never lost, however many and however late (edge 108).
        self.asked.append(Asked(key, number, HALVES[halves], claim, by, over, late))

    def _try(
        self, send: Callable[[], httpx.Response], refused: list[tuple[bool, tuple[int, str]]]
    ) -> dict[str, Any] | None:
        """Send; hold the answer against the first refusal that holds; return what is accepted."""
        answer = send()
        for holds, code in refused:
            if holds:
                assert code_of(answer) == code
                return None
        assert answer.status_code in {200, 201}, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def _one(self, data: st.DataObject) -> Asked:
        """Draw one of the requests, mostly one that waits: what is done twice is soon seen."""
        waiting = [each for each in self.asked if each.state in WAITING]
        return data.draw(st.sampled_from([*waiting, *waiting, *self.asked]))

    @rule(
        data=st.data(),
        by=st.sampled_from([*DISTRICT, *DISTRICT, *TOWN, "cadre", "other_town"]),
        approve=st.sampled_from([True, True, False]),
    )
    @precondition(lambda self: self.asked)
    def decide(self, data: st.DataObject, by: str, *, approve: bool) -> None:
        each = self._one(data)
        done = self._try(
            lambda: self.desk.decide({"id": str(each.id)}, by, approve=approve),
            [
                (by == "cadre", (403, "forbidden")),
                (by == "other_town", (404, "not-found")),
                (each.state not in WAITING, (409, "already-decided")),
                (by == each.by or by in each.took_part, (403, "own-request")),  # S6
                (each.level == "district" and by not in DISTRICT, (403, "higher-approver-required")),
            ],
        )
        if done is None:
            return
        opposed = any(self.counts.get((each.day, half), each.claim) != each.claim for half in each.halves)
        each.took_part.append(by)
        if not approve:
            each.state, each.decided_on = "refused", self.today
            each.events.append("refused")
        elif opposed and each.state == "open":  # edge 109
            each.state = "second-review"
            each.events.append("passed-on")
        else:
            each.state, each.decided_on = "approved", self.today
            each.events.append("approved")
            self._corrected(each)
        assert done["state"] == each.state

    def _corrected(self, each: Asked) -> None:
        self.counts |= {(each.day, half): each.claim for half in each.halves}

    @rule(data=st.data(), by=st.sampled_from(["cadre", "other_town", *TOWN]))
    @precondition(lambda self: self.asked)
    def withdraw(self, data: st.DataObject, by: str) -> None:
        each = data.draw(st.sampled_from(self.asked))
        done = self._try(
            lambda: self.desk.withdraw({"id": str(each.id)}, by),
            [
                (by == "other_town", (404, "not-found")),
                (each.state not in WAITING, (409, "already-decided")),
                (by != each.by, (403, "not-the-author")),
            ],
        )
        if done is not None:
            each.state = "withdrawn"
            each.events.append("withdrawn")

    @rule(data=st.data(), by=st.sampled_from(["cadre", "cadre", "other_town", *TOWN]))
    @precondition(lambda self: self.asked)
    def appeal(self, data: st.DataObject, by: str) -> None:
        each, key = data.draw(st.sampled_from(self.asked)), ids.new_id()
        last = each.decided_on and each.decided_on + timedelta(days=APPEAL_DAYS)
        done = self._try(
            lambda: self.desk.appeal(each.id, by, id=str(key)),
            [
                (by == "other_town" or each.state != "refused" or last is None, (404, "not-found")),
                (last is not None and self.today > last, (409, "appeal-too-late")),
                (any(one.against is each for one in self.appealed), (409, "appeal-made")),
            ],
        )
        if done is not None:
            self.appealed.append(Appealed(key, each, by))
            each.events.append("appealed")

    @rule(data=st.data(), by=st.sampled_from(["cadre", *TOWN, *DISTRICT]), uphold=st.booleans())
    @precondition(lambda self: self.appealed)
    def answer(self, data: st.DataObject, by: str, *, uphold: bool) -> None:
        one = data.draw(st.sampled_from(self.appealed))
        before = {*one.against.took_part, one.against.by, one.by}
        done = self._try(
            lambda: self.desk.answer({"id": str(one.id)}, by, uphold=uphold),
            [
                (by not in DISTRICT, (403, "forbidden")),  # Another body than the town's.
                (one.state != "open", (409, "already-decided")),
                (by in before, (403, "own-request")),  # And another person than who refused.
            ],
        )
        if done is not None:
            one.state = "upheld" if uphold else "dismissed"
            if uphold:
                self._corrected(one.against)
                one.against.events.append("upheld")

    # --- what must hold whatever they did; asked at the end, because asking costs more than all they do
    @invariant()
    def nothing_is_lost(self) -> None:
        with self.service.database.read() as session:
            query = sa.text("SELECT id, state FROM corrections WHERE person_id = :p")
            kept = {row[0]: row[1] for row in session.execute(query, {"p": self.desk.person})}
        assert kept == {each.id: each.state for each in self.asked}

    def _listed(self, kind: str, by: str, more: str = "") -> list[dict[str, Any]]:
        path = f"/v1/{kind}?limit=200&person={self.desk.person}{more}"
        found: list[dict[str, Any]] = self.desk.clients[by].get(path).json()["items"]
        return found

    def everything_waits_where_it_belongs(self) -> None:
        told = self._listed("corrections", "district")
        assert {
            (each["id"], each["state"], each["level"], each["over_quota"], each["late"]) for each in told
        } == {(str(each.id), each.state, each.level, each.over_quota, each.late) for each in self.asked}
        assert {(each["id"], each["state"]) for each in self._listed("appeals", "district")} == {
            (str(each.id), each.state) for each in self.appealed
        }
        for name in (*TOWN, *DISTRICT):
            inbox = {each["id"] for each in self._listed("corrections", name, "&waiting=true")}
            assert inbox == {
                str(each.id)
                for each in self.asked
                if each.state in WAITING
                and name not in (each.by, *each.took_part)
                and (name in DISTRICT or each.level == "town")
            }

    def days_count_as_they_were_corrected_and_show_both_verdicts(self) -> None:
        for number, day in enumerate(self.desk.days("2026-11"), start=1):
            assert self._records(day) == self.records[number - 1]
            corrected = [self.counts.get((number, half)) for half in ("am", "pm")]
            told = [f"corrected-{claim}" for claim in corrected if claim]
            assert {reason for reason in day["reasons"] if reason.startswith("corrected-")} == set(told)
            assert {fact["state"] for fact in day["facts"]} == set(told)  # What gave way speaks no longer.
            if all(corrected):
                assert day["reasons"] == list(dict.fromkeys(told))
                assert day["village"] == corrected.count("present") / 2

    def what_happened_is_told_in_its_order(self) -> None:
        for each in self.asked:
            told = self.desk.clients["district"].get(f"/v1/corrections/{each.id}").json()
            assert [event["event"] for event in told["timeline"]] == each.events


def test_requests_go_the_way_that_the_rules_say(service: Service, clock: SetClock) -> None:
    with service.database.write() as session:
        make_policy(session, correction_quota=QUOTA, correction_days=CORRECTION_DAYS)
    world = make_world(service, policy=False)
    clock.set(NOON)
    with Desk(service, world, make_officers(service, world)) as desk:
        machine = type("Driven", (Requests,), {"service": service, "desk": desk, "clock": clock})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=10,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
