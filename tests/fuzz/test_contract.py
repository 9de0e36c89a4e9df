"""Strangers' requests, made by Schemathesis from the OpenAPI document, against the product on a real database.

Every check and every phase. Two cadres of one village are peers: none may be shown what belongs to the other. The
everyday form tries each operation as whoever may use it, for about a minute, the same requests every time. The long form, for ``bin/prove``, gives every
operation the number of examples that ZAICUN_PROVE_EXAMPLES says, as each of ZAICUN_PROVE_ROLES (every role) in turn:

    ZAICUN_PROVE_EXAMPLES=300 ZAICUN_PROVE_ROLES=everyone pytest tests/fuzz/test_contract.py
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import identities
import proof
import pytest
from conftest import ROOT, Clone, Service, running_service
from docs import contract

from server.access import Role
from server.auth import rules

LONG = int(os.environ.get("ZAICUN_PROVE_EXAMPLES", "0"))
REPORTS = ROOT / "var" / "test-results"
EVERYDAY_EXAMPLES = 5
ROLES = ["everyone", *identities.PEERS[:1], *(str(role) for role in Role if role != Role.CADRE)]
CHOSEN = os.environ.get("ZAICUN_PROVE_ROLES", " ".join(ROLES)).split()
# One worker: of two threads that parse sources at the same time, Python before 3.11.5 takes one for broken
# ("AST constructor recursion depth mismatch", CPython issue 106905), and Hypothesis parses those of lambdas.
CONFIG = """\
base-url = {url}
hooks = {hooks}
workers = 1
continue-on-failure = true
request-timeout = 20.0
warnings = false
{seed}

[generation]
max-examples = {examples}
database = "none"
{deterministic}

[phases.stateful]
max-steps = 6

# A cursor that nobody was given is refused (400), and so is the tag of another version (412). What JSON Schema cannot
# say of a body (one day before another, a code that no account has, what is in a file) is refused by name (422).
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 400, 401, 403, 404, 409, 412, 422, 429]

[checks.missing_required_header]
expected-statuses = [401, 403, 404, 422, 428]

# Queries say what they take in full; but for a fraction, whose parts are judged together.
[[operations]]
include-method = "GET"
exclude-operation-id = "policies-consequences"
checks.positive_data_acceptance.expected-statuses = ["2xx", "3xx", 400, 401, 403, 404, 409, 429]

[auth.wfc]
path = {people}
refresh_interval = 30
peers = {peers}
{user}
"""


@pytest.fixture(scope="module")
def fuzzed(
    clone: Clone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, dict[str, UUID]]]:
    """A server with people of every role; quotas are for one phone, not for a hundred requests a second."""
    with running_service(clone(), tmp_path_factory.mktemp("var"), **OVERRIDES) as service:
        yield service, identities.settle(service)


OVERRIDES = {"quota_read": 0, "quota_write": 0, "quota_heavy": 0}


@pytest.mark.slow
@pytest.mark.parametrize("role", CHOSEN if LONG else ROLES[:1])
def test_strangers_find_nothing(
    fuzzed: tuple[Service, dict[str, UUID]], role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, known = fuzzed
    monkeypatch.setattr(rules, "ACCESS_LIFE", timedelta(days=1))
    (tmp_path / "openapi.json").write_text(json.dumps(contract.document()), "utf-8")
    with identities.counter(service, known) as url:
        (tmp_path / "people.json").write_text(json.dumps(identities.document(url, known)), "utf-8")
        (tmp_path / "schemathesis.toml").write_text(
            CONFIG.format(
                url=json.dumps(service.url),
                hooks=json.dumps(str(Path(__file__).with_name("media_types.py"))),
                people=json.dumps(str(tmp_path / "people.json")),
                peers=json.dumps(list(identities.PEERS)),
                user="" if role == "everyone" else f"user = {json.dumps(role)}",
                examples=LONG or EVERYDAY_EXAMPLES,
                seed="" if LONG else "seed = 7",
                deterministic="" if LONG else "deterministic = true",
            ),
            "utf-8",
        )
        command = ["run", "openapi.json", "--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"]
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=None if LONG else 600,
        )
    told = done.stdout + done.stderr
    REPORTS.mkdir(parents=True, exist_ok=True)
    (REPORTS / f"fuzz-{role}.txt").write_text(told, "utf-8")  # Whole, because findings can be many.
    assert done.returncode == 0, f"{told[-8_000:]}\nthe whole report: {REPORTS}/fuzz-{role}.txt"
    tested = re.search(r"Selected: (\d+)/\1\s+Tested: (\d+)", told)
    assert tested is not None, told[-8_000:]
    assert tested[1] == tested[2], "some operations were not tested"
    assert int(tested[1]) == len(contract.operation_ids())
    cases = re.search(r"([\d,]+) generated", told)
    assert cases is not None
    proof.added("requests", int(cases[1].replace(",", "")))
    sys.stdout.write(f"{role}: {cases[1]} requests, nothing found\n")
