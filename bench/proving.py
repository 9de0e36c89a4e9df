"""`bin/prove`: runs the long proofs and keeps dated results (ruling 31).

A proof is a command. Its figures come from the file that it writes where ``--json FILE`` or ``PROVE_RESULT`` says
(an object, its numbers under "figures" or at the top), and for pytest from its report: how many passed and failed.
Results hold no names of machines and no paths.
"""

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET  # Read from pytest's own report.

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = PROJECT / "bench" / "results"
TABLE = PROJECT / "bench" / "RESULTS.md"
_OWN = (":!bench/RESULTS.md", ":!tests/authz/killers.json")
"""What proofs themselves write into the tree."""
PYTEST = ("{python}", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junit-xml={report}")


@dataclass(frozen=True, slots=True)
class Section:
    """One proof: its command, the environment that makes it long (or quick), and the minutes it may take."""

    name: str
    proves: str
    command: tuple[str, ...]
    minutes: int
    env: Mapping[str, str] = field(default_factory=dict)
    quick: Mapping[str, str] = field(default_factory=dict)
    quick_args: tuple[str, ...] = ()
    root: bool = False
    tell: tuple[tuple[str, str], ...] = ()
    """Which figures the table shows, and where they stand: names joined by `>`. None named: the first six numbers."""


SECTIONS = (
    Section(
        "durable", "every acknowledged check-in is there after kill -9 of server and database",
        (*PYTEST, "tests/faults/test_durable.py"), 60,
        {"ZAICUN_PROVE_SEEDS": "40", "ZAICUN_PROVE_ACKS_EACH": "50"}, {"ZAICUN_PROVE_SEEDS": "2"},
    ),
    Section(
        "rules", "the month's arithmetic against an oracle that knows nothing of it, a million person-months (M20)",
        (*PYTEST, "tests/rules/test_month_oracle.py"), 90,
        {"ZAICUN_PROVE_MONTHS": "1000000"}, {"ZAICUN_PROVE_MONTHS": "8000"},
    ),
    Section(
        "faults", "database frozen or cut off, pool exhausted, 10,000 connections cut mid-request (M4)",
        (*PYTEST, "tests/faults", "--ignore=tests/faults/test_durable.py", "--ignore=tests/faults/test_storm.py"), 60,
        {"ZAICUN_PROVE_HOLD_S": "30", "ZAICUN_PROVE_CLIENTS": "500", "ZAICUN_PROVE_ROUNDS": "5", "ZAICUN_PROVE_CUT": "10000"},
        {"ZAICUN_PROVE_HOLD_S": "6", "ZAICUN_PROVE_CLIENTS": "200", "ZAICUN_PROVE_ROUNDS": "1", "ZAICUN_PROVE_CUT": "1500"},
    ),
    Section(
        "storms", "everything that can happen to server, scheduler, database, link and disk while phones retry; 20 seeds (M3)",
        (*PYTEST, "tests/faults/test_storm.py"), 120,
        {"ZAICUN_PROVE_STORMS": "20", "ZAICUN_PROVE_STORM_ACKS": "5000"},
        {"ZAICUN_PROVE_STORMS": "1", "ZAICUN_PROVE_STORM_ACKS": "400"},
        tell=(("acknowledged", "acknowledged"), ("lost", "lost"), ("twice", "twice"), ("faults", "faults"),
              ("s to the first ack, at most", "s to the first ack after a fault")),
    ),
    Section(
        "herd", "2,000 phones send a day's queue in the same second (S3)",
        ("{python}", "-m", "bench.herd", "--json", "{json}"), 20, {}, {},
        ("--phones", "60", "--people", "600", "--villages", "60"),
        tell=(("phones", "given>phones"), ("check-ins", "queued"), ("last stored after s", "last_s"), ("lost", "lost"),
              ("others p95 ms", "single_p95_ms"), ("largest worker MB", "memory_largest_mb")),
    ),
    Section(
        "authz", "every operation as every role in every relation of scope; the sampled mutants are killed (M8, M9)",
        (*PYTEST, "tests/authz"), 120, {"ZAICUN_PROVE_AUTHZ_SAMPLE": "60"}, {"ZAICUN_PROVE_AUTHZ_SAMPLE": "6"},
    ),
    Section(
        "mutants", "the mutator that deletes each scope filter is killed at least 99 times in 100",
        ("{python}", "-m", "authz.mutator"), 240, {"PYTHONPATH": ".:tests"}, {}, ("--sample", "2"),
    ),
    Section(
        "contract", "Schemathesis with all checks, as whoever may, two peers watched, 300 examples an operation (M19)",
        (*PYTEST, "tests/fuzz/test_contract.py"), 180,
        {"ZAICUN_PROVE_EXAMPLES": "300", "ZAICUN_PROVE_ROLES": "everyone"}, {"ZAICUN_PROVE_EXAMPLES": "5"},
    ),
    Section(
        "roles", "the same as each role in turn, 60 examples an operation",
        (*PYTEST, "tests/fuzz/test_contract.py"), 180, {"ZAICUN_PROVE_EXAMPLES": "60"}, {"ZAICUN_PROVE_EXAMPLES": "5"},
    ),
    Section(
        "parsers", "atheris on the boundary, roster and token readers, ten minutes each (S8)",
        (*PYTEST, "tests/fuzz/test_parsers.py"), 45, {"ZAICUN_PROVE_SECONDS": "600"}, {"ZAICUN_PROVE_SECONDS": "20"},
    ),
    Section(
        "migrations", "migrations under writers at a million rows; old code on the new schema (M21)",
        (*PYTEST, "tests/migrations"), 90, {"ZAICUN_PROVE_ROWS": "1000000"}, {"ZAICUN_PROVE_ROWS": "50000"},
    ),
    Section(
        "checkins", "check-ins a second against the floor of the same run, latency, memory (goals 1, 2, 3)",
        ("{python}", "-m", "bench.checkins", "--json", "{json}"), 30, {}, {},
        ("--people", "300", "--villages", "60", "--crowd", "60", "--seconds", "1", "--warm", "1", "--floor-transactions", "320"),
        tell=(("stored/s", "product>closed>stored_per_s"), ("ratio to the floor", "ratios>of one a transaction"),
              ("p99 ms at 12 % of the floor", "product>open 12% of the floor>p99_ms"),
              ("at 45 %", "product>open 45% of the floor>p99_ms"),
              ("at 781/s", "product>open 781/s>p99_ms"),
              ("ORM stored/s", "baselines>orm>stored_per_s")),
    ),
    Section(
        "month", "a month of 60,000 people (goal 5)",
        ("{python}", "-m", "bench.month", "--json", "{json}"), 30, {}, {}, ("--people", "3000"),
        tell=(("people", "people"), ("check-ins", "check_ins"), ("s from masks", "kept_s"), ("s from check-ins", "raw_s")),
    ),
    Section(
        "size", "megabytes a million check-ins (goal 6)",
        ("{python}", "-m", "bench.size", "--json", "{json}"), 45, {}, {}, ("--people", "400", "--transactions", "320"),
        tell=(("MB a million", "mb_a_million"), ("check-ins", "check_ins"), ("floor/s empty", "floor_empty"), ("full", "floor_full")),
    ),
    Section(
        "plausibility", "what the plausibility rules find and whom they trouble, 30 generated districts of half a year",
        ("{python}", "-m", "bench.plausibility", "--json", "{json}"), 20, {}, {},
        ("--seeds", "1", "--people", "300", "--attackers", "8", "--months", "4"),
        tell=(("mock visible, % reviewed", "ways>mock-visible>reviewed_%"),
              ("hidden fixed, % found", "ways>hidden-fixed>found_%"),
              ("hidden with jitter", "ways>hidden-jitter-browser>found_%"),
              ("one phone, signed", "ways>shared-phone, signed>found_%"),
              ("honest check-ins, %", "honest>check_ins_%"), ("honest months, %", "honest>months_%")),
    ),
    Section("backup", "backup and restore, killed in the middle too", (*PYTEST, "tests/backup"), 20),
    Section(
        "bundle", "the offline bundle in an empty network namespace: install, serve, upgrade, roll back, restore",
        ("bin/prove-bundle", "--json", "{json}"), 40, root=True,
    ),
    Section("image", "every step of the Dockerfile, the services of compose.yaml", ("bin/prove-image",), 40, root=True),
)  # fmt: skip


def main() -> int:
    """Run what is asked for; return 1 when a proof failed."""
    parser = argparse.ArgumentParser(prog="bin/prove", description="The long proofs.")
    parser.add_argument("sections", nargs="*", metavar="SECTION")
    parser.add_argument("--list", action="store_true", help="name the sections")
    parser.add_argument("--quick", action="store_true", help="short forms, to see that the proofs run")
    parser.add_argument(
        "--table", action="store_true", help="write bench/RESULTS.md from the results that are kept"
    )
    parser.add_argument("--check", action="store_true", help="with --table: only compare")
    given = parser.parse_args()
    if given.list:
        for section in SECTIONS:
            print(
                f"{section.name:<12}{section.minutes:>4} min at most  {section.proves}{' (root)' if section.root else ''}"
            )
        return 0
    if given.table:
        return write_table(only_compare=given.check)
    unknown = set(given.sections) - {section.name for section in SECTIONS}
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}; see bin/prove --list")
    chosen = [
        s
        for s in SECTIONS
        if (s.name in given.sections if given.sections else not s.root or os.geteuid() == 0)
    ]
    results = [prove(section, quick=given.quick) for section in chosen]
    if not given.quick:
        write_table(only_compare=False)
    for result in results:
        print(
            f"{'✓' if result['passed'] else '✗'} {result['section']:<12}{result['seconds']:>8.0f} s  {_told(result)}"
        )
    return 0 if all(result["passed"] for result in results) else 1


