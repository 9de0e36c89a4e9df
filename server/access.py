"""Who is asking, and what their grants reach. Pure: no I/O, no framework.

A scope is a prefix of the 12-digit statistical region code: ``500116`` is the district, ``500116101`` a town,
``500116101200`` a village. A sending unit is a scope of its own kind: the unit's id.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """The roles of ruling 16. "Team-mate" is a relation between two people, not a role."""

    CADRE = "cadre"  # 驻村干部
    CLERK = "village_clerk"  # 村文书
    TOWN = "town_officer"  # 镇党委专人
    INSPECTOR = "inspector"  # 督查人员
    DISTRICT = "district_officer"  # 区委组织部
    UNIT = "unit_viewer"  # 派出单位
    ADMIN = "administrator"


@dataclass(frozen=True, slots=True)
class Grant:
    """One role in one scope for a time. `valid_until` is exclusive; None means until revoked."""

    role: Role
    region: str = ""  # Prefix of a region code; empty means everywhere, which only administrators hold.
    unit_id: UUID | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    assignment: str = ""

    def holds(self, at: datetime) -> bool:
        """Tell whether the grant is in force at the instant."""
        return (self.valid_from is None or self.valid_from <= at) and (
            self.valid_until is None or at < self.valid_until
        )

    def reaches(self, region_code: str) -> bool:
        """Tell whether the region lies in the grant's scope. A grant to a unit reaches no region."""
        return self.unit_id is None and region_code.startswith(self.region)


@dataclass(frozen=True, slots=True)
class Who:
    """The account behind a token, with the grants in force when it was read."""

    account_id: UUID
    session_id: UUID
    version: int  # The account's authorization version; an older one than the database's is refused.
    person_id: UUID | None = None
    grants: tuple[Grant, ...] = ()
    jkt: str | None = (
        None  # The thumbprint of the phone's key that the token is bound to (RFC 9449); None: bearer.
    )

    def has(self, *roles: Role) -> bool:
        """Tell whether any grant carries one of the roles."""
        return any(grant.role in roles for grant in self.grants)

    def reaches(self, region_code: str, *roles: Role) -> bool:
        """Tell whether a grant with one of the roles covers the region."""
        return any(grant.role in roles and grant.reaches(region_code) for grant in self.grants)

    def regions(self, *roles: Role) -> tuple[str, ...]:
        """Return the shortest region prefixes that the roles reach, without those another one covers."""
        prefixes = {grant.region for grant in self.grants if grant.role in roles and grant.unit_id is None}
        return tuple(sorted(without_covered(prefixes)))

    def units(self, *roles: Role) -> tuple[UUID, ...]:
        """Return the sending units that the roles reach."""
        return tuple(g.unit_id for g in self.grants if g.role in roles and g.unit_id is not None)


def without_covered(prefixes: Iterable[str]) -> set[str]:
    """Drop every prefix that a shorter one of the same set already covers."""
    everything = set(prefixes)
    return {
        prefix
        for prefix in everything
        if not any(prefix != other and prefix.startswith(other) for other in everything)
    }
