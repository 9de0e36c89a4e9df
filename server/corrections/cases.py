"""What corrections and appeals have in common for whoever reads or decides one."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import orm

from server import looks, pages, preconditions, problems
from server.access import Role, Who
from server.corrections.models import Appeal, Correction
from server.corrections.queries import Case, Wanted
from server.corrections.rules import WAITING, AppealState
from server.looks import Seen, What
from server.pages import Page
from server.problems import Problem

ROLES = (Role.CADRE, Role.TOWN, Role.DISTRICT)
Row = TypeVar("Row", Correction, Appeal)
Out = TypeVar("Out", bound=BaseModel)
Key = tuple[datetime, UUID]


def etag(row: Case) -> str:
    """Return the entity tag of a correction or an appeal."""
    return preconditions.tag(row.version)


def refuse_decided(row: Case) -> None:
    """Raise already-decided with the decision, for a case that waits no more (ruling 12)."""
    waits = row.state in WAITING if isinstance(row, Correction) else row.state == AppealState.OPEN
    if waits:
        return
    if isinstance(row, Correction):
        zh, en = f"该补签已有结果：{row.state}。", f"The correction was decided: {row.state}."
        reason = row.decision_reason
    else:
        zh, en = f"该申诉已有答复：{row.state}。", f"The appeal was answered: {row.state}."
        reason = row.answer
    raise Problem(
        problems.ALREADY_DECIDED,
        zh=zh,
        en=en,
        decision={
            "state": row.state,
            "decided_at": None if row.decided_at is None else row.decided_at.isoformat(),
            "reason": reason,
            "version": row.version,
        },
    )


def read_by(session: orm.Session, who: Who, row: Case) -> None:
    """Write down that somebody else's case was read."""
    seen = Seen(row.person_id, row.village_code)
    looks.record(session, who, What.REQUEST, [seen], roles=ROLES, subject=row.id)


def page(
    session: orm.Session,
    who: Who,
    wanted: Wanted,
    cursor: str | None,
    limit: int,
    *,
    found: Callable[..., Sequence[Row]],
    shown: Callable[[orm.Session, Sequence[Row]], list[Out]],
) -> Page[Out]:
    """Return one page of the cases in sight, the oldest first, and write down whose were read."""
    after = pages.decode(cursor, datetime.fromisoformat, UUID)
    key = None if after is None else (after[0], after[1])
    rows = found(session, who, wanted, after=key, limit=limit + 1)
    here, following = pages.cut(rows, limit, lambda row: (row.entered_at, row.id))
    seen = (Seen(row.person_id, row.village_code) for row in here)
    looks.record(session, who, What.REQUEST, seen, roles=ROLES)
    return Page(items=shown(session, here), next_cursor=following)
