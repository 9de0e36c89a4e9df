"""Accounts and real tokens for tests, without the slow hash of a password."""

from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from fastapi import FastAPI
from sqlalchemy import orm

from server import clock, ids
from server.access import Role
from server.auth import sessions
from server.auth.models import Account, GrantRow
from server.db import Database


class Serving(Protocol):
    """What is used of conftest's running service."""

    app: FastAPI
    database: Database


DISTRICT = "500116"
TOWN = "500116101"
OTHER_TOWN = "500116102"
VILLAGE, OTHER_VILLAGE = f"{TOWN}201", f"{OTHER_TOWN}201"


def make_account(
    session: orm.Session,
    *,
    role: Role | str | None = Role.CADRE,
    region: str | None = None,
    person: Any = None,
    unit: UUID | None = None,
    login: str | None = None,
    password_hash: str | None = None,
    assignment: str = "",
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
) -> Account:
    """Insert an account, with one grant unless `role` is None."""
    key = ids.new_id()
    chosen = Role(role) if role else None
    home = region if region is not None else "" if chosen is Role.ADMIN else DISTRICT
    account = Account(
        id=key,
        login=login or f"t-{key.hex[-12:]}",
        person_id=getattr(person, "id", person),
        display_name=getattr(person, "name", "测试账号"),
        region=home,
        password_hash=password_hash,
        version=1,
        revision=1,
        created_at=clock.now(),
        created_by=None,
    )
    session.add(account)
    session.flush()
    if chosen:
        add_grant(
            session,
            account,
            chosen,
            region=home,
            unit=unit,
            assignment=assignment,
            valid_from=valid_from,
            valid_until=valid_until,
        )
    return account


def add_grant(
    session: orm.Session,
    account: Account,
    role: Role,
    *,
    region: str = "",
    unit: UUID | None = None,
    assignment: str = "",
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
) -> GrantRow:
    """Insert a grant, without raising the account's version."""
    row = GrantRow(
        id=ids.new_id(),
        account_id=account.id,
        role=role,
        region="" if role in {Role.UNIT, Role.ADMIN} else region,
        unit_id=unit,
        valid_from=valid_from or clock.now(),
        valid_until=valid_until,
        assignment=assignment,
        granted_at=clock.now(),
        granted_by=None,
    )
    session.add(row)
    session.flush()
    return row


def tokens_for(service: Serving, account: Account) -> sessions.Tokens:
    """Start a real session for a committed account and return its tokens."""
    with service.database.write() as session:
        return sessions.start(
            session,
            service.app.state.doorkeeper,
            session.get_one(Account, account.id),
            client="test",
            address="127.0.0.1",
        )


def token_for(service: Serving, account: Account) -> str:
    """Return a real access token of a committed account."""
    return tokens_for(service, account).access_token