def prove(section: Section, *, quick: bool) -> dict[str, Any]:
    """Run one section; keep its result unless it was quick."""
    print(f"▸ {section.name}: {section.proves}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        places = {
            "python": sys.executable,
            "json": f"{folder}/figures.json",
            "report": f"{folder}/report.xml",
        }
        command = [word.format(**places) for word in section.command] + list(
            section.quick_args if quick else ()
        )
        more = {**section.env, **(section.quick if quick else {})}
        # Before it runs: others may commit meanwhile, and the load must not be the proof's own.
        commit = f"g{_said('git', 'rev-parse', '--short=10', 'HEAD')}"  # As git describe writes it.
        changed = bool(_said("git", "status", "--porcelain", "--untracked-files=no", "--", ".", *_OWN))
        before, begun, started = machine(), datetime.now(UTC), time.monotonic()
        code = _run(command, {**os.environ, **more, "PROVE_RESULT": places["json"]}, section.minutes * 60)
        seconds = time.monotonic() - started
        figures = {**_report(Path(places["report"])), **_figures(Path(places["json"]))}
    missed = [] if quick else [goal for goal, met in figures.get("goals", {}).items() if not met]
    ended = "out of time" if code is None else f"exit code {code}"
    result = {
        "section": section.name,
        "proves": section.proves,
        "passed": code == 0 and not missed,
        "ended": f"not met: {'; '.join(missed)}" if code == 0 and missed else ended,
        "date": begun.isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "commit": commit,
        "changed": changed,
        "command": " ".join([*(f"{k}={v}" for k, v in more.items()), *(w for w in section.command)])
        .replace("{python}", "python").replace("--junit-xml={report} ", "").replace("-p no:cacheprovider ", ""),
        "machine": before,
        "figures": figures,
    }  # fmt: skip
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        name = f"{begun:%Y-%m-%dT%H%M%SZ}-{section.name}.json"
        (RESULTS / name).write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return result


