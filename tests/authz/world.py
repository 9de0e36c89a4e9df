"""The world of the matrix: who asks (callers) and what is asked for (targets), each in one relation to the callers.

Every caller's home is the village HOME in TOWN of DISTRICT, and every unit viewer's unit is OWN_UNIT; so a target's
name says its relation to all of them at once. Each target's texts, numbers and positions occur nowhere else: where one
of them turns up in an answer, that target has been shown.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any

from server.access import Role

NOW = datetime.fromisoformat("2026-06-15T12:00:00+08:00")
MONTH, MONTH_DAY = "2026-06", date(2026, 6, 10)
LONG_AGO = datetime.fromisoformat("2026-01-01T00:00:00+08:00")
PASSWORD = "四方山下的七棵树"
DISTRICT, OTHER_DISTRICT = "500116", "500117"
TOWN, OTHER_TOWN, FOREIGN_TOWN = "500116101", "500116102", "500117101"
HOME = f"{TOWN}200"
MERGED_ON = date(2026, 3, 1)

VILLAGES = {
    "team": HOME,
    "ended": HOME,
    "void": HOME,
    "town": f"{TOWN}201",
    "merged": "500116109200",  # Of a town that was merged: followed by a village of TOWN since March.
    "departed": f"{TOWN}209",  # Of TOWN until March, then followed by a village of the other town.
    "own_unit": f"{OTHER_TOWN}200",
    "other_town": f"{OTHER_TOWN}201",
    "other_district": f"{FOREIGN_TOWN}200",
}
RELATIONS = ("own", *VILLAGES, "nowhere")
SUCCESSORS = {VILLAGES["merged"]: f"{TOWN}201", VILLAGES["departed"]: f"{OTHER_TOWN}201"}


@dataclass
class Target:
    """Everything that belongs to one relation. Ids are texts, as requests carry them; absent ones are empty."""

    relation: str
    village: str = ""
    ids: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, list[str]] = field(default_factory=dict)

    def __getattr__(self, name: str) -> str:
        """Return one of the ids by its name; "" when the target has none."""
        if name.startswith("__"):
            raise AttributeError(name)
        return str(self.__dict__.get("ids", {}).get(name, ""))

    @property
    def town(self) -> str:
        """Return the prefix of the target's town."""
        return self.village[:9]

    @property
    def district(self) -> str:
        """Return the prefix of the target's district."""
        return self.village[:6]


@dataclass
class Caller:
    """Somebody who asks. `kind` names a row of authz.yaml; `own` is what belongs to the caller alone."""

    kind: str
    token: str
    login: str
    own: Target


@dataclass
class World:
    """Callers, targets, and tokens that must be refused (name to token and code)."""

    callers: dict[str, Caller]
    targets: dict[str, Target]
    refused: dict[str, tuple[str | None, str]]

    def target(self, caller: Caller, relation: str) -> Target:
        """Return the target that stands in the relation to the caller."""
        return caller.own if relation == "own" else self.targets[relation]

    def to_json(self) -> str:
        """Return the world as text, for a process that does not build it itself."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "World":
        """Read the world back."""
        told: Mapping[str, Any] = json.loads(text)
        return cls(
            {
                name: Caller(**{**each, "own": Target(**each["own"])})
                for name, each in told["callers"].items()
            },
            {name: Target(**each) for name, each in told["targets"].items()},
            {name: (each[0], each[1]) for name, each in told["refused"].items()},
        )


ROLES: dict[str, tuple[Role, ...]] = {
    **{str(role): (role,) for role in Role},
    "cadre_town_officer": (Role.CADRE, Role.TOWN),
    "posted_inspector": (Role.INSPECTOR,),
    "former_cadre": (Role.CADRE,),
    "no_role": (),
    "not_yet": (Role.DISTRICT,),
    "no_longer": (Role.DISTRICT,),
}
"""Who asks. The last three hold no role now: none, one that begins in five minutes, one that ended a second ago."""
PERSONAL = {"cadre", "cadre_town_officer", "posted_inspector", "former_cadre"}
