"""The log: one JSON object a line on stderr, without values that people sent (security.md M18).

What never stands in a line: coordinates, names, tokens, passwords, addresses, paths and account ids. Of an exception
only its type and the places it went through are told, because texts of database errors hold parameters and keys. Texts
of other libraries are told without what they filled in; our own pass a last sieve.

Writing never makes the event loop wait: lines go to a bounded queue, a thread writes them. When nobody reads stderr
fast enough, lines are dropped and counted, and the next line that gets through says how many.
"""

import atexit
import contextlib
import json
import logging
import os
import re
import stat
import sys
import threading
import time
import types
import warnings
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb
from uuid import UUID

from server import metrics
from server.tally import TALLY

MOST_WAITING = 20_000
"""Lines that may wait to be written: some five megabytes, four seconds of a morning."""
LONGEST_LINE = 4_000
_ATOMIC = 4_096
"""Bytes that a pipe takes whole (PIPE_BUF on Linux), so that the lines of several workers never mix."""
_GATHER_S = 0.1
_FLUSH_S = 1.0
_FRAMES = 25
_ROOT = Path(__file__).resolve().parents[1]
_OUR_WORDS = ("zaicun", "uvicorn", "apscheduler")
"""Loggers whose whole message is told: what they fill in are process ids, addresses of ours and names of jobs."""
_TOLD = ("request_id", "operation", "status", "ms", "problem", "fault", "cause", "stack", "job", "day")
LOG = logging.getLogger("zaicun.logs")


class Lines:
    """The way out: lines wait in a bounded queue until a thread has written them to a file descriptor."""

    def __init__(self, descriptor: int = 2, *, most: int = MOST_WAITING) -> None:
        self._descriptor = descriptor
        self._most = most
        self._waiting: deque[str] = deque()
        self._arrived = threading.Event()
        self._closing = threading.Event()
        self._dropped = 0
        self._counting = threading.Lock()
        mode = os.fstat(descriptor).st_mode
        self._piece = 1 << 16 if stat.S_ISREG(mode) else _ATOMIC
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Queue a line (without its end), or drop it when too many wait. Never waits itself."""
        waiting = self._waiting
        if len(waiting) >= self._most:
            with self._counting:
                self._dropped += 1
            return
        waiting.append(line)
        if not self._arrived.is_set():
            self._arrived.set()

    def close(self) -> None:
        """Write what waits, for at most a second: nobody may be reading any more."""
        self._closing.set()
        self._arrived.set()
        self._thread.join(_FLUSH_S)

    def _run(self) -> None:
        while not (self._closing.is_set() and not self._waiting):
            self._arrived.wait()
            self._closing.wait(_GATHER_S)  # More arrive meanwhile: fewer and larger writes.
            self._arrived.clear()
            try:
                self._drain()
            except OSError:  # The reader is gone; the service goes on without its log.
                with self._counting:
                    self._dropped += len(self._waiting)
                self._waiting.clear()
            self._tell_dropped()

    def _drain(self) -> None:
        piece: list[bytes] = []
        size = 0
        while self._waiting:
            line = self._waiting.popleft().encode("utf-8", "replace") + b"\n"
            if size + len(line) > self._piece:
                self._write(b"".join(piece))
                piece, size = [], 0
            piece.append(line)
            size += len(line)
        self._write(b"".join(piece))

    def _write(self, text: bytes) -> None:
        while text:
            try:
                text = text[os.write(self._descriptor, text) :]
            except BlockingIOError:  # Somebody made the descriptor non-blocking.
                time.sleep(_GATHER_S)

    def _tell_dropped(self) -> None:
        with self._counting:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            TALLY.add(metrics.LOG_LOST, by=dropped)
            LOG.warning("%d log lines were dropped: they are not read fast enough", dropped)


class Handler(logging.Handler):
    """Hands each record to the lines; a record that cannot be formatted is told as that."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Format and queue; nothing that goes wrong here may reach the caller."""
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001  As the docstring says.
            line = json.dumps({"level": "error", "logger": "zaicun.logs", "fault": type(error).__name__})
        self._lines.put(line)


_TIMES: dict[int, str] = {}


def instant(at: float) -> str:
    """Return a Unix time as RFC 3339 in UTC with milliseconds; the second is worked out once."""
    second = int(at)
    text = _TIMES.get(second)
    if text is None:
        _TIMES.clear()
        text = _TIMES[second] = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
    return f"{text}.{int((at - second) * 1000):03d}Z"


