"""Check-ins whose figures a test chooses, sent by phones, and the worker that assesses them."""

import random
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import sqlalchemy as sa
from conftest import Service, SetClock
from factories_auth import make_account, token_for
from factories_checkins import LONG_AGO, Cadre, check_in, position, renewed

from server import ids
from server.access import Role
from server.db import Database
from server.review import assessing
from server.review.assessing import Done

CLIENT = "zaicun-phone/1.4.0 (Android 14)"


def honest(day: int, *, who: int = 0, **changes: Any) -> dict[str, Any]:
    """Return a position in the middle of the village as an Android phone measures it: nothing of it repeats."""
    noise = random.Random(day * 7919 + who)
    usual = {
        "lon": round(106.2071234 + noise.gauss(0, 3e-5), 7),
        "lat": round(28.9081234 + noise.gauss(0, 3e-5), 7),
        "accuracy_m": round(noise.uniform(4, 9), 3),
        "altitude_m": round(310 + noise.gauss(0, 4), 2),
    }
    return position(**{**usual, **changes})


def tap(
    service: Service,
    clock: SetClock,
    cadre: Cadre,
    at: datetime,
    fix: dict[str, Any],
    *,
    sent: datetime | None = None,
    client: str = CLIENT,
) -> UUID:
    """Check in at an instant with a fix, sent two seconds later or at `sent`; the phone's clock is right."""
    clock.set(sent or at + timedelta(seconds=2))
    one = ids.new_id()
    body = check_in(at, sent=sent, position=fix, client=client)
    with service.as_(renewed(service, cadre).token) as phone:
        answer = phone.put(f"/v1/check-ins/{one}", json=body)
    assert answer.status_code == 201, answer.text
    return one


def assess(service: Service, *, gives_way: bool = False) -> Done:
    """Let the worker do its work, as the application's own role."""
    database = Database(service.cloned.app_url, pool_size=1, statement_timeout_s=60)
    try:
        return assessing.catch_up(database, gives_way=gives_way)
    finally:
        database.close()


def officer(service: Service, role: Role, region: str) -> httpx.Client:
    """Return a client of a new official."""
    with service.database.write() as session:
        account = make_account(session, role=role, region=region, valid_from=LONG_AGO)
    return service.as_(token_for(service, account))


def assessments(service: Service) -> dict[UUID, list[tuple[int, str, list[str]]]]:
    """Return the revisions of every check-in: score, band, codes."""
    query = """SELECT r.id, a.score, a.band, a.signals FROM checkin_assessments a JOIN checkin_rows r USING (seq)
    ORDER BY r.id, a.revision"""
    found: dict[UUID, list[tuple[int, str, list[str]]]] = {}
    with service.database.read() as session:
        for key, score, band, signals in session.execute(sa.text(query)):
            found.setdefault(key, []).append((score, band, [each["code"] for each in signals or ()]))
    return found
