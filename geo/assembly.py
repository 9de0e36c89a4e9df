"""From a parsed layer to a boundary file: columns, reference system, WGS-84, areas, and the faults on the way."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from geo.boundary_file import Area, BoundaryFile, ColumnChoice, CrsReport, EncodingReport, Feature
from geo.columns import choose_columns, labels_of
from geo.crs import CrsChoice, looks_swapped
from geo.crs_decision import CrsDecision, decide_crs
from geo.faults import Fault, Severity, fault
from geo.reading.raw import Limits, RawFeature, RawLayer, RawShape
from geo.reading.words import clip, preview, undo_double_decoding
from geo.rings import assemble

Coordinates = NDArray[np.float64]
_SAMPLE = 5_000
_MOST = 0.5
_LARGEST_DEG = (180.0, 90.0)


def build_file(
    layer: RawLayer,
    *,
    filename: str,
    sha256: str,
    columns: ColumnChoice | None = None,
    crs: CrsChoice | None = None,
    district: BaseGeometry | None = None,
    limits: Limits,
) -> BoundaryFile:
    """Make a boundary file of a layer. Never raises for what stands in it: everything wrong becomes a fault."""
    chosen, column_faults = choose_columns(layer, columns)
    decision = decide_crs(
        _sample(layer),
        declared=layer.declared_crs,
        degrees_by_format=layer.degrees_by_format,
        choice=crs,
        district=district,
    )
    work = _Work(layer=layer, decision=decision, columns=chosen, limits=limits)
    features = tuple(work.feature(each) for each in layer.features)
    names = preview(feature.name for feature in features)
    faults = [
        *layer.faults,
        *([] if layer.features else [fault("no-features")]),
        *column_faults,
        *_encoding_faults(layer, features, names),
        *decision.faults,
        *work.counted(),
        *work.faults,
    ]
    return BoundaryFile(
        format=layer.format,
        layer=clip(layer.name),
        filename=clip(filename),
        sha256=sha256,
        features=features,
        faults=tuple(faults),
        columns=chosen,
        column_names=tuple(layer.columns),
        crs=CrsReport(
            how=decision.how,
            epsg=decision.epsg,
            name=decision.name,
            swapped=decision.swapped,
            candidates=decision.candidates,
        ),
        encoding=EncodingReport(
            used=layer.encoding, how=layer.encoding_how, declared=layer.encoding_declared, preview=names
        ),
    )


def _sample(layer: RawLayer) -> Coordinates:
    """Take finite points from all over the layer, the same ones every time."""
    rings = [ring for each in layer.features if each.shape for part in each.shape.parts for ring in part]
    if not rings:
        return np.empty((0, 2))
    points = np.concatenate(rings)
    points = points[np.isfinite(points).all(axis=1)]
    return points[:: max(1, len(points) // _SAMPLE)]


def _encoding_faults(layer: RawLayer, features: tuple[Feature, ...], names: str) -> list[Fault]:
    faults: list[Fault] = []
    if layer.encoding_how == "guessed" and names:
        used = str(layer.encoding)
        if layer.encoding_declared:
            declared = layer.encoding_declared
            faults.append(fault("encoding-not-as-declared", declared=declared, used=used, preview=names))
        else:
            faults.append(fault("encoding-guessed", used=used, preview=names))
    foreign = [feature.name for feature in features if feature.name and not feature.name.isascii()]
    undone = [undo_double_decoding(name) for name in foreign]
    if foreign and sum(each is not None for each in undone) > _MOST * len(foreign):
        faults.append(fault("text-decoded-twice", preview=names, proposal=preview(undone)))
    return faults


@dataclass(kw_only=True)
class _Work:
    """The state of one run over the features."""

    layer: RawLayer
    decision: CrsDecision
    columns: ColumnChoice
    limits: Limits
    faults: list[Fault] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def counted(self) -> list[Fault]:
        """Give the faults that are told once for the file, with the number of features."""
        codes = ("third-coordinate-dropped", "ring-winding")
        return [fault(code, features=self.seen[code]) for code in codes if self.seen[code]]

    def feature(self, raw: RawFeature) -> Feature:
        """Make one feature; its faults are kept, the gravest first, up to the limit."""
        labels = labels_of(raw, self.columns)
        shape_faults: list[Fault] = []
        shape = self._shape(raw, shape_faults)
        grave = [each for each in shape_faults if each.severity in (Severity.ERROR, Severity.NEEDS_HUMAN)]
        self._keep([*raw.faults, *shape_faults, *labels.faults], raw.index)
        return Feature(
            index=raw.index,
            code=labels.code,
            name=labels.name,
            kind=labels.kind,
            kind_as_read=labels.kind_as_read,
            town_code=labels.town_code,
            town_name=labels.town_name,
            claimed_area_km2=labels.claimed_area_km2,
            geometry=None if grave else shape,
            shape_as_read=shape,
            attributes=raw.attributes,
        )

    def _keep(self, faults: list[Fault], index: int) -> None:
        order = list(Severity)
        ranked = sorted(faults, key=lambda each: order.index(each.severity))
        most = self.limits.faults_per_feature
        self.faults.extend(ranked[:most])
        if len(ranked) > most:
            self.faults.append(fault("more-faults", feature=index, faults=len(ranked) - most))

    def _shape(self, raw: RawFeature, faults: list[Fault]) -> Area | None:
        """Bring a shape to WGS-84 and assemble it; None when that cannot be done at all."""
        if raw.shape is None or not (raw.shape.parts or raw.shape.others):
            if all(each.severity is not Severity.ERROR for each in raw.faults):
                faults.append(fault("geometry-empty", feature=raw.index))
            return None
        if raw.shape.others:
            types = ", ".join(raw.shape.others)
            code = "geometry-mixed" if raw.shape.parts else "geometry-not-a-polygon"
            faults.append(fault(code, feature=raw.index, types=types))
        if raw.shape.has_third:
            self.seen["third-coordinate-dropped"] += 1
        parts = self._placed(raw.shape, raw.index, faults)
        if parts is None:
            return None
        clockwise = self.layer.format == "shapefile"
        made = assemble(parts, flat=raw.shape.flat, index=raw.index, shells_clockwise=clockwise)
        if made.wound_against_format:
            self.seen["ring-winding"] += 1
        faults.extend(made.faults)
        if made.shape is None and not faults:
            faults.append(fault("geometry-empty", feature=raw.index))
        return made.shape

    def _placed(self, shape: RawShape, index: int, faults: list[Fault]) -> list[list[Coordinates]] | None:
        """Bring all rings of a shape to WGS-84 degrees at once; None when the system is open or values are impossible."""
        rings = [ring for part in shape.parts for ring in part]
        points = np.concatenate(rings) if rings else np.empty((0, 2))
        bad = ~np.isfinite(points).all(axis=1)
        if bad.any():
            faults.append(fault("coordinate-not-finite", feature=index, vertices=int(bad.sum())))
            return None
        if self.decision.to_wgs84 is None:
            return None  # The file's own fault says why.
        placed = self.decision.to_wgs84(points) if len(points) else points
        if looks_swapped(placed):
            faults.append(fault("coordinates-swapped", feature=index))
            return None
        off = ~(np.abs(placed) <= np.array(_LARGEST_DEG)).all(axis=1)
        if off.any():
            x, y = (round(float(value), 3) for value in points[off][0])
            faults.append(fault("coordinate-out-of-range", feature=index, vertices=int(off.sum()), x=x, y=y))
            return None
        ends = np.cumsum([len(ring) for ring in rings])[:-1]
        split = iter(np.split(placed, ends))
        return [[next(split) for _ in part] for part in shape.parts]
