"""The people that strangers' requests are made as, and the counter where the fuzzer fetches their tokens."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from conftest import Service
from factories_auth import make_account, tokens_for
from factories_checkins import World, check_in, make_cadre, make_world
from processes import serving
from sqlalchemy import orm

from server import clock, ids
from server.access import Role
from server.auth.models import Account

PEERS = ("cadre", "neighbour")
"""Two people of one village: team-mates see nothing of each other (ruling 15)."""


def settle(service: Service) -> dict[str, UUID]:
    """Make a small district with one account of each role and two cadres, and return their accounts by name."""
    world = make_world(service)
    known = {name: _cadre(service, world) for name in PEERS}
    with service.database.write() as session:
        for role, region in (
            (Role.CLERK, world.village),
            (Role.TOWN, world.town),
            (Role.INSPECTOR, "500116"),
            (Role.DISTRICT, "500116"),
            (Role.ADMIN, ""),
        ):
            known[str(role)] = make_account(session, role=role, region=region).id
        known[str(Role.UNIT)] = make_account(session, role=Role.UNIT, unit=world.unit_id).id
    return known


def _cadre(service: Service, world: World) -> UUID:
    cadre = make_cadre(service, world)
    with service.as_(cadre.token) as client:
        body = check_in(clock.now())
        client.put(f"/v1/check-ins/{ids.new_id()}", json=body).raise_for_status()
    return cadre.account.id


def _restore(session: orm.Session, account_id: UUID) -> Account:
    """Undo what the fuzzer, in another role, may have done to the account it works with."""
    session.execute(sa.update(Account).where(Account.id == account_id).values(disabled_at=None))
    return session.get_one(Account, account_id)


@contextmanager
def counter(service: Service, known: dict[str, UUID]) -> Iterator[str]:
    """Serve a fresh token at /NAME, for as long as fuzzing ends sessions and disables accounts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with service.database.write() as session:
                account = _restore(session, known[self.path.strip("/")])
            body = json.dumps({"token": tokens_for(service, account).access_token}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with serving(Handler) as url:
        yield url


def document(url: str, known: dict[str, UUID]) -> dict[str, Any]:
    """Return the identities in the form of Web Fuzzing Commons, which Schemathesis reads."""
    return {
        "schemaVersion": "0.2.0",
        "auth": [
            {
                "name": name,
                "loginEndpointAuth": {
                    "externalEndpointURL": f"{url}/{name}",
                    "verb": "POST",
                    "payloadRaw": "{}",
                    "contentType": "application/json",
                    "token": {
                        "extractFrom": "body",
                        "extractSelector": "/token",
                        "sendIn": "header",
                        "sendName": "Authorization",
                        "sendTemplate": "Bearer {token}",
                    },
                },
            }
            for name in known
        ],
    }


def started_at() -> datetime:
    """Return the present, once for a run."""
    return clock.now()
