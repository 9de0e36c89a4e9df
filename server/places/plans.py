"""What publishing an import would do: zone by zone, and the features that are left out."""

from dataclasses import dataclass, field
from typing import Any

from server.places.hooks import ZoneChange
from server.places.models import ZoneVersion
from server.places.rules import Finding


@dataclass(frozen=True, slots=True)
class Step:
    """One zone that publishing would add a version to. `before` None: it had no boundary then."""

    change: ZoneChange
    reference: str
    before: ZoneVersion | None
    area_m2: float
    new_zone: bool
    replaces_later: int  # Versions valid from a later day, which this one takes the place of.


@dataclass(frozen=True, slots=True)
class Refused:
    """One feature that is left out, and why."""

    index: int
    reference: str
    name: str
    findings: tuple[Finding, ...]


@dataclass(slots=True)
class Plan:
    """What publishing an import would do now."""

    new: list[Step] = field(default_factory=list)
    changed: list[Step] = field(default_factory=list)
    ended: list[Step] = field(default_factory=list)
    unchanged: int = 0
    refused: list[Refused] = field(default_factory=list)

    @property
    def steps(self) -> list[Step]:
        """Return every version that would be added."""
        return [*self.new, *self.changed, *self.ended]

    def outcome(self) -> dict[str, Any]:
        """Return the plan in numbers, with every refused feature by name, for the record."""
        return {
            "new": len(self.new),
            "changed": len(self.changed),
            "ended": len(self.ended),
            "unchanged": self.unchanged,
            "refused": [
                {
                    "index": one.index,
                    "reference": one.reference,
                    "name": one.name,
                    "codes": sorted({finding.code for finding in one.findings}),
                }
                for one in self.refused
            ],
        }
