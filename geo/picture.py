"""The quality report as a picture: an SVG of the layer with its findings marked, numbered and listed. No library needed.

Drawn to be read with three hundred villages: thin borders simplified to the pixel, numbers beside their places moved
apart where they would cover each other, a list of the gravest findings beside the map, a legend and a scale.
"""

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from geo.boundary_file import BoundaryFile, Feature
from geo.faults import Severity
from geo.findings import Finding
from geo.plane import Plane
from geo.quality import QualityReport
from geo.quality_text import named

SYNTHETIC = "合成示意"
"""What a picture of the demo district must say."""

_MAP_PX, _LEAST_MAP_PX, _MARGIN_PX, _LIST_PX, _HEAD_PX = 900, 420.0, 24, 560, 64
_MOST_LISTED = 40
_MOST_NAMES = 40
_MARK_PX = 8.0
_LINE_PX = 34
_WIDE_FROM = "\u2e80"  # Letters from here on are as wide as they are high; the others about 0.62 of that.
_NARROW = 0.62
_FONT = (
    "'Noto Sans CJK SC','Source Han Sans SC','Microsoft YaHei','PingFang SC','WenQuanYi Micro Hei',sans-serif"
)
_COLOURS = {
    Severity.ERROR: "#c62828",
    Severity.NEEDS_HUMAN: "#e07b00",
    Severity.WARNING: "#8e6bbf",
    Severity.NOTE: "#5c7a89",
}
_FILLS = {Severity.ERROR: "#f6c9c9", Severity.NEEDS_HUMAN: "#fbdcb3", Severity.WARNING: "#e4d9f2"}
_PLAIN_FILL, _BORDER = "#eef3ea", "#7d8f7a"
_WORDS = {
    "zh": {
        "title": "边界数据质量图",
        "district": "区县轮廓",
        "plain": "没有问题的单位",
        "more": "另有 {number} 条见文字报告",
        "layer": "整个图层",
        "none": "没有发现问题。",
        Severity.ERROR: "错误",
        Severity.NEEDS_HUMAN: "须由人核定",
        Severity.WARNING: "警告",
        Severity.NOTE: "说明",
    },
    "en": {
        "title": "Quality of boundary data",
        "district": "Outline of the district",
        "plain": "Units without findings",
        "more": "{number} more in the text of the report",
        "layer": "The whole layer",
        "none": "Nothing was found.",
        Severity.ERROR: "Error",
        Severity.NEEDS_HUMAN: "For a person to decide",
        Severity.WARNING: "Warning",
        Severity.NOTE: "Note",
    },
}


@dataclass(kw_only=True)
class _Sheet:
    """Maps degrees to pixels and collects what is drawn."""

    plane: Plane
    west_m: float
    north_m: float
    px_a_metre: float
    width_px: float
    height_px: float
    parts: list[str] = field(default_factory=list)

    def pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        flat = self.plane.points(points)
        x = _MARGIN_PX + (flat[:, 0] - self.west_m) * self.px_a_metre
        y = _HEAD_PX + (self.north_m - flat[:, 1]) * self.px_a_metre
        return np.column_stack([x, y])

    def path(self, shape: BaseGeometry) -> str:
        """Give a shape as SVG path data, without what is smaller than half a pixel."""
        drawn = shapely.transform(shape, self.pixels)
        light = shapely.simplify(drawn, 0.4, preserve_topology=False)
        # What vanishes at this scale still gets its own coordinates: a dot is better than nothing.
        kept = light if not light.is_empty else drawn
        return "".join(_ring(ring) for ring in shapely.get_rings(shapely.get_parts(kept)))

    def text(
        self, x: float, y: float, words: str, *, size: int = 12, fill: str = "#222", extra: str = ""
    ) -> None:
        clean = "".join(letter for letter in words if letter.isprintable())
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" {extra}>{html.escape(clean)}</text>'
        )


def _ring(ring: BaseGeometry) -> str:
    points = shapely.get_coordinates(ring)
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"


