"""The policy of plausibility as a document, the draw, and that nothing leads from a score to a rejection."""

import ast
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from server.checkins.plausibility import scoring, signals
from server.checkins.plausibility.policy import _BOUNDS, TrustPolicy, parse, to_document
from server.checkins.plausibility.scoring import Assessment, Attention, drawn
from server.checkins.plausibility.signals import FAMILIES, SENTENCES, Code
from server.month.reading import PolicyRefused

PACKAGE = Path(scoring.__file__).parent


def faults(document: dict[str, Any]) -> set[tuple[str, str]]:
    with pytest.raises(PolicyRefused) as refused:
        parse(document)
    return {(fault.path, fault.code) for fault in refused.value.faults}


def test_the_default_is_sound_and_comes_back_from_its_document() -> None:
    assert parse({}) == TrustPolicy()
    assert parse(to_document(TrustPolicy())) == TrustPolicy()
    assert set(TrustPolicy().points) == set(Code) == set(FAMILIES) == set(SENTENCES)
    assert set(_BOUNDS) == set(to_document(TrustPolicy())["limits"])  # type: ignore[call-overload]


def test_every_change_is_another_version() -> None:
    documents: list[dict[str, Any]] = [
        {},
        {"label": "strict"},
        {"points": {"late": 11}},
        {"caps": {"time": 24}},
        {"sampled_percent": 21},
        {"limits": {"stale_s": 121}},
        {"alone": [], "points": {"mocked": 59}},
    ]
    assert len({parse(document).version for document in documents}) == len(documents)
    assert parse({}).version == TrustPolicy().version


def test_every_fault_is_named_at_once() -> None:
    assert faults(
        {
            "pionts": {},
            "points": {"mocked": 101, "teleport": 3, "late": True},
            "caps": [],
            "limits": {"window_days": 3, "fast_kmh": "slow"},
            "alone": ["nobody"],
            "sampled_percent": 101,
        }
    ) == {
        ("pionts", "unknown-field"),
        ("points.mocked", "out-of-range"),
        ("points.teleport", "unknown-field"),
        ("points.late", "not-an-integer"),
        ("caps", "not-an-object"),
        ("limits.window_days", "out-of-range"),
        ("limits.fast_kmh", "not-a-number"),
        ("alone", "unknown-choice"),
        ("sampled_percent", "out-of-range"),
    }


def test_what_reaches_the_review_alone_must_be_said() -> None:
    assert faults({"alone": []}) == {("points.mocked", "reaches-review-alone")}
    assert faults({"points": {"impossible": 70}, "caps": {"movement": 70}}) == {
        ("points.impossible", "reaches-review-alone")
    }
    parse({"points": {"impossible": 70}})  # The family's cap holds it.
    parse({"points": {"impossible": 70}, "caps": {"movement": 70}, "alone": ["impossible", "mocked"]})


def test_fields_must_fit_each_other() -> None:
    assert faults({"sampled_from": 70}) == {("sampled_from", "above-review")}
    assert faults({"limits": {"fast_kmh": 800.0, "impossible_kmh": 700.0}}) == {
        ("limits.fast_kmh", "above-impossible")
    }
    assert faults({"limits": {"window_days": 7}}) == {("limits.zero_scatter_days", "above-window")}


def test_the_draw_is_for_ever_the_same_and_as_large_as_the_policy_says() -> None:
    key, who = b"k" * 32, UUID(int=5)
    ids = [UUID(int=n) for n in range(20_000)]
    taken = [drawn(key, each, who, 20) for each in ids]
    assert taken == [drawn(key, each, who, 20) for each in ids]
    assert 0.19 < sum(taken) / len(taken) < 0.21
    other = [drawn(b"j" * 32, each, who, 20) for each in ids]
    assert 0.03 < sum(a and b for a, b in zip(taken, other, strict=True)) / len(ids) < 0.05
    assert not any(drawn(key, each, who, 0) for each in ids)
    assert all(drawn(key, each, who, 100) for each in ids)
    assert sum(drawn(key, each, who, 5) and not drawn(key, each, who, 20) for each in ids) == 0


def test_no_score_leads_to_a_rejection() -> None:
    # M24. An assessment can ask for attention and nothing else, and the rooms that write are out of its reach.
    assert {each.value for each in Attention} == {"none", "sample", "review"}
    assert set(Assessment.__dataclass_fields__) == {
        "check_in",
        "score",
        "attention",
        "policy_version",
        "signals",
    }
    allowed = ("server.checkins.plausibility", "server.month.reading", "geo.")
    for file in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else []
            )
            for name in names:
                own = name.startswith(("server", "geo"))
                assert not own or name.startswith(allowed), f"{file.name} imports {name}"
                assert own or name.split(".")[0] in _PLAIN, f"{file.name} imports {name}"


_PLAIN = {
    "collections", "dataclasses", "datetime", "enum", "functools", "hashlib", "hmac", "json", "math", "numpy", "typing", "uuid",
}  # fmt: skip


def test_no_sentence_accuses() -> None:
    for each in signals.SENTENCES.values():
        for word in ("作弊", "造假", "cheat", "fake", "fraud", "违规"):
            assert word not in each.zh + each.en.lower()
