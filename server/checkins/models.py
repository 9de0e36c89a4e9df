"""Check-ins as they came, their positions apart, later judgements, withdrawals and refused attempts.

The hot tables are narrow (DECISIONS.md 43): values of enumerations are one byte (server.checkins.codes), and what
repeats for a village or a phone is a row of its own. Read them through the view `checkins`, which shows texts. They
carry no foreign keys and one unique index each: the person comes from a verified token, whose account is tied to the
person by a foreign key, and nobody may delete people (performance.md: 20 % of the intake's ceiling).
"""

from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapped, mapped_column

from geo.datum import SaidDatum
from geo.verdict import VerdictKind
from server import db
from server.checkins import codes, views
from server.checkins.instants import Doubt, TimeBasis
from server.checkins.plausibility.shifts import Shift
from server.checkins.rules import AlarmOutcome, EpochCause, Standing

Small = sa.SmallInteger
Real = postgresql.REAL


class CheckInRow(db.Base):
    """One check-in (签到) as received and as first judged, as it lies on disk. Never updated, never deleted (M14, M24).

    The columns are in the order that leaves no gaps: PostgreSQL aligns each to its own size.
    """

    __tablename__ = "checkin_rows"
    __table_args__ = (
        sa.PrimaryKeyConstraint("person_id", "id"),
        sa.Index(None, "received_at", postgresql_using="brin"),
        sa.Index(None, "day", postgresql_using="brin"),
        *(db.one_of(column, known.values()) for column, known in codes.CODES.items()),
        {"info": {"grant": db.APPEND}},
    )

    seq: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True))  # The key of its position.
    received_at: Mapped[datetime]
    event_at: Mapped[datetime]
    captured_at: Mapped[datetime | None]  # NULL: as event_at, when the phone's clock was right.
    sent_at: Mapped[datetime]
    day: Mapped[date]
    accuracy_m: Mapped[float | None] = mapped_column(Real)
    fix_age_s: Mapped[float | None] = mapped_column(Real)
    margin_m: Mapped[float | None] = mapped_column(Real)
    p_inside: Mapped[float | None] = mapped_column(Real)
    p_zone: Mapped[float | None] = mapped_column(Real)
    grounds: Mapped[int | None]  # checkin_grounds; NULL: none.
    phone: Mapped[int | None]  # checkin_phones; NULL: nothing was said.
    utc_offset_min: Mapped[int] = mapped_column(Small)
    # The month as it was told to the phone, in halves, so that a replay gives the same bytes.
    month_counted: Mapped[int | None] = mapped_column(Small)
    month_need: Mapped[int | None] = mapped_column(Small)
    month_due: Mapped[int | None] = mapped_column(Small)
    month_away: Mapped[int | None] = mapped_column(Small)
    kind: Mapped[str] = mapped_column(codes.Code("kind"))
    verdict: Mapped[str] = mapped_column(codes.Code("verdict"))
    reason: Mapped[str] = mapped_column(codes.Code("reason"))
    standing: Mapped[str] = mapped_column(codes.Code("standing"))
    band: Mapped[str | None] = mapped_column(codes.Code("band"))
    no_position: Mapped[str | None] = mapped_column(codes.Code("no_position"))
    month_tier: Mapped[str | None] = mapped_column(codes.Code("month_tier"))
    outside_work: Mapped[bool]
    person_id: Mapped[UUID]
    id: Mapped[UUID]
    posting_id: Mapped[UUID | None]
    commitment: Mapped[bytes | None]
    content_hash: Mapped[bytes]
    client: Mapped[str | None]  # With `provider`: what a phone said that checkin_phones has no room for.
    provider: Mapped[str | None]
    note: Mapped[str | None]
    # Its receipt: what server.checkins.receipts needs beside the above to write it again. All NULL before there were any.
    chain_seq: Mapped[int | None]
    epoch: Mapped[int | None] = mapped_column(Small)
    receipt_key: Mapped[int | None] = mapped_column(Small)
    prev: Mapped[bytes | None]
    signature: Mapped[bytes | None]
    restored_at: Mapped[datetime | None]
    restores: Mapped[bytes | None]


