"""Every combination of what a position may hold is refused with a code or judged as the rulings say (M23)."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from uuid import uuid4

import pytest
from position_oracle import FIELDS, VALUES, Row, body, expected, pairwise, whole_product
from pydantic import ValidationError
from shapely import box

from geo.datum import Datum
from geo.fix import Fix
from geo.verdict import COUNTED, Reason, judge
from geo.zones import Places, Zone, ZoneKind
from server.checkins import judging
from server.checkins.schemas import PositionIn

VILLAGE = box(106.20, 28.90, 106.22, 28.92)
SEAT = box(106.215, 28.915, 106.22, 28.92)


@lru_cache(maxsize=1)
def ground() -> tuple[Places, Places]:
    village = Zone(
        id="v", kind=ZoneKind.VILLAGE, name="试村", geometry=VILLAGE, version=uuid4(), accuracy_m=5.0
    )
    seat = Zone(id="s", kind=ZoneKind.TOWN_SEAT, name="场镇", geometry=SEAT, version=uuid4(), accuracy_m=5.0)
    return Places.assigned([village]), Places.excluded([seat])


def outcome(row: Row) -> tuple[str, str]:
    """Parse and judge; return refused with the first fault's code, or the verdict with its reason."""
    try:
        given = PositionIn.model_validate(json.loads(body(row)))
    except ValidationError as error:
        return "refused", error.errors()[0]["type"]
    if given.unsaid:
        return (
            "refused",
            "missing",
        )  # Of a current app; what an outdated one may leave unsaid has tests of its own.
    village, excluded = ground()
    fix = judging.fix_of(given)
    verdict = judge(fix, village, excluded)
    return verdict.kind.value, verdict.reason.value


def check(row: Row) -> str:
    kind, reason = outcome(row)
    wanted = expected(row)
    assert reason, row
    if wanted.verdicts is None:
        assert kind == "refused", (row, kind, reason)
        return kind
    assert kind in wanted.verdicts, (row, kind, reason, sorted(wanted.verdicts))
    assert reason in set(Reason)
    if kind in COUNTED:
        assert wanted.verdicts & COUNTED, (row, kind)
    return kind


def check_all() -> set[str]:
    return {check(row) for row in pairwise()}


def test_every_value_meets_every_other() -> None:
    rows = pairwise()
    for number, one in enumerate(FIELDS):
        for other_number, other in enumerate(FIELDS[:number]):
            met = {(row[number], row[other_number]) for row in rows}
            assert len(met) == len(set(VALUES[one])) * len(set(VALUES[other]))


def test_pairs_of_values_are_refused_or_judged_as_the_rulings_say() -> None:
    assert check_all() == {"refused", "inside", "unsure", "outside", "town", "unusable"}


@pytest.mark.slow
def test_the_whole_product_is_refused_or_judged_as_the_rulings_say() -> None:
    counts: dict[str, int] = {}
    for row in whole_product():
        kind = check(row)
        counts[kind] = counts.get(kind, 0) + 1
    assert set(counts) == {"refused", "inside", "unsure", "outside", "town", "unusable"}
    assert sum(counts.values()) > 600_000


BROKEN: dict[str, Callable[[Fix], Fix]] = {
    "an unknown accuracy taken for a perfect one": lambda fix: replace(fix, accuracy_m=fix.accuracy_m or 1.0),
    "a negative accuracy taken for a small one": lambda fix: replace(
        fix, accuracy_m=abs(fix.accuracy_m or 0.0)
    ),
    "an old fix taken for a fresh one": lambda fix: replace(fix, age_s=min(fix.age_s or 0.0, 1.0)),
    "every datum taken for WGS-84": lambda fix: replace(fix, datum=Datum.WGS84),
    "a coarse fix taken for a fine one": lambda fix: replace(
        fix, accuracy_m=min(fix.accuracy_m or 500.0, 12.0)
    ),
}


@pytest.mark.parametrize("what", list(BROKEN))
def test_a_judge_that_is_too_kind_is_caught(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    real = judging.fix_of

    def broken(position: PositionIn | None) -> Fix | None:
        fix = real(position)
        return None if fix is None else BROKEN[what](fix)

    monkeypatch.setattr(judging, "fix_of", broken)
    with pytest.raises(AssertionError):
        check_all()


def test_numbers_are_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lenient reader would take "106.2" for a longitude and true for one degree or one metre."""

    class Lenient(PositionIn):
        lon: float
        lat: float
        accuracy_m: float | None = None

    monkeypatch.setattr("test_position_product.PositionIn", Lenient)
    with pytest.raises(AssertionError):
        check_all()
