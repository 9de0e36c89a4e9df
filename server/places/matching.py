"""Which zone a feature of a boundary file means, or why that cannot be said. Pure.

A village is known by its 12-digit code, and its name must agree: two systems of codes are in use, and a code taken from
the other one names a village somewhere else. Town seats, urban areas and duty places belong to a town (or a village) and
are known there by the source's own code, or their name.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from geo.faults import Severity
from geo.zones import ZoneKind
from server.places.rules import Finding, RegionKind

_SUFFIXES = ("居民委员会", "村民委员会", "居委会", "村委会", "社区", "村")
_OF_VILLAGES = frozenset({RegionKind.VILLAGE, RegionKind.COMMUNITY})
_KINDS = {"community": ZoneKind.VILLAGE} | {kind.value: kind for kind in ZoneKind}


@dataclass(frozen=True, slots=True)
class Said:
    """What a feature says of itself."""

    index: int
    code: str | None
    name: str | None
    kind: str | None
    town_code: str | None


@dataclass(frozen=True, slots=True)
class Known:
    """What the register says of a region."""

    code: str
    name: str
    kind: RegionKind


@dataclass(frozen=True, slots=True)
class Meant:
    """The zone a feature means. `kind` or `region_code` None: it cannot be said, and a finding tells why."""

    index: int
    reference: str
    name: str
    kind: ZoneKind | None
    region_code: str | None


def plain(name: str) -> str:
    """Return a name without the endings that only say what kind of committee it has: 南门社区居民委员会 is 南门."""
    while True:
        ending = next((each for each in _SUFFIXES if len(name) > len(each) + 1 and name.endswith(each)), None)
        if ending is None:
            return name
        name = name.removesuffix(ending)


def match(
    features: Iterable[Said], *, kind: ZoneKind | None, scope: str, regions: Mapping[str, Known]
) -> tuple[list[Meant], list[Finding]]:
    """Return what each feature means, and what stands against it.

    `kind` is what the importer said the file holds (None: every feature says its own); `scope` is the prefix of the
    region the import is about; `regions` are those known under it.
    """
    meant: list[Meant] = []
    findings: list[Finding] = []
    for said in features:
        own, problem = _kind(said, kind)
        found = Meant(said.index, said.code or said.name or "", said.name or "", own, None)
        if problem is None and own is ZoneKind.VILLAGE:
            found, problem = _village(found, said, scope, regions)
        elif problem is None:
            found, problem = _elsewhere(found, said, scope, regions)
        meant.append(found)
        if problem is not None:
            findings.append(replace(problem, features=(said.index,)))
    return meant, [*findings, *_repeated(meant)]


def place(meant: Meant, *, regions: Mapping[str, Known]) -> tuple[Meant, list[Finding]]:
    """Return what one zone that a person described means: its region must be known, a village's a village."""
    region = regions.get(meant.region_code or "")
    misplaced = region is not None and meant.kind is ZoneKind.VILLAGE and region.kind not in _OF_VILLAGES
    if region is None or misplaced:
        zh = f"区划表中没有代码为 {meant.region_code} 的{'村或社区' if misplaced else '区划'}。"
        en = f"The register has no {'village' if misplaced else 'region'} {meant.region_code}."
        found = replace(_error("region-unknown", zh, en), features=(meant.index,))
        return replace(meant, region_code=None), [found]
    if meant.kind is ZoneKind.VILLAGE:
        meant = replace(meant, reference=region.code)
    return meant, []


def _error(code: str, zh: str, en: str) -> Finding:
    return Finding(code=code, severity=Severity.ERROR, zh=zh, en=en)


def _kind(said: Said, stated: ZoneKind | None) -> tuple[ZoneKind | None, Finding | None]:
    own = _KINDS.get(said.kind or "")
    if own is None and stated is None:
        zh, en = (
            "没有说明是村界、镇场镇还是城区。",
            "It does not say whether it is a village, a town seat or an urban area.",
        )
        return None, _error("kind-not-said", zh, en)
    if own is not None and stated is not None and own is not stated:
        zh, en = (
            f"要素类型是 {own}，导入的却是 {stated}。",
            f"The feature is a {own}, the import is of kind {stated}.",
        )
        return own, _error("kind-differs", zh, en)
    return own or stated, None


