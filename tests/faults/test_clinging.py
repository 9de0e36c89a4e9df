"""A connection that was given up is closed when nobody can wait on it any more, and not before."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import Clone, running_service
from factories_checkins import check_in, make_cadre, make_world
from processes import until

from server import clock, ids
from server.checkins.intake import Intake
from server.checkins.judging import Incoming
from server.checkins.storing import Looked

held: list[psycopg.AsyncConnection[Any]] = []
closed_under_him: list[bool] = []


class Clinging(Intake):
    """The first group waits for the database, and goes on waiting for a while after it was told to stop.

    As psycopg does on a busy loop: it asks the server to cancel, then waits on the connection for what comes of it.
    """

    async def _look_up(self, connection: psycopg.AsyncConnection[Any], group: Sequence[Incoming]) -> Looked:
        if not held:
            held.append(connection)
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(3)
                closed_under_him.append(connection.closed)
                raise
        return await super()._look_up(connection, group)


def test_nobody_waits_on_a_connection_that_was_closed(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.app.Intake", Clinging)
    with running_service(clone(), tmp_path) as service:
        cadre = make_cadre(service, make_world(service))
        addresses = [f"/v1/check-ins/{ids.new_id()}" for _ in range(2)]
        with service.as_(cadre.token) as client, ThreadPoolExecutor(1) as pool:
            first = pool.submit(client.put, addresses[0], json=check_in(clock.now()))
            until(lambda: bool(held))
            assert first.result().status_code == 503
            # Others are served on a new connection while the first one still waits on the old one.
            body = check_in(clock.now())
            assert client.put(addresses[1], json=body).status_code in {201, 503}
            assert client.put(addresses[1], json=body).status_code in {200, 201}
            assert not closed_under_him
            until(lambda: bool(closed_under_him))
            assert closed_under_him == [False]
            until(lambda: held[0].closed)  # Nothing waits on it any more: now it is.
            assert client.put(addresses[0], json=check_in(clock.now())).status_code == 201