class PersonHead(db.Base):
    """The newest receipt of a person's chain. Moved in the statement that stores the check-in, and only from where it stood."""

    __tablename__ = "person_heads"
    __table_args__ = (
        sa.CheckConstraint("was >= 0 AND seq > was", name="forward"),
        {
            "info": {"grant": db.changing("seq", "was", "epoch", "hash")},
            "postgresql_with": {"fillfactor": 70},
        },
    )

    person_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int]
    was: Mapped[int]  # Where it stood before the last step: the comparison of the next one.
    epoch: Mapped[int] = mapped_column(Small)
    hash: Mapped[bytes]  # SHA-256 of the receipt.


class ReceiptEpoch(db.Base):
    """A stretch of the chains between two restores (ruling 26): receipts of an earlier one may be all that is left."""

    __tablename__ = "receipt_epochs"
    __table_args__ = (db.one_of("cause", EpochCause), {"info": {"grant": db.APPEND}})

    number: Mapped[int] = mapped_column(Small, primary_key=True, autoincrement=False)
    id: Mapped[UUID]  # Two restores of one backup have the same number, not the same id.
    issuer: Mapped[str]
    began_at: Mapped[datetime]
    cause: Mapped[str]
    resend_from: Mapped[datetime | None]  # When the backup was made: what came later has to come again.


class ReceiptKey(db.Base):
    """The public half of a key that signed receipts, for ever (ruling 24)."""

    __tablename__ = "receipt_keys"
    __table_args__ = (sa.UniqueConstraint("kid"), {"info": {"grant": db.APPEND}})

    id: Mapped[int] = mapped_column(Small, sa.Identity(always=True), primary_key=True)
    kid: Mapped[str]  # RFC 7638 thumbprint.
    x: Mapped[str]  # RFC 8037: the public key in base64url.
    since: Mapped[datetime]


class OldReceipt(db.Base):
    """The receipt with which a check-in came back after a backup was restored: the proof of its time."""

    __tablename__ = "checkin_old_receipts"
    __table_args__ = (sa.PrimaryKeyConstraint("person_id", "checkin_id"), {"info": {"grant": db.APPEND}})

    person_id: Mapped[UUID]
    checkin_id: Mapped[UUID]
    at: Mapped[datetime]
    receipt: Mapped[str]


class CheckInGrounds(db.Base):
    """What a verdict rests on: the village, the exclusion zone that the reason names, the boundary versions."""

    __tablename__ = "checkin_grounds"
    __table_args__ = (
        sa.UniqueConstraint("village_code", "zone_name", "versions", postgresql_nulls_not_distinct=True),
        {"info": {"grant": db.APPEND}},
    )

    id: Mapped[int] = mapped_column(sa.Integer, sa.Identity(always=True), primary_key=True)
    village_code: Mapped[str | None]
    zone_name: Mapped[str | None]
    versions: Mapped[list[UUID] | None] = mapped_column(postgresql.ARRAY(sa.Uuid()))


class CheckInPhone(db.Base):
    """What phones of one make say of themselves; as many of them as server.checkins.names allows."""

    __tablename__ = "checkin_phones"
    __table_args__ = (
        sa.UniqueConstraint("client", "provider", "datum", "mocked", postgresql_nulls_not_distinct=True),
        db.one_of("datum", SaidDatum),
        {"info": {"grant": db.APPEND}},
    )

    id: Mapped[int] = mapped_column(sa.Integer, sa.Identity(always=True), primary_key=True)
    client: Mapped[str | None]
    provider: Mapped[str | None]
    datum: Mapped[str | None]
    mocked: Mapped[bool | None]


class CheckInPosition(db.Base):
    """The coordinates of a check-in, apart from it so that they can fade (ruling 22).

    Degrees in 1e-7: as sent, in the sender's datum, and in WGS-84 where that differs. No path, no track: one position
    a check-in.
    """

    __tablename__ = "checkin_points"
    __table_args__ = ({"info": {"grant": db.APPEND}},)

    seq: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)  # Of the check-in.
    lon_e7: Mapped[int]
    lat_e7: Mapped[int]
    wgs_lon_e7: Mapped[int | None]  # NULL: as sent.
    wgs_lat_e7: Mapped[int | None]
    altitude_cm: Mapped[int | None]
    speed_cmps: Mapped[int | None]
    salt: Mapped[bytes]


