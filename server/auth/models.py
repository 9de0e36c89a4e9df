"""Tables of accounts: who may log in, what they may do, where they are logged in, and how guessing is slowed."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from server import db, problems
from server.access import Role
from server.auth import rules


class Account(db.Base):
    """An account.

    `version` is the authorization version: every change of grants or state raises it, and tokens made before are
    refused. `revision` counts every change and is the ETag.
    """

    __tablename__ = "accounts"
    __table_args__ = (
        sa.CheckConstraint(f"login ~ '{rules.LOGIN_PATTERN}'", name="login"),
        sa.CheckConstraint("region ~ '^[0-9]{0,12}$'", name="region"),
        sa.Index(None, "region", postgresql_ops={"region": "text_pattern_ops"}),
        {
            "info": {
                "grant": db.changing(
                    "display_name",
                    "disabled_at",
                    "password_hash",
                    "password_changed_at",
                    "version",
                    "revision",
                )
            }
        },
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(unique=True)
    person_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("people.id"), unique=True)
    display_name: Mapped[str]
    region: Mapped[str]  # The prefix of the region whose officers look after the account.
    password_hash: Mapped[str | None]  # None: not activated, or reset.
    password_changed_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)
    revision: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    created_by: Mapped[UUID | None]  # The account; None: the command line.
    disabled_at: Mapped[datetime | None]


class GrantRow(db.Base):
    """A role in a scope for a time. Never changed: taking it back is a row of `grant_revocations`."""

    __tablename__ = "grants"
    __table_args__ = (
        db.one_of("role", Role),
        sa.CheckConstraint("region ~ '^[0-9]{0,12}$'", name="region"),
        sa.CheckConstraint("(role = 'unit_viewer') = (unit_id IS NOT NULL)", name="unit"),
        sa.CheckConstraint("role IN ('administrator', 'unit_viewer') = (region = '')", name="scope"),
        sa.CheckConstraint("valid_until > valid_from", name="validity"),
        {"info": {"grant": db.APPEND}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(sa.ForeignKey("accounts.id"), index=True)
    role: Mapped[Role] = mapped_column(sa.Text)
    region: Mapped[str]
    unit_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("units.id"))
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime | None]  # Exclusive.
    assignment: Mapped[str]
    granted_at: Mapped[datetime]
    granted_by: Mapped[UUID | None]


class GrantRevocation(db.Base):
    """A grant taken back."""

    __tablename__ = "grant_revocations"
    __table_args__ = ({"info": {"grant": db.APPEND}},)

    grant_id: Mapped[UUID] = mapped_column(sa.ForeignKey("grants.id"), primary_key=True)
    revoked_at: Mapped[datetime]
    revoked_by: Mapped[UUID | None]


class LoginSession(db.Base):
    """One login on one phone or browser, and the family of its refresh tokens (ruling 24).

    Only the hash of the newest token is kept; every token of the family can be made again from the server's key, the
    id and a generation.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        sa.Index(
            "sessions_account_id_idx", "account_id", "id", postgresql_where=sa.text("revoked_at IS NULL")
        ),
        sa.ForeignKeyConstraint(["account_id", "jkt"], ["device_keys.account_id", "device_keys.jkt"]),
        {
            "info": {
                "grant": db.changing(
                    "used_at", "generation", "rotated_at", "token_hash", "revoked_at", "end_reason"
                )
            }
        },
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(sa.ForeignKey("accounts.id"))
    client: Mapped[str]
    address: Mapped[str]
    created_at: Mapped[datetime]
    used_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    generation: Mapped[int]
    rotated_at: Mapped[datetime]
    token_hash: Mapped[bytes]
    refresh_key: Mapped[str]  # The id of the server's key that the family is derived from.
    jkt: Mapped[
        str | None
    ]  # The key of the phone that its tokens are bound to (RFC 9449); None: bearer tokens.
    revoked_at: Mapped[datetime | None]
    end_reason: Mapped[str | None]


