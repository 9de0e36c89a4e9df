"""How rows of this room are shown, and what the routes without a token answer when they refuse."""

from collections.abc import Iterable, Sequence
from typing import Any

from server.auth.codes import Made
from server.auth.login import Welcome
from server.auth.models import Account, GrantRevocation, GrantRow
from server.auth.schemas import (
    AccountDetailOut,
    AccountOut,
    CodeOut,
    GrantHistoryOut,
    GrantOut,
    TokensOut,
    WelcomeOut,
)
from server.documented import EVERYWHERE, refusals
from server.problems import Kind


def open_refusals(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """Return the documented refusals of a route that needs no token."""
    whole = refusals(*kinds)
    own = {kind.status for kind in (*kinds, *EVERYWHERE)}
    return {status: answer for status, answer in whole.items() if status in own}


def welcome(given: Welcome) -> WelcomeOut:
    """Show a successful login."""
    tokens = TokensOut.model_validate(given.tokens)
    return WelcomeOut(**tokens.model_dump(), device_hint=given.device_hint, key_state=given.key_state)


def account(row: Account, grants: Iterable[GrantRow]) -> AccountOut:
    """Show an account with its grants; the hash of its password never leaves."""
    return AccountOut(
        id=row.id,
        login=row.login,
        display_name=row.display_name,
        region=row.region,
        person_id=row.person_id,
        activated=row.password_hash is not None,
        disabled_at=row.disabled_at,
        created_at=row.created_at,
        grants=[GrantOut.model_validate(grant) for grant in grants],
    )


def account_detail(
    row: Account, grants: Iterable[GrantRow], history: Sequence[tuple[GrantRow, GrantRevocation | None]]
) -> AccountDetailOut:
    """Show an account with every grant it ever had."""
    told = [
        GrantHistoryOut(
            **GrantOut.model_validate(grant).model_dump(),
            granted_at=grant.granted_at,
            granted_by=grant.granted_by,
            revoked_at=end.revoked_at if end else None,
            revoked_by=end.revoked_by if end else None,
        )
        for grant, end in history
    ]
    return AccountDetailOut(**account(row, grants).model_dump(), grant_history=told)


def code(made: Made) -> CodeOut:
    """Show a one-time code, for the only time."""
    return CodeOut(
        account_id=made.account.id,
        login=made.account.login,
        display_name=made.account.display_name,
        code=made.code,
        expires_at=made.expires_at,
    )
