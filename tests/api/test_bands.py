"""Nobody learns more of a place than its band (rulings 14, 15): two lives that differ within their bands alone look the same.

Twins check in at the same instants, in the same bands of the same village, at other points, heights and distances. Every
operation that reads is asked about each of them by everybody who is not entitled to the point; what it says of the one
must be, letter by letter, what it says of the other, once their names and ids are called the same. So nothing can carry
more: no rounded coordinate, no margin, no figure inside a sentence, and no field that somebody adds next year.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from conftest import Service, SetClock
from docs import contract
from factories_auth import make_account, token_for
from factories_checkins import LONG_AGO, Cadre, World, add_version, make_cadre, make_world, position, renewed
from factories_review import assess, tap
from shapely import box

from geo.verdict import Band
from server import clock as clock_module
from server import ids
from server.access import Role
from server.checkins.plausibility.policy import TrustPolicy, to_document
from server.review import policies
from server.review.models import ReviewItem
from server.roster.models import Person, Posting

MONDAY = datetime(2026, 11, 2, 1, 0, tzinfo=UTC)
EAST, MIDDLE_LAT, METRE = 106.22, 28.9081, 1 / 97_450
"""The village's eastern border, a latitude within it, and how many degrees of longitude a metre is there."""
TAPS: tuple[tuple[int, Band, tuple[float, float]], ...] = (
    (0, Band.INSIDE, (-900, -1500)),
    (24 * 60, Band.WITHIN_100M, (60, 95)),
    (48 * 60, Band.WITHIN_500M, (150, 430)),
    (72 * 60, Band.WITHIN_2KM, (700, 1700)),
    (
        96 * 60,
        Band.FARTHER,
        (64_100, 71_900),
    ),  # And ten minutes later in the village: nobody drives like that.
    (96 * 60 + 10, Band.INSIDE, (-1000, -1400)),
    (120 * 60, Band.INSIDE, (-700, -1100)),
)
"""Minutes after the Monday, the band, and how far east of the border each of the twins is, metres."""
TOO_FAST = 5
HEIGHTS = (310.25, 402.75)
NOT_ABOUT_PEOPLE = {
    *(
        "attachment_id",
        "code",
        "digest",
        "hold_id",
        "import_id",
        "policy_id",
        "token",
        "version_id",
        "year",
        "zone_id",
    )
}
"""Path parameters that lead to things which no check-in has a part in."""
ENTITLED = {"reviews-position"}
"""Exact points: the assigned reviewer alone, who is tried below."""
OF_THE_ASKING = {"request_id", "instance", "next_cursor"}
Json = Any


@dataclass
class Twin:
    """One of two who did the same, and every mark by which answers name them, with what it is called instead."""

    cadre: Cadre
    ids: dict[str, str]
    marks: dict[str, str] = field(default_factory=dict)

    def seen(self, value: Json) -> Json:
        """Return what JSON says of this twin: lists without the elements of others, marks called by their names."""
        return _in_order(json.loads(self._called(json.dumps(self._own(value), ensure_ascii=False))))

    def _named(self, value: Json) -> bool:
        text = json.dumps(value, ensure_ascii=False)
        return any(mark in text for mark in self.marks)

    def _own(self, value: Json) -> Json:
        if isinstance(value, dict):
            return {name: self._own(each) for name, each in value.items() if name not in OF_THE_ASKING}
        if isinstance(value, list):
            mine = [each for each in value if self._named(each)]
            return [self._own(each) for each in mine]
        return value

    def _called(self, text: str) -> str:
        return re.sub("|".join(map(re.escape, self.marks)), lambda found: self.marks[found[0]], text)


def _in_order(value: Json) -> Json:
    """Sort lists by what they say: which of two items of one instant comes first is the chance of their ids."""
    if isinstance(value, dict):
        return {name: _in_order(each) for name, each in value.items()}
    if isinstance(value, list):
        return sorted(map(_in_order, value), key=lambda each: json.dumps(each, sort_keys=True))
    return value


@dataclass
class Stage:
    """The twins, and everybody who looks at them."""

    service: Service
    twins: tuple[Twin, Twin]
    lookers: Mapping[str, httpx.Client]


@pytest.fixture(scope="module")
def hands() -> Iterator[SetClock]:
    """The process's clock, for as long as the twins live."""
    made = SetClock()
    clock_module.use(made)
    yield made
    clock_module.use(clock_module.system)