class OneTimeCode(db.Base):
    """A code that sets the first password or, after a reset, a new one. The newest of an account alone is valid."""

    __tablename__ = "one_time_codes"
    __table_args__ = (
        sa.Index(
            "one_time_codes_live_key",
            "account_id",
            unique=True,
            postgresql_where=sa.text("used_at IS NULL AND void_at IS NULL"),
        ),
        {"info": {"grant": db.changing("used_at", "void_at")}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(sa.ForeignKey("accounts.id"))
    code_hash: Mapped[bytes]
    made_at: Mapped[datetime]
    made_by: Mapped[UUID | None]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    void_at: Mapped[datetime | None]


class KnownDevice(db.Base):
    """A phone or browser from which the right password came before; its attempts are slowed apart from strangers'."""

    __tablename__ = "known_devices"
    __table_args__ = (sa.Index(None, "account_id"), {"info": {"grant": db.changing("used_at", delete=True)}})

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(sa.ForeignKey("accounts.id"))
    secret_hash: Mapped[bytes]
    used_at: Mapped[datetime]


class DeviceKey(db.Base):
    """A phone's public key in one account (ruling 23). What becomes of it are rows of `device_events`.

    The same key may stand in several accounts: two people with one phone. `public_jwk` stays for ever, because what was
    signed with it must be verifiable as long.
    """

    __tablename__ = "device_keys"
    __table_args__ = (
        sa.UniqueConstraint("account_id", "jkt"),
        sa.Index(None, "jkt"),
        sa.CheckConstraint("jkt ~ '^[A-Za-z0-9_-]{43}$'", name="jkt"),
        db.one_of("algorithm", ("ES256", "EdDSA")),
        db.one_of("protection", rules.Protection),
        {"info": {"grant": db.APPEND}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(sa.ForeignKey("accounts.id"))
    jkt: Mapped[str]  # Thumbprint (RFC 7638).
    algorithm: Mapped[str]
    public_jwk: Mapped[dict[str, Any]]
    protection: Mapped[rules.Protection] = mapped_column(sa.Text)
    client: Mapped[str]
    address: Mapped[str]
    enrolled_at: Mapped[datetime]


class DeviceEvent(db.Base):
    """Something that happened to a key: once each."""

    __tablename__ = "device_events"
    __table_args__ = (
        sa.UniqueConstraint("device_id", "kind"),
        db.one_of("kind", rules.KeyEvent),
        db.one_of("cause", rules.KeyCause),
        {"info": {"grant": db.APPEND}},
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    device_id: Mapped[UUID] = mapped_column(sa.ForeignKey("device_keys.id"))
    kind: Mapped[rules.KeyEvent] = mapped_column(sa.Text)
    cause: Mapped[rules.KeyCause] = mapped_column(sa.Text)
    at: Mapped[datetime]
    by_account: Mapped[UUID]
    in_session: Mapped[UUID | None]
    reason: Mapped[str]


class DeviceCode(db.Base):
    """A code that makes a waiting key a trusted one: shown by a trusted phone, or issued by the town. One at a time."""

    __tablename__ = "device_codes"
    __table_args__ = (
        sa.Index(
            "device_codes_live_key",
            "account_id",
            unique=True,
            postgresql_where=sa.text("used_at IS NULL AND void_at IS NULL"),
        ),
        sa.CheckConstraint(f"tries BETWEEN 0 AND {rules.DEVICE_CODE_TRIES}", name="tries"),
        db.one_of("cause", (rules.KeyCause.OWN_CODE, rules.KeyCause.TOWN_CODE)),
        {"info": {"grant": db.changing("tries", "used_at", "used_for", "replaces", "void_at")}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(sa.ForeignKey("accounts.id"))
    cause: Mapped[rules.KeyCause] = mapped_column(sa.Text)
    code_hash: Mapped[bytes]
    made_at: Mapped[datetime]
    made_by: Mapped[UUID]
    expires_at: Mapped[datetime]
    tries: Mapped[int]
    used_at: Mapped[datetime | None]
    used_for: Mapped[UUID | None] = mapped_column(sa.ForeignKey("device_keys.id"), index=True)
    replaces: Mapped[bool]  # Said with its use: every other key of the account ends once this one is trusted.
    void_at: Mapped[datetime | None]


class Throttle(db.Base):
    """How far attempts of one subject are slowed; `subject` is a SHA-256, so no logins or addresses pile up."""

    __tablename__ = "throttles"
    __table_args__ = (
        db.one_of("kind", rules.PACES),
        sa.Index(None, "touched_at"),
        {"info": {"grant": db.changing("level", "blocked_until", "touched_at", delete=True)}},
    )

    kind: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[bytes] = mapped_column(primary_key=True)
    level: Mapped[float]
    blocked_until: Mapped[datetime]
    touched_at: Mapped[datetime]


db.REFUSALS["accounts_login_key"] = problems.LOGIN_TAKEN
db.REFUSALS["accounts_person_id_key"] = problems.PERSON_HAS_ACCOUNT
db.REFUSALS["accounts_person_id_fkey"] = problems.PERSON_UNKNOWN
db.REFUSALS["grants_unit_id_fkey"] = problems.UNIT_UNKNOWN
db.REFUSALS["one_time_codes_live_key"] = problems.CONFLICT
