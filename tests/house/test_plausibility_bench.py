"""The measurement of plausibility measures: it finds what is there, sees what is taken away, and is not rigged."""

import ast
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import plausibility, traces
from bench.traces import WAYS
from server.checkins.plausibility.policy import parse

BENCH = Path(plausibility.__file__).parent


def told(document: dict[str, Any], seeds: int = 3) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    for seed in range(seeds):
        counts.update(plausibility.measure(seed, people=300, months=4, attackers=10, weighed=parse(document)))
    return plausibility.figures(counts)


@pytest.mark.slow
def test_visible_mocks_are_all_reviewed_and_the_honest_are_left_alone() -> None:
    figures = told({})
    assert figures["ways"]["mock-visible"]["reviewed_%"] == 100
    assert figures["ways"][plausibility.MEASURED]["found_%"] >= 90
    assert figures["honest"]["check_ins_%"] <= 1
    assert figures["honest"]["months_%"] <= 5
    assert figures["honest"]["rejected"] == 0
    assert figures["sentinel"]["day_2"] == figures["sentinel"]["districts"] == 3


@pytest.mark.slow
def test_rules_that_are_silenced_are_missed() -> None:
    repeats = ("same-point", "point-of-several", "zero-scatter", "same-altitude", "constant-accuracy")
    before, after = told({}, 1), told({"points": dict.fromkeys(repeats, 0)}, 1)
    assert after["ways"]["hidden-fixed"]["found_%"] < 30 < before["ways"]["hidden-fixed"]["found_%"]
    blind = told({"points": {"shared-device": 0, "shared-fix": 0}}, 1)
    assert blind["ways"]["shared-phone"]["found_%"] < 30 < before["ways"]["shared-phone"]["found_%"]


def test_a_seed_gives_the_same_traces_again_and_labels_nobody_honest_as_attacking() -> None:
    one, again, other = (traces.make(seed, people=120, days=60, attackers=3) for seed in (4, 4, 5))
    assert np.array_equal(one.columns.lon_e7, again.columns.lon_e7)
    assert not np.array_equal(one.columns.lon_e7[:500], other.columns.lon_e7[:500])
    assert not one.attack[one.way == 0].any()
    assert set(one.way[one.attack]) == set(range(1, len(WAYS)))


def test_honest_traces_hold_what_troubles_rules() -> None:
    made = traces.make(1, people=800, days=120, attackers=0)
    columns = made.columns
    point = np.stack([columns.person, columns.lon_e7, columns.lat_e7])
    _, repeats = np.unique(point, axis=1, return_counts=True)
    assert (repeats > 20).any()  # Wi-Fi points and towers.
    assert (columns.mocked == 1).any()  # Receivers.
    assert (columns.accuracy_m == 0).any()
    assert (columns.age_s > 3600).any()  # Caches.
    assert (columns.age_s < -60).any()  # Slow clocks.
    assert (columns.decimals <= 4).any()
    assert len(np.unique(columns.device[columns.device >= 0])) > len(np.unique(columns.person)) / 2
    pairs = np.unique(np.stack([columns.device, columns.person]), axis=1)
    borrowed = np.unique(pairs[0][pairs[0] >= 0], return_counts=True)[1]
    assert (borrowed > 1).any()


def test_generator_and_rules_know_nothing_of_each_other() -> None:
    for node in ast.walk(ast.parse((BENCH / "traces.py").read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("server"):
            assert node.module == "server.checkins.plausibility.facts"
            assert not {each.name for each in node.names} & {"OLDEST_FIX_S", "LOCAL_S"}