@pytest.fixture(scope="module")
def stage(service: Service, hands: SetClock) -> Iterator[Stage]:
    clock = hands
    clock.set(MONDAY - timedelta(days=1))
    world = make_world(service)
    everything = {**to_document(TrustPolicy()), "sampled_percent": 100}  # No lot decides what is looked at.
    with service.database.write() as session:
        policies.adopt(session, everything, reason="试", by="甲")
    cadres = make_cadre(service, world), make_cadre(service, world)
    twins = tuple(_lived(service, clock, cadre, which) for which, cadre in enumerate(cadres))
    clock.set(MONDAY + timedelta(days=7))
    assess(service)
    for twin in twins:
        _learn_reviews(service, twin)
    with service.database.write() as session:
        accounts = {
            role.value: make_account(session, role=role, region=region, valid_from=LONG_AGO)
            for role, region in (
                (Role.CLERK, world.village), (Role.TOWN, world.town), (Role.INSPECTOR, "500116"),
                (Role.DISTRICT, "500116"), (Role.ADMIN, ""),
            )
        }  # fmt: skip
        accounts["unit_viewer"] = make_account(
            session, role=Role.UNIT, unit=world.unit_id, valid_from=LONG_AGO
        )
    accounts["team-mate"] = make_cadre(service, world).account
    with ExitStack() as stack:
        lookers = {
            name: stack.enter_context(service.as_(token_for(service, account)))
            for name, account in accounts.items()
        }
        _judged_by_a_wider_village(service, world, lookers["district_officer"], twins)
        for twin in twins:
            _corrected(service, lookers["district_officer"], twin)
        yield Stage(service, (twins[0], twins[1]), {**lookers, "a stranger": service.client})


def _lived(service: Service, clock: SetClock, cadre: Cadre, which: int) -> Twin:
    """Let one of the twins live the week, and learn how answers will name them."""
    taps = []
    for minutes, band, distances in TAPS:
        at = MONDAY + timedelta(minutes=minutes)
        fix = position(
            lon=round(EAST + distances[which] * METRE, 7),
            lat=MIDDLE_LAT + which * 1e-4,
            altitude_m=HEIGHTS[which],
            accuracy_m=4.0,
            mocked=minutes % 60 == 10,
        )
        taps.append(tap(service, clock, cadre, at, fix))
        with service.as_(renewed(service, cadre).token) as phone:
            assert phone.get(f"/v1/check-ins/{taps[-1]}").json()["band"] == band, (minutes, which)
    with service.database.read() as session:
        person = session.get_one(Person, cadre.person_id)
        posting = session.scalars(sa.select(Posting.id).where(Posting.person_id == cadre.person_id)).one()
    found = {
        "person_id": str(cadre.person_id),
        "account_id": str(cadre.account.id),
        "posting_id": str(posting),
        "checkin_id": str(taps[TOO_FAST]),
        "month": "2026-11",
    }
    marks = {value: f"the {name}" for name, value in found.items() if name != "month"}
    marks |= {str(each): f"check-in {number}" for number, each in enumerate(taps)}
    return Twin(cadre, found, marks | {person.number: "the number", cadre.account.login: "the login"})


def _judged_by_a_wider_village(
    service: Service, world: World, district: httpx.Client, twins: tuple[Twin, ...]
) -> None:
    """Ask what a boundary that reaches 600 m farther would change: the same days of both."""
    with service.database.write() as session:
        wider = box(106.20, 28.90, EAST + 600 * METRE, 28.92)
        add_version(session, world.zone_id, "试村", wider, valid_from=LONG_AGO + timedelta(days=1))
    days = {"first_day": "2026-11-01", "last_day": "2026-11-09", "reason": "边界更正"}
    tried = district.post("/v1/rejudgings", json={"id": str(ids.new_id()), "region": world.village, **days})
    assert tried.json()["check_ins"] == 4, tried.text  # Within 100 m and within 500 m, of both.
    for twin in twins:
        twin.ids["rejudging_id"] = tried.json()["id"]


def _corrected(service: Service, district: httpx.Client, twin: Twin) -> None:
    """Let a twin ask that the day of the farther check-in be corrected, be refused, and appeal."""
    one, other = str(ids.new_id()), str(ids.new_id())
    asked = {
        "id": one,
        "day": "2026-11-05",
        "claim": "present",
        "reason": "wrong-verdict",
        "text": "当日在村",
    }
    with service.as_(renewed(service, twin.cadre).token) as phone:
        about = {"check_ins": [twin.ids["checkin_id"]]}
        phone.post("/v1/corrections", json=asked | about).raise_for_status()
        refusal, head = {"approve": False, "reason": "位置不符"}, {"If-Match": "*"}
        district.post(f"/v1/corrections/{one}/decide", json=refusal, headers=head).raise_for_status()
        appeal = {"id": other, "kind": "correction", "subject_id": one, "text": "请再核实"}
        phone.post("/v1/appeals", json=appeal).raise_for_status()
    twin.ids |= {"correction_id": one, "appeal_id": other}
    twin.marks |= {one: "the correction", other: "the appeal"}


