"""Every example file is replayed against a real server, and held against the OpenAPI document."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Clone, Service, SetClock, running_service
from docs import contract
from docs.replaying import FOLDER, Replay, Stage, example_files, load, make_stage

from geo.verdict import Band, Reason, VerdictKind
from server.checkins.rules import Standing

RUN_ELSEWHERE = {
    "zaicun_phone.py",
    "zaicun_key.py",
    "zaicun_time.py",
    "zaicun_upload.py",
    "README.md",
}  # By test_phone.py and the guide; read by people.


@pytest.fixture(scope="module")
def service(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The product while apps older than the examples' own are given time to be updated (edge 140)."""
    asked = {"minimum_clients": ("zaicun-phone/1.0",), "datum_required_from": "2026-12-01"}
    with running_service(clone(), tmp_path_factory.mktemp("var"), **asked) as running:
        yield running


@pytest.fixture(scope="module")
def stage(service: Service) -> Stage:
    return make_stage(service)


@pytest.mark.parametrize("path", example_files(), ids=lambda path: str(path.relative_to(FOLDER)))
def test_the_server_answers_as_the_example_says(stage: Stage, clock: SetClock, path: Path) -> None:
    example = load(path)
    replay = Replay(stage, clock)
    replay.enrol(example["given"])
    for number, exchange in enumerate(replay.exchanges(example["steps"])):
        answer, expected = exchange.answer, exchange.expected
        where = f"step {number}: {answer.text}"
        assert answer.status_code == expected["status"], where
        for name, value in expected.get("headers", {}).items():
            assert replay.difference(value, answer.headers[name], name) is None, where
        body = answer.json() if answer.content else None
        assert replay.difference(expected.get("body"), body) is None, where
        operation = contract.operation_of(exchange.request["method"], exchange.request["path"])
        assert operation is not None, where
        assert contract.contract().faults(contract.answer_of(answer)) == [], where
        if answer.is_success:
            assert contract.request_faults(operation, exchange.request.get("body")) == [], where


def test_every_file_among_the_examples_is_run() -> None:
    present = {path for path in FOLDER.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert present == {*example_files(), *(FOLDER / name for name in RUN_ELSEWHERE)}


def test_every_example_says_in_both_languages_what_it_shows() -> None:
    for path in example_files():
        example = load(path)
        assert example["zh"]
        assert example["en"], path
        assert example.keys() == {"zh", "en", "given", "steps"}, path


def _said(name: str) -> set[str]:
    """Return every value that answers of the examples have under this name."""
    found: set[str] = set()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            if isinstance(value.get(name), str):
                found.add(value[name])
            for each in value.values():
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)

    for path in example_files():
        for step in load(path)["steps"]:
            walk(step["response"])
    return found


@pytest.mark.parametrize(
    ("name", "all_of_them"),
    [("verdict", VerdictKind), ("reason", Reason), ("standing", Standing)],
)
def test_every_verdict_reason_and_standing_has_an_example(name: str, all_of_them: type) -> None:
    assert {str(value) for value in all_of_them} <= _said(name)  # type: ignore[attr-defined]  # An enumeration.


def test_bands_in_examples_are_bands() -> None:
    assert _said("band") <= {str(band) for band in Band}


def test_a_replay_answers_the_same_bytes(stage: Stage, clock: SetClock) -> None:
    example = load(FOLDER / "check-ins" / "replay.json")
    replay = Replay(stage, clock)
    replay.enrol(example["given"])
    first, again = [exchange.answer for exchange in replay.exchanges(example["steps"])]
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.content == again.content  # edge 63, edge 68; with a captured_at of the phone's own offset.


class TestTheComparison:
    """The comparison itself must be able to fail."""

    @pytest.fixture
    def replay(self, stage: Stage, clock: SetClock) -> Replay:
        return Replay(stage, clock)

    @pytest.mark.parametrize(
        ("expected", "actual", "same"),
        [
            ({"a": 1}, {"a": 1}, True),
            ({"a": 1}, {"a": 2}, False),
            ({"a": 1}, {"a": True}, False),
            ({"a": 1}, {"a": 1, "b": 2}, False),
            ({"a": 1, "…": ""}, {"a": 1, "b": 2}, True),
            ({"a": 1, "b": 2}, {"a": 1}, False),
            ({"a": "{{*}}"}, {"a": None}, False),
            ({"a": "{{*}}"}, {"a": "x"}, True),
            ({"a": "{{n}}", "b": "{{n}}"}, {"a": "x", "b": "x"}, True),
            ({"a": "{{n}}", "b": "{{n}}"}, {"a": "x", "b": "y"}, False),
            ([1, 2], [1, 2], True),
            ([1, 2], [1], False),
            ([1], [1, 2], False),
            (["…", 2], [1, 2], True),
            (["…", 2], [1, 2, 3], False),
            (["…", 2, "…"], [1, 2, 3], True),
            (["…", 2, 3], [2, 1, 3], False),
            (["…", {"a": "{{n}}", "b": 2}], [{"a": "x", "b": 1}, {"a": "y", "b": 2}], True),
        ],
    )
    def test_it_sees_what_differs(self, replay: Replay, expected: object, actual: object, same: bool) -> None:
        found = replay.difference(expected, json.loads(json.dumps(actual)))
        assert (found is None) == same, found
