"""The policies in force, the calendars and the outages, kept in memory and replaced as a whole when any changes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server.month import outages, policy_document
from server.month.holidays import ImportedCalendar, MonthCalendar, month_calendar
from server.month.masks import Month
from server.month.outages import Down
from server.month.policy import Policy, PolicyVersion, governing
from server.month.rules import Frame, frame

POLICIES = """SELECT id, region_prefix, version, valid_from, document FROM policies
WHERE published_at IS NOT NULL ORDER BY region_prefix, code, version"""
CALENDARS = "SELECT year, days FROM calendar_years ORDER BY id"
"""Both read the same few rows for the server's sessions and for the intake's own connection."""

PRINCIPAL = "two-thirds"
"""The policy that speaks first where several govern a month; the notice's own rule."""


@dataclass(frozen=True, slots=True)
class Governing:
    """A policy version with its id, as results name it."""

    id: UUID
    version: PolicyVersion

    @property
    def policy(self) -> Policy:
        """Return the policy itself."""
        return self.version.policy


@dataclass
class Book:
    """All published policies, imported calendars, and outages."""

    versions: tuple[PolicyVersion, ...] = ()
    ids: Mapping[tuple[str, str, int], UUID] = field(default_factory=dict)
    imported: tuple[ImportedCalendar, ...] = ()
    outages: tuple[Down, ...] = ()
    _calendars: dict[Month, MonthCalendar] = field(default_factory=dict)
    _frames: dict[tuple[UUID, Month, date], Frame] = field(default_factory=dict)
    _chosen: dict[tuple[str, Month], Governing | None] = field(default_factory=dict)

    def calendar(self, month: Month) -> MonthCalendar:
        """Return the working days of a month, with their source."""
        found = self._calendars.get(month)
        if found is None:
            found = self._calendars[month] = month_calendar(month, self.imported)
        return found

    def frame(self, month: Month, governing: Governing, today: date) -> Frame:
        """Return the frame of a month under a policy as of a day: the same for everybody it governs."""
        key = (governing.id, month, today)
        found = self._frames.get(key)
        if found is None:
            if len(self._frames) > 2_000:  # noqa: PLR2004  A bound on memory: policies times months times days.
                self._frames.clear()
            found = self._frames[key] = frame(self.calendar(month), governing.policy, today)
        return found

    def governing(self, region_code: str, month: Month) -> Governing | None:
        """Return the policy that governs a month in a region (ruling 9); None when none is published."""
        key = (region_code, month)
        if key not in self._chosen:
            if len(self._chosen) > 20_000:  # noqa: PLR2004  A bound on memory: villages times months asked for.
                self._chosen.clear()
            several = governing(self.versions, region_code, month)
            first = next((v for v in several if v.policy.code == PRINCIPAL), several[0] if several else None)
            self._chosen[key] = None if first is None else Governing(self.ids[_key(first)], first)
        return self._chosen[key]


def _key(version: PolicyVersion) -> tuple[str, str, int]:
    return version.region_prefix, version.policy.code, version.version


def build(
    policies: Iterable[tuple[UUID, str, int, date, Any]],
    calendars: Iterable[tuple[int, Any]],
    down: Iterable[Sequence[Any]] = (),
) -> Book:
    """Make a book from the rows of POLICIES and CALENDARS, and of the outages that stand."""
    versions: list[PolicyVersion] = []
    ids: dict[tuple[str, str, int], UUID] = {}
    for policy_id, prefix, number, valid_from, document in policies:
        policy = policy_document.parse(document)
        version = PolicyVersion(
            region_prefix=prefix, valid_from=valid_from, valid_until=None, version=number, policy=policy
        )
        versions.append(version)
        ids[_key(version)] = policy_id
    imported = tuple(
        ImportedCalendar(
            year, {date.fromisoformat(day): (kind == "working", name) for day, (kind, name) in days.items()}
        )
        for year, days in calendars
    )
    return Book(tuple(versions), ids, imported, outages.read(down))


def load(session: orm.Session) -> Book:
    """Read the book in a session of the server."""
    policies = [tuple(row) for row in session.execute(sa.text(POLICIES))]
    calendars = [tuple(row) for row in session.execute(sa.text(CALENDARS))]
    return build(policies, calendars, session.execute(sa.text(outages.STANDING)))
