"""Every SELECT about attachments."""

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server import db, problems
from server.access import Who
from server.attachments import owners
from server.attachments.models import Attachment, AttachmentLink
from server.attachments.owners import Readable
from server.attachments.rules import AttachmentState, OwnerKind
from server.problems import Problem

_HOLDING = (AttachmentState.OPEN, AttachmentState.STORING, AttachmentState.READY)


def access_own(session: orm.Session, who: Who, attachment_id: UUID, *, lock: bool = False) -> Attachment:
    """Return an attachment that `who` uploaded and did not give up; missing and somebody else's look the same."""
    query = sa.select(Attachment).where(
        Attachment.id == attachment_id,
        Attachment.account_id == who.account_id,
        Attachment.state != AttachmentState.DISCARDED,
    )
    found = session.scalar(query.with_for_update() if lock else query)
    if found is None:
        raise Problem(problems.NOT_FOUND)
    return found


def access_content(session: orm.Session, who: Who, attachment_id: UUID) -> tuple[Attachment, Readable | None]:
    """Return an attachment whose content `who` may read, and through what; None is one's own upload.

    Missing, and attached to nothing that `who` may read, look the same.
    """
    row = session.get(Attachment, attachment_id)
    known = row is not None and row.state != AttachmentState.DISCARDED
    if row is not None and known and row.account_id == who.account_id:
        return row, None
    # Asked in any case, so that what is not for `who` takes the way of what is not there (ruling 12).
    query = sa.select(AttachmentLink).where(AttachmentLink.attachment_id == attachment_id)
    links = session.scalars(query.order_by(AttachmentLink.linked_at, AttachmentLink.owner_id)).all()
    if row is not None and row.state == AttachmentState.READY:
        for link in links:
            room = owners.of(OwnerKind(link.owner_kind))
            readable = room.readable(session, who, link.owner_id) if room else None
            if readable is not None:
                return row, readable
    raise Problem(problems.NOT_FOUND)


def ready(session: orm.Session, attachment_id: UUID) -> Attachment:
    """Return an attachment that has its content; whoever asks has shown that they may (links.py)."""
    row = session.get(Attachment, attachment_id)
    if row is None or row.state != AttachmentState.READY:
        raise Problem(problems.NOT_FOUND)
    return row


def one_at_a_time(session: orm.Session, name: str) -> None:
    """Let what has this name be done one after the other until the transaction ends."""
    db.one_at_a_time(session, f"attachments:{name}")


def held_by(session: orm.Session, account_id: UUID) -> tuple[int, int]:
    """Return the bytes that an account's attachments take, with those on their way, and how many are on their way."""
    taken = sa.func.coalesce(Attachment.bytes, Attachment.size)
    query = sa.select(
        sa.func.coalesce(sa.func.sum(taken), 0),
        sa.func.count().filter(Attachment.state == AttachmentState.OPEN),
    ).where(Attachment.account_id == account_id, Attachment.state.in_(_HOLDING))
    row = session.execute(query).one()
    return int(row[0]), int(row[1])


def named(session: orm.Session, contents: Collection[str]) -> set[str]:
    """Return those of these contents that a row names."""
    query = sa.select(Attachment.content).where(Attachment.content.in_(contents))
    return {content for content in session.scalars(query) if content is not None}


def arriving(session: orm.Session, ids: Collection[UUID]) -> set[UUID]:
    """Return those of these attachments whose content is on its way."""
    expected = (AttachmentState.OPEN, AttachmentState.STORING)
    query = sa.select(Attachment.id).where(Attachment.id.in_(ids), Attachment.state.in_(expected))
    return set(session.scalars(query))


def of_owners(
    session: orm.Session, kind: OwnerKind, owner_ids: Iterable[UUID]
) -> dict[UUID, Sequence[Attachment]]:
    """Return what is attached to each of these, in the order in which it was attached."""
    query = (
        sa.select(AttachmentLink.owner_id, Attachment)
        .join(Attachment, Attachment.id == AttachmentLink.attachment_id)
        .where(AttachmentLink.owner_kind == kind, AttachmentLink.owner_id.in_(set(owner_ids)))
        .order_by(AttachmentLink.linked_at, Attachment.id)
    )
    found: dict[UUID, list[Attachment]] = {}
    for owner_id, row in session.execute(query):
        found.setdefault(owner_id, []).append(row)
    return dict(found)
