"""Privacy over HTTP (个人信息): who looked at one's records."""

from fastapi import APIRouter

from server import clock, pages, problems
from server.checkins.judging import FALLBACK
from server.documented import refusals
from server.gate import Anyone, Db
from server.looks import Look
from server.month.policy import legal_day
from server.pages import Cursor, Limit, Page
from server.privacy import export_routes, hold_routes, notice_routes, queries, texts
from server.privacy.schemas import LookOut

router = APIRouter()
_ME = APIRouter(prefix="/v1", tags=["privacy"])


@_ME.get("/me/looks", operation_id="me-looks", responses=refusals(problems.BAD_CURSOR))
def own_looks(who: Anyone, db: Db, limit: Limit = 50, cursor: Cursor = None) -> Page[LookOut]:
    """List who looked at one's own records (谁看过我的记录), newest first: the office, when, what, and what for.

    The office is told, not the official's name; the district's audit knows it.
    """
    before = pages.decode(cursor, int)
    if who.person_id is None:
        return Page(items=[])
    with db.read() as session:
        rows = queries.looks_at(session, who.person_id, before, limit)
        shown, following = pages.cut(rows, limit, lambda look: (look.id,))
        names = queries.office_names(session, shown, legal_day(clock.now(), FALLBACK))
    return Page(
        items=[_look(look, names.get(look.unit_id or look.region)) for look in shown], next_cursor=following
    )


def _look(look: Look, office: str | None) -> LookOut:
    what_zh, what_en = texts.WHAT[look.what]
    role_zh, role_en = texts.ROLES[look.role]
    return LookOut(
        at=look.at,
        what=look.what,
        what_zh=what_zh,
        what_en=what_en,
        role=look.role,
        role_zh=role_zh,
        role_en=role_en,
        office=office,
        subject=look.subject,
        purpose=look.purpose,
    )


for _each in (_ME, export_routes.router, hold_routes.router, notice_routes.router):
    router.include_router(_each)