def draw(
    file: BoundaryFile,
    report: QualityReport,
    *,
    district: BaseGeometry | None = None,
    language: str = "zh",
    caption: str | None = None,
) -> str:
    """Draw a file and its report as an SVG document; `caption` is a line such as SYNTHETIC that must be on it."""
    shapes = [(feature, shape) for feature in file.features if (shape := _drawable(feature)) is not None]
    sheet = _sheet([shape for _, shape in shapes] + ([district] if district is not None else []))
    worst = _worst(report.findings)
    for feature, shape in shapes:
        severity = worst.get(feature.index)
        fill = _FILLS.get(severity, _PLAIN_FILL) if severity else _PLAIN_FILL
        sheet.parts.append(
            f'<path d="{sheet.path(shape)}" fill="{fill}" stroke="{_BORDER}" stroke-width="0.5" fill-rule="evenodd"/>'
        )
    if district is not None:
        sheet.parts.append(
            f'<path d="{sheet.path(district)}" fill="none" stroke="#1f3a5f" stroke-width="1.4" stroke-dasharray="7 4"/>'
        )
    if len(shapes) <= _MOST_NAMES:
        _names(sheet, shapes)
    _found_shapes(sheet, report.findings)
    _marks(sheet, report.findings)
    _head(sheet, report, language, caption)
    _list(sheet, report.findings, language)
    _scale(sheet)
    return _document(sheet, caption)


def _drawable(feature: Feature) -> BaseGeometry | None:
    shape = feature.geometry if feature.geometry is not None else feature.shape_as_read
    return None if shape is None or shape.is_empty else shape


def _sheet(shapes: Sequence[BaseGeometry]) -> _Sheet:
    box = shapely.total_bounds(shapes) if shapes else np.array([105.0, 29.0, 105.1, 29.1])
    west, south, east, north = (float(number) for number in box)
    plane = Plane(lon=(west + east) / 2, lat=(south + north) / 2)
    corners = plane.points(np.array([[west, south], [east, south], [west, north], [east, north]]))
    (low_x, low_y), (high_x, high_y) = corners.min(axis=0), corners.max(axis=0)
    size_m = max(high_x - low_x, high_y - low_y, 1.0)
    scale = _MAP_PX / size_m
    return _Sheet(
        plane=plane,
        west_m=float(low_x),
        north_m=float(high_y),
        px_a_metre=float(scale),
        width_px=max(float((high_x - low_x) * scale), _LEAST_MAP_PX),
        height_px=max(float((high_y - low_y) * scale), _LEAST_MAP_PX),
    )


def _worst(findings: Iterable[Finding]) -> dict[int, Severity]:
    """Give the gravest severity of each feature; findings come gravest first."""
    worst: dict[int, Severity] = {}
    for each in findings:
        for ref in each.features:
            if ref.index is not None:
                worst.setdefault(ref.index, each.severity)
    return worst


def _found_shapes(sheet: _Sheet, findings: Iterable[Finding]) -> None:
    for each in findings:
        areas = (
            [part for part in shapely.get_parts(each.shape) if isinstance(part, Polygon)]
            if each.shape
            else []
        )
        for part in areas:
            colour = _COLOURS[each.severity]
            sheet.parts.append(
                f'<path d="{sheet.path(part)}" fill="{colour}" fill-opacity="0.5" stroke="{colour}" stroke-width="1.2"/>'
            )


def _marks(sheet: _Sheet, findings: Sequence[Finding]) -> None:
    """Put a number at each listed finding's place, moved aside with a line where numbers would collide."""
    taken: list[tuple[float, float]] = []
    for number, each in enumerate(findings[:_MOST_LISTED], start=1):
        if each.lon is None or each.lat is None:
            continue
        (x, y) = sheet.pixels(np.array([[each.lon, each.lat]]))[0]
        spot = _free(float(x), float(y), taken)
        taken.append(spot)
        colour = _COLOURS[each.severity]
        if math.dist(spot, (x, y)) > 1:
            sheet.parts.append(
                f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{spot[0]:.1f}" y2="{spot[1]:.1f}" stroke="{colour}" stroke-width="1"/>'
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{colour}"/>'
            )
        _badge(sheet, spot[0], spot[1], number, colour)


def _badge(sheet: _Sheet, x: float, y: float, number: int, colour: str) -> None:
    sheet.parts.append(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_MARK_PX}" fill="{colour}" stroke="#fff" stroke-width="1.2"/>'
    )
    sheet.text(x, y + 3.6, str(number), size=10, fill="#fff", extra='text-anchor="middle" font-weight="bold"')