def facts(record: logging.LogRecord) -> dict[str, object]:
    """Return what is told of a record, in this order: when, how bad, who says so, what, and known extras."""
    told: dict[str, object] = {
        "ts": instant(record.created),
        "level": record.levelname.lower(),
        "logger": record.name,
        "worker": TALLY.worker if TALLY.shared else None,
        "pid": record.process,
        "message": sieved(_message(record)),
    }
    told |= {name: value for name in _TOLD if (value := getattr(record, name, None)) is not None}
    if record.exc_info and record.exc_info[1]:
        told |= fault(record.exc_info[1])
    return told


def _message(record: logging.LogRecord) -> str:
    """Return the text; of other libraries only its first line and without what was filled in."""
    if record.name.split(".")[0] in _OUR_WORDS:
        return record.getMessage()
    return str(record.msg).strip().split("\n", 1)[0][:200]


class AsJson(logging.Formatter):
    """One JSON object a line; every control character is escaped, so nobody can forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        told = facts(record)
        line = json.dumps(told, ensure_ascii=False, default=str, separators=(",", ":"))
        while len(line.encode()) > LONGEST_LINE:
            longest = max(told, key=lambda name: len(str(told[name])))
            value = told[longest]
            told[longest] = value[: len(value) // 2] if isinstance(value, str | list) else "…"
            line = json.dumps(told, ensure_ascii=False, default=str, separators=(",", ":"))
        return _one_line(line)


class AsText(logging.Formatter):
    """The same for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        told = facts(record)
        known = f"{told.pop('ts')} {told.pop('level'):<7} {told.pop('logger')}: {told.pop('message')}"
        del told["worker"], told["pid"]
        rest = " ".join(f"{name}={value}" for name, value in told.items())
        return _one_line(f"{known} {rest}".rstrip())[:LONGEST_LINE]


_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def _one_line(text: str) -> str:
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def fault(error: BaseException) -> dict[str, object]:
    """Return an exception's type, what caused it, and the places it went through: never its text."""
    told: dict[str, object] = {"fault": _kind(error)}
    causes = [_kind(each) for each in _causes(error)]
    if causes:
        told["cause"] = causes
    told["stack"] = [_place(frame, line) for frame, line in walk_tb(error.__traceback__)][-_FRAMES:]
    return told


def _kind(error: BaseException) -> str:
    state = getattr(error, "sqlstate", None)
    return f"{type(error).__qualname__} {state}" if state else type(error).__qualname__


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen = {id(error)}
    following = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    while following is not None and id(following) not in seen:
        yield following
        seen.add(id(following))
        following = following.__cause__ or following.__context__


def _place(frame: types.FrameType, line: int) -> str:
    file = Path(frame.f_code.co_filename)
    parts = file.parts
    if file.is_relative_to(_ROOT) and "site-packages" not in parts:
        shown = str(file.relative_to(_ROOT))
    else:
        shown = "/".join(parts[-2:])
    return f"{shown}:{line} {frame.f_code.co_name}"


_FINE = re.compile(r"(?<![\d.])-?\d{1,3}\.\d{3,}(?![\d.])")
_PHONE = re.compile(r"(?<!\d)1\d{10}(?!\d)")
_CITIZEN = re.compile(r"(?<!\d)\d{17}[\dXx](?!\w)")
_SECRET = re.compile(r"[A-Za-z0-9_\-.]{32,}")


def sieved(text: str) -> str:
    """Return the text without what looks like a position, a phone or citizen number, or a token.

    The last sieve, not the rule: nobody logs such things. Numbers with three decimals or more keep two.
    """
    text = _SECRET.sub(_unless_known, text)
    text = _CITIZEN.sub("[removed]", text)
    text = _PHONE.sub("[removed]", text)
    return _FINE.sub(lambda found: f"{float(found[0]):.2f}", text)


def _unless_known(found: re.Match[str]) -> str:
    """Keep ids of ours and words; anything else so long without a blank is a secret."""
    text = found[0].rstrip(".")
    with contextlib.suppress(ValueError):
        UUID(text)
        return found[0]
    mixed = any(c.isdigit() for c in text) and any(c.isalpha() for c in text)
    return "[removed]" if mixed else found[0]