class CheckInTime(db.Base):
    """How the time of a check-in was taken: only where an anchor or a running clock was sent, or the time is in doubt.

    With the readings from which the interval follows, in milliseconds of the phone's running clock.
    """

    __tablename__ = "checkin_times"
    __table_args__ = (
        db.one_of("basis", TimeBasis),
        db.one_of("doubt", Doubt),
        {"info": {"grant": db.APPEND}},
    )

    seq: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)  # Of the check-in.
    basis: Mapped[str]
    doubt: Mapped[str | None]
    earliest_at: Mapped[datetime]
    latest_at: Mapped[datetime]
    claimed_at: Mapped[datetime | None]  # By the phone's wall clock, corrected.
    anchored_at: Mapped[datetime | None]
    asked_ms: Mapped[int | None] = mapped_column(sa.BigInteger)
    got_ms: Mapped[int | None] = mapped_column(sa.BigInteger)
    tapped_ms: Mapped[int | None] = mapped_column(sa.BigInteger)
    sent_ms: Mapped[int | None] = mapped_column(sa.BigInteger)
    anchor_boot: Mapped[bool | None]  # Whether the tap was in the anchor's boot,
    sent_boot: Mapped[bool | None]  # and in that of the sending.
    spoiled: Mapped[bool]


class CheckInSigner(db.Base):
    """What the signatures of a phone have in common: its key, and their JWS header as it was sent.

    The header holds the public key, so a signature can be checked without any other table. A key that two people's
    check-ins were signed with is one phone used by both (edge 70).
    """

    __tablename__ = "checkin_signers"
    __table_args__ = (
        sa.UniqueConstraint("header"),
        sa.Index(None, "jkt"),
        {"info": {"grant": db.APPEND}},
    )

    id: Mapped[int] = mapped_column(sa.Integer, sa.Identity(always=True), primary_key=True)
    jkt: Mapped[str]  # The key's thumbprint (RFC 7638), as in device_keys.
    header: Mapped[str]  # In base64url.


class CheckInSignature(db.Base):
    """The phone's signature over a check-in (ruling 23), byte for byte: it can be checked for ever, and never changes.

    What was signed holds a salted commitment in place of the coordinates, so it stays when they fade (ruling 22).
    """

    __tablename__ = "checkin_signatures"
    __table_args__ = ({"info": {"grant": db.APPEND}},)

    seq: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)  # Of the check-in.
    signer: Mapped[int]  # checkin_signers.
    payload: Mapped[bytes]
    phone_signature: Mapped[bytes]


class CheckIn(db.Base):
    """One check-in (签到) as people read it: the view over its row, its grounds and its phone."""

    __tablename__ = "checkins"
    __table_args__ = (sa.PrimaryKeyConstraint("person_id", "id"),)
    metadata = db.VIEWS

    seq: Mapped[int] = mapped_column(sa.BigInteger)
    person_id: Mapped[UUID]
    id: Mapped[UUID]
    received_at: Mapped[datetime]
    event_at: Mapped[datetime]
    captured_at: Mapped[datetime]
    sent_at: Mapped[datetime]
    day: Mapped[date]
    utc_offset_min: Mapped[int] = mapped_column(Small)
    kind: Mapped[str]
    verdict: Mapped[str]
    reason: Mapped[str]
    standing: Mapped[str]
    band: Mapped[str | None]
    datum: Mapped[str | None]
    provider: Mapped[str | None]
    mocked: Mapped[bool | None]
    accuracy_m: Mapped[float | None] = mapped_column(Real)
    fix_age_s: Mapped[float | None] = mapped_column(Real)
    margin_m: Mapped[float | None] = mapped_column(Real)
    p_inside: Mapped[float | None] = mapped_column(Real)
    p_zone: Mapped[float | None] = mapped_column(Real)
    no_position: Mapped[str | None]
    outside_work: Mapped[bool]
    note: Mapped[str | None]
    client: Mapped[str | None]
    posting_id: Mapped[UUID | None]
    village_code: Mapped[str | None]
    zone_name: Mapped[str | None]  # The exclusion zone that the reason names.
    versions: Mapped[list[UUID] | None] = mapped_column(
        postgresql.ARRAY(sa.Uuid())
    )  # Boundary versions judged by.
    commitment: Mapped[bytes | None]
    content_hash: Mapped[bytes]
    month_counted: Mapped[int | None] = mapped_column(Small)
    month_need: Mapped[int | None] = mapped_column(Small)
    month_due: Mapped[int | None] = mapped_column(Small)
    month_away: Mapped[int | None] = mapped_column(Small)
    month_tier: Mapped[str | None]
    time_basis: Mapped[str | None]
    time_doubt: Mapped[str | None]
    earliest_at: Mapped[datetime | None]
    latest_at: Mapped[datetime | None]
    claimed_at: Mapped[datetime | None]
    anchored_at: Mapped[datetime | None]
    issuer: Mapped[str | None]
    epoch: Mapped[int | None] = mapped_column(Small)
    epoch_id: Mapped[UUID | None]
    chain_seq: Mapped[int | None]
    receipt_key: Mapped[int | None] = mapped_column(Small)
    kid: Mapped[str | None]
    prev: Mapped[bytes | None]
    signature: Mapped[bytes | None]
    restored_at: Mapped[datetime | None]
    restores: Mapped[bytes | None]
    proof_hash: Mapped[bytes | None]


