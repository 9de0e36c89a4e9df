"""Storing check-ins in groups without HTTP, and the command that looks receipts through."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from click.testing import CliRunner, Result
from conftest import Service
from factories_checkins import Cadre

from server.checkins.intake import Intake, Outcome
from server.checkins.reading import incoming_of
from server.checkins.schemas import CheckInIn
from server.cli import main

Sent = tuple[Cadre, UUID, dict[str, Any]]


def zaicun(service: Service, *words: object) -> Result:
    """Run a command on the service's database and keys."""
    env = {
        "ZAICUN_DATABASE_URL": service.cloned.app_url,
        "ZAICUN_OWNER_DATABASE_URL": service.cloned.owner_url,
        "ZAICUN_VAR": str(service.settings.var),
    }
    return CliRunner(env=env).invoke(main, [str(word) for word in words])


async def put_all(service: Service, intake: Intake, sent: Sequence[Sent]) -> list[Outcome]:
    """Bring all of these to an intake at once."""
    waiting = []
    for cadre, each, body in sent:
        content = json.dumps(body).encode()
        who = service.app.state.doorkeeper.read(cadre.token)
        waiting.append(intake.put(incoming_of(each, CheckInIn.model_validate_json(content), content, who)))
    return list(await asyncio.gather(*waiting, return_exceptions=True))  # type: ignore[arg-type]  # Problems are raised.
