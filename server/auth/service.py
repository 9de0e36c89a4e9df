"""Deeds on accounts and grants: one function a deed, each in the caller's transaction, each audited."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import orm

from server import audit, clock, db, ids, preconditions, problems
from server.access import Role, Who
from server.auth import codes, queries, rules, sessions
from server.auth.codes import Made
from server.auth.models import Account, GrantRevocation, GrantRow
from server.auth.rules import GrantFault
from server.problems import FieldFault, Problem
from server.roster.models import Person

MOST_SLIPS = 2000


def create(
    session: orm.Session,
    who: Who,
    *,
    id: UUID,  # noqa: A002  The name the client sends.
    login: str,
    display_name: str,
    region: str,
    person_id: UUID | None,
) -> tuple[Account, bool]:
    """Create an account without grants and without a password; returns it and whether it is new.

    Raises Problem: 403 grant-not-allowed for a region out of reach, 409 login-taken, person-has-account or id-reused,
    422 person-unknown.
    """
    if not who.reaches(region, *rules.GRANTABLE):
        raise _not_allowed(GrantFault.REGION)
    if person_id is not None and not queries.person_in_reach(session, who, person_id):
        raise Problem(problems.PERSON_UNKNOWN)
    wanted = _new_account(who, login=login, display_name=display_name, region=region, person_id=person_id)
    wanted.id = id
    account, created = db.insert_once(
        session,
        wanted,
        same=("login", "display_name", "person_id", "region"),
        own=("created_by",),
    )
    if created:
        audit.record(session, who, "account:create", ("account", account.id), login=login, region=region)
    return account, created


def change(
    session: orm.Session,
    who: Who,
    account_id: UUID,
    *,
    match: str,
    display_name: str | None,
    disabled: bool | None,
) -> Account:
    """Rename, disable or enable an account; `match` is the If-Match header.

    Raises Problem: 403 own-account, 404, 412 when it changed meanwhile.
    """
    if account_id == who.account_id:
        raise Problem(problems.OWN_ACCOUNT)
    account = queries.access_account(session, who, account_id, lock=True)
    preconditions.refuse_unless_current(match, preconditions.tag(account.revision))
    if display_name is not None and display_name != account.display_name:
        account.display_name = display_name
        audit.record(session, who, "account:rename", ("account", account.id))
    if disabled is not None and disabled != (account.disabled_at is not None):
        account.disabled_at = clock.now() if disabled else None
        account.version += 1
        ended = sessions.end_all(session, account.id, "disabled") if disabled else 0
        deed = "account:disable" if disabled else "account:enable"
        audit.record(session, who, deed, ("account", account.id), sessions_ended=ended)
    account.revision += 1
    session.flush()
    return account


def grant(
    session: orm.Session,
    who: Who,
    account_id: UUID,
    *,
    id: UUID,  # noqa: A002  The name the client sends.
    role: Role,
    region: str,
    unit_id: UUID | None,
    valid_from: datetime | None,
    valid_until: datetime | None,
    assignment: str,
) -> tuple[GrantRow, bool]:
    """Give an account a role in a scope; returns the grant and whether it is new.

    Raises Problem: 403 own-account or grant-not-allowed, 404, 409 too-many-grants or id-reused, 422 grant-unfit.
    """
    _check_grant(who, account_id, role, region, unit_id)
    account = queries.access_account(session, who, account_id, lock=True)
    now = clock.now()
    begins = valid_from or now
    if valid_until is not None and valid_until <= max(begins, now):
        raise Problem(
            problems.GRANT_UNFIT,
            zh="授权的结束时间须在开始之后、现在之后。",
            en="It must end after it begins.",
        )
    earlier = session.get(GrantRow, id)
    live = queries.grants_live(session, [account_id], now)[account_id]
    if earlier is None and len(live) >= rules.MOST_GRANTS:
        zh = f"一个账号最多 {rules.MOST_GRANTS} 项有效授权，请先撤销不用的。"
        en = f"An account has {rules.MOST_GRANTS} grants at most; revoke those no longer needed first."
        raise Problem(problems.TOO_MANY_GRANTS, zh=zh, en=en)
    row = GrantRow(
        id=id,
        account_id=account_id,
        role=role,
        region=region,
        unit_id=unit_id,
        # Sent again without a beginning it is the same grant, although the clock has moved.
        valid_from=begins if valid_from or earlier is None else earlier.valid_from,
        valid_until=valid_until,
        assignment=assignment,
        granted_at=now,
        granted_by=who.account_id,
    )
    same = ("role", "region", "unit_id", "valid_from", "valid_until", "assignment")
    stored, created = db.insert_once(session, row, same=same, own=("account_id",))
    if created:
        _authorization_changed(session, account)
        audit.record(
            session,
            who,
            "account:grant",
            ("account", account.id),
            grant_id=str(stored.id),
            role=str(role),
            region=region,
        )
    return stored, created


def revoke(session: orm.Session, who: Who, account_id: UUID, grant_id: UUID) -> None:
    """Take a grant back; it stays in the history. Raises Problem: 403 own-account or grant-not-allowed, 404."""
    if account_id == who.account_id:
        raise Problem(problems.OWN_ACCOUNT)
    account = queries.access_account(session, who, account_id, lock=True)
    row = session.get(GrantRow, grant_id)
    if row is None or row.account_id != account_id:
        raise Problem(problems.NOT_FOUND)
    fault = rules.grant_fault(who, account_id, row.role, row.region)
    if fault is not None:
        raise _not_allowed(fault)
    if session.get(GrantRevocation, grant_id) is not None:
        return  # Taken back before: a resend of the same wish.
    session.add(GrantRevocation(grant_id=grant_id, revoked_at=clock.now(), revoked_by=who.account_id))
    _authorization_changed(session, account)
    audit.record(
        session,
        who,
        "account:revoke",
        ("account", account.id),
        grant_id=str(grant_id),
        role=str(row.role),
        region=row.region,
    )


def reset(session: orm.Session, who: Who, account_id: UUID) -> Made:
    """Make a new one-time code; the password and every session end now. Raises Problem: 403 own-account, 404, 409."""
    if account_id == who.account_id:
        zh, en = "自己的密码请用“修改密码”。", "Change one's own password with the password route."
        raise Problem(problems.OWN_ACCOUNT, zh=zh, en=en)
    return _reset(session, who, queries.access_account(session, who, account_id, lock=True))


def reset_by_operator(session: orm.Session, login: str) -> Made:
    """Reset any account from the command line: the way out when the only administrator forgot the password."""
    account = queries.account_named(session, login)
    if account is None:
        raise Problem(problems.NOT_FOUND, zh=f"没有登录名 {login}。", en=f"There is no login {login}.")
    return _reset(session, None, account)


def _reset(session: orm.Session, who: Who | None, account: Account) -> Made:
    if account.disabled_at is not None:
        zh, en = "账号已停用，请先启用。", "The account is disabled; enable it first."
        raise Problem(problems.CONFLICT, zh=zh, en=en)
    account.password_hash = None
    _authorization_changed(session, account)
    ended = sessions.end_all(session, account.id, "reset")
    made = codes.make(session, who, account)
    audit.record(session, who, "auth:reset", ("account", account.id), sessions_ended=ended)
    return made


def slips(session: orm.Session, who: Who, *, region: str | None, chosen: Sequence[UUID]) -> list[Made]:
    """Make new codes for the accounts in reach that were never activated: of a region, or those chosen.

    Chosen accounts that are out of reach, activated or disabled raise Problem (404): a list half printed would be
    believed whole.
    """
    found = queries.accounts_to_activate(session, who, region=region, chosen=chosen)
    missing = set(chosen) - {account.id for account in found}
    if missing:
        raise Problem(
            problems.NOT_FOUND,
            zh="有账号不存在、不在您的范围内、已停用或已激活（忘记密码请用“重置”）。",
            en="Some accounts do not exist, are out of your reach, disabled or activated already (use reset for those).",
            accounts=sorted(str(account) for account in missing),
        )
    if len(found) > MOST_SLIPS:
        zh, en = (
            f"一次最多 {MOST_SLIPS} 条，请按镇分批。",
            f"{MOST_SLIPS} slips at once at most; go town by town.",
        )
        raise Problem(problems.INVALID_REQUEST, zh=zh, en=en, found=len(found))
    made = [codes.make(session, who, account) for account in found]
    for one in made:
        audit.record(session, who, "auth:slip", ("account", one.account.id))
    return made


@dataclass(frozen=True, slots=True)
class ForPeople:
    """What became of the people of a region: accounts made, and staff numbers that cannot be logins."""

    created: list[Account]
    unfit: list[FieldFault]


def for_people(session: orm.Session, who: Who, region: str) -> ForPeople:
    """Create cadre accounts for the people posted under a region who have none; the login is the staff number.

    Naturally safe to repeat. The grant's region is the district, not the village, so that it outlives a transfer; a
    cadre's own reach is the own person. Raises Problem (403 grant-not-allowed) for a region out of reach.
    """
    covering = [g.region for g in who.grants if Role.CADRE in rules.GRANTABLE.get(g.role, ())]
    reach = next((prefix for prefix in sorted(covering, key=len) if region.startswith(prefix)), None)
    if reach is None:
        raise _not_allowed(GrantFault.REGION)
    people = queries.people_without_account(session, region)
    taken = queries.logins_taken(session, [rules.fold_login(person.number) for person, _ in people])
    result = ForPeople([], [])
    for person, village in people:
        login = rules.fold_login(person.number)
        if not rules.is_login(login) or login in taken:
            result.unfit.append(_unfit(person, taken=login in taken))
            continue
        home = reach if len(reach) >= _DISTRICT_DIGITS else village[:_DISTRICT_DIGITS]
        made = _new_account(who, login=login, display_name=person.name, region=home, person_id=person.id)
        result.created.append(made)
        taken.add(login)
    session.add_all(result.created)
    session.flush()  # Accounts before their grants: there is no relationship() that would tell the order.
    for account in result.created:
        session.add(_first_grant(who, account, Role.CADRE))
        audit.record(
            session,
            who,
            "account:create",
            ("account", account.id),
            login=account.login,
            region=account.region,
        )
    session.flush()
    return result


_DISTRICT_DIGITS = 6


def _unfit(person: Person, *, taken: bool) -> FieldFault:
    if taken:
        zh = f"工号 {person.number}（{person.name}）作为登录名已被另一账号使用。"
        en = f"The staff number {person.number} is already the login of another account."
    else:
        zh = f"工号 {person.number}（{person.name}）不能作为登录名：只能用字母、数字和 . _ - @，以字母或数字开头。"
        en = f"The staff number {person.number} cannot be a login: letters, digits and . _ - @ only, beginning with a "
        en += "letter or digit."
    return FieldFault(field=f"people.{person.id}", code="login-unfit", zh=zh, en=en)


def first_administrator(session: orm.Session, login: str, display_name: str) -> Made:
    """Make the first administrator, and the code to activate it. Raises Problem (409) when one exists.

    Used by the command line alone. Two at once wait for each other.
    """
    queries.one_first_administrator_at_a_time(session)
    if queries.administrator_exists(session):
        raise Problem(problems.CONFLICT, zh="已有管理员账号。", en="An administrator exists already.")
    account = _new_account(None, login=login, display_name=display_name, region="")
    session.add(account)
    session.flush()
    session.add(_first_grant(None, account, Role.ADMIN))
    audit.record(session, None, "account:first-administrator", ("account", account.id), login=login)
    return codes.make(session, None, account)


def _new_account(
    who: Who | None, *, login: str, display_name: str, region: str, person_id: UUID | None = None
) -> Account:
    return Account(
        id=ids.new_id(),
        login=login,
        person_id=person_id,
        display_name=display_name,
        region=region,
        version=1,
        revision=1,
        created_at=clock.now(),
        created_by=who.account_id if who else None,
    )


def _first_grant(who: Who | None, account: Account, role: Role) -> GrantRow:
    """Return the grant of a role in the account's region from now on."""
    return GrantRow(
        id=ids.new_id(),
        account_id=account.id,
        role=role,
        region=account.region,
        valid_from=account.created_at,
        assignment="",
        granted_at=account.created_at,
        granted_by=who.account_id if who else None,
    )


