"""bin/prove: bounded, goes on after a failure, and keeps what it found without naming the machine."""

import json
import os
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench import proving
from bench.proving import Section

WRITES = "import json, os; json.dump({{'figures': {{'rows': 7}}}}, open(os.environ['PROVE_RESULT'], 'w'))"


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(proving, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(proving, "TABLE", tmp_path / "RESULTS.md")
    return tmp_path / "results"


def section(name: str, code: str, minutes: float = 1) -> Section:
    return Section(name, "a truth", (sys.executable, "-c", code), minutes)  # type: ignore[arg-type]


def test_a_result_has_date_figures_and_machine_but_no_name_of_it(results: Path) -> None:
    proving.prove(section("a", WRITES), quick=False)
    (file,) = results.glob("*.json")
    kept = json.loads(file.read_text("utf-8"))
    assert (kept["passed"], kept["figures"]) == (True, {"rows": 7})
    assert {"cores", "memory_gib", "kernel", "postgresql"} <= kept["machine"].keys()
    assert platform.node() not in json.dumps(kept["machine"])


def test_a_failure_is_kept_and_named() -> None:
    result = proving.prove(section("a", "raise SystemExit(3)"), quick=False)
    assert (result["passed"], result["ended"]) == (False, "exit code 3")


@pytest.mark.slow
def test_a_proof_out_of_time_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    child = f"import subprocess, time; p = subprocess.Popen(['sleep', '99']); open({str(mark)!r}, 'w').write(str(p.pid)); time.sleep(99)"
    result = proving.prove(section("a", child, 0.2), quick=True)
    assert (result["passed"], result["ended"]) == (False, "out of time")
    time.sleep(0.2)
    status = Path(f"/proc/{mark.read_text()}/stat")
    assert not status.exists() or status.read_text().split()[2] == "Z"


def test_commit_and_load_are_those_before_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    monkeypatch.setattr(proving, "_said", lambda *_words: "after" if mark.exists() else "before")
    monkeypatch.setattr(proving, "machine", lambda: {"load_before": 9.0 if mark.exists() else 0.5})
    result = proving.prove(section("a", f"open({str(mark)!r}, 'w')"), quick=True)
    assert mark.exists()
    assert (result["commit"], result["machine"]) == ("gbefore", {"load_before": 0.5})


def test_every_section_names_a_command_that_is_there() -> None:
    root = proving.PROJECT
    for each in proving.SECTIONS:
        for word in each.command:
            if word.startswith(("tests/", "bin/")):
                assert (root / word).exists(), f"{each.name}: {word}"
            if word.startswith("bench."):
                assert (root / f"{word.replace('.', '/')}.py").exists(), each.name


def test_every_length_that_a_section_sets_is_read_somewhere() -> None:
    read = "".join(
        file.read_text("utf-8")
        for file in (proving.PROJECT / "tests").rglob("*.py")
        if file != Path(__file__)
    )
    for each in proving.SECTIONS:
        assert each.quick.keys() <= each.env.keys(), each.name
        for name in each.env:
            assert not name.startswith("ZAICUN_") or f'"{name}"' in read, f"{each.name}: {name}"


def test_a_goal_that_was_not_met_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = "{{'goals': {{'fast': True, 'small': False}}, 'mb': {{'each': 170.5}}}}"
    writes = f"import json, os; json.dump({figures}, open(os.environ['PROVE_RESULT'], 'w'))"
    one = replace(section("a", writes), tell=(("MB", "mb>each"), ("lost", "mb>none>there")))
    monkeypatch.setattr(proving, "SECTIONS", (one,))
    result = proving.prove(one, quick=False)
    assert (result["passed"], result["ended"]) == (False, "not met: small")
    assert "| ✗ not met: small |" in proving.table()
    assert "| MB 170.5 |" in proving.table()
    assert proving.prove(one, quick=True)["passed"]  # The short form is too short for its goals.


def test_quick_runs_are_not_kept(results: Path) -> None:
    proving.prove(section("a", "pass"), quick=True)
    assert not results.exists()


def test_a_stale_table_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    one = section("a", WRITES)
    monkeypatch.setattr(proving, "SECTIONS", (one,))
    assert proving.write_table(only_compare=False) == 0
    assert proving.write_table(only_compare=True) == 0
    proving.prove(one, quick=False)
    assert proving.write_table(only_compare=True) == 1
    assert proving.write_table(only_compare=False) == 0
    assert "rows 7" in proving.TABLE.read_text("utf-8")
    assert os.fspath(proving.PROJECT) not in proving.TABLE.read_text("utf-8")