def _run(command: Sequence[str], env: Mapping[str, str], seconds: float) -> int | None:
    """Return the exit code, None when the time was over; then everything that the command started is ended."""
    process = subprocess.Popen(command, cwd=PROJECT, env=dict(env), start_new_session=True)
    try:
        return process.wait(seconds)
    except (subprocess.TimeoutExpired, KeyboardInterrupt) as ended:
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, how)
                process.wait(30)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        if isinstance(ended, KeyboardInterrupt):
            raise
        return None


def _report(file: Path) -> dict[str, float]:
    if not file.exists():
        return {}
    suites = list(ET.parse(file).getroot().iter("testsuite"))  # noqa: S314  # As above.
    total = {
        name: sum(int(suite.get(name, 0)) for suite in suites)
        for name in ("tests", "failures", "errors", "skipped")
    }
    bad = total["failures"] + total["errors"]
    return {"tests passed": total["tests"] - bad - total["skipped"], "tests failed": bad}


def _figures(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    found = json.loads(file.read_text("utf-8").strip() or "{}")
    return dict(found.get("figures", found))


def _said(*command: str) -> str:
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def machine() -> dict[str, object]:
    """Return what figures depend on, and nothing that names the machine."""
    meminfo = Path("/proc/meminfo").read_text("ascii")
    found = re.search(r"MemTotal:\s+(\d+)", meminfo)
    servers = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    database = _said(str(servers[-1]), "--version").rpartition(") ")[2].split(" ")[0] if servers else ""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(int(found[1]) / 2**20) if found else None,
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "postgresql": database,
        "load_before": round(os.getloadavg()[0], 1),
    }


