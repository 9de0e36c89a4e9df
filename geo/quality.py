"""The quality report of a boundary file: what is wrong, how much, where, and what could be done. It changes nothing.

    report = quality_report(file, district=outline, neighbours=published)
    report.findings, report.to_dict(), report.text("zh"); geo.picture.draw(file, report)

Tolerances are constants of `geo.topology`, `geo.outline` and `geo.repairs`, each with its reason. Hostile geometry can
make this slow, so for files nobody vouches for `geo.quality_messages.bounded_report` does
the same in a limited subprocess.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from geo.boundary_file import Area, BoundaryFile, Feature
from geo.columns import EXCLUSION_KINDS
from geo.crossings import crossings_of, too_tangled
from geo.faults import Severity
from geo.findings import FeatureRef, Finding, finding, of_fault, of_repair, ref_of
from geo.outline import covered, datum_suspected, features_outside, layer_is_elsewhere
from geo.quality_text import written
from geo.reading.words import clip
from geo.repairs import RepairProposal, area_m2, propose_repair
from geo.topology import GRAIN_M, Layer, Piece, gaps, overlaps, union_of

AREA_TOLERANCE = 0.05
"""Published areas are rounded and older than the drawing; more than five percent is worth a look."""
_MOST_OF_A_KIND = 200
_M2_IN_KM2 = 1e6


@dataclass(frozen=True, kw_only=True)
class PublishedZone:
    """A zone already in force beside the ones in the file: its WGS-84 geometry, code and kind."""

    code: str
    name: str
    geometry: Area
    kind: str = "village"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Figures of one feature as it would be published, or as read where it cannot be."""

    ref: FeatureRef
    usable: bool
    vertices: int
    rings: int
    parts: int
    area_m2: float
    claimed_area_m2: float | None


@dataclass(frozen=True, kw_only=True)
class QualityReport:
    """The report as data. `findings` are ordered by gravity, then code, then feature."""

    filename: str
    sha256: str
    format: str
    crs: str
    encoding: str
    findings: tuple[Finding, ...]
    measures: tuple[Measure, ...]

    @property
    def counts(self) -> dict[str, int]:
        """The number of findings of each severity."""
        counted = Counter(each.severity.value for each in self.findings)
        return {severity.value: counted[severity.value] for severity in Severity}

    @property
    def clean(self) -> bool:
        """Whether nothing graver than a note was found."""
        return all(each.severity is Severity.NOTE for each in self.findings)

    @property
    def publishable(self) -> bool:
        """Whether every feature can be used and nothing is an error or waits for a person."""
        grave = {Severity.ERROR, Severity.NEEDS_HUMAN}
        return all(each.usable for each in self.measures) and not any(
            each.severity in grave for each in self.findings
        )

    @property
    def repairs(self) -> tuple[RepairProposal, ...]:
        """All proposals, for `geo.repairs.accept_repairs`."""
        return tuple(each.repair for each in self.findings if each.repair is not None)

    def to_dict(self) -> dict[str, Any]:
        """Give the report as plain data for JSON, without geometries."""
        return {
            "filename": self.filename,
            "sha256": self.sha256,
            "format": self.format,
            "crs": self.crs,
            "encoding": self.encoding,
            "counts": self.counts,
            "clean": self.clean,
            "publishable": self.publishable,
            "findings": [each.to_dict() for each in self.findings],
            "measures": [{**vars(each), "ref": vars(each.ref)} for each in self.measures],
        }

    def text(self, language: str) -> str:
        """Write the report for people, in Chinese ("zh") or English ("en")."""
        return written(self, language)


