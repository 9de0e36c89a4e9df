"""Replays the example files of mobile_api_docs against a running server, and holds the answers against them.

An example is a JSON file with a title in both languages, what is given, and steps of a request and its response. A
text ``{{name}}`` stands for a value that varies: known ones are filled in, unknown ones are learnt from the answer and
must be the same wherever they come again. ``{{*}}`` is any value but null. ``…`` in a list is any number of elements,
as a member of an object it says that there are more members.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from conftest import ROOT, Service, SetClock
from factories_auth import tokens_for
from factories_checkins import Cadre, World, make_cadre, make_world, make_zone
from factories_places import make_region
from shapely import box

from geo.zones import ZoneKind
from server.auth import codes
from server.auth.models import Account

FOLDER = ROOT / "mobile_api_docs" / "examples"
NOON = "2026-11-05T12:00:00+08:00"
PASSWORD = "江边的老黄葛树1987"
MORE = "…"
_NAME = re.compile(r"\{\{(\w+|\*)\}\}")
UNFENCED = "500116101299"


def example_files() -> list[Path]:
    """Return every example, in order."""
    return sorted(FOLDER.glob("**/*.json"))


def load(path: Path) -> dict[str, Any]:
    """Read an example."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def answers_by_reason() -> dict[str, set[tuple[str, str]]]:
    """Return the verdicts and standings that the examples were answered with, by reason."""
    found: dict[str, set[tuple[str, str]]] = {}
    for path in example_files():
        for step in load(path)["steps"]:
            body = step["response"].get("body")
            if isinstance(body, dict) and "verdict" in body:
                found.setdefault(body["reason"], set()).add((body["verdict"], body["standing"]))
    return found


@dataclass
class Stage:
    """A server with a fenced and an unfenced village, a town seat and an urban area, and the clock in our hands."""

    service: Service
    world: World
    password_hash: str


def make_stage(service: Service) -> Stage:
    """Publish what the examples stand on."""
    with service.database.write() as session:
        for code, name in (
            ("500116000000", "江津区"),
            ("500116101000", "试镇"),
            ("500116101201", "试村"),
            (UNFENCED, "新村"),
        ):
            make_region(session, code, name)
        make_zone(session, ZoneKind.URBAN, "500116000000", "江津城区", box(106.26, 28.90, 106.28, 28.92))
    world = make_world(service)
    return Stage(service, world, service.app.state.hasher.hash(PASSWORD))


def _utc(text: str) -> datetime:
    """Return an instant as the machine's clock gives it; what the server answers with is in UTC too."""
    return datetime.fromisoformat(text).astimezone(UTC)


@dataclass
class Exchange:
    """One request as it was sent, and what came back."""

    request: dict[str, Any]
    expected: dict[str, Any]
    answer: httpx.Response


@dataclass
class Replay:
    """One example being replayed: `known` are the values behind the names."""

    stage: Stage
    clock: SetClock
    known: dict[str, Any] = field(default_factory=dict)

    def enrol(self, given: dict[str, Any]) -> None:
        """Make the person of the example, logged in unless the example does that itself."""
        self.clock.set(_utc(NOON))
        cadre = self._posted(given.get("posted", "village"))
        service = self.stage.service
        with service.database.write() as session:
            account = session.get_one(Account, cadre.account.id)
            if given.get("account") == "new":
                self.known["code"] = codes.make(session, None, account).code
            else:
                account.password_hash = self.stage.password_hash
        self.known |= {"login": account.login, "password": PASSWORD, "person_id": str(cadre.person_id)}
        if "account" not in given:
            tokens = tokens_for(service, account)
            self.known |= {"access_token": tokens.access_token, "refresh_token": tokens.refresh_token}

    def _posted(self, where: str) -> Cadre:
        service, world = self.stage.service, self.stage.world
        match where:
            case "village":
                return make_cadre(service, world)
            case "nowhere":
                return make_cadre(service, world, posted=False)
            case "unfenced":
                return make_cadre(service, World(world.town, UNFENCED, world.zone_id, world.unit_id))
        raise ValueError(f"nobody is posted to {where!r}")

    def exchanges(self, steps: list[dict[str, Any]]) -> Iterator[Exchange]:
        """Send the steps in order, each at its time by the server's clock."""
        for step in steps:
            self.clock.set(_utc(step.get("at", NOON)))
            request = self.filled(step["request"])
            for _ in range(step.get("times", 1)):
                answer = self._send(request)
            yield Exchange(request, step["response"], answer)

    def _send(self, request: dict[str, Any]) -> httpx.Response:
        body = {"content": request["text"].encode()} if "text" in request else {"json": request.get("body")}
        if body == {"json": None}:
            body = {}
        return self.stage.service.client.request(
            request["method"], request["path"], headers=request.get("headers"), **body
        )

    def filled(self, value: Any) -> Any:
        """Return JSON with the known names replaced; KeyError for a name nobody has learnt."""
        if isinstance(value, dict):
            return {name: self.filled(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.filled(each) for each in value]
        if isinstance(value, str):
            return _NAME.sub(lambda found: str(self.known[found[1]]), value)
        return value

    def difference(self, expected: Any, actual: Any, place: str = "body") -> str | None:
        """Return the first difference between an answer and what the example says, or None; learns unknown names."""
        if isinstance(expected, dict) and isinstance(actual, dict):
            return self._of_objects(expected, actual, place)
        if isinstance(expected, list) and isinstance(actual, list):
            return self._of_lists(expected, actual, place)
        if isinstance(expected, str) and (found := _NAME.fullmatch(expected)):
            name = found[1]
            if name == "*" or name not in self.known:
                if name != "*":
                    self.known[name] = actual
                return f"{place} is null" if actual is None else None
        wanted = self.filled(expected)
        same = type(wanted) is type(actual) and wanted == actual
        return None if same else f"{place}: expected {wanted!r}, got {actual!r}"

    def _of_objects(self, expected: dict[str, Any], actual: dict[str, Any], place: str) -> str | None:
        named = expected.keys() - {MORE}
        if MORE in expected and named <= actual.keys():
            pass
        elif named != actual.keys():
            return f"{place}: members differ: {sorted(named ^ actual.keys())}"
        for name, value in expected.items():
            if name != MORE and (found := self.difference(value, actual[name], f"{place}.{name}")):
                return found
        return None

    def _of_lists(self, expected: list[Any], actual: list[Any], place: str) -> str | None:
        """Compare lists; what stands between two ``…`` must come one after the other, in this order."""
        at, skipping = 0, False
        for each in expected:
            if each == MORE:
                skipping = True
                continue
            found: str | None = f"{place}[{at}] is missing"
            while at < len(actual):
                learnt = dict(self.known)
                found = self.difference(each, actual[at], f"{place}[{at}]")
                at += 1
                if found is None or not skipping:
                    break
                self.known = learnt  # What was learnt from an element that is skipped is forgotten.
            if found is not None:
                return found
            skipping = False
        return None if skipping or at == len(actual) else f"{place}: {len(actual)} elements, expected {at}"