def _told(result: Mapping[str, Any]) -> str:
    """Return up to six figures on one line."""
    figures = result["figures"]
    tell = next((section.tell for section in SECTIONS if section.name == result["section"]), ())
    chosen = {label: _at(figures, path) for label, path in tell} if tell else figures
    shown = []
    for name, value in chosen.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            shown.append(f"{name} {value:,.6g}")
    return "; ".join(shown[:6]) or str(result["ended"])


def _at(figures: Mapping[str, Any], path: str) -> object:
    """Return what stands there, None when nothing does: a run that was cut short has not all of its figures."""
    found: Any = figures
    for name in path.split(">"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def table() -> str:
    """Return the newest result of each section as Markdown."""
    lines = [
        "# Results of the long proofs",
        "",
        "Written by `bin/prove` (`bin/prove --table`) from `bench/results/`: the newest run of each section.",
        "",
        "| section | what it proves | | date | took | figures | commit |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    newest: dict[str, Mapping[str, Any]] = {}
    for file in sorted(RESULTS.glob("*.json")):
        result = json.loads(file.read_text("utf-8"))
        newest[result["section"]] = result
    for section in SECTIONS:
        result = newest.get(section.name)
        if result is None:
            lines.append(f"| {section.name} | {section.proves} | – | not run yet | | | |")
            continue
        mark = "✓" if result["passed"] else f"✗ {result['ended']}"
        commit = f"{result['commit']}{' + changes' if result['changed'] else ''}"
        lines.append(
            f"| {section.name} | {section.proves} | {mark} | {result['date'][:16]}Z | {result['seconds']:,.0f} s "
            f"| {_told(result)} | {commit} |"
        )
    return "\n".join(lines) + "\n"


def write_table(*, only_compare: bool) -> int:
    """Write bench/RESULTS.md, or tell with 1 that it is stale."""
    text = table()
    if not only_compare:
        TABLE.write_text(text, "utf-8")
    elif not TABLE.exists() or TABLE.read_text("utf-8") != text:
        print("bench/RESULTS.md is stale; run bin/prove --table")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