class Requests:
    """The line of each request. `every` thins out the check-ins that went well: 1 all, 100 one of a hundred, 0 none."""

    def __init__(self, lines: Lines, *, as_json: bool, every: int) -> None:
        self._lines = lines
        self._as_json = as_json
        self._every = every
        self._seen = 0
        self._process = os.getpid()

    def told(self, operation: str, status: int, request_id: str, seconds: float, problem: str) -> None:
        """Tell of one request. All texts come from the code or were checked to be a UUID, so none is escaped.

        Status 0: the client was gone before its request was whole, and nothing was answered.
        """
        if operation == metrics.INTAKE and 0 < status < 400:  # noqa: PLR2004  Where refusals begin (RFC 9110).
            self._seen += 1
            if not self._every or self._seen % self._every:
                return
        level = "info" if status < 500 else "warning"  # noqa: PLR2004  Where faults of the server begin.
        now, ms = instant(time.time()), seconds * 1000
        if self._as_json:
            refused = f',"problem":"{problem}"' if problem else ""
            self._lines.put(
                f'{{"ts":"{now}","level":"{level}","logger":"zaicun.request","worker":{TALLY.worker},'
                f'"pid":{self._process},"message":"request","request_id":"{request_id}",'
                f'"operation":"{operation}","status":{status},"ms":{ms:.2f}{refused}}}'
            )
        else:
            self._lines.put(f"{now} {level:<7} {operation} {status} {ms:.1f} ms {problem} {request_id}")


_CONFIGURED: list[Lines] = []
_REQUESTS: list[Requests] = []


def requests() -> Requests | None:
    """Return what tells of requests, or None where no service configured the log (tests, commands)."""
    return _REQUESTS[0] if _REQUESTS else None


def configure(*, level: str = "info", shape: str = "auto", every: int = 1) -> Lines:
    """Send every log of this process to stderr in this shape; for services, once a process.

    Other libraries are heard from warnings on at any level: at "debug" they would tell statements, rows and bodies.
    """
    if _CONFIGURED:
        return _CONFIGURED[0]
    as_json = shape == "json" or (shape == "auto" and not sys.stderr.isatty())
    lines = Lines()
    _CONFIGURED.append(lines)
    handler = Handler(lines)
    handler.setFormatter(AsJson() if as_json else AsText())
    logging.raiseExceptions = False
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(logging.WARNING)
    ours = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger("zaicun").setLevel(ours)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = True
        logger.setLevel(max(ours, logging.INFO))  # Below it uvicorn tells of each message.
    for name in (
        "sqlalchemy",
        "sqlalchemy.engine",
        "sqlalchemy.pool",
        "psycopg",
        "apscheduler",
        "alembic",
        "asyncio",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
    server_words = logging.getLogger("uvicorn.error")
    server_words.filters[:] = [_told_elsewhere]
    warnings.showwarning = _warned  # type: ignore[assignment]  # Takes what it needs, and the rest.
    sys.excepthook = _uncaught
    threading.excepthook = lambda given: _uncaught(given.exc_type, given.exc_value, given.exc_traceback)
    _REQUESTS[:] = [Requests(lines, as_json=as_json, every=every)] if ours <= logging.INFO else []
    atexit.register(lines.close)
    return lines


def say(line: str) -> None:
    """Tell the operator what a service is doing, as a line of its log."""
    LOG.info("%s", line)


def _told_elsewhere(record: logging.LogRecord) -> bool:
    """Drop what is told with less: a crash by http.py, the end of a failed start by observed.py."""
    return not str(record.msg).startswith(("Exception in ASGI application", "Traceback"))


def _warned(message: object, category: type[Warning], filename: str, lineno: int, *_rest: object) -> None:  # noqa: ARG001
    """Tell a warning's kind and place (the signature is that of warnings.showwarning); its text may quote a value."""
    logging.getLogger("zaicun.warnings").warning(
        "%s at %s:%d", category.__name__, "/".join(Path(filename).parts[-2:]), lineno
    )


def _uncaught(
    kind: type[BaseException],
    error: BaseException | None,
    trace: types.TracebackType | None,  # noqa: ARG001  The error knows it.
) -> None:
    if error is not None and not issubclass(kind, KeyboardInterrupt | SystemExit):
        LOG.critical("nobody caught this", exc_info=error)
