"""Reference clients against the running service."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from conftest import Service
from factories_auth import tokens_for
from factories_checkins import MIDDLE, Cadre
from zaicun_phone import Phone

FIX = {**MIDDLE, "datum": "wgs84", "accuracy_m": 12.0, "age_s": 2.0, "provider": "gps", "mocked": False}
PASSWORD = "江边的老黄葛树1987"


@contextmanager
def phone_of(
    service: Service,
    cadre: Cadre,
    pauses: list[float],
    *,
    store: Path | None = None,
    transport: httpx.BaseTransport | None = None,
    **more: Any,
) -> Iterator[Phone]:
    """Yield a phone that is logged in and counts its pauses instead of sleeping."""
    tokens = tokens_for(service, cadre.account)
    more.setdefault("pause", pauses.append)
    with httpx.Client(base_url=service.url, timeout=15, transport=transport) as client:
        phone = Phone(service.url, store=store, client=client, **more)
        if phone.access is None:
            phone.access, phone.refresh = tokens.access_token, tokens.refresh_token
        yield phone


def stored(service: Service, cadre: Cadre) -> list[str]:
    """Return the ids of the person's check-ins in the database."""
    with service.database.read() as session:
        query = sa.text("SELECT id FROM checkins WHERE person_id = :p")
        return [str(row[0]) for row in session.execute(query, {"p": cadre.person_id})]
