"""Every SELECT of the auth room."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server import clock, db, problems
from server.access import Grant, Role, Who
from server.audit import AuditEntry
from server.auth import rules
from server.auth.models import Account, GrantRevocation, GrantRow, LoginSession
from server.places import rules as place_rules
from server.places.models import Region
from server.problems import Problem
from server.roster.models import Person, Posting, Unit
from server.roster.scope import in_regions, people_in_reach

NO_SESSION = UUID(int=0)
"""The session of someone who acts through the command line."""


def version_standing(session: orm.Session, *, session_id: UUID, account_id: UUID) -> int | None:
    """Return the authorization version of a session that stands, else None. Two look-ups by primary key."""
    return session.execute(
        _STANDING, {"session_id": session_id, "account_id": account_id}
    ).scalar_one_or_none()


_STANDING = (
    sa.select(Account.version)
    .join(LoginSession, LoginSession.account_id == Account.id)
    .where(
        LoginSession.id == sa.bindparam("session_id"),
        Account.id == sa.bindparam("account_id"),
        LoginSession.revoked_at.is_(None),
        Account.disabled_at.is_(None),
    )
)


# --- grants
def _revoked() -> sa.ColumnElement[bool]:
    return sa.exists().where(GrantRevocation.grant_id == GrantRow.id)


def _live(at: datetime) -> sa.ColumnElement[bool]:
    """Return the condition that a grant is in force, or will be."""
    return sa.and_(~_revoked(), sa.or_(GrantRow.valid_until.is_(None), GrantRow.valid_until > at))


def grants_live(session: orm.Session, accounts: Collection[UUID], at: datetime) -> dict[UUID, list[GrantRow]]:
    """Return the grants in force or to come, by account."""
    found: dict[UUID, list[GrantRow]] = {account: [] for account in accounts}
    rows = session.scalars(
        sa.select(GrantRow).where(GrantRow.account_id.in_(accounts), _live(at)).order_by(GrantRow.id)
    )
    for row in rows:
        found[row.account_id].append(row)
    return found


def grant_history(session: orm.Session, account: UUID) -> Sequence[tuple[GrantRow, GrantRevocation | None]]:
    """Return every grant an account ever had, oldest first, with its revocation."""
    rows = session.execute(
        sa.select(GrantRow, GrantRevocation)
        .outerjoin(GrantRevocation, GrantRevocation.grant_id == GrantRow.id)
        .where(GrantRow.account_id == account)
        .order_by(GrantRow.granted_at, GrantRow.id)
    )
    return [(row[0], row[1]) for row in rows]


def as_grant(row: GrantRow) -> Grant:
    """Return a stored grant as the rest of the product reads it."""
    return Grant(row.role, row.region, row.unit_id, row.valid_from, row.valid_until, row.assignment)


def who(session: orm.Session, account_id: UUID, session_id: UUID, jkt: str | None = None) -> Who:
    """Return the account as tokens carry it: with the grants in force or beginning while a token lives.

    `jkt` is the key that the session is bound to.
    """
    now = clock.now()
    account = session.get_one(Account, account_id)
    rows = grants_live(session, [account_id], now)[account_id]
    soon = [as_grant(row) for row in rows if row.valid_from < now + rules.ACCESS_LIFE]
    return Who(account.id, session_id, account.version, account.person_id, tuple(soon), jkt)


def who_named(session: orm.Session, login: str) -> Who | None:
    """Return the enabled account with this login and its grants in force, for the command line; None without one."""
    account = account_named(session, rules.fold_login(login))
    if account is None or account.disabled_at is not None:
        return None
    held = grants_live(session, [account.id], clock.now())[account.id]
    grants = rules.in_force((as_grant(row) for row in held), clock.now())
    return Who(account.id, NO_SESSION, account.version, account.person_id, grants)


class AccountsByLogin:
    """What places asks of the auth room for its commands: ``places.hooks.Accounts``."""

    def who(self, session: orm.Session, login: str) -> Who | None:
        """Return the account with this login and its grants in force; None when there is none that is enabled."""
        return who_named(session, login)


def administrator_exists(session: orm.Session) -> bool:
    """Tell whether an enabled account holds, or will hold, the administrator's role."""
    condition = sa.and_(
        GrantRow.role == Role.ADMIN,
        _live(clock.now()),
        sa.exists().where(Account.id == GrantRow.account_id, Account.disabled_at.is_(None)),
    )
    return bool(session.scalar(sa.select(sa.exists().where(condition))))


def one_first_administrator_at_a_time(session: orm.Session) -> None:
    """Wait until nobody else makes the first administrator, until the end of the transaction."""
    session.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext("zaicun:first-administrator"))))


