"""What rooms above places bring: whether judgements would change, and who stands behind a login.

Places lies under check-ins and accounts and may not import them. The application installs their parts here when it is
assembled, once a process; without them a count is absent (not zero), and the command line knows nobody.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from shapely import MultiPolygon
from sqlalchemy import orm

from geo.zones import ZoneKind
from server.access import Who


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneChange:
    """One zone as publishing would leave it. `shape` None: it ends at `valid_from`.

    `zone_id` is the zone's id even when the zone is new. Whoever judges again takes, for an instant t with
    ``valid_from <= t`` and (``valid_until`` None or ``t < valid_until``), this shape instead of the version in force.
    """

    zone_id: UUID
    version_id: UUID
    kind: ZoneKind
    region_code: str
    name: str
    shape: MultiPolygon | None
    accuracy_m: float
    valid_from: datetime
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class Effect:
    """How many stored check-ins, of how many people, would be judged differently."""

    check_ins: int
    people: int


class Judgements(Protocol):
    """What the check-ins room supplies."""

    def would_change(self, session: orm.Session, changes: Sequence[ZoneChange]) -> Effect:
        """Judge the stored check-ins that the changes touch, and count; nothing is written."""

    def boundaries_published(self, session: orm.Session, changes: Sequence[ZoneChange]) -> None:
        """Take note, in the transaction of publishing, of what is to be judged again (edge 46)."""

    def region_followed(self, session: orm.Session, codes: Sequence[str], from_day: date) -> None:
        """Take note that postings in these regions are postings elsewhere from a day on (edge 48)."""


class Accounts(Protocol):
    """What the auth room supplies for the command line."""

    def who(self, session: orm.Session, login: str) -> Who | None:
        """Return the account with this login and its grants in force; None when there is none that is enabled."""


class _Installed:
    judgements: Judgements | None = None
    accounts: Accounts | None = None


def install(*, judgements: Judgements | None = None, accounts: Accounts | None = None) -> None:
    """Install what is given; the rest stays."""
    if judgements is not None:
        _Installed.judgements = judgements
    if accounts is not None:
        _Installed.accounts = accounts


def judgements() -> Judgements | None:
    """Return what the check-ins room installed."""
    return _Installed.judgements


def accounts() -> Accounts | None:
    """Return what the auth room installed."""
    return _Installed.accounts
