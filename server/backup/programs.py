"""PostgreSQL's own pg_dump, pg_restore and psql, of the distribution's packages (ruling 27), as a backup needs them."""

import contextlib
import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from psycopg import conninfo

from server.backup.archive import CHUNK, BackupFault

_SERVERS = Path("/usr/lib/postgresql")
_NEEDED = ("pg_dump", "pg_restore", "psql")


def folder(major: int) -> Path:
    """Return the folder with the programs of the server's major version, else of the next newer one that is there."""
    found = {
        int(place.parent.name): place
        for place in _SERVERS.glob("*/bin")
        if place.parent.name.isdigit() and all((place / name).exists() for name in _NEEDED)
    }
    fitting = [version for version in found if version >= major]
    if not fitting:
        raise BackupFault(
            f"The database is PostgreSQL {major} and its programs are not installed here. Run: apt-get install "
            f"postgresql-client-{major}",
            f"数据库为 PostgreSQL {major}, 本机缺少其客户端程序, 请安装 postgresql-client-{major}。",
        )
    return found[min(fitting)]


def address(url: str) -> tuple[str, Mapping[str, str]]:
    """Split a database's address into what may be seen in the list of processes and the environment with the rest."""
    parts = conninfo.conninfo_to_dict(url)
    password = parts.pop("password", None)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZAICUN_")}
    # The messages are shown to a person and one of them is searched for; the rest of the locale does not matter.
    environment = kept | {"LC_ALL": "C.UTF-8", "PGAPPNAME": "zaicun backup"}
    if password is not None:
        environment["PGPASSWORD"] = str(password)
    return conninfo.make_conninfo("", **parts), environment


class Failed(Exception):
    """A program ended with an error; the text is the end of what it said."""


class Program:
    """A running program with its pipes. What it says on stderr is kept for :class:`Failed`."""

    def __init__(self, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
        self.process = process
        self._said = said

    def send(self, data: bytes) -> None:
        """Write to the program. Raises :class:`Failed` when it has ended."""
        try:
            _pipe(self.process.stdin).write(data)
        except BrokenPipeError:
            self.process.wait()
            raise self.failed() from None

    def feed(self, source: IO[bytes]) -> threading.Thread:
        """Copy a source to the program in a thread and close the pipe; it may end before it has read all.

        In a thread, because the program writes while it reads: full pipes on both sides would stand still.
        """

        def copy() -> None:
            with contextlib.suppress(BrokenPipeError), _pipe(self.process.stdin) as pipe:
                while chunk := source.read(CHUNK):
                    pipe.write(chunk)

        thread = threading.Thread(target=copy, daemon=True)
        thread.start()
        return thread

    def said(self) -> Iterator[bytes]:
        """Yield what the program writes, in pieces."""
        while chunk := _pipe(self.process.stdout).read(CHUNK):
            yield chunk

    @property
    def output(self) -> IO[bytes]:
        """Return the pipe that the program writes to."""
        return _pipe(self.process.stdout)

    def failed(self) -> Failed:
        """Return the program's last words as a fault."""
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        # What follows CONTEXT or DETAIL may hold a person's data.
        shown = [line for line in lines if not re.match(r"(CONTEXT|DETAIL|LINE \d+):", line)]
        return Failed("\n".join(shown[-5:]) or f"it ended with {self.process.returncode}")

    def end(self) -> None:
        """Wait for a good end. Raises :class:`Failed`."""
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        if self.process.wait() != 0:
            raise self.failed()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise ValueError("this program was started without that pipe")
    return pipe


@contextlib.contextmanager
def started(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | None = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
) -> Iterator[Program]:
    """Run a program beside the block: killed when the block raises, else it must end with 0.

    Raises :class:`Failed` with its last words.
    """
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(  # noqa: S603  # Programs of the system with our arguments, read by no shell.
            command, env=dict(environment), stdin=stdin, stdout=stdout, stderr=said, pass_fds=pass_fds
        ) as process,
    ):
        program = Program(process, said)
        try:
            yield program
            program.end()
        except BaseException:
            process.kill()
            raise