def _outside(code: str, scope: str) -> Finding:
    zh, en = (
        f"{code} 不在本次导入的范围 {scope} 之内。",
        f"{code} lies outside {scope}, which the import is about.",
    )
    return _error("outside-region", zh, en)


def _village(
    found: Meant, said: Said, scope: str, regions: Mapping[str, Known]
) -> tuple[Meant, Finding | None]:
    if said.code is None:
        # The reader has said why there is no code; without one nothing is joined by the name alone.
        zh, en = (
            "没有 12 位代码，不能只凭名称对应村。",
            "Without a 12-digit code a village is not joined by its name.",
        )
        return found, _error("village-unidentified", zh, en)
    if not said.code.startswith(scope):
        return found, _outside(said.code, scope)
    region = regions.get(said.code)
    if region is None or region.kind not in _OF_VILLAGES:
        zh, en = (
            f"区划表中没有代码为 {said.code} 的村或社区。",
            f"The register has no village or community {said.code}.",
        )
        return found, _error("region-unknown", zh, en)
    found = replace(found, name=said.name or region.name, region_code=region.code)
    if said.name and plain(said.name) != plain(region.name):
        zh = f"文件中叫“{said.name}”，区划表中 {region.code} 叫“{region.name}”。请核对是否同一个村。"
        en = f"The file says “{said.name}”, the register calls {region.code} “{region.name}”. Check that they are one."
        return found, Finding(code="name-differs", severity=Severity.NEEDS_HUMAN, zh=zh, en=en)
    return found, None


def _elsewhere(
    found: Meant, said: Said, scope: str, regions: Mapping[str, Known]
) -> tuple[Meant, Finding | None]:
    """Find the town, or the village, that an exclusion zone or a duty place belongs to."""
    own = said.code if said.code in regions else None
    town = said.town_code.ljust(12, "0") if said.town_code else None
    code = own or town or (scope.ljust(12, "0") if len(scope) >= len("500116101") else None)
    if code is None:
        zh, en = "没有说明属于哪个镇（乡镇代码）。", "It does not say which town it belongs to (a town code)."
        return found, _error("town-missing", zh, en)
    if not code.startswith(scope):
        return found, _outside(code, scope)
    if code not in regions:
        zh, en = f"区划表中没有代码为 {code} 的区划。", f"The register has no region {code}."
        return found, _error("region-unknown", zh, en)
    if not found.reference:
        zh, en = (
            "既没有代码也没有名称，无法与其他点位区分。",
            "It has neither a code nor a name to tell it by.",
        )
        return found, _error("unnamed", zh, en)
    return replace(found, name=found.name or found.reference, region_code=code), None


def identity(meant: Meant) -> tuple[ZoneKind, str, str] | None:
    """Return what makes a zone the same zone: one of each village, else the source's code within its region."""
    if meant.kind is None or meant.region_code is None:
        return None
    return (
        meant.kind,
        meant.region_code,
        meant.region_code if meant.kind is ZoneKind.VILLAGE else meant.reference,
    )


def _repeated(meant: Sequence[Meant]) -> list[Finding]:
    """Refuse every feature whose zone another feature of the file means too: which one is right is not known."""
    places: dict[tuple[ZoneKind, str, str], list[int]] = {}
    for one in meant:
        own = identity(one)
        if own is not None:
            places.setdefault(own, []).append(one.index)
    return [
        Finding(
            code="zone-repeated",
            severity=Severity.ERROR,
            zh=f"{key[1]} {key[2]} 在文件中出现 {len(indexes)} 次；多块的村请合并为一个要素。",
            en=f"{key[1]} {key[2]} occurs {len(indexes)} times; join the parts of one village into one feature.",
            features=tuple(indexes),
        )
        for key, indexes in places.items()
        if len(indexes) > 1
    ]


def succeeded(meant: Iterable[Meant], ended: Mapping[str, str]) -> list[Finding]:
    """Warn of villages that another one follows by the day the boundary would hold from (edge 48)."""
    return [
        Finding(
            code="region-followed",
            severity=Severity.NEEDS_HUMAN,
            zh=f"{one.region_code} 届时已由 {ended[one.region_code]} 承继，派驻按新村计算。",
            en=f"By then {one.region_code} is followed by {ended[one.region_code]}; postings count there.",
            features=(one.index,),
        )
        for one in meant
        if one.region_code is not None and one.region_code in ended
    ]
