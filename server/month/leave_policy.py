"""What a district has decided about leave (请假): who grants how much of it, and how long things may wait. Pure.

The notice (五（二）) says that the town party committee (镇党委) names somebody for 请销假审批, and nothing about days; how
other districts do it is in the sources of the edge cases 81 to 106. So all of this is data of the policy.
"""

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise


class Level(StrEnum):
    """Which office decides, the nearer one first."""

    TOWN = "town"
    DISTRICT = "district"


HIGHEST = Level.DISTRICT


@dataclass(frozen=True, slots=True)
class LeaveTier:
    """Who grants an absence of up to so many days, that number included (edge 81); None is without an end.

    `approvals` is how many officers of the level have to agree, each another person.
    """

    up_to_days: int | None
    level: Level
    approvals: int = 1


LEAVE_TIERS = (LeaveTier(3, Level.TOWN), LeaveTier(None, Level.DISTRICT))
"""Up to three days the town, above it the district."""


@dataclass(frozen=True, slots=True)
class LeaveRules:
    """How leave is granted.

    `joins_free_days`: leaves add up to one absence also when only free days lie between them (edge 82); adjacent ones
    always do. `silent_hours`: after so long without a decision it is the next level's turn (edge 96). `confirm_days`:
    until how many days after its beginning a permission given by word of mouth can still be entered as one (edge 95).
    `minimum_present`: how many of a village's team should stay; fewer is a warning to whoever decides (edge 106).
    """

    tiers: tuple[LeaveTier, ...] = LEAVE_TIERS
    joins_free_days: bool = True
    silent_hours: int = 48
    confirm_days: int = 3
    minimum_present: int = 1

    def __post_init__(self) -> None:
        bounds = [tier.up_to_days for tier in self.tiers]
        limits = [bound for bound in bounds[:-1] if bound is not None]
        if not bounds or bounds[-1] is not None or len(limits) != len(bounds) - 1:
            raise ValueError("The last tier, and only the last, has no end.")
        if any(low >= high for low, high in pairwise(limits)):
            raise ValueError("Tiers follow each other in the order of their days.")
        order = list(Level)
        ranks = [order.index(tier.level) for tier in self.tiers]
        if ranks != sorted(ranks):
            raise ValueError("A longer absence is never granted by a lower office.")

    def tier(self, halves: int) -> LeaveTier:
        """Return who grants an absence of so many half days; three and a half days are more than three."""
        return next(tier for tier in self.tiers if tier.up_to_days is None or halves <= 2 * tier.up_to_days)
