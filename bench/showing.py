"""How results are shown: a table for people, a line of JSON for machines."""

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of the same names as an aligned table."""
    names = list(rows[0])
    lines = [names, *[[str(row[name]) for name in names] for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def machine() -> dict[str, Any]:
    """Return what the figures depend on: when, which machine, and how busy it was besides."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load_before": [round(each, 2) for each in os.getloadavg()],
        "python": platform.python_version(),
        "machine": platform.machine(),
        "token_us": _yardstick(),
    }


def _yardstick() -> float:
    """Return microseconds of one PyJWT HS256 verification: 26 to 37 where performance.md's goals were set."""
    key = "k" * 32
    token = jwt.encode({"sub": "0", "exp": 1 << 40}, key, algorithm="HS256")
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(500):
            jwt.decode(token, key, algorithms=["HS256"])
        rounds.append((time.perf_counter() - began) / 500)
    return round(1e6 * min(rounds), 1)


def told(result: Mapping[str, Any], file: Path | None) -> None:
    """Print which goals were met and the result as one line of JSON; write it to a file if one was named."""
    for goal, met in result["goals"].items():
        print(f"{'met    ' if met else 'NOT MET'}  {goal}")
    line = json.dumps(result, ensure_ascii=False)
    print(line)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(line + "\n", "utf-8")
