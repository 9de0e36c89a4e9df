"""Tells what the document promises and no test of the whole suite ever met: python tests/docs/answered.py FILE...

The files are those that tests/docs/witness.py keeps where ANSWERS_HEARD names one (bin/test does). Every status of
success that an operation documents must have been given by it, and every refusal must have been met: those that all
operations share somewhere, the others by each operation that documents them. UNFORCED names what no test can bring
about at will, or what is answered where the witness does not stand.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from docs import contract

from server import documented, problems

SHARED = {
    kind.code
    for kind in (
        *documented.EVERYWHERE,
        problems.TOKEN_MISSING,
        problems.TOKEN_INVALID,
        problems.TOKEN_EXPIRED,
        problems.TOKEN_STALE,
        problems.PROOF_REFUSED,
        problems.USE_DPOP_NONCE,
        problems.BODY_TOO_LARGE,
        problems.MALFORMED_BODY,
        problems.UNSUPPORTED_MEDIA,
        problems.TOO_MANY_REQUESTS,
        problems.CLIENT_TOO_OLD,
        problems.REQUEST_TIMEOUT,
        problems.INVALID_REQUEST,
        problems.BAD_CURSOR,
        problems.FORBIDDEN,
        problems.NOT_FOUND,
        problems.PRECONDITION_REQUIRED,
        problems.PRECONDITION_FAILED,
    )
}
"""Refusals by what all operations have in common: one place each decides them. Which operation refuses whom is the
authorization matrix's business, and what each refuses as invalid is the fuzzer's."""


UNFORCED = {
    "anywhere 408 request-timeout": "told by the connection, below the application: tests/faults/test_lines.py",
    "anywhere 503 stopping": "told by a server that is stopped, a process of its own: tests/faults/test_stopping.py",
    "accounts-for-people 409 person-has-account": "two officers make the same person's account in the same instant",
    "roster-import 409 posting-overlap": "a posting is made between an import's reading and its writing",
    "roster-import 409 staff-number-taken": "a person is entered between an import's reading and its writing",
    "roster-import 409 conflict": "another row is made between an import's reading and its writing",
}


def promised() -> Iterator[tuple[str, str]]:
    """Yield each promise of the document: where it holds (an operation, or anywhere) and what is answered."""
    for _, _, operation in contract.operations():
        name = operation["operationId"]
        for status, said in operation["responses"].items():
            if status < "400":
                yield name, status
                continue
            for code in said["content"][problems.MEDIA_TYPE]["examples"]:
                yield ("anywhere" if code in SHARED else name), f"{status} {code}"


def unmet(heard: Counter[str]) -> list[str]:
    """Return the promises that no answer kept, in the document's order. `heard` counts what the witness saw."""
    met = set(heard) | {f"anywhere {answer.partition(' ')[2]}" for answer in heard}
    lines = dict.fromkeys(" ".join(each) for each in promised())
    return [line for line in lines if line not in met and line not in UNFORCED]


def main() -> None:
    """Read the files, name what is missing, and end with 1 when anything is."""
    heard: Counter[str] = Counter()
    for path in sys.argv[1:]:
        heard.update(json.loads(Path(path).read_text("utf-8")))
    missing = unmet(heard)
    sys.stdout.write("".join(f"documented, but no test ever met it: {line}\n" for line in missing))
    sys.stdout.write(f"{heard.total()} answers heard, {len(missing)} promises unmet\n")
    sys.exit(1 if missing or not heard else 0)


if __name__ == "__main__":
    main()