def quality_report(
    file: BoundaryFile,
    *,
    district: BaseGeometry | None = None,
    neighbours: Sequence[PublishedZone] = (),
    claimed_areas_km2: Mapping[str, float] | None = None,
) -> QualityReport:
    """Examine a boundary file. `district` is its outline in WGS-84; claimed areas go by code, over the file's own."""
    by_index = {feature.index: feature for feature in file.features}
    findings = [of_fault(each, by_index) for each in file.faults]
    proposals = _repairs(file, findings)
    usable = {feature.index: _shape_of(feature, proposals) for feature in file.features}
    findings += _registers(file)
    findings += _areas(file, usable, claimed_areas_km2 or {})
    pieces = _pieces(file, usable, neighbours)
    if any(piece.ref.index is not None for piece in pieces):
        findings += _geometry(Layer(pieces=pieces), district)
    return QualityReport(
        filename=file.filename,
        sha256=file.sha256,
        format=file.format,
        crs=f"{file.crs.name or '?'} ({file.crs.how})",
        encoding=f"{file.encoding.used or '?'} ({file.encoding.how})",
        findings=tuple(_ordered(findings)),
        measures=tuple(_measure(each, usable[each.index], claimed_areas_km2 or {}) for each in file.features),
    )


def _repairs(file: BoundaryFile, findings: list[Finding]) -> dict[int, RepairProposal]:
    """Propose repairs where a feature has no geometry, adding a finding for each."""
    proposals: dict[int, RepairProposal] = {}
    for feature in file.features:
        if feature.geometry is not None:
            continue
        shape = feature.shape_as_read
        proposal = propose_repair(feature, file.faults_of(feature.index))
        if proposal is not None:
            proposals[feature.index] = proposal
            findings.append(of_repair(proposal, feature))
        elif shape is not None and too_tangled(shape):
            crossings = crossings_of(shape, shape)
            findings.append(finding("repair-too-costly", ref_of(feature), crossings=crossings))
        elif shape is not None:
            findings.append(finding("repair-impossible", ref_of(feature)))
    return proposals


def _shape_of(feature: Feature, proposals: Mapping[int, RepairProposal]) -> Area | None:
    """Take a feature's geometry, else the proposed one, so that a bad ring is not reported again as a gap."""
    if feature.geometry is not None:
        return feature.geometry
    proposal = proposals.get(feature.index)
    return None if proposal is None else proposal.geometry


def _class_of(kind: str | None) -> str:
    """Units of one class share the ground between them; an exclusion zone may lie over a village."""
    if kind in EXCLUSION_KINDS:
        return "excluded"
    return "duty" if kind == "duty_place" else "unit"


def _pieces(
    file: BoundaryFile, usable: Mapping[int, Area | None], neighbours: Sequence[PublishedZone]
) -> list[Piece]:
    pieces = [
        Piece(ref=ref_of(feature), geometry=shape, class_=_class_of(feature.kind))
        for feature in file.features
        if (shape := usable[feature.index]) is not None
    ]
    replaced = {feature.code for feature in file.features}
    pieces += [
        Piece(
            ref=FeatureRef(index=None, code=zone.code, name=zone.name),
            geometry=zone.geometry,
            class_=_class_of(zone.kind),
        )
        for zone in neighbours
        if zone.code not in replaced
    ]
    return pieces


def _geometry(layer: Layer, district: BaseGeometry | None) -> list[Finding]:
    """Compare the pieces with each other and with the district."""
    found, hairlines = overlaps(layer)
    by_class: dict[str, list[Piece]] = defaultdict(list)
    for piece in layer.pieces:
        by_class[piece.class_].append(piece)
    units = by_class["unit"]
    of_file = [piece for piece in layer.pieces if piece.ref.index is not None]
    # What is too intricate to intersect is too intricate to join.
    joinable = bool(units) and all(each.code != "overlap-too-intricate" for each in found)
    if joinable:
        fabric = Layer(pieces=units)
        union = union_of(fabric)
        gaps_found, more = gaps(fabric, union)
        found, hairlines = found + gaps_found, hairlines + more
    if hairlines:
        found.append(finding("hairlines", places=hairlines, limit_m=GRAIN_M))
    if district is not None:
        elsewhere = layer_is_elsewhere(Layer(pieces=of_file), district)
        found += elsewhere
        if not elsewhere:
            found += features_outside(Layer(pieces=of_file), district)
            if joinable:
                found += covered(fabric, union, district) + datum_suspected(fabric, union, district)
    return found


