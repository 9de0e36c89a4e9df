"""The matrix notices when an access check is gone: a few drawn here, all of them by ``python -m authz.mutator``."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from authz.mutants import ROOT, all_mutants, mutated
from authz.table import FOLDER

SAMPLE = int(os.environ.get("ZAICUN_PROVE_AUTHZ_SAMPLE", "6"))
SEED = os.environ.get("ZAICUN_PROVE_AUTHZ_SEED", "3")


def test_every_check_can_be_taken_away_and_has_a_name_of_its_own() -> None:
    mutants = list(all_mutants())
    assert len({each.name for each in mutants}) == len(mutants) > 200
    for each in mutants[::20]:
        compile(mutated(each), each.path, "exec")


def test_every_survivor_that_is_explained_still_exists() -> None:
    explained = yaml.safe_load((FOLDER / "survivors.yaml").read_text(encoding="utf-8"))
    assert set(explained) <= {each.name for each in all_mutants()}


@pytest.mark.slow
def test_a_sample_of_checks_taken_away_is_noticed() -> None:
    drawn = min(SAMPLE, len(json.loads((FOLDER / "killers.json").read_text(encoding="utf-8"))))
    seconds = (
        600 + 30 * drawn
    )  # A few seconds each; the bound is for a machine that is busy with other things.
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "authz.mutator",
            "--sample",
            str(SAMPLE),
            "--seed",
            SEED,
            "--budget",
            str(seconds),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))},
        capture_output=True,
        text=True,
        timeout=seconds + 300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{drawn} of {drawn} killed" in ended.stdout