# --- accounts
def account_named(session: orm.Session, login: str) -> Account | None:
    """Return the account with a folded login."""
    return session.scalar(sa.select(Account).where(Account.login == login))


def _posted_under(regions: Collection[str], at: datetime) -> sa.ColumnElement[bool]:
    """Return the condition that the account's person is posted, now or later, to a village of the regions.

    A village that was merged into them counts as one of theirs, as in the roster (edge 48).
    """
    day = place_rules.today(at)
    return sa.exists().where(
        Posting.person_id == Account.person_id,
        # An entry made in error ends the day before it begins, and is no posting.
        sa.or_(
            Posting.until_day.is_(None),
            sa.and_(Posting.until_day >= day, Posting.until_day >= Posting.from_day),
        ),
        in_regions(tuple(regions)),
    )


def _holds(at: datetime, *conditions: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return sa.exists().where(GrantRow.account_id == Account.id, _live(at), *conditions)


def in_reach(asking: Who, at: datetime) -> sa.ColumnElement[bool]:
    """Return the condition that an account is one that `asking` looks after.

    Administrators: all. District officers: accounts of their region without a grant that they could not give
    themselves, so that nobody takes over a mightier account by resetting it. Town officers: cadres alone, who are
    posted in their town or, without a person, whose account belongs to it.
    """
    if asking.has(Role.ADMIN):
        return sa.true()
    district = asking.regions(Role.DISTRICT)
    beyond = sa.or_(
        GrantRow.role.not_in(rules.GRANTABLE[Role.DISTRICT]),
        sa.and_(GrantRow.unit_id.is_(None), ~db.within(GrantRow.region, district)),
    )
    town = asking.regions(Role.TOWN)
    at_home = sa.and_(Account.person_id.is_(None), db.within(Account.region, town))
    return sa.or_(
        sa.and_(db.within(Account.region, district), ~_holds(at, beyond)) if district else sa.false(),
        sa.and_(
            sa.or_(_posted_under(town, at), at_home),
            _holds(at, GrantRow.role == Role.CADRE),
            ~_holds(at, GrantRow.role != Role.CADRE),
        )
        if town
        else sa.false(),
    )


def access_account(session: orm.Session, asking: Who, account_id: UUID, *, lock: bool = False) -> Account:
    """Return an account that `asking` looks after. Missing and out of reach are the same Problem (404 not-found)."""
    if lock:
        # A statement of its own: the check below must see a grant that was committed while this one waited.
        session.execute(sa.select(Account.id).where(Account.id == account_id).with_for_update())
    account = session.scalar(
        sa.select(Account).where(Account.id == account_id, in_reach(asking, clock.now())),
        execution_options={"populate_existing": True},
    )
    if account is None:
        raise Problem(problems.NOT_FOUND)
    return account


def accounts(
    session: orm.Session,
    asking: Who,
    *,
    search: str | None,
    after: tuple[str] | None,
    limit: int,
) -> Sequence[Account]:
    """Return ``limit + 1`` accounts in reach, by login; `search` is a part of the login or of the name."""
    query = sa.select(Account).where(in_reach(asking, clock.now()))
    if search:
        folded = rules.fold_login(search)
        query = query.where(
            sa.or_(
                Account.login.contains(folded, autoescape=True),
                Account.display_name.icontains(search, autoescape=True),
            )
        )
    if after:
        query = query.where(Account.login > after[0])
    return session.scalars(query.order_by(Account.login).limit(limit + 1)).all()


def accounts_to_activate(
    session: orm.Session, asking: Who, *, region: str | None, chosen: Collection[UUID]
) -> Sequence[Account]:
    """Return the enabled accounts in reach that have no password yet: of a region, or those chosen."""
    now = clock.now()
    query = sa.select(Account).where(
        in_reach(asking, now), Account.password_hash.is_(None), Account.disabled_at.is_(None)
    )
    if region is not None:
        query = query.where(sa.or_(_posted_under([region], now), db.within(Account.region, [region])))
    else:
        query = query.where(Account.id.in_(chosen))
    return session.scalars(query.order_by(Account.login)).all()


# --- people
def people_without_account(session: orm.Session, region: str) -> Sequence[tuple[Person, str]]:
    """Return the people posted, now or later, under a region who have no account, with one of their villages."""
    day = place_rules.today(clock.now())
    village = sa.func.min(Posting.village_code)
    rows = session.execute(
        sa.select(Person, village)
        .join(Posting, Posting.person_id == Person.id)
        .where(
            in_regions((region,)),
            sa.or_(
                Posting.until_day.is_(None),
                sa.and_(Posting.until_day >= day, Posting.until_day >= Posting.from_day),
            ),
            ~sa.exists().where(Account.person_id == Person.id),
        )
        .group_by(Person.id)
        .order_by(Person.number)
    )
    return [(row[0], row[1]) for row in rows]


def logins_taken(session: orm.Session, logins: Collection[str]) -> set[str]:
    """Return which of the logins belong to an account."""
    return set(session.scalars(sa.select(Account.login).where(Account.login.in_(logins))))


def person_in_reach(session: orm.Session, asking: Who, person_id: UUID) -> bool:
    """Tell whether a person may be linked by `asking`: kept by their region, or posted in it at any time."""
    reach = sa.true() if asking.has(Role.ADMIN) else people_in_reach(asking.regions(Role.DISTRICT))
    return session.scalar(sa.select(Person.id).where(Person.id == person_id, reach)) is not None


@dataclass(frozen=True, slots=True)
class PersonLine:
    """A person as their own account shows them."""

    id: UUID
    number: str
    name: str
    unit_name: str | None


def person(session: orm.Session, person_id: UUID | None) -> PersonLine | None:
    """Return the person of an account with the name of their unit."""
    row = session.execute(
        sa.select(Person.id, Person.number, Person.name, Unit.name.label("unit_name"))
        .outerjoin(Unit, Unit.id == Person.unit_id)
        .where(Person.id == person_id)
    ).one_or_none()
    return None if row is None else PersonLine(row.id, row.number, row.name, row.unit_name)


def words_about(session: orm.Session, account: Account) -> list[str]:
    """Return what others know of the account's holder: login, names, staff number, villages, towns, district."""
    words = [account.login, account.display_name]
    codes = {account.region}
    known = person(session, account.person_id)
    if known is not None:
        words += [known.number, known.name]
        villages = session.scalars(sa.select(Posting.village_code).where(Posting.person_id == known.id))
        codes.update(prefix for code in villages for prefix in (code, code[:9], code[:6]))
    full = {code.ljust(12, "0") for code in codes if code}
    names = session.scalars(sa.select(Region.name).where(Region.code.in_(full)))
    return [*words, *(part for name in names for part in (name, name.rstrip("村社区镇乡街道县")))]


# --- one's own
def own_account(session: orm.Session, asking: Who) -> Account:
    """Return the account behind a token."""
    return session.get_one(Account, asking.account_id)


def sessions_open(
    session: orm.Session, account_id: UUID, *, after: tuple[UUID] | None, limit: int
) -> Sequence[LoginSession]:
    """Return ``limit + 1`` sessions of an account that can still be renewed, newest first."""
    now = clock.now()
    query = sa.select(LoginSession).where(
        LoginSession.account_id == account_id,
        LoginSession.revoked_at.is_(None),
        LoginSession.expires_at > now,
        LoginSession.used_at > now - rules.REFRESH_IDLE,
    )
    if after:
        query = query.where(LoginSession.id < after[0])
    return session.scalars(query.order_by(LoginSession.id.desc()).limit(limit + 1)).all()


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """Something that happened to an account. `by` is the name of who did it, None for oneself or the system."""

    id: int
    at: datetime
    deed: str
    by: str | None
    details: dict[str, object]


def security_events(
    session: orm.Session, account_id: UUID, *, after: tuple[int] | None, limit: int
) -> list[SecurityEvent]:
    """Return ``limit + 1`` events of an account, newest first."""
    query = (
        sa.select(AuditEntry, Account.display_name)
        .outerjoin(Account, sa.and_(Account.id == AuditEntry.actor_id, Account.id != account_id))
        .where(AuditEntry.subject_kind == "account", AuditEntry.subject_id == str(account_id))
    )
    if after:
        query = query.where(AuditEntry.id < after[0])
    rows = session.execute(query.order_by(AuditEntry.id.desc()).limit(limit + 1))
    return [SecurityEvent(e.id, e.at, e.deed, by, e.details) for e, by in rows]


def account_names(session: orm.Session, accounts: Iterable[UUID | None]) -> dict[UUID | None, str]:
    """Return how those behind accounts are called: a person by the name, an office by the account's; None is nobody."""
    wanted = {account for account in accounts if account is not None}
    if not wanted:
        return {}
    query = (
        sa.select(Account.id, sa.func.coalesce(Person.name, Account.display_name))
        .outerjoin(Person, Person.id == Account.person_id)
        .where(Account.id.in_(wanted))
    )
    return {row[0]: row[1] for row in session.execute(query)}