def _free(x: float, y: float, taken: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Find the nearest place, on widening rings, where a number covers no other."""
    for ring in range(40):
        for step in range(max(1, 8 * ring)):
            turn = math.tau * step / max(1, 8 * ring)
            spot = (x + ring * 9 * math.cos(turn), y + ring * 9 * math.sin(turn))
            if all(math.dist(spot, other) >= 2 * _MARK_PX + 2 for other in taken):
                return spot
    return x, y


def _names(sheet: _Sheet, shapes: Sequence[tuple[Feature, BaseGeometry]]) -> None:
    for feature, shape in shapes:
        if not feature.name:
            continue
        point = shapely.get_coordinates(shapely.point_on_surface(shape.buffer(0)))
        if len(point):
            (x, y) = sheet.pixels(point)[0]
            sheet.text(
                float(x), float(y), feature.name[:12], size=11, fill="#455", extra='text-anchor="middle"'
            )


def _head(sheet: _Sheet, report: QualityReport, language: str, caption: str | None) -> None:
    words = _WORDS[language]
    sheet.text(_MARGIN_PX, 28, f"{words['title']}: {report.filename}", size=18, extra='font-weight="bold"')
    counts = ", ".join(f"{words[severity]} {report.counts[severity.value]}" for severity in Severity)
    sheet.text(_MARGIN_PX, 50, f"{len(report.measures)} · {counts}", size=13, fill="#555")
    if caption:
        x = _MARGIN_PX * 2 + sheet.width_px + _LIST_PX
        sheet.text(x, 28, caption, size=18, fill="#c62828", extra='text-anchor="end" font-weight="bold"')


def _list(sheet: _Sheet, findings: Sequence[Finding], language: str) -> None:
    """List the gravest findings beside the map, under the legend."""
    words, left = _WORDS[language], _MARGIN_PX * 2 + sheet.width_px
    y = float(_HEAD_PX)
    for severity in Severity:
        sheet.parts.append(
            f'<circle cx="{left + 8:.1f}" cy="{y - 4:.1f}" r="{_MARK_PX}" fill="{_COLOURS[severity]}"/>'
        )
        sheet.text(left + 24, y, str(words[severity]), size=12)
        y += 20
    sheet.parts.append(
        f'<rect x="{left:.1f}" y="{y - 11:.1f}" width="16" height="12" fill="{_PLAIN_FILL}" stroke="{_BORDER}"/>'
    )
    sheet.text(left + 24, y, str(words["plain"]), size=12)
    sheet.parts.append(
        f'<line x1="{left + 180:.1f}" y1="{y - 5:.1f}" x2="{left + 204:.1f}" y2="{y - 5:.1f}" stroke="#1f3a5f" '
        'stroke-width="1.4" stroke-dasharray="7 4"/>'
    )
    sheet.text(left + 212, y, str(words["district"]), size=12)
    y += 30
    if not findings:
        sheet.text(left, y, str(words["none"]), size=13)
    for number, each in enumerate(findings[:_MOST_LISTED], start=1):
        _badge(sheet, left + 8, y - 4, number, _COLOURS[each.severity])
        who = _clipped(named(each.features) or str(words["layer"]), 12)
        sheet.text(left + 24, y, who, size=12, extra='font-weight="bold"')
        text = each.zh if language == "zh" else each.en
        sheet.text(left + 24, y + 15, _clipped(text, 11), size=11, fill="#444")
        y += _LINE_PX
    if len(findings) > _MOST_LISTED:
        rest = str(words["more"]).format(number=len(findings) - _MOST_LISTED)
        sheet.text(left, y, rest, size=12, fill="#555")
        y += _LINE_PX
    sheet.height_px = max(sheet.height_px, y - _HEAD_PX)


def _clipped(text: str, size: int) -> str:
    """Cut a line of a font size to the width of the list, by the usual width of letters."""
    room = (_LIST_PX - 40) / size
    for number, letter in enumerate(text):
        room -= 1 if letter >= _WIDE_FROM else _NARROW
        if room < 1 and number < len(text) - 1:
            return text[:number] + "…"
    return text


def _scale(sheet: _Sheet) -> None:
    """Draw a scale bar of a round length, about a fifth of the map."""
    wanted_m = _MAP_PX / 5 / sheet.px_a_metre
    power = 10 ** math.floor(math.log10(wanted_m))
    length_m = max(step * power for step in (1, 2, 5) if step * power <= wanted_m)
    y, width = _HEAD_PX + sheet.height_px + 18, length_m * sheet.px_a_metre
    sheet.parts.append(
        f'<path d="M{_MARGIN_PX} {y - 5:.1f}v5h{width:.1f}v-5" fill="none" stroke="#222" stroke-width="1.5"/>'
    )
    label = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"  # noqa: PLR2004  Metres in a kilometre.
    sheet.text(_MARGIN_PX + width + 8, y, label, size=12)


def _document(sheet: _Sheet, caption: str | None) -> str:
    width = math.ceil(_MARGIN_PX * 3 + sheet.width_px + _LIST_PX)
    height = _HEAD_PX + sheet.height_px + 40
    note = f"<desc>{html.escape(caption)}</desc>" if caption else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:.0f}" '
        f'viewBox="0 0 {width} {height:.0f}" font-family="{html.escape(_FONT)}">{note}'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(sheet.parts)}</svg>\n'
    )