def _registers(file: BoundaryFile) -> list[Finding]:
    """Find codes that occur twice, names that occur twice in a town, and kinds that are not known."""
    found: list[Finding] = []
    by_code: dict[str, list[Feature]] = defaultdict(list)
    by_name: dict[tuple[str, str], list[Feature]] = defaultdict(list)
    for feature in file.features:
        if feature.code is not None:
            by_code[feature.code].append(feature)
        if feature.name is not None:
            key = unicodedata.normalize("NFKC", feature.name).replace(" ", "")
            by_name[feature.town_code or feature.town_name or "?", key].append(feature)
        if feature.kind is None and feature.kind_as_read is not None:
            value = clip(feature.kind_as_read, 40)
            found.append(finding("kind-unknown", ref_of(feature), at=feature.geometry, value=value))
    for code, same in by_code.items():
        if len(same) > 1:
            at, refs = same[0].geometry, map(ref_of, same)
            found.append(finding("code-duplicate", *refs, at=at, code=clip(code, 40), features=len(same)))
    for (town, name), same in by_name.items():
        if len(same) > 1:
            at, refs = same[0].geometry, map(ref_of, same)
            count, words = len(same), (clip(town, 40), clip(name, 40))
            found.append(
                finding("name-duplicate", *refs, at=at, features=count, town=words[0], name=words[1])
            )
    missing = sum(feature.kind_as_read is None for feature in file.features)
    if missing:
        found.append(finding("kind-missing", features=missing))
    return found


def _claimed_km2(feature: Feature, claimed: Mapping[str, float]) -> float | None:
    return claimed.get(feature.code or "", feature.claimed_area_km2)


def _areas(
    file: BoundaryFile, usable: Mapping[int, Area | None], claimed: Mapping[str, float]
) -> list[Finding]:
    found: list[Finding] = []
    for feature in file.features:
        shape, claimed_km2 = usable[feature.index], _claimed_km2(feature, claimed)
        if shape is None or claimed_km2 is None or claimed_km2 <= 0:
            continue
        area_km2 = area_m2(shape) / _M2_IN_KM2
        difference = area_km2 / claimed_km2 - 1
        if abs(difference) > AREA_TOLERANCE:
            found.append(
                finding(
                    "area-differs",
                    ref_of(feature),
                    at=shape,
                    area_km2=round(area_km2, 6),
                    claimed_km2=claimed_km2,
                    difference_percent=round(100 * difference, 2),
                )
            )
    return found


def _measure(feature: Feature, shape: Area | None, claimed: Mapping[str, float]) -> Measure:
    shown = shape if shape is not None else feature.shape_as_read
    claimed_km2 = _claimed_km2(feature, claimed)
    parts = shapely.get_parts([] if shown is None else [shown])
    return Measure(
        ref=ref_of(feature),
        usable=feature.geometry is not None,
        vertices=0 if shown is None else int(shapely.get_num_coordinates(shown)),
        rings=sum(1 + int(shapely.get_num_interior_rings(part)) for part in parts),
        parts=len(parts),
        area_m2=0.0 if shown is None else round(area_m2(shown), 1),
        claimed_area_m2=None if claimed_km2 is None else round(claimed_km2 * _M2_IN_KM2, 1),
    )


def _ordered(findings: Sequence[Finding]) -> list[Finding]:
    """Order by gravity, then code, then feature; of one code only so many are kept, and the rest is counted."""
    order = list(Severity)

    def key(each: Finding) -> tuple[int, str, int, float]:
        first = each.features[0].index if each.features else None
        area = float(each.numbers.get("area_m2", 0.0))
        return order.index(each.severity), each.code, -1 if first is None else first, -area

    kept: list[Finding] = []
    seen: Counter[str] = Counter()
    for each in sorted(findings, key=key):
        seen[each.code] += 1
        if seen[each.code] <= _MOST_OF_A_KIND or each.repair is not None:
            kept.append(each)
    rest = {code: count - _MOST_OF_A_KIND for code, count in seen.items() if count > _MOST_OF_A_KIND}
    return kept + [finding("more-findings", findings=count, of_code=code) for code, count in rest.items()]
