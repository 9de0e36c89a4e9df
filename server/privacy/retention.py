"""What goes, and when: coordinates fade after the policy's months (ruling 22), records that have an end are purged (S9).

The decision what may go at all is the database's (server.privacy.functions); here is said what is due. Statistics are
never touched: months, verdicts, counters and commitments stay.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import sqlalchemy as sa
from sqlalchemy import orm

from server.checkins.judging import FALLBACK
from server.month import book as books
from server.month.book import Book
from server.month.masks import Month
from server.places.rules import midnight
from server.privacy import data_map

BATCH = 20_000
A_NIGHT = 400_000
"""Positions faded in one night at most, some minutes of work; what is left fades in the next."""
THROTTLES_KEPT = timedelta(days=30)
KNOWN_DEVICES_KEPT = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Due:
    """The coordinates of a month in villages whose policy lets them fade. "" stands for no village."""

    month: Month
    villages: tuple[str, ...]


_LEFT = sa.text(
    """SELECT date_trunc('month', r.day)::date AS first, coalesce(g.village_code, '') AS village
FROM checkin_points AS p JOIN checkin_rows AS r ON r.seq = p.seq LEFT JOIN checkin_grounds AS g ON g.id = r.grounds
WHERE r.day < :before GROUP BY 1, 2 ORDER BY 1, 2"""
)


def due(session: orm.Session, today: date) -> list[Due]:
    """Return what may fade today, oldest month first."""
    book = books.load(session)
    villages: dict[Month, list[str]] = {}
    for first, village in session.execute(_LEFT, {"before": today.replace(day=1)}):
        month = Month.of(first)
        if fades_on(book, village, month) <= today:
            villages.setdefault(month, []).append(village)
    return [Due(month, tuple(found)) for month, found in villages.items()]


def fades_on(book: Book, village: str, month: Month) -> date:
    """Return the day from which the coordinates of a month may fade: so many whole months after its end.

    What belongs to no village is kept as long as the most patient policy says.
    """
    if village:
        governing = book.governing(village, month)
        months = (governing.policy if governing else FALLBACK).fade_after_months
    else:
        months = max((v.policy.fade_after_months for v in book.versions), default=FALLBACK.fade_after_months)
    years, place = divmod(month.number + months, 12)
    return date(month.year + years, place + 1, 1)


def fade(session: orm.Session, today: date) -> dict[str, object]:
    """Take away the coordinates that are due, and the bodies of refused check-ins of the same age; return counts."""
    gone = 0
    for each in due(session, today):
        gone += sum(
            _batches(
                session,
                "fade_positions",
                [each.month.first, each.month.last, list(each.villages)],
                A_NIGHT - gone,
            )
        )
    bodies = sum(_batches(session, "forget_bodies", [midnight(_bodies_before(session, today))], A_NIGHT))
    return {"positions": gone, "bodies": bodies}


def _bodies_before(session: orm.Session, today: date) -> date:
    """Return the first day of the oldest month whose refused bodies are kept: they belong to no village."""
    book, month = books.load(session), Month.of(today)
    while fades_on(book, "", Month.of(month.first - timedelta(days=1))) > today:
        month = Month.of(month.first - timedelta(days=1))
    return month.first


def _batches(session: orm.Session, function: str, arguments: list[object], most: int) -> Iterator[int]:
    """Call a function of server.privacy.functions until nothing is left; yield how many rows went each time."""
    named = getattr(sa.func.public, function)
    while most > 0:
        number = int(session.execute(sa.select(named(*arguments, min(BATCH, most)))).scalar_one())
        yield number
        most -= number
        if number < BATCH:
            return


def purge(session: orm.Session, today: date) -> dict[str, object]:
    """Delete what the data map says has an end, but for what is under hold; return counts by table."""
    found: dict[str, object] = {}
    for table, days in data_map.purged().items():
        before = midnight(today - timedelta(days=days))
        found[table] = sum(_batches(session, f"purge_{table}", [before], A_NIGHT))
    for table, column, kept in (
        ("throttles", "touched_at", THROTTLES_KEPT),
        ("known_devices", "used_at", KNOWN_DEVICES_KEPT),
    ):
        statement = sa.text(f"DELETE FROM {table} WHERE {column} < :before")  # noqa: S608  Constants.
        found[table] = session.execute(statement, {"before": midnight(today) - kept}).rowcount  # type: ignore[attr-defined]  # A cursor's.
    return found
