"""The deeds on attachments (附件): announced, examined and stored, attached to something, given up.

A row names its content before the content is put away, and the sweep looks at the rows under the same lock: a crash
between row and file leaves a row without a file, which its next attempt completes, or a file without a row, which is
swept.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server import audit, clock, db, looks, problems
from server.access import Who
from server.attachments import decoding, queries, rules, storage
from server.attachments.decoding import Found, NotTaken
from server.attachments.incoming import Incoming
from server.attachments.models import Attachment, AttachmentLink
from server.attachments.rules import AttachmentState, MediaType, OwnerKind
from server.attachments.schemas import AttachedOut, AttachmentIn, AttachmentOut, RefusalOut
from server.attachments.storage import Storage
from server.gate import Gate
from server.looks import What
from server.problems import FieldFault, Problem
from server.settings import Settings

_SAME = ("name", "declared_type", "size", "sha256", "keep_position")
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Stores:
    """Where attachments lie: those that are stored, and those that are arriving."""

    storage: Storage
    incoming: Incoming
    settings: Settings

    @classmethod
    def of(cls, settings: Settings) -> "Stores":
        """Return the stores that the settings name. Nothing is opened or made yet."""
        folder = storage.folder_of(settings)
        return cls(storage.opened(settings), Incoming(folder / "incoming"), settings)


# --- announcing
def announce(
    session: orm.Session, who: Who, given: AttachmentIn, settings: Settings
) -> tuple[Attachment, bool]:
    """Make room for a file once; return its row and whether it is new.

    Raises invalid-request (too large), attachment-quota and id-reused.
    """
    most = settings.attachment_mb * MIB
    if given.size > most:
        zh, en = (
            f"文件最大 {settings.attachment_mb} MiB",
            f"a file may have {settings.attachment_mb} MiB at most",
        )
        fault = FieldFault("size", "too-large", zh, en)
        raise Problem(problems.INVALID_REQUEST, zh=f"{zh}。", en=f"{en}.", errors=[fault], limit_bytes=most)
    queries.one_at_a_time(session, str(who.account_id))
    if session.get(Attachment, given.id) is None:
        _refuse_over_quota(session, who, given.size, settings)
    row = Attachment(
        id=given.id,
        account_id=who.account_id,
        made_at=clock.now(),
        name=rules.shown_name(given.name),
        declared_type=given.media_type,
        size=given.size,
        sha256=bytes.fromhex(given.sha256),
        keep_position=given.keep_position,
        state=AttachmentState.OPEN,
    )
    return db.insert_once(session, row, same=_SAME, own=("account_id",))


def _refuse_over_quota(session: orm.Session, who: Who, size: int, settings: Settings) -> None:
    used, on_their_way = queries.held_by(session, who.account_id)
    limit = settings.attachment_quota_mb * MIB
    if used + size > limit:
        raise Problem(
            problems.ATTACHMENT_QUOTA,
            zh=f"附件空间共 {settings.attachment_quota_mb} MiB，余 {max(0, limit - used)} 字节，放不下此文件。",
            en=f"{max(0, limit - used)} of {limit} bytes for attachments are left, less than the file takes.",
            limit_bytes=limit,
            used_bytes=used,
        )
    if on_their_way >= rules.MOST_OPEN:
        raise Problem(
            problems.ATTACHMENT_QUOTA,
            zh=f"最多同时有 {rules.MOST_OPEN} 个未传完的文件，请先传完或放弃其中的。",
            en=f"{rules.MOST_OPEN} files may be unfinished at once; finish or give up some of them first.",
            limit_open=rules.MOST_OPEN,
        )


def discard(session: orm.Session, who: Who, row: Attachment) -> None:
    """Give up an attachment whose row is locked. Raises attachment-linked when something holds it."""
    if row.linked_at is not None:
        raise Problem(problems.ATTACHMENT_LINKED)
    row.state, row.refusal, row.content = AttachmentState.DISCARDED, None, None
    row.lon_e7 = row.lat_e7 = row.taken_at = None
    session.flush()
    audit.record(session, who, "attachment:discard", ("attachment", row.id))


# --- finishing
def finish(gate: Gate, attachment_id: UUID, stores: Stores) -> Attachment:
    """Examine and store an upload that has wholly arrived; return its row. Repeated, it answers the same.

    Raises upload-damaged (the hash differs: begin anew), attachment-refused, and 503 where storage fails.
    """
    with gate.read() as session:
        row = queries.access_own(session, gate.who, attachment_id)
    if row.state == AttachmentState.READY:
        return row
    refuse_refused(row)
    part, kept = stores.incoming.part(row.id), stores.incoming.draft(row.id)
    try:
        if storage.digest_of(part) != row.sha256:
            stores.incoming.drop(row.id)
            raise Problem(problems.UPLOAD_DAMAGED, offset=0)
        found = decoding.examine(part, MediaType(row.declared_type), kept)
        row = _kept(gate, row.id, kept, found, stores)
    except NotTaken as refused:
        row = _refused(gate, row.id, refused.code)
        stores.incoming.drop(row.id)
        refuse_refused(row)
    except FileNotFoundError:
        return _finished_meanwhile(gate, attachment_id)
    finally:
        with suppress(FileNotFoundError):
            kept.unlink()
    stores.incoming.drop(row.id)
    return row


def _finished_meanwhile(gate: Gate, attachment_id: UUID) -> Attachment:
    """Return what another request made of the upload while this one came to it too late."""
    with gate.read() as session:
        row = queries.access_own(session, gate.who, attachment_id)
    refuse_refused(row)
    if row.state != AttachmentState.READY:
        raise problems.later(problems.BUSY)
    return row


def refuse_refused(row: Attachment) -> None:
    """Raise attachment-refused for an upload that was examined and not taken, and upload-over for one that has faded."""
    if row.state == AttachmentState.FADED:
        raise Problem(problems.UPLOAD_OVER)
    if row.refusal is not None:
        told = rules.REFUSALS[row.refusal]
        raise Problem(problems.ATTACHMENT_REFUSED, zh=f"{told.zh}。", en=f"{told.en}.", reason=told.code)


def _refused(gate: Gate, attachment_id: UUID, code: str) -> Attachment:
    with gate.write() as session:
        row = queries.access_own(session, gate.who, attachment_id, lock=True)
        if row.state in {AttachmentState.OPEN, AttachmentState.STORING}:
            row.state, row.refusal, row.content = AttachmentState.REFUSED, code, None
            row.finished_at = clock.now()
            session.flush()
            audit.record(session, gate.who, "attachment:refuse", ("attachment", row.id), reason=code)
    return row


def _kept(gate: Gate, attachment_id: UUID, kept: Path, found: Found, stores: Stores) -> Attachment:
    """Name the content in the row, put it away, and only then call the attachment ready."""
    name, size = storage.digest_of(kept).hex(), kept.stat().st_size
    with gate.write() as session:
        queries.one_at_a_time(session, name)
        row = queries.access_own(session, gate.who, attachment_id, lock=True)
        if row.state == AttachmentState.READY:
            return row
        refuse_refused(row)
        if row.state == AttachmentState.OPEN:  # Once, however often putting it away has to be tried.
            told = {"bytes": size, "type": found.media_type.value}
            audit.record(session, gate.who, "attachment:store", ("attachment", row.id), **told)
        row.state, row.content = AttachmentState.STORING, name
        row.media_type, row.bytes = found.media_type, size
        row.width, row.height, row.pages = found.width, found.height, found.pages
        row.taken_at = found.taken_at
        if row.keep_position:
            row.lon_e7, row.lat_e7 = found.lon_e7, found.lat_e7
    stores.storage.put(name, kept)
    with gate.write() as session:
        row = queries.access_own(session, gate.who, attachment_id, lock=True)
        if row.state == AttachmentState.STORING:
            row.state, row.finished_at = AttachmentState.READY, clock.now()
    return row


# --- attaching, for the rooms above
def attach(session: orm.Session, who: Who, ids: Sequence[UUID], kind: OwnerKind, owner_id: UUID) -> None:
    """Attach one's own ready attachments to something, once each. Raises attachment-unknown, naming those that are not."""
    query = sa.select(Attachment).where(
        Attachment.id.in_(ids),
        Attachment.account_id == who.account_id,
        Attachment.state == AttachmentState.READY,
    )
    rows = {row.id: row for row in session.scalars(query.order_by(Attachment.id).with_for_update())}
    missing = [str(each) for each in ids if each not in rows]
    if missing:
        raise Problem(problems.ATTACHMENT_UNKNOWN, attachments=missing)
    now = clock.now()
    for each in dict.fromkeys(ids):
        if session.get(AttachmentLink, (each, kind, owner_id)) is None:
            session.add(
                AttachmentLink(
                    attachment_id=each,
                    owner_kind=kind,
                    owner_id=owner_id,
                    linked_at=now,
                    linked_by=who.account_id,
                )
            )
        rows[each].linked_at = rows[each].linked_at or now
    session.flush()


