"""Every question to the register of regions."""

from collections.abc import Collection, Sequence
from datetime import date

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

from server import problems
from server.access import Role, Who
from server.places.models import Region, RegionSuccessor, RegionVersion
from server.places.rules import RegionKind
from server.problems import Problem

FOLLOWED_SQL = """
WITH RECURSIVE followed AS (
    SELECT code AS origin, code, 0 AS steps FROM unnest(CAST(:codes AS text[])) AS given(code)
    UNION ALL
    SELECT followed.origin, link.to_code, followed.steps + 1
    FROM followed JOIN region_successors AS link ON link.from_code = followed.code AND link.from_day <= :day
    WHERE followed.steps < 16
)
SELECT DISTINCT ON (origin) origin, code FROM followed ORDER BY origin, steps DESC
"""
"""Where the regions `:codes` have gone by `:day`, following successor links (edge 48)."""


def region(session: orm.Session, code: str) -> Region:
    """Return a region, or raise the problem not-found. Regions are public to every account."""
    found = session.get(Region, code)
    if found is None:
        raise Problem(
            problems.NOT_FOUND,
            zh=f"没有代码为 {code[:12]} 的区划。",
            en=f"No region has the code {code[:12]}.",
        )
    return found


def access_region(session: orm.Session, who: Who, code: str, *roles: Role) -> Region:
    """Return a region that the roles reach; missing and out of scope look the same."""
    found = session.get(Region, code)
    if found is None or not who.reaches(code, *roles):
        raise Problem(
            problems.NOT_FOUND,
            zh=f"没有代码为 {code[:12]} 的区划。",
            en=f"No region has the code {code[:12]}.",
        )
    return found


def regions(
    session: orm.Session,
    *,
    parent: str | None,
    text: str | None,
    kind: RegionKind | None,
    after: str | None,
    limit: int,
) -> Sequence[Region]:
    """Return regions in the order of their codes; `text` is looked for in the name, or is the start of a code.

    A district has some hundred rows, a prefecture some thousand: the sequential scan of a substring search takes about
    a millisecond, so names carry no search index.
    """
    query = sa.select(Region).order_by(Region.code).limit(limit)
    if parent is not None:
        query = query.where(Region.parent_code == parent)
    if kind is not None:
        query = query.where(Region.kind == kind)
    if text:
        query = query.where(
            Region.name.contains(text, autoescape=True) | Region.code.startswith(text, autoescape=True)
        )
    if after is not None:
        query = query.where(Region.code > after)
    return session.scalars(query).all()


def history(session: orm.Session, code: str) -> Sequence[RegionVersion]:
    """Return what the region was called, oldest first."""
    query = (
        sa.select(RegionVersion)
        .where(RegionVersion.code == code)
        .order_by(RegionVersion.from_day, RegionVersion.id)
    )
    return session.scalars(query).all()


def successor(session: orm.Session, code: str) -> RegionSuccessor | None:
    """Return the link to the region that follows this one."""
    return session.get(RegionSuccessor, code)


def predecessors(session: orm.Session, code: str) -> Sequence[RegionSuccessor]:
    """Return the links from the regions that this one follows."""
    query = sa.select(RegionSuccessor).where(RegionSuccessor.to_code == code)
    return session.scalars(query.order_by(RegionSuccessor.from_day, RegionSuccessor.from_code)).all()


def known(session: orm.Session, codes: Collection[str]) -> dict[str, Region]:
    """Return those of the regions that exist, by code."""
    rows = session.scalars(sa.select(Region).where(Region.code == sa.func.any(list(codes))))
    return {row.code: row for row in rows}


def followed(session: orm.Session, codes: Collection[str], day: date) -> dict[str, str]:
    """Return where each region has gone by the day: itself, or the end of its chain of successors."""
    rows = session.execute(sa.text(FOLLOWED_SQL), {"codes": list(codes), "day": day})
    return {row.origin: row.code for row in rows}


def names_on(session: orm.Session, codes: Collection[str], day: date) -> dict[str, str]:
    """Return what regions were called on a day; before the first known name that one is used (edge 48)."""
    started = RegionVersion.from_day <= day
    query = (
        sa.select(RegionVersion.code, RegionVersion.name)
        .where(RegionVersion.code == sa.func.any(list(codes)))
        .ext(postgresql.distinct_on(RegionVersion.code))
        .order_by(
            RegionVersion.code,
            started.desc(),
            sa.case((started, RegionVersion.from_day)).desc().nulls_last(),
            sa.case((~started, RegionVersion.from_day)).asc().nulls_last(),
            RegionVersion.id.desc(),
        )
    )
    return {row.code: row.name for row in session.execute(query)}