def _learn_reviews(service: Service, twin: Twin) -> None:
    query = sa.select(ReviewItem).where(ReviewItem.person_id == twin.cadre.person_id)
    with service.database.read() as session:
        items = session.scalars(query.order_by(ReviewItem.day, ReviewItem.subject)).all()
    for number, item in enumerate(items):
        twin.marks[str(item.id)] = f"item {number}"
        if twin.marks.get(str(item.checkin_id)) == f"check-in {TOO_FAST}":
            twin.ids["review_id"] = str(item.id)


def reads() -> list[tuple[str, str]]:
    """Return the operations that could say something of a check-in, with their paths."""
    found = []
    for method, path, operation in contract.operations():
        asked = set(re.findall(r"\{(\w+)\}", path))
        if method == "get" and not asked & NOT_ABOUT_PEOPLE and operation["operationId"] not in ENTITLED:
            found.append((operation["operationId"], path))
    return found


def asked(client: httpx.Client, path: str, twin: Twin) -> Json:
    """Ask an operation about a twin and return its status and what it says of them."""
    answer = client.get(path.format(**twin.ids), params={"limit": 200} if path.endswith("s") else {})
    media = answer.headers["content-type"].partition(";")[0]
    return answer.status_code, twin.seen(answer.json() if media.endswith("json") else answer.text)


def test_what_anybody_reads_of_two_lives_in_the_same_bands_is_the_same(stage: Stage) -> None:
    told = set()
    for name, client in stage.lookers.items():
        for operation, path in reads():
            one, other = (asked(client, path, twin) for twin in stage.twins)
            assert one == other, f"{operation} tells {name} more than the band"
            if one[0] == httpx.codes.OK and re.search(r'"check-in \d"', json.dumps(one)):
                told.add(operation)
    assert told >= {
        "months-person",
        "reviews-list",
        "reviews-one",
        "rejudgings-changes",
        "corrections-show",
    }, told


def test_the_phone_itself_is_told_the_band_and_no_more(stage: Stage) -> None:
    """A probability or a margin would be a lesson in where the border of belief lies (ruling 14)."""
    # What one sent oneself, and what is signed over its commitment.
    own = {"lon", "lat", "altitude_m", "receipt"}
    for number in range(len(TAPS)):
        answers = []
        for twin in stage.twins:
            one = next(mark for mark, called in twin.marks.items() if called == f"check-in {number}")
            with stage.service.as_(renewed(stage.service, twin.cadre).token) as phone:
                answer = phone.get(f"/v1/check-ins/{one}").json()
            answers.append(twin.seen({key: value for key, value in answer.items() if key not in own}))
        assert answers[0] == answers[1], number


def test_whoever_has_taken_the_item_sees_what_the_others_do_not(stage: Stage) -> None:
    """The teeth: the same comparison finds the difference where there is one."""
    town = stage.lookers["town_officer"]
    points, items = [], []
    for twin in stage.twins:
        path = f"/v1/reviews/{twin.ids['review_id']}"
        assert town.get(f"{path}/position").json()["code"] == "review-not-taken"
        tag = town.get(path).headers["etag"]
        items.append(twin.seen(town.post(f"{path}/take", headers={"If-Match": tag}).json()))
        points.append(twin.seen(town.get(f"{path}/position").raise_for_status().json()))
    assert points[0] != points[1]
    assert items[0] != items[1]
    for item, km in zip(items, (65, 73), strict=True):
        (fast,) = [each for each in item["signals"] if "kmh" in each["figures"]]
        assert 0 < fast["figures"]["km"] <= km
        assert fast["figures"]["km"] == int(
            fast["figures"]["km"]
        )  # Signals outlive the coordinates: whole kilometres.


def test_what_outlives_the_coordinates_holds_no_height(stage: Stage) -> None:
    """Heights are part of the position and fade with it (ruling 22); signals stay."""
    with stage.service.database.read() as session:
        query = sa.text("SELECT CAST(signals AS text) FROM checkin_assessments WHERE signals IS NOT NULL")
        kept = " ".join(session.scalars(query).all())
    assert "same-altitude" in kept
    assert not any(str(height) in kept for height in HEIGHTS)
