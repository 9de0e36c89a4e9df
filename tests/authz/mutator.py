"""Takes each access check away in turn and shows that the matrix notices: ``PYTHONPATH=.:tests python -m authz.mutator``.

    --sample N --seed S   only N of them, drawn by the seed, each against the operation that noticed it last time
                          (killers.json): the everyday suite
    --workers N           processes at a time, each with a world of its own
    --only TEXT           those whose name holds the text

A first walk records which functions each operation runs; a mutant is then held against the operations that run its
function, cheapest first, until one cell differs. Each is a forked process: checks within functions are taken away by
another code object in the product as imported, those in signatures and on module level by importing it with one file
changed. Nothing is written to disk. Survivors that can be no hole stand with their reason in survivors.yaml.
"""

import argparse
import ast
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "mobile_api_docs" / "examples")]

# Heavy modules of others, loaded once; a fork then imports the product alone. Not one of these is ours.
import alembic  # noqa: E402, F401
import fastapi  # noqa: E402, F401
import geoalchemy2  # noqa: E402, F401
import httpx  # noqa: E402, F401
import numpy as np  # noqa: E402, F401
import proof  # noqa: E402
import psycopg  # noqa: E402, F401
import pytest  # noqa: E402, F401
import shapely  # noqa: E402, F401
import sqlalchemy  # noqa: E402, F401
import uvicorn  # noqa: E402, F401
import yaml  # noqa: E402

from authz import swapping  # noqa: E402
from authz.mutants import Mutant, all_mutants  # noqa: E402

LIMIT_S = 300
FOLDER = Path(__file__).parent
REMEMBERING = {"server/auth/doorkeeper.py", "server/gate.py"}
"""Files whose functions run once a token and speak for all requests after it."""
KILLERS = FOLDER / "killers.json"
EVERY = "every account"


@dataclass(frozen=True)
class Worlds:
    """What the keeper told."""

    var: str
    urls: list[str]
    world: str
    openapi: dict[str, Any]


@dataclass(frozen=True)
class Covered:
    """Which functions (file, first line) an operation ran, and how long its cells took."""

    functions: set[tuple[str, int]]
    seconds: float


def _walk(worlds: Worlds, url: str, each: Any) -> None:
    """Serve the product in this process and do something with the walk."""
    from authz.bench import open_bench  # noqa: PLC0415  It imports the product, which must happen in the fork.
    from authz.table import load  # noqa: PLC0415  As above.
    from authz.walk import Walk  # noqa: PLC0415  As above.
    from authz.world import World  # noqa: PLC0415  As above.

    with open_bench(World.from_json(worlds.world), url, Path(worlds.var), worlds.openapi) as bench:
        each(Walk(bench, load()))


def _record(worlds: Worlds, told: Any) -> None:
    """Walk everything once; tell which functions ran, operation by operation."""
    seen: set[tuple[str, int]] = set()
    ours = str(ROOT / "server")

    def called(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(ours):
            seen.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

    threading.setprofile(
        called
    )  # The server runs in threads that begin from now on; the walk itself is not ours.

    def each(walk: Any) -> None:
        for operation in walk.table.ways:
            seen.clear()
            begun = time.monotonic()
            wrong = walk.operation(operation)
            if wrong:
                raise SystemExit(f"the product as it is fails the matrix: {wrong[:3]}")
            told.put((operation, set(seen), time.monotonic() - begun))

    _walk(worlds, worlds.urls[0], each)
    told.put(None)


def _judge(
    worlds: Worlds, number: int, mutant: Mutant, operations: Iterable[str], told: Any, *, warm: bool
) -> None:
    """Hold one mutant against operations; tell the first finding, or "" when none differs."""
    signal.alarm(LIMIT_S)
    if not (warm and swapping.swapped(mutant)):
        swapping.import_anew(mutant)
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)

    def each(walk: Any) -> None:
        for operation in operations:
            for found in walk.findings(operation):
                if found:
                    told.put((number, found[0][:300]))
                    told.close()
                    told.join_thread()
                    os._exit(0)

    try:
        _walk(worlds, worlds.urls[0], each)
        told.put((number, ""))
    except BaseException as error:  # noqa: BLE001  A product that does not start is noticed as well.
        told.put((number, f"does not start: {error!r}"[:300]))
    told.close()
    told.join_thread()
    os._exit(0)


