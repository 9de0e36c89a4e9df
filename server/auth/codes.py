"""One-time codes: made for an account, shown once, stored hashed, valid for 72 hours and for one use."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server import clock, ids, problems
from server.access import Who
from server.auth import rules
from server.auth.models import Account, OneTimeCode
from server.problems import Problem


@dataclass(frozen=True, slots=True)
class Made:
    """A code that was just made; the only time its letters are known."""

    account: Account
    code: str
    expires_at: datetime


def make(session: orm.Session, who: Who | None, account: Account) -> Made:
    """Make a code for an account; every earlier one is void."""
    now = clock.now()
    session.execute(
        sa.update(OneTimeCode)
        .where(
            OneTimeCode.account_id == account.id,
            OneTimeCode.used_at.is_(None),
            OneTimeCode.void_at.is_(None),
        )
        .values(void_at=now)
    )
    letters = drawn(rules.CODE_LENGTH)
    expires_at = now + rules.CODE_LIFE
    session.add(
        OneTimeCode(
            id=ids.new_id(),
            account_id=account.id,
            code_hash=digest(account.id, letters),
            made_at=now,
            made_by=who.account_id if who else None,
            expires_at=expires_at,
            used_at=None,
            void_at=None,
        )
    )
    session.flush()
    return Made(account, rules.code_shown(letters), expires_at)


def matching(session: orm.Session, account: Account | None, typed: str) -> OneTimeCode:
    """Return the account's code when it is the typed one and still valid. Raises Problem (401 code-refused)."""
    now = clock.now()
    row = None
    if account is not None and account.disabled_at is None:
        row = session.scalar(
            sa.select(OneTimeCode).where(
                OneTimeCode.account_id == account.id,
                OneTimeCode.used_at.is_(None),
                OneTimeCode.void_at.is_(None),
                OneTimeCode.expires_at > now,
            )
        )
    wanted = digest(account.id if account else UUID(int=0), rules.fold_code(typed))
    if row is None or not hmac.compare_digest(row.code_hash, wanted):
        raise Problem(
            problems.CODE_REFUSED,
            zh="登录名或激活码不正确，或激活码已使用、已过期。请核对，或请镇里重新发放激活码。",
            en="The login or the code is not right, or the code was used or has expired. Check both, or ask the town "
            "for a new code.",
        )
    return row


def use(session: orm.Session, code_id: UUID) -> None:
    """Spend a code, once. Raises Problem (401 code-refused) when somebody else was faster or it was replaced."""
    statement = (
        sa.update(OneTimeCode)
        .where(OneTimeCode.id == code_id, OneTimeCode.used_at.is_(None), OneTimeCode.void_at.is_(None))
        .values(used_at=clock.now())
        .returning(OneTimeCode.id)
    )
    if session.execute(statement).scalar_one_or_none() is None:
        raise Problem(problems.CODE_REFUSED)


def drawn(length: int) -> str:
    """Return so many random letters that cannot be taken for one another."""
    return "".join(secrets.choice(rules.CODE_LETTERS) for _ in range(length))


def digest(account_id: UUID, letters: str) -> bytes:
    """Return what is stored of a code."""
    return hashlib.sha256(account_id.bytes + letters.encode("utf-8", "surrogatepass")).digest()