db.add_view("checkins", views.CHECKINS)
db.add_view("checkin_positions", views.POSITIONS)


class Judgement(db.Base):
    """A later judgement of a check-in, after the roster or a boundary was corrected. The newest one speaks."""

    __tablename__ = "checkin_judgements"
    __table_args__ = (
        sa.Index(None, "person_id", "checkin_id", "seq"),
        db.one_of("verdict", VerdictKind),
        db.one_of("standing", Standing),
        {"info": {"grant": db.APPEND}},
    )

    seq: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    person_id: Mapped[UUID]
    checkin_id: Mapped[UUID]
    at: Mapped[datetime]
    cause: Mapped[str]  # rules.Cause
    verdict: Mapped[str]
    reason: Mapped[str]
    standing: Mapped[str]
    band: Mapped[str | None]
    margin_m: Mapped[float | None] = mapped_column(Real)
    p_inside: Mapped[float | None] = mapped_column(Real)
    p_zone: Mapped[float | None] = mapped_column(Real)
    posting_id: Mapped[UUID | None]
    village_code: Mapped[str | None]
    zone_name: Mapped[str | None]
    versions: Mapped[list[UUID] | None] = mapped_column(postgresql.ARRAY(sa.Uuid()))
    decision_id: Mapped[
        UUID | None
    ]  # The reviewer's decision that holds, carried on by each later judgement.


class DatumAlarm(db.Base):
    """A client whose people's positions moved together by the offset of another datum (edge 40): the client's fault.

    What is `outside` by it is held as unsure, while the alarm is open and, if it is confirmed, for its time for good.
    """

    __tablename__ = "datum_alarms"
    __table_args__ = (
        sa.Index(
            "datum_alarms_open_key",
            "client",
            "shift",
            unique=True,
            postgresql_where=sa.text("closed_at IS NULL"),
        ),
        sa.CheckConstraint("(closed_at IS NULL) = (outcome IS NULL)", name="closed_with_an_outcome"),
        db.one_of("shift", Shift),
        db.one_of("outcome", AlarmOutcome),
        {"info": {"grant": db.changing("closed_at", "closed_by", "outcome", "closing_reason")}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    client: Mapped[str]
    shift: Mapped[str]
    people: Mapped[int]  # Who used the client before and in the days looked at,
    moved: Mapped[int]  # and how many of them moved.
    power: Mapped[float] = mapped_column(Real)  # Of ten: how probable so many are by chance.
    since: Mapped[datetime]
    raised_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str | None]
    outcome: Mapped[str | None]
    closing_reason: Mapped[str | None]


class Withdrawal(db.Base):
    """A check-in that its maker took back within the minutes the policy gives. The check-in stays, marked."""

    __tablename__ = "checkin_withdrawals"
    __table_args__ = (sa.PrimaryKeyConstraint("person_id", "checkin_id"), {"info": {"grant": db.APPEND}})

    person_id: Mapped[UUID]
    checkin_id: Mapped[UUID]
    at: Mapped[datetime]
    reason: Mapped[str]


class Attempt(db.Base):
    """A check-in that was refused, with what was sent: nothing is lost (ruling 13)."""

    __tablename__ = "checkin_attempts"
    __table_args__ = (sa.Index(None, "person_id", "id"), {"info": {"grant": db.APPEND}})

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    at: Mapped[datetime]
    person_id: Mapped[UUID]
    account_id: Mapped[UUID]
    checkin_id: Mapped[str]  # As given: it may be no UUID.
    code: Mapped[str]
    status: Mapped[int] = mapped_column(Small)
    body: Mapped[bytes | None]  # As sent, cut to 4 KiB; forgotten when coordinates fade.
