"""Every SELECT about policies and calendars; `server.month.book` reads those in force."""

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server import db, problems
from server.access import Role, Who
from server.auth.models import Account
from server.month import book
from server.month.masks import Month
from server.month.models import CalendarYear, PolicyRow
from server.month.policy import governing
from server.problems import Problem


def _visible(who: Who) -> sa.ColumnElement[bool]:
    """Return the condition: published policies are public, drafts are for the district officers of their region."""
    return PolicyRow.published_at.is_not(None) | db.within(
        PolicyRow.region_prefix, who.regions(Role.DISTRICT)
    )


def access_policy(session: orm.Session, who: Who, policy_id: UUID) -> PolicyRow:
    """Return a policy that one may see, or raise the problem not-found."""
    found = session.scalar(sa.select(PolicyRow).where(PolicyRow.id == policy_id, _visible(who)))
    if found is None:
        raise Problem(problems.NOT_FOUND)
    return found


def access_policy_to_publish(session: orm.Session, who: Who | None, policy_id: UUID) -> PolicyRow:
    """Return a policy of one's own region, locked until the transaction ends; `who` None reaches all of them."""
    query = sa.select(PolicyRow).where(PolicyRow.id == policy_id).with_for_update()
    if who is not None:
        query = query.where(db.within(PolicyRow.region_prefix, who.regions(Role.DISTRICT)))
    found = session.scalar(query)
    if found is None:
        raise Problem(problems.NOT_FOUND)
    return found


def policies(
    session: orm.Session,
    who: Who | None,
    *,
    region: str,
    code: str | None,
    published: bool | None,
    after: tuple[str, str, int] | None,
    limit: int,
) -> Sequence[PolicyRow]:
    """Return policies under a region prefix in the order of region, code and version; `who` None sees all."""
    key = sa.tuple_(PolicyRow.region_prefix, PolicyRow.code, PolicyRow.version)
    query = sa.select(PolicyRow).where(PolicyRow.region_prefix.startswith(region, autoescape=True))
    if who is not None:
        query = query.where(_visible(who))
    if code is not None:
        query = query.where(PolicyRow.code == code)
    if published is not None:
        query = query.where(PolicyRow.published_at.is_not(None) == published)
    if after is not None:
        query = query.where(key > sa.tuple_(*(sa.literal(value) for value in after)))
    ordered = query.order_by(PolicyRow.region_prefix, PolicyRow.code, PolicyRow.version)
    return session.scalars(ordered.limit(limit)).all()


def policies_governing(
    session: orm.Session, region_code: str, month: Month
) -> tuple[UUID | None, list[PolicyRow]]:
    """Return the policies that govern a month in a region, by code, and the id of the one that speaks first."""
    known = book.load(session)
    chosen = governing(known.versions, region_code, month)
    found = [known.ids[version.region_prefix, version.policy.code, version.version] for version in chosen]
    rows = session.scalars(sa.select(PolicyRow).where(PolicyRow.id.in_(found)).order_by(PolicyRow.code)).all()
    principal = known.governing(region_code, month)
    return (None if principal is None else principal.id), list(rows)


def next_version(session: orm.Session, region_prefix: str, code: str) -> int:
    """Return the number of the next version. Versions of one region and code are numbered one after the other."""
    db.one_at_a_time(session, f"policy:{region_prefix}:{code}")
    newest = sa.select(sa.func.max(PolicyRow.version)).where(
        PolicyRow.region_prefix == region_prefix, PolicyRow.code == code
    )
    return (session.scalar(newest) or 0) + 1


def published_overlapping(session: orm.Session, row: PolicyRow) -> bool:
    """Tell whether a published policy of the same code speaks for the row's region when the row begins.

    A narrower one is not asked for: it has the longer prefix, so the row takes nothing away from it.
    """
    wider = sa.literal(row.region_prefix).startswith(PolicyRow.region_prefix)
    return bool(
        session.scalar(
            sa.select(
                sa.exists().where(
                    PolicyRow.code == row.code,
                    PolicyRow.published_at.is_not(None),
                    PolicyRow.valid_from <= row.valid_from,
                    wider,
                )
            )
        )
    )


def newest_calendar(session: orm.Session, year: int) -> CalendarYear | None:
    """Return the newest import of a year's calendar; None when the year was never imported."""
    query = sa.select(CalendarYear).where(CalendarYear.year == year).order_by(CalendarYear.id.desc()).limit(1)
    return session.scalar(query)


def login_of(session: orm.Session, who: Who) -> str:
    """Return the login of the account that asks, as policies and calendars record who made them."""
    return session.scalars(sa.select(Account.login).where(Account.id == who.account_id)).one()
