"""The coverage-guided fuzzers of the boundary, roster and token readers: some seconds each here, minutes in bin/prove.

    ZAICUN_PROVE_SECONDS=600 pytest tests/fuzz/test_parsers.py

Each runs in a process of its own, because atheris takes a process over; see fuzzing.py for the bounds on an input.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import proof
import pytest
from conftest import ROOT

pytest.importorskip("atheris")  # There is none for the newest Pythons.
SECONDS = int(os.environ.get("ZAICUN_PROVE_SECONDS", "0"))
RUNS = 2_000
FUZZERS = ("attachment", "boundary", "roster", "token")
FUZZ = ROOT / "tests" / "fuzz"


def run(name: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a fuzzer; what it finds is written to `folder`."""
    return subprocess.run(
        [sys.executable, FUZZ / f"fuzz_{name}.py", f"-artifact_prefix={folder}/", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", FUZZERS)
def test_no_input_breaks_the_reader(name: str, tmp_path: Path) -> None:
    corpus = FUZZ / "corpus" / name
    found = tmp_path / "found"
    found.mkdir()
    length = [f"-max_total_time={SECONDS}"] if SECONDS else ["-seed=7", f"-runs={RUNS}"]
    done = run(name, tmp_path, *length, str(found), str(corpus))  # What is new goes to the first folder.
    assert done.returncode == 0, done.stderr[-6_000:]
    tried = re.search(r"Done (\d+) runs in (\d+) second", done.stderr)
    assert tried is not None
    proof.largest(f"{name} inputs", int(tried[1]))
    sys.stdout.write(f"{name}: {tried[1]} inputs in {tried[2]} s, nothing found\n")
    assert int(tried[1]) >= RUNS


@pytest.mark.slow
@pytest.mark.parametrize("name", FUZZERS)
def test_every_kept_input_is_small(name: str) -> None:
    kept = list((FUZZ / "corpus" / name).iterdir())
    assert kept
    assert max(path.stat().st_size for path in kept) <= 8_192


@pytest.mark.slow
def test_a_reader_that_fails_is_found(tmp_path: Path) -> None:
    code = "import sys; sys.path[0:0] = [{!r}]; import fuzzing; fuzzing.fuzz({})"
    broken = "lambda data: 1 // (len(data) - 3 if data else 1)"
    costly = "lambda data: sum(range(10**8)) if len(data) > 3 else None"
    for one, said in ((broken, "ZeroDivisionError"), (costly, "TooMuchError")):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                code.format(str(FUZZ), one),
                "-runs=2000",
                f"-artifact_prefix={tmp_path}/",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        assert done.returncode != 0
        assert said in done.stderr + done.stdout
