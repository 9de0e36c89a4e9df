"""A check-in as it is stored, and the answer that follows from it alone.

The answer is a function of the stored row, so the first answer and every replay are the same bytes (edge 63).
"""

from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

import orjson

from geo.verdict import SENTENCES, Band, VerdictKind
from server.checkins import receipts
from server.checkins.answers import CheckInOut, MonthSoFar, TimeTold
from server.checkins.instants import LATE_AFTER
from server.checkins.rules import HELD, HELD_REASON, Kind, NoPosition, Standing
from server.checkins.time_words import time_told
from server.month.statements import shown


class Record(NamedTuple):
    """One row of the view `checkins`, as it was received and judged.

    A tuple, because thousands a second are made and turned into columns: a frozen dataclass takes 15 us for it.
    """

    person_id: UUID
    id: UUID
    received_at: datetime
    event_at: datetime
    captured_at: datetime
    sent_at: datetime
    day: date
    utc_offset_min: int
    kind: str
    verdict: str
    reason: str
    standing: str
    band: str | None
    datum: str | None
    provider: str | None
    mocked: bool | None
    accuracy_m: float | None
    fix_age_s: float | None
    margin_m: float | None
    p_inside: float | None
    p_zone: float | None
    no_position: str | None
    outside_work: bool
    note: str | None
    client: str | None
    posting_id: UUID | None
    village_code: str | None
    zone_name: str | None
    versions: list[UUID] | None
    commitment: bytes | None
    content_hash: bytes
    month_counted: int | None
    month_need: int | None
    month_due: int | None
    month_away: int | None
    month_tier: str | None
    # How the time was taken; all None where it is the phone's own or corrected, and leaves no doubt.
    time_basis: str | None
    time_doubt: str | None
    earliest_at: datetime | None
    latest_at: datetime | None
    claimed_at: datetime | None
    anchored_at: datetime | None
    # Its receipt (server.checkins.receipts); None where it was stored before there were receipts.
    issuer: str | None = None
    epoch: int | None = None
    epoch_id: UUID | None = None
    chain_seq: int | None = None
    receipt_key: int | None = None
    kid: str | None = None
    prev: bytes | None = None
    signature: bytes | None = None
    # Of one that came back after a backup was restored: when, and the hash of its receipt from before.
    restored_at: datetime | None = None
    restores: bytes | None = None
    proof_hash: bytes | None = None  # Of the phone's signature (server.checkins.signing), None without one.


COLUMNS = Record._fields


class StoredTime(NamedTuple):
    """One row of `checkin_times` without its key: how the time of a check-in was taken, and from which readings."""

    basis: str
    doubt: str | None
    earliest_at: datetime
    latest_at: datetime
    claimed_at: datetime | None
    anchored_at: datetime | None
    asked_ms: int | None
    got_ms: int | None
    tapped_ms: int | None
    sent_ms: int | None
    anchor_boot: bool | None  # Whether the anchor is of the tap's boot; None without one.
    sent_boot: bool | None  # Whether it was sent in the tap's boot; None where that was not said.
    spoiled: bool  # An anchor was given that could not be used.


class StoredPosition(NamedTuple):
    """One row of `checkin_points` without its key; all that fades."""

    salt: bytes
    lon_e7: int
    lat_e7: int
    wgs_lon_e7: int | None  # None: as sent.
    wgs_lat_e7: int | None
    altitude_cm: int | None
    speed_cmps: int | None


def from_row(row: Mapping[str, object]) -> Record:
    """Make a record from a row read by column names."""
    return Record(**{name: row[name] for name in COLUMNS})  # type: ignore[arg-type]  # The table has these types.


