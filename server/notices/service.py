"""The notice (告知书) in force, and its acceptance: which version, when, and the digest of the very text."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib import resources
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

from server import audit, clock, ids, problems
from server.notices import rules
from server.notices.models import Notice, NoticeAcceptance
from server.notices.rules import Standing
from server.notices.schemas import NoticeAskedOut
from server.places.rules import today
from server.problems import Problem

DEFAULT_VERSION = "2026-11-23"


@dataclass(frozen=True, slots=True)
class Text:
    """A notice as it is shown. `until` is how long whoever accepted an earlier one may take; None: for good."""

    version: str
    text_zh: str
    text_en: str
    digest: str
    published_at: datetime | None = None  # None: the product's own.
    until: date | None = None


@cache
def default() -> Text:
    """Return the notice that comes with the product; it holds where a district published none."""
    folder = resources.files("server.notices")
    zh, en = (folder.joinpath(f"notice.{language}.md").read_text("utf-8") for language in ("zh", "en"))
    return Text(DEFAULT_VERSION, zh, en, rules.digest(zh, en))


def _text(row: Notice) -> Text:
    return Text(row.version, row.text_zh, row.text_en, row.digest, row.published_at, row.until)


def in_force(session: orm.Session, region: str) -> Text:
    """Return the notice for a region: of the longest prefix that has one the newest, else the product's own."""
    query = (
        sa.select(Notice)
        .where(sa.literal(region).startswith(Notice.region))
        .order_by(sa.func.length(Notice.region).desc(), Notice.published_at.desc(), Notice.id.desc())
        .limit(1)
    )
    row = session.scalars(query).one_or_none()
    return _text(row) if row else default()


def by_digest(session: orm.Session, digest: str) -> Text:
    """Return a published text, also one that is no longer in force. Raises Problem 404."""
    if digest == default().digest:
        return default()
    row = session.scalars(sa.select(Notice).where(Notice.digest == digest).limit(1)).one_or_none()
    if row is None:
        raise Problem(problems.NOT_FOUND)
    return _text(row)


def publish(session: orm.Session, region: str, text: Text) -> None:
    """Publish a version for a region, from now on. Raises Problem 409 ``conflict`` when the version is taken."""
    taken = sa.select(Notice.id).where(Notice.region == region, Notice.version == text.version)
    if session.scalar(taken) is not None:
        raise Problem(
            problems.CONFLICT,
            zh=f"版本 {text.version} 已发布；已发布的告知书不改，请另取版本名。",
            en=f"Version {text.version} was published; a published notice is never changed, give it another version.",
        )
    row = Notice(
        id=ids.new_id(),
        region=region,
        version=text.version,
        text_zh=text.text_zh,
        text_en=text.text_en,
        digest=text.digest,
        published_at=clock.now(),
        published_by=None,
        until=text.until,
    )
    session.add(row)
    session.flush()
    about = ("notice", row.id)
    audit.record(session, None, "notice:publish", about, version=text.version, digest=text.digest)


def accepted(session: orm.Session, account_id: UUID) -> Sequence[NoticeAcceptance]:
    """Return what somebody accepted, the latest first."""
    query = sa.select(NoticeAcceptance).where(NoticeAcceptance.account_id == account_id)
    return session.scalars(query.order_by(NoticeAcceptance.at.desc(), NoticeAcceptance.digest)).all()


def number_accepted(session: orm.Session, digest: str) -> int:
    """Return how many accounts accepted a text."""
    query = sa.select(sa.func.count()).where(NoticeAcceptance.digest == digest)
    return session.scalars(query).one()


def standing(session: orm.Session, account_id: UUID, region: str) -> tuple[Text, Standing]:
    """Return the notice in force for an account and how its owner stands to it."""
    current = in_force(session, region)
    digests = {each.digest for each in accepted(session, account_id)}
    return current, rules.standing(current.digest, current.until, digests, today(clock.now()))


def asked(session: orm.Session, account_id: UUID, region: str) -> NoticeAskedOut | None:
    """Return the notice that waits for an account's owner; None when the one in force is accepted."""
    current, stands = standing(session, account_id, region)
    if not stands.asked:
        return None
    return NoticeAskedOut(
        version=current.version, digest=current.digest, until=current.until, overdue=stands.overdue
    )


def accept(session: orm.Session, account_id: UUID, digest: str, client: str) -> bool:
    """Write that somebody accepted a published text, the one in force or an earlier one; tell whether it was news.

    An earlier one is taken because it was read: a phone may bring it from the valley after the next was published.
    Raises Problem 404 for the digest of no text.
    """
    text = by_digest(session, digest)
    row = postgresql.insert(NoticeAcceptance).values(
        account_id=account_id, digest=digest, version=text.version, at=clock.now(), client=client
    )
    return (
        session.execute(row.on_conflict_do_nothing().returning(NoticeAcceptance.digest)).first() is not None
    )


@dataclass(frozen=True, slots=True)
class Beginner:
    """Who activates an account. `posted`: a person of the roster; `first`: there never was a password."""

    account_id: UUID
    region: str
    posted: bool
    first: bool


def refused(session: orm.Session, beginner: Beginner, digest: str | None) -> Problem | None:
    """Return why somebody may not begin: 409 ``notice-not-accepted``, naming the notice in force; None when they may.

    `digest` is what comes accepted with the request, None when nothing does. Another text than the one in force is
    another text: whoever read it is shown this one.
    """
    current, stands = standing(session, beginner.account_id, beginner.region)
    if digest == current.digest:
        return None
    if digest is None and rules.may_begin(stands, posted=beginner.posted, first=beginner.first):
        return None
    return Problem(
        problems.NOTICE_NOT_ACCEPTED,
        zh="请先阅读告知书（GET /v1/notices/{digest}），同意后把它的 digest 作为 notice 一并送来；激活码未作废。"
        "手机上没有告知书页面的，请更新应用。",
        en="Please read the notice (GET /v1/notices/{digest}) and send its digest as `notice` when you accept it; the code is "
        "not spent. An app that cannot show it must be updated.",
        digest=current.digest,
        version=current.version,
    )