def attached(
    session: orm.Session, kind: OwnerKind, owner_ids: Iterable[UUID]
) -> dict[UUID, list[AttachedOut]]:
    """Return what is attached to each of these, as whoever may read the thing itself may see it."""
    found = queries.of_owners(session, kind, owner_ids)
    return {owner: [_attached_out(row) for row in rows] for owner, rows in found.items()}


# --- reading
def may_read(session: orm.Session, who: Who, attachment_id: UUID) -> Attachment:
    """Return an attachment with content that `who` may read now; that somebody else looks is recorded (ruling 15).

    Call it in a transaction of Gate.look. Raises not-found and attachment-not-ready.
    """
    row, through = queries.access_content(session, who, attachment_id)
    if row.state != AttachmentState.READY:
        raise Problem(problems.ATTACHMENT_NOT_READY)
    if through is not None:
        looks.record(session, who, What.ATTACHMENT, [through.seen], roles=through.roles, subject=row.id)
    return row


def shown(row: Attachment) -> AttachmentOut:
    """Return an attachment as its uploader sees it."""
    told = None if row.refusal is None else rules.REFUSALS[row.refusal]
    return AttachmentOut(
        id=row.id,
        name=row.name,
        state=AttachmentState(row.state),
        size=row.size,
        made_at=row.made_at,
        refusal=None if told is None else RefusalOut(code=told.code, zh=told.zh, en=told.en),
        media_type=None if row.media_type is None else MediaType(row.media_type),
        bytes=row.bytes,
        width=row.width,
        height=row.height,
        pages=row.pages,
        taken_at=row.taken_at,
        lon=None if row.lon_e7 is None else row.lon_e7 / 1e7,
        lat=None if row.lat_e7 is None else row.lat_e7 / 1e7,
    )


def _attached_out(row: Attachment) -> AttachedOut:
    return AttachedOut(
        id=row.id,
        name=row.name,
        state=AttachmentState(row.state),
        media_type=None if row.media_type is None else MediaType(row.media_type),
        bytes=row.bytes,
        width=row.width,
        height=row.height,
        pages=row.pages,
    )