def answer(record: Record) -> CheckInOut:
    """Return what the phone is told."""
    zh, en = sentence(record.reason, record.zone_name)
    return CheckInOut(
        id=record.id,
        kind=Kind(record.kind),
        received_at=record.received_at,
        event_at=record.event_at,
        day=record.day,
        verdict=VerdictKind(record.verdict),
        standing=Standing(record.standing),
        reason=record.reason,
        reason_zh=zh,
        reason_en=en,
        band=Band(record.band) if record.band else None,
        village_code=record.village_code,
        late=record.received_at - record.event_at > LATE_AFTER,
        clock_off_s=_clock_off_s(record),
        outside_work=record.outside_work,
        no_position=NoPosition(record.no_position) if record.no_position else None,
        note=record.note,
        month=None if (month := _month_told(record)) is None else MonthSoFar.model_validate(month),
        time=None if (time := time_told(record)) is None else TimeTold.model_validate(time),
        restored_at=record.restored_at,
        receipt=receipts.compact(record),
    )


def answer_bytes(record: Record, receipt: str | None = None) -> bytes:
    """Return what the phone is told as JSON: the bytes of `answer`, which documents and validates them.

    `receipt` is the record's, where it was just made: writing it again costs as much as the rest three times.

    Written without the model, because making it and writing it out cost 30 us of processor, and this 5; a test holds
    both against each other.
    """
    zh, en = sentence(record.reason, record.zone_name)
    return orjson.dumps(
        {
            "id": record.id,
            "kind": record.kind,
            "received_at": record.received_at,
            "event_at": record.event_at,
            "day": record.day,
            "verdict": record.verdict,
            "standing": record.standing,
            "reason": record.reason,
            "reason_zh": zh,
            "reason_en": en,
            "band": record.band or None,
            "village_code": record.village_code,
            "late": record.received_at - record.event_at > LATE_AFTER,
            "clock_off_s": _clock_off_s(record),
            "outside_work": record.outside_work,
            "no_position": record.no_position or None,
            "note": record.note,
            "month": _month_told(record),
            "time": None if record.time_basis is None else time_told(record),
            "restored_at": record.restored_at,
            "receipt": receipt or receipts.compact(record),
        },
        option=orjson.OPT_UTC_Z,
    )


def sentence(reason: str, zone_name: str | None) -> tuple[str, str]:
    """Return the Chinese and English sentence for a reason; an exclusion zone is named."""
    zh, en = _sentences(reason)
    return (f"{zh}（{zone_name}）", f"{en} ({zone_name})") if zone_name else (zh, en)


@lru_cache(maxsize=64)
def _sentences(reason: str) -> tuple[str, str]:
    if reason == HELD_REASON:
        return HELD[0], HELD[1]
    return next((text[0], text[1]) for code, text in SENTENCES.items() if str(code) == reason)


def _clock_off_s(record: Record) -> float:
    return round((record.sent_at - record.received_at).total_seconds(), 1)


def _month_told(record: Record) -> dict[str, object] | None:
    if record.month_need is None or record.month_due is None or record.month_counted is None:
        return None
    zh, en = month_texts(record.month_counted, record.month_need, record.month_away, record.month_tier)
    return {
        "month": record.day.isoformat()[:7],
        "counted": record.month_counted / 2,
        "need": record.month_need / 2,
        "due": record.month_due / 2,
        "away_at_most": None if record.month_away is None else record.month_away / 2,
        "tier": record.month_tier,
        "text_zh": zh,
        "text_en": en,
    }


@lru_cache(maxsize=8192)
def month_texts(counted: int, need: int, away: int | None, tier: str | None) -> tuple[str, str]:
    """Say in both languages how the month stands; all numbers in halves of a day."""
    zh = f"本月已驻村 {shown(counted)} 天，需 {shown(need)} 天"
    en = f"{shown(counted)} of {shown(need)} days"
    if tier is None or away is None:
        return f"{zh}。", f"{en}."
    follow = {
        "reached": ("已达到要求，本月无需再签到", "reached, no more taps are needed this month"),
        "cannot-be-reached": (
            "本月已无法达到，请与镇党委联系",
            "can no longer be reached, please talk to the town committee",
        ),
        "no-slack": ("此后须每天在村", "every day from now on is needed"),
        "on-track": (f"最多还可离村 {shown(away)} 天", f"you can still be away at most {shown(away)} days"),
    }[tier]
    return f"{zh}；{follow[0]}。", f"{en}; {follow[1]}."
