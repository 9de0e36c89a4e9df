"""What holds of any check-ins whatever, drawn from few values so that much repeats."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plausibility_cases import DAY, LAT_E7, LON_E7, MORNING, assessed, tap

from server.checkins.plausibility.facts import Sighting
from server.checkins.plausibility.policy import CAPS, POINTS, TrustPolicy, parse
from server.checkins.plausibility.scoring import Attention
from server.checkins.plausibility.signals import FAMILIES, Code, Family

pytestmark = pytest.mark.slow
FEW = settings(max_examples=40)
REPEATS = {Code.SAME_POINT, Code.POINT_OF_SEVERAL, Code.ZERO_SCATTER, Code.SAME_ALTITUDE}


@st.composite
def strange(draw: st.DrawFn, at_most: int = 25) -> list[Sighting]:
    """Draw check-ins of three people who share everything that can be shared."""
    taps = []
    for n in range(draw(st.integers(1, at_most))):
        point = draw(st.integers(0, 3))
        more: dict[str, Any] = {
            "id": UUID(int=n + 1),
            "lon_e7": LON_E7 + draw(st.sampled_from([0, 3, 40_000_000])) + point,
            "lat_e7": LAT_E7 - point * draw(st.sampled_from([0, 1_000_000])),
            "accuracy_m": draw(st.sampled_from([None, 0.0, 1.0, 5.0, 20.0])),
            "altitude_cm": draw(st.sampled_from([None, 0, 5500, 31_234])),
            "provider": draw(st.sampled_from(["gps", "network", None])),
            "mocked": draw(st.sampled_from([None, False, False, True])),
            "device": draw(st.sampled_from([None, "a", "b"])),
            "clock_off_s": draw(st.sampled_from([None, 0.0, 900.0])),
        }
        at = MORNING + draw(st.integers(0, 40)) * DAY + draw(st.integers(0, 20)) * timedelta(minutes=7)
        taps.append(
            tap(
                n,
                who=draw(st.integers(0, 2)),
                at=at,
                age_s=draw(st.sampled_from([1.0, 700.0, -900.0])),
                **more,
            )
        )
    return taps


@FEW
@given(strange(), st.randoms())
def test_the_order_of_arrival_is_irrelevant(taps: list[Sighting], random: Any) -> None:
    before = assessed(taps)
    random.shuffle(taps)
    assert assessed(taps) == before


@FEW
@given(strange())
def test_a_score_is_the_sum_of_capped_families(taps: list[Sighting]) -> None:
    for each in assessed(taps).values():
        of = {family: sum(s.points for s in each.signals if FAMILIES[s.code] is family) for family in Family}
        assert each.score == sum(min(points, CAPS[family]) for family, points in of.items())
        assert len({s.code for s in each.signals}) == len(each.signals)
        expected = (
            Attention.REVIEW if each.score >= 60 else Attention.SAMPLE if each.score >= 30 else Attention.NONE
        )
        assert each.attention is expected


@FEW
@given(strange())
def test_a_single_unusual_thing_never_reaches_the_review_unless_the_policy_names_it(
    taps: list[Sighting],
) -> None:
    for each in assessed(taps).values():
        if each.attention is Attention.REVIEW:
            told = [s for s in each.signals if s.points]
            assert len(told) > 1 or told[0].code is Code.MOCKED
            if Code.MOCKED not in {s.code for s in told}:
                assert len({s.family for s in told}) > 1


@FEW
@given(strange(), st.sampled_from(sorted(Code)), st.integers(0, 40))
def test_more_points_for_a_signal_never_lower_a_score(taps: list[Sighting], code: Code, more: int) -> None:
    document = {"points": {code.value: min(100, POINTS[code] + more)}, "alone": sorted(map(str, Code))}
    before, after = assessed(taps), assessed(taps, policy=parse(document))
    assert all(after[id_].score >= each.score for id_, each in before.items())


@FEW
@given(strange(), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 4)), max_size=20, unique=True))
def test_what_honest_people_add_never_lowers_what_the_evidence_says(
    taps: list[Sighting], added: list[tuple[int, int]]
) -> None:
    honest = [tap(n, who=who, id=UUID(int=(1 << 80) + n * 10 + who)) for n, who in added]
    before, after = assessed(taps), assessed([*taps, *honest])
    for id_, each in before.items():
        assert after[id_].score >= each.score
        lost = {s.code for s in each.signals} - {s.code for s in after[id_].signals}
        assert lost <= {Code.FAST}  # Which a faster pair turns into the impossible.


@FEW
@given(strange(), strange())
def test_what_comes_later_changes_nothing_before(taps: list[Sighting], later: list[Sighting]) -> None:
    # Fixes stamped up to 15 minutes ahead are as late as they say.
    moved = [
        tap(n, at=each.latest + 60 * DAY, device=each.device, id=UUID(int=(1 << 70) + n), lon_e7=each.lon_e7, lat_e7=each.lat_e7)
        for n, each in enumerate(later)
    ]  # fmt: skip
    before, after = assessed(taps), assessed([*taps, *moved])
    assert all(after[id_] == each for id_, each in before.items())


@FEW
@given(st.integers(2, 30), st.integers(1, 3), st.sampled_from([5.0, 20.0]))
def test_one_cached_fix_is_never_a_repetition(days: int, people: int, accuracy: float) -> None:
    place = {"lon_e7": LON_E7, "lat_e7": LAT_E7, "accuracy_m": accuracy, "altitude_cm": 31_234}
    taps = [
        tap(
            n,
            who=who,
            at=MORNING + n * DAY + who * timedelta(minutes=1),
            age_s=n * 86_400.0 + who * 60,
            **place,
        )
        for n in range(days)
        for who in range(people)
    ]
    assert not REPEATS & {s.code for each in assessed(taps).values() for s in each.signals}


@FEW
@given(strange())
def test_every_check_in_is_answered_and_its_evidence_is_there(taps: list[Sighting]) -> None:
    every = assessed(taps)
    assert set(every) == {each.id for each in taps}
    for each in every.values():
        assert each.policy_version == TrustPolicy().version
        for one in each.signals:
            assert each.check_in not in one.check_ins
            assert set(one.check_ins) <= set(every)
            assert one.zh
            assert one.en
            assert "{" not in one.zh + one.en
