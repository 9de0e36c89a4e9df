"""Attachments, and what they are attached to."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from server import db
from server.attachments import functions
from server.attachments.rules import AttachmentState, MediaType, OwnerKind

__all__ = ["Attachment", "AttachmentLink", "functions"]


class Attachment(db.Base):
    """A photo or document: what was announced, and what was stored of it. Rows go by server.attachments.functions alone.

    `content` names what is stored, the SHA-256 of its bytes: equal contents are one file.
    """

    __tablename__ = "attachments"
    __table_args__ = (
        db.one_of("declared_type", MediaType),
        db.one_of("state", AttachmentState),
        db.one_of("media_type", MediaType),
        sa.CheckConstraint("(content IS NOT NULL) = (state IN ('storing', 'ready'))", name="content"),
        sa.CheckConstraint("(refusal IS NOT NULL) = (state = 'refused')", name="refusal"),
        sa.CheckConstraint("content ~ '^[0-9a-f]{64}$'", name="content_name"),
        sa.CheckConstraint("size > 0", name="size"),
        sa.Index(None, "account_id", "made_at"),
        sa.Index(None, "content"),
        sa.Index(None, "made_at", postgresql_where=sa.text("linked_at IS NULL")),
        {
            "info": {
                "grant": db.changing(
                    "state", "refusal", "content", "media_type", "bytes", "width", "height", "pages", "taken_at",
                    "lon_e7", "lat_e7", "finished_at", "linked_at",
                )
            }
        },
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(sa.ForeignKey("accounts.id"))
    made_at: Mapped[datetime]
    name: Mapped[str]  # A label for people; nothing is ever stored under it.
    declared_type: Mapped[str]
    size: Mapped[int] = mapped_column(sa.BigInteger)  # Of what is sent, in bytes.
    sha256: Mapped[bytes]  # Of what is sent.
    keep_position: Mapped[bool]  # The uploader said that the place in the photo is to be kept.
    state: Mapped[str]
    refusal: Mapped[str | None]
    content: Mapped[str | None]
    media_type: Mapped[str | None]  # Of what is stored; so are the five below.
    bytes: Mapped[int | None] = mapped_column(sa.BigInteger)
    width: Mapped[int | None]
    height: Mapped[int | None]
    pages: Mapped[int | None]
    taken_at: Mapped[datetime | None]  # As the photo says: information, and never proof (edge 131).
    lon_e7: Mapped[int | None]
    lat_e7: Mapped[int | None]
    finished_at: Mapped[datetime | None]
    linked_at: Mapped[
        datetime | None
    ]  # When it was first attached to something; None: it is swept after a time.


class AttachmentLink(db.Base):
    """An attachment is attached to something of a room above."""

    __tablename__ = "attachment_links"
    __table_args__ = (
        sa.PrimaryKeyConstraint("attachment_id", "owner_kind", "owner_id"),
        db.one_of("owner_kind", OwnerKind),
        sa.Index(None, "owner_id"),
        {"info": {"grant": db.APPEND}},
    )

    attachment_id: Mapped[UUID] = mapped_column(sa.ForeignKey("attachments.id"))
    owner_kind: Mapped[str]
    owner_id: Mapped[UUID]
    linked_at: Mapped[datetime]
    linked_by: Mapped[UUID]
