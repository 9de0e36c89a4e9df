"""The service with one mistake that it must not make, for the suite to catch: ``python broken.py MISTAKE serve``.

One process serves, because a worker of its own would import the product without the mistake.
"""

import os
import sys
from collections.abc import Callable, Sequence

import server.app as application
from server import durable, ids
from server.checkins import storing
from server.checkins.intake import Intake, Outcome, Stored
from server.checkins.judging import Incoming
from server.cli import main


class Hasty(Intake):
    """Answers first and commits a moment later."""

    async def _store(self, group: Sequence[Incoming]) -> Sequence[Outcome]:
        if previous := getattr(self, "_open", None):
            await previous.__aexit__(None, None, None)
        connection = await self._connected()
        transaction = connection.transaction()
        await transaction.__aenter__()
        self._open = transaction
        known = await self._look_up(connection, group)
        questions = [self._ask(item, known) for item in group]
        await self._load_shapes(connection, questions)
        refused, candidates = self._judge(group, questions, known, [None] * len(group))
        new = await self._keep(connection, group, candidates, known)
        found = await self._replayed(connection, group, refused, new, ())
        return [self._outcome(i, r, new, found) for i, r in zip(group, refused, strict=True)]

    def _abandon(self) -> Callable[[], None]:
        if hasattr(self, "_open"):
            del self._open
        return super()._abandon()


class Forgetful(Intake):
    """Gives every arrival an id of its own, and so does not know a resend again."""

    async def put(self, incoming: Incoming) -> Stored:
        return await super().put(incoming._replace(id=ids.new_id()))


def hasty() -> None:
    """Acknowledge before the commit."""
    vars(application)["Intake"] = Hasty


def careless() -> None:
    """Commit without waiting for the disk, and look away."""
    os.environ["PGOPTIONS"] = "-c synchronous_commit=off"
    storing.OPTIONS += " -c synchronous_commit=off"
    durable.faults = lambda _settings: {}  # type: ignore[assignment]


def forgetful() -> None:
    """Make the ids in the server."""
    vars(application)["Intake"] = Forgetful


MISTAKES = {"hasty": hasty, "careless": careless, "forgetful": forgetful}

if __name__ == "__main__":
    MISTAKES[sys.argv.pop(1)]()
    main()