def _check_grant(who: Who, account_id: UUID, role: Role, region: str, unit_id: UUID | None) -> None:
    fault = rules.grant_fault(who, account_id, role, region)
    if fault is GrantFault.OWN_ACCOUNT:
        raise Problem(
            problems.OWN_ACCOUNT, zh="不能给自己授权。", en="Nobody gives a grant to their own account."
        )
    if fault is not None:
        raise _not_allowed(fault)
    if rules.shape_fault(role, region, unit_id) is not None:
        raise Problem(
            problems.GRANT_UNFIT,
            zh="管理员不限区域；派出单位查看员须给出单位、不给区域；其他角色须给出区域、不给单位。",
            en="An administrator has no region; a unit viewer has a unit and no region; every other role has a region "
            "and no unit.",
        )


def _not_allowed(fault: GrantFault) -> Problem:
    zh, en = {
        GrantFault.ROLE: (
            "您的角色不能授予或撤销这一角色。",
            "Your role does not give or take back this role.",
        ),
    }.get(fault, ("该区域不在您的范围内。", "The region is out of your reach."))
    return Problem(problems.GRANT_NOT_ALLOWED, zh=zh, en=en, reason=str(fault))


def _authorization_changed(session: orm.Session, account: Account) -> None:
    """Raise the authorization version: tokens made before are refused from the next request on (M10)."""
    account.version += 1
    account.revision += 1
    session.flush()
