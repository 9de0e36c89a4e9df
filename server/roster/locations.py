"""Which village a line of a roster means: by its code, or by its name within the named town. Pure.

Names are compared as people write them: 四方村村民委员会, 四方村委会 and 四方村 are one, and so are 南门社区居委会 and
南门社区. A name that fits several is a fault that lists them; nothing is guessed.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from server.problems import FieldFault
from server.roster.entries import Line
from server.roster.headings import plain

_COMMITTEES = (("村民委员会", "村"), ("村委会", "村"), ("居民委员会", "社区"), ("居委会", "社区"))
_VILLAGE_TAIL = re.compile(r"(村|社区|居)$")
_TOWN_TAIL = re.compile(r"(人民政府|街道办事处|办事处)$")
_TOWN_KIND = re.compile(r"(镇|乡|街道)$")
_LISTED = 8


@dataclass(frozen=True, slots=True)
class Village:
    """A village or community. `valid_until` is the first day on which it is no more; `names` has earlier ones too."""

    code: str
    name: str
    names: frozenset[str]
    valid_until: date | None = None
    followed_by: str | None = None


@dataclass(frozen=True, slots=True)
class Town:
    """A town or street with its 12-digit code."""

    code: str
    name: str


Place = TypeVar("Place", Village, Town)


@dataclass(frozen=True)
class Locations:
    """What is known of the regions that a file names. `reach` are the prefixes in which postings may be written."""

    reach: tuple[str, ...]
    villages: Mapping[str, Village]
    other_regions: frozenset[str]  # Codes that exist but are no villages.
    towns: Sequence[Town]
    in_town: Mapping[str, Sequence[Village]]

    def village_of(self, line: Line) -> Village | FieldFault:
        """Return the village that the line means, or why none can be told."""
        found = self._by_code(line) if line.village_code else self._by_name(line)
        if isinstance(found, FieldFault):
            return found
        if found.valid_until is not None and found.valid_until <= line.from_day:
            after = f"，由 {found.followed_by} 承继" if found.followed_by else ""
            english = f"; {found.followed_by} followed it" if found.followed_by else ""
            return _fault(
                line,
                "village_code",
                "village-ended",
                f"{found.name}（{found.code}）已于 {found.valid_until} 撤销{after}",
                f"{found.name} ({found.code}) ended on {found.valid_until}{english}",
            )
        return found

    def _by_code(self, line: Line) -> Village | FieldFault:
        code = line.village_code or ""
        village = self.villages.get(code)
        if village is None:
            kind = "no-village" if code in self.other_regions else "unknown-village"
            zh = f"{code} 不是村或社区" if kind == "no-village" else f"区划表中没有代码 {code}"
            en = f"{code} is no village" if kind == "no-village" else f"no region has the code {code}"
            return _fault(line, "village_code", kind, zh, en)
        if not code.startswith(self.reach):
            return _fault(
                line,
                "village_code",
                "outside-region",
                f"{village.name}（{code}）不在您的管辖范围内",
                f"{village.name} ({code}) lies outside your region",
            )
        if line.village and not any(_same(line.village, name) for name in village.names):
            return _fault(
                line,
                "village",
                "village-name-differs",
                f"代码 {code} 是“{village.name}”，而村名写的是“{line.village}”",
                f"the code {code} is {village.name!r}, but the name says {line.village!r}",
            )
        return village

    def _by_name(self, line: Line) -> Village | FieldFault:
        wanted_town, wanted = line.town or "", line.village or ""
        towns = _best(self.towns, wanted_town, _town_names, _town_core)
        if len(towns) != 1:
            return self._none_or_many(line, "town", wanted_town, towns or self.towns, found=bool(towns))
        there = [v for v in self.in_town.get(towns[0].code, ()) if not _ended(v, line.from_day)]
        villages = _best(there, wanted, _village_names, village_core)
        if len(villages) != 1:
            return self._none_or_many(line, "village", wanted, villages or there, found=bool(villages))
        return villages[0]

    def _none_or_many(
        self, line: Line, column: str, wanted: str, among: Sequence[Village | Town], *, found: bool
    ) -> FieldFault:
        if found:
            listed = "、".join(f"{each.name}（{each.code}）" for each in among[:_LISTED])
            return _fault(
                line,
                column,
                f"ambiguous-{column}",
                f"“{wanted}”可能是：{listed}；请写12位村代码",
                f"{wanted!r} may be {listed}; give the 12-digit village code",
            )
        near = difflib.get_close_matches(wanted, [each.name for each in among], n=3, cutoff=0.5)
        hint_zh = f"，是否为：{'、'.join(near)}" if near else ""
        hint_en = f"; did you mean {', '.join(near)}" if near else ""
        where_zh = f"{line.town}内没有" if column == "village" else "辖区内没有"
        where_en = f"in {line.town}" if column == "village" else "in your region"
        return _fault(
            line,
            column,
            f"unknown-{column}",
            f"{where_zh}“{wanted}”{hint_zh}",
            f"there is no {wanted!r} {where_en}{hint_en}",
        )


def _fault(line: Line, column: str, code: str, zh: str, en: str) -> FieldFault:
    return FieldFault(column, code, zh, en, line.line)


def _ended(village: Village, day: date) -> bool:
    return village.valid_until is not None and village.valid_until <= day


def village_full(name: str) -> str:
    """Return a village's name with its committee's ending taken as the kind: 四方村委会 is 四方村."""
    text = plain(name)
    for ending, kind in _COMMITTEES:
        if text.endswith(ending):
            stem = text.removesuffix(ending)
            return stem if stem.endswith(kind) else stem + kind
    return text


def village_core(name: str) -> str:
    """Return a village's name without its kind: 四方."""
    return _VILLAGE_TAIL.sub("", village_full(name)) or name


def _town_full(name: str) -> str:
    return _TOWN_TAIL.sub(lambda tail: "街道" if tail[1] == "街道办事处" else "", plain(name))


def _town_core(name: str) -> str:
    return _TOWN_KIND.sub("", _town_full(name)) or name


def _town_names(town: Town) -> set[str]:
    return {_town_full(town.name)}


def _village_names(village: Village) -> set[str]:
    return {village_full(name) for name in village.names}


def _same(one: str, other: str) -> bool:
    return village_full(one) == village_full(other) or village_core(one) == village_core(other)


def _best(
    places: Sequence[Place], wanted: str, names: Callable[[Place], set[str]], core: Callable[[str], str]
) -> list[Place]:
    """Return those whose whole name fits; without any, those whose name fits without its kind."""
    full = _town_full(wanted) if core is _town_core else village_full(wanted)
    exact = [place for place in places if full in names(place)]
    return exact or [place for place in places if core(wanted) in {core(name) for name in names(place)}]