def _operations(mutant: Mutant, covered: dict[str, Covered]) -> list[str]:
    """Return the operations that may notice, cheapest first."""
    place = (str(ROOT / mutant.path), mutant.function_line)
    always = not mutant.function_line or mutant.path in REMEMBERING
    if (
        EVERY in mutant.what
    ):  # Whom the signature lets pass, it lets into a function that refusals never reach.
        hit = [name for name, each in covered.items() if any(place[0] == file for file, _ in each.functions)]
    else:
        hit = [name for name, each in covered.items() if always or _ran(place, each.functions)]
    return sorted(hit, key=lambda name: covered[name].seconds)


def _ran(place: tuple[str, int], functions: set[tuple[str, int]]) -> bool:
    """Tell whether the function ran; with decorators its code begins some lines above its ``def``."""
    path, line = place
    return any(
        path == file and line - 40 <= first <= line for file, first in functions if _same(path, first, line)
    )


_STARTS: dict[str, dict[int, int]] = {}


def _same(path: str, first: int, line: int) -> bool:
    """Tell whether code that begins at `first` is the function whose ``def`` stands at `line`."""
    if path not in _STARTS:
        tree = ast.parse(Path(path).read_text(encoding="utf-8"))
        _STARTS[path] = {
            min([node.lineno, *(each.lineno for each in node.decorator_list)]): node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
    return _STARTS[path].get(first) == line


def _run(
    worlds: Worlds,
    mutants: Sequence[Mutant],
    operations: Sequence[list[str]],
    chosen: Sequence[int],
    ends: float,
    *,
    warm: bool,
) -> dict[int, str]:
    """Judge the chosen mutants, one process each, as many at a time as there are worlds."""
    context = multiprocessing.get_context("fork")
    told: Any = context.Queue()
    verdicts: dict[int, str] = {}
    waiting = {place: list(chosen[place :: len(worlds.urls)]) for place in range(len(worlds.urls))}
    running: dict[int, Any] = {}
    while any(waiting.values()) or running:
        for place, numbers in waiting.items():
            process = running.get(place)
            if process is not None and process.is_alive():
                continue
            if process is not None:
                process.join()
                del running[place]
            if numbers and time.monotonic() < ends:
                number = numbers.pop(0)
                running[place] = context.Process(
                    target=_judge,
                    args=(place_of(worlds, place), number, mutants[number], operations[number], told),
                    kwargs={"warm": warm},
                )
                running[place].start()
            elif numbers:
                numbers.clear()
        while not told.empty():
            number, verdict = told.get()
            verdicts[number] = verdict
            _say(
                f"{'killed  ' if verdict else 'SURVIVED'} {mutants[number].name}:{mutants[number].line}  {verdict[:110]}"
            )
        time.sleep(0.02)
    while not told.empty():
        number, verdict = told.get()
        verdicts[number] = verdict
    return verdicts


def place_of(worlds: Worlds, place: int) -> Worlds:
    """Return the one world that a process may use: two in one would wait for each other's locks."""
    return replace(worlds, urls=[worlds.urls[place]])


def _all(
    worlds: Worlds, mutants: Sequence[Mutant], operations: Sequence[list[str]], budget_s: float
) -> dict[int, str]:
    """Judge every mutant: first those within functions, in the product as imported, then the others."""
    ends = time.monotonic() + budget_s
    import authz.walk  # noqa: F401, PLC0415  The product, from here on shared by all forks.

    inside = [n for n, each in enumerate(mutants) if each.function_line and EVERY not in each.what]
    outside = [number for number in range(len(mutants)) if number not in inside]
    verdicts = _run(worlds, mutants, operations, inside, ends, warm=True)
    verdicts |= _run(worlds, mutants, operations, outside, ends, warm=False)
    return verdicts


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  A command.


def _cover(worlds: Worlds) -> dict[str, Covered]:
    context = multiprocessing.get_context("fork")
    told: Any = context.Queue()
    process = context.Process(target=_record, args=(worlds, told))
    process.start()
    covered: dict[str, Covered] = {}
    while process.is_alive() or not told.empty():
        try:
            one = told.get(timeout=1)
        except Exception:  # noqa: BLE001, S112  Nothing came within the second; the loop's condition says whether to go on.
            continue
        if one is None:
            break
        covered[one[0]] = Covered(one[1], one[2])
    process.join()
    if process.exitcode:
        raise SystemExit(f"the first walk failed with status {process.exitcode}")
    return covered


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--workers", type=int, default=int(os.environ.get("ZAICUN_PROVE_AUTHZ_WORKERS", "2")))
    parser.add_argument("--only", default=os.environ.get("ZAICUN_PROVE_AUTHZ_ONLY", ""))
    parser.add_argument("--budget", type=float, default=7200)
    parser.add_argument("--skip", type=Path, help="the output of a run before: what it judged is left out")
    parser.add_argument("--coverage", type=Path, help="keep or reuse the record of the first walk")
    return parser.parse_args()


def main() -> int:
    """Run the mutator; the status is 1 when a survivor is not explained."""
    given = _arguments()
    mutants = [each for each in all_mutants() if given.only in each.name]
    if given.skip:
        judged = given.skip.read_text(encoding="utf-8")
        mutants = [each for each in mutants if f" {each.name}:" not in judged]
    explained: dict[str, str] = yaml.safe_load((FOLDER / "survivors.yaml").read_text(encoding="utf-8")) or {}
    killers: dict[str, str] = json.loads(KILLERS.read_text(encoding="utf-8"))
    if given.sample:
        drawn = [each for each in mutants if each.name in killers]
        mutants = random.Random(given.seed).sample(drawn, min(given.sample, len(drawn)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
    keeper = subprocess.Popen(
        [sys.executable, "-m", "authz.keeper", str(given.workers)], cwd=ROOT, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        line = keeper.stdout.readline() if keeper.stdout else ""
        worlds = Worlds(**json.loads(line))
        if given.sample:
            operations = [[killers[each.name]] for each in mutants]
        else:
            covered = _cover_or_read(worlds, given.coverage)
            operations = [_operations(each, covered) for each in mutants]
        verdicts = _all(worlds, mutants, operations, given.budget)
        if not given.sample:
            _keep_killers(mutants, verdicts, killers, operations)
        return _report(mutants, verdicts, explained, given.seed)
    finally:
        if keeper.stdin:
            keeper.stdin.close()
        keeper.wait(60)


def _keep_killers(
    mutants: Sequence[Mutant],
    verdicts: dict[int, str],
    killers: dict[str, str],
    operations: Sequence[list[str]],
) -> None:
    """Write down which operation noticed which mutant, for the samples to come; forget what is no mutant any more."""
    found = {each.name: killers[each.name] for each in all_mutants() if each.name in killers}
    for number, verdict in verdicts.items():
        noticed = verdict.split(" ", maxsplit=1)[0].split("/")[0]
        if noticed in operations[number]:
            found[mutants[number].name] = noticed
        else:
            found.pop(mutants[number].name, None)
    text = json.dumps(found, ensure_ascii=False, indent=0, sort_keys=True)
    KILLERS.write_text(text + "\n", encoding="utf-8")


def _cover_or_read(worlds: Worlds, kept: Path | None) -> dict[str, Covered]:
    if kept is not None and kept.exists():
        told = json.loads(kept.read_text(encoding="utf-8"))
        return {name: Covered({(f, n) for f, n in each[0]}, each[1]) for name, each in told.items()}
    covered = _cover(worlds)
    if kept is not None:
        kept.write_text(
            json.dumps({name: [sorted(each.functions), each.seconds] for name, each in covered.items()})
        )
    return covered


def _report(mutants: Sequence[Mutant], verdicts: dict[int, str], explained: dict[str, str], seed: int) -> int:
    survived = [mutants[number] for number, verdict in sorted(verdicts.items()) if not verdict]
    holes = [each for each in survived if each.name not in explained]
    judged = len(verdicts)
    killed = judged - len(survived)
    counted = judged - (len(survived) - len(holes))
    for each in holes:
        _say(f"survived without a reason: {each.name} (line {each.line})")
    share = 100 * killed / counted if counted else 100.0
    for name, figure in (
        ("mutants", len(mutants)),
        ("killed", killed),
        ("holes", len(holes)),
        ("percent", share),
    ):
        proof.largest(name, round(figure, 1))
    _say(
        f"authz mutants: {killed} of {counted} killed ({share:.1f} %), {len(survived) - len(holes)} equivalent ones "
        f"explained, {len(mutants) - judged} not judged, seed {seed}"
    )
    return 1 if holes or judged < len(mutants) else 0


if __name__ == "__main__":
    sys.exit(main())
