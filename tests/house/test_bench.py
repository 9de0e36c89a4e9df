"""The benchmarks run: tiny, so that they cannot rot. Their figures mean nothing here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TINY = {
    "checkins": "--people 300 --villages 60 --crowd 60 --connections 8 --open-connections 16 --seconds 1 --warm 1 "
    "--rates 40 --overload 0 --floor-transactions 320",
    "month": "--people 400",
    "size": "--people 400 --transactions 320",
    "herd": "--phones 60 --people 600 --villages 60 --workers 1",
    "assessing": "--people 40",
    "plausibility": "--seeds 1 --people 300 --attackers 8 --months 4 --jobs 1",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_a_benchmark_measures_and_writes_its_result(name: str, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    command = [sys.executable, "-m", f"bench.{name}", *TINY[name].split(), "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(file.read_text("utf-8"))
    assert json.loads(done.stdout.splitlines()[-1]) == result
    assert result["goals"]
    if name == "checkins":
        runs = [result["product"]["closed"], result["product"]["open 40/s"], *result["baselines"].values()]
        assert all(run["answers"].get("201", 0) > 0 and not run["unanswered"] for run in runs)
        assert all(floor["per_s"] > floor["raw_per_s"] > 0 for floor in result["floors"])
    if name == "herd":
        assert (result["acknowledged"], result["lost"], result["twice"]) == (result["queued"], 0, 0)
    if name == "assessing":
        assert result["assessed"] == result["check_ins"] > 40 * 20
    if name == "month":
        assert result["agree"]
        assert result["check_ins"] > 400 * 31
