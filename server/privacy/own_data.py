"""Everything that is kept of oneself, as JSON (个人信息副本): made from the data map, so that nothing is forgotten.

Written to a file as it is read, a few hundred rows at a time, so that ten years of check-ins need no more memory than a
week; and it is whole before the first byte of the answer is sent.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import IO
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy import orm

from server import problems
from server.compliance import routes as months
from server.month.masks import Month
from server.privacy import data_map
from server.problems import Problem

FORMAT = "zaicun-own-data/1"
IN_MEMORY = 1 << 20
ROWS_AT_ONCE = 500
PIECE = 1 << 16

_ME = "(SELECT CAST(:account AS uuid) AS account, CAST(:person AS uuid) AS person) AS me"
_PERSON, _ACCOUNT = "person_id = me.person", "account_id = me.account"
_POSTINGS = "posting_id IN (SELECT id FROM postings WHERE person_id = me.person)"
_CHECKINS = "seq IN (SELECT seq FROM checkin_rows WHERE person_id = me.person)"
_REQUESTS = "SELECT id FROM corrections WHERE person_id = me.person UNION ALL SELECT id FROM appeals WHERE person_id = me.person"
OWN: Mapping[str, str] = {
    "accounts": "id = me.account",
    "appeals": _PERSON,
    "attachment_links": "attachment_id IN (SELECT id FROM attachments WHERE account_id = me.account)",
    "attachments": _ACCOUNT,
    "audit_log": "(subject_kind = 'account' AND subject_id = CAST(me.account AS text))"
    " OR (subject_kind = 'person' AND subject_id = CAST(me.person AS text)) OR actor_id = me.account",
    "away_spans": _PERSON,
    "checkin_assessments": "seq IN (SELECT seq FROM checkin_rows WHERE person_id = me.person)",
    "checkin_attempts": _PERSON,
    "checkin_judgements": _PERSON,
    "checkin_old_receipts": _PERSON,
    "checkin_points": _PERSON,
    "checkin_rows": _PERSON,
    "checkin_signatures": _CHECKINS,
    "checkin_signers": "id IN (SELECT g.signer FROM checkin_signatures AS g JOIN checkin_rows AS r USING (seq)"
    " WHERE r.person_id = me.person)",
    "checkin_spots": _PERSON,
    "checkin_times": _CHECKINS,
    "checkin_withdrawals": _PERSON,
    "corrections": _PERSON,
    "day_fact_withdrawals": "fact_id IN (SELECT id FROM day_facts WHERE person_id = me.person)",
    "day_facts": _PERSON,
    "device_codes": _ACCOUNT,
    "device_events": "device_id IN (SELECT id FROM device_keys WHERE account_id = me.account)",
    "device_keys": _ACCOUNT,
    "grant_revocations": "grant_id IN (SELECT id FROM grants WHERE account_id = me.account)",
    "grants": _ACCOUNT,
    "known_devices": _ACCOUNT,
    "legal_hold_lifts": "hold_id IN (SELECT id FROM legal_holds WHERE person_id = me.person)",
    "legal_holds": _PERSON,
    "looks": _PERSON,
    "notice_acceptances": _ACCOUNT,
    "one_time_codes": _ACCOUNT,
    "people": "id = me.person",
    "person_heads": _PERSON,
    "person_months": _PERSON,
    "posting_history": _POSTINGS,
    "posting_places": _POSTINGS,
    "postings": _PERSON,
    "request_events": f"request_id IN ({_REQUESTS})",
    "review_items": _PERSON,
    "review_turns": "item_id IN (SELECT id FROM review_items WHERE person_id = me.person)",
    "rejudging_changes": _PERSON,
    "roster_rows": _PERSON,
    "sessions": _ACCOUNT,
}
"""For each table about a person or an account, the condition that a row is one's own."""
VIEWS = {"checkin_rows": "checkins", "checkin_points": "checkin_positions"}
"""Read as people read them: texts for codes (server.checkins.views)."""
_MINE = """CASE subject_kind WHEN 'account' THEN subject_id = CAST(me.account AS text)
    WHEN 'person' THEN subject_id = CAST(me.person AS text)
    WHEN 'checkin' THEN EXISTS (SELECT FROM checkin_rows AS r WHERE r.person_id = me.person AND r.id = CAST(subject_id AS uuid))
    ELSE false END"""
