"""authz.yaml as the tests read it: what each cell must answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from authz.world import RELATIONS

FOLDER = Path(__file__).parent
KINDS = ("one", "list", "self", "public", "open")
_KEYS = {
    "kind", "aim", "allowed", "available", "refused", "but", "shows", "filters", "writes", "existence", "relations",
    "commits", "single", "why", "only", "reach", "team_too", "everywhere",
}  # fmt: skip
FORBIDDEN = "403 forbidden"


@dataclass(frozen=True)
class Way:
    """One way to use an operation, and who may: `allowed` is role to relations."""

    operation: str
    kind: str = "one"
    aim: str = ""
    allowed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    available: Sequence[str] = ()
    refused: str = ""
    but: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    shows: str = ""
    filters: Mapping[str, str] = field(default_factory=dict)
    writes: Sequence[str] = ()
    existence: str = ""
    relations: Sequence[str] = RELATIONS
    commits: bool = False
    single: bool = False
    why: str = ""
    only: str = ""
    reach: Mapping[str, Sequence[str]] = field(default_factory=dict)
    team_too: bool = False
    everywhere: bool = False

    @property
    def name(self) -> str:
        """Return what findings call the way."""
        return f"{self.operation}/{self.aim}" if self.aim else self.operation


@dataclass(frozen=True)
class Table:
    """The whole document."""

    callers: Mapping[str, Sequence[str]]
    never: Mapping[str, Sequence[str]]
    secrets: Mapping[str, Mapping[str, Sequence[str]]]
    ways: Mapping[str, Sequence[Way]]

    def open_to(self, way: Way, caller: str) -> bool:
        """Tell whether any role of the caller has the operation at all."""
        roles = (*self.callers[caller], "anyone")
        return any(role in way.allowed or role in way.available or role in way.but for role in roles)

    def reach(self, allowed: Mapping[str, Sequence[str]], caller: str, *, team_too: bool = False) -> set[str]:
        """Return the relations that the caller's roles reach together."""
        reached = {each for role in (*self.callers[caller], "anyone") for each in allowed.get(role, ())}
        return reached if team_too else reached - set(self.never.get(caller, ()))

    def expected(self, way: Way, caller: str, relation: str) -> str:
        """Return what the cell answers: "" for success, else status and code."""
        if way.kind == "public":
            return "404 not-found" if relation == "nowhere" and not way.everywhere else ""
        if not self.open_to(way, caller):
            return FORBIDDEN
        if said := self._but(way, caller, relation):
            return said
        reached = relation in self.reach(way.allowed, caller, team_too=way.team_too)
        return "" if reached else way.refused

    def excepted(self, way: Way, caller: str, relation: str) -> bool:
        """Tell whether the cell's refusal may say more than that there is no such thing."""
        return bool(way.existence or self._but(way, caller, relation))

    def _but(self, way: Way, caller: str, relation: str) -> str:
        """Return the answer of its own that a relation has; "" when it has none."""
        for role in self.callers[caller]:
            for answer, relations in way.but.get(role, {}).items():
                if relation in relations:
                    return answer
        return ""

    def may_see(self, secret: str, caller: str) -> set[str]:
        """Return whose secrets of a sort the caller may be shown, at most."""
        return self.reach(self.secrets[secret], caller)


@cache
def load() -> Table:
    """Read and check the document. ValueError says what is wrong in it."""
    told: dict[str, Any] = yaml.safe_load((FOLDER / "authz.yaml").read_text(encoding="utf-8"))
    ways = {name: [_way(name, each) for each in listed] for name, listed in told["operations"].items()}
    table = Table(told["callers"], told["never"], {k: _lists(v) for k, v in told["secrets"].items()}, ways)
    known = {role for roles in table.callers.values() for role in roles} | {"anyone"}
    for allowed in (*table.secrets.values(), *(way.allowed for listed in ways.values() for way in listed)):
        wrong = (set(allowed) - known) | {
            each for some in allowed.values() for each in some if each not in RELATIONS
        }
        if wrong:
            raise ValueError(f"authz.yaml: neither role nor relation: {sorted(wrong)}")
    return table


def _way(operation: str, told: dict[str, Any]) -> Way:
    if unknown := set(told) - _KEYS:
        raise ValueError(f"authz.yaml: {operation}: unknown keys {sorted(unknown)}")
    given = {**told}
    for name in ("allowed", "reach"):
        given[name] = _lists(told.get(name, {}))
    given["but"] = {role: _lists(answers) for role, answers in told.get("but", {}).items()}
    way = Way(operation, **given)
    if way.kind not in KINDS:
        raise ValueError(f"authz.yaml: {operation}: unknown kind {way.kind}")
    return way


def _lists(allowed: Mapping[str, Any]) -> dict[str, list[str]]:
    """Flatten the lists within lists that YAML's anchors make."""
    return {role: list(_flat(some)) for role, some in allowed.items()}


def _flat(some: Sequence[Any]) -> list[str]:
    return [name for each in some for name in (_flat(each) if isinstance(each, list) else [each])]