INSTEAD: Mapping[tuple[str, str], str] = {
    ("audit_log", column): f"CASE WHEN {_MINE} THEN {column} END" for column in ("subject_id", "details")
}
"""What one did to others in office is told without whom it was done to: that is theirs."""
ABOUT_ZH = (
    "本文件是本系统保存的关于您本人的全部资料，按表列出；每一栏的类别见 kinds。时间为协调世界时（UTC）。"
)
ABOUT_EN = "Everything that this system keeps about you, table by table; `kinds` explains the sort of each column. Instants are in UTC."


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose data is asked for. An official may have no person."""

    account_id: UUID
    person_id: UUID | None


def written(session: orm.Session, whose: Whose, region: str, now: datetime) -> IO[bytes]:
    """Write everything about somebody into a file that stands at its beginning. The caller closes it."""
    file: IO[bytes] = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  It outlives this function.
    try:
        for piece in _pieces(session, whose, region, now):
            file.write(piece)
    except BaseException:
        file.close()
        raise
    return file


def _pieces(session: orm.Session, whose: Whose, region: str, now: datetime) -> Iterator[bytes]:
    head = {
        "format": FORMAT,
        "made_at": now,
        "account_id": whose.account_id,
        "person_id": whose.person_id,
        "about_zh": ABOUT_ZH,
        "about_en": ABOUT_EN,
        "kinds": data_map.read()["kinds"],
    }
    yield orjson.dumps(head, option=orjson.OPT_UTC_Z)[:-1] + b',"sections":['
    for place, (name, table) in enumerate(sorted(data_map.personal().items())):
        columns = _columns(session, name)
        told = {
            "name": name,
            **{key: table[key] for key in ("purpose_zh", "purpose_en", "seen_by_zh", "seen_by_en")},
            "kept_zh": table["retention"]["zh"],
            "kept_en": table["retention"]["en"],
            "columns": {column: table["columns"].get(column) for column in columns},
            "left_out": sorted(set(table["columns"]) - set(data_map.exported(name))),
        }
        yield (b"," if place else b"") + orjson.dumps(told)[:-1] + b',"rows":['
        yield from _joined(_rows(session, name, columns, whose))
        yield b"]}"
    yield b'],"months":['
    yield from _joined(_months(session, whose, region))
    yield b"]}"


def _joined(rows: Iterator[bytes]) -> Iterator[bytes]:
    for place, row in enumerate(rows):
        yield (b"," if place else b"") + row


def _columns(session: orm.Session, table: str) -> list[str]:
    """Return what is told of a table: of a view all that it has, else what the data map lets go."""
    view = VIEWS.get(table)
    if view is None:
        return data_map.exported(table)
    return [str(column["name"]) for column in sa.inspect(session.connection()).get_columns(view)]


def _rows(session: orm.Session, table: str, columns: list[str], whose: Whose) -> Iterator[bytes]:
    chosen = ", ".join(
        f'{INSTEAD[table, name]} AS "{name}"' if (table, name) in INSTEAD else f'"{name}"' for name in columns
    )
    source = VIEWS.get(table, table)
    query = sa.text(
        f"SELECT CAST(row_to_json(t) AS text) FROM (SELECT {chosen} FROM {source}, {_ME} WHERE {OWN[table]}) AS t"  # noqa: S608  Constants and the data map.
    )
    found = session.execute(
        query,
        {"account": whose.account_id, "person": whose.person_id},
        execution_options={"yield_per": ROWS_AT_ONCE},
    )
    for row in found:
        yield str(row[0]).encode()


def _months(session: orm.Session, whose: Whose, region: str) -> Iterator[bytes]:
    """Yield each month with its days as the person is shown it (`GET /v1/me/months/{month}`)."""
    if whose.person_id is None:
        return
    query = sa.text("SELECT month FROM person_months WHERE person_id = :person ORDER BY month")
    for first in session.execute(query, {"person": whose.person_id}).scalars().all():
        try:
            month = months.month_of(session, whose.person_id, Month.of(first), region)
        except Problem as problem:
            if problem.kind is not problems.NO_POLICY:
                raise
            continue  # Nothing can be said of the month; its rows are told all the same.
        yield month.model_dump_json().encode()


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """Yield a file piece by piece, and close it at the end."""
    with file:
        while piece := file.read(PIECE):
            yield piece
