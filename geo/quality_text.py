"""The quality report as text, in Chinese and English."""

from typing import TYPE_CHECKING

from geo.faults import Severity
from geo.findings import FeatureRef, Finding

if TYPE_CHECKING:
    from geo.quality import QualityReport

_WORDS = {
    "zh": {
        "title": "边界数据质量报告",
        "file": "文件",
        "features": "要素",
        "usable": "可用",
        "area": "总面积",
        "clean": "没有发现问题。",
        "publishable": "可以发布。",
        "not": "不能发布:有错误或须由人核定的问题。",
        "at": "位置",
        Severity.ERROR: "错误",
        Severity.NEEDS_HUMAN: "须由人核定",
        Severity.WARNING: "警告",
        Severity.NOTE: "说明",
    },
    "en": {
        "title": "Quality report of boundary data",
        "file": "File",
        "features": "Features",
        "usable": "usable",
        "area": "Total area",
        "clean": "Nothing was found.",
        "publishable": "It can be published.",
        "not": "It cannot be published: there are errors, or decisions for a person.",
        "at": "at",
        Severity.ERROR: "Errors",
        Severity.NEEDS_HUMAN: "For a person to decide",
        Severity.WARNING: "Warnings",
        Severity.NOTE: "Notes",
    },
}
_MOST_NAMED = 4


def written(report: "QualityReport", language: str) -> str:
    """Write a report in "zh" or "en"; KeyError for another language. The area is that of all features added up."""
    words = _WORDS[language]
    usable = sum(each.usable for each in report.measures)
    area_km2 = sum(each.area_m2 for each in report.measures) / 1e6
    lines = [
        words["title"],
        f"{words['file']}: {report.filename} ({report.format}, {report.crs}, {report.encoding})",
        f"SHA-256: {report.sha256}",
        f"{words['features']}: {len(report.measures)}, {words['usable']} {usable}; {words['area']} {area_km2:.3f} km²",
        words["publishable"] if report.publishable else words["not"],
    ]
    if not report.findings:
        lines.append(words["clean"])
    number = 0
    for severity in Severity:
        mine = [each for each in report.findings if each.severity is severity]
        if mine:
            lines += ["", f"{words[severity]} ({len(mine)})"]
        for each in mine:
            number += 1
            lines.append(f"{number:>4}. {_line(each, language)}")
    return "\n".join(lines) + "\n"


def _line(each: Finding, language: str) -> str:
    text = each.zh if language == "zh" else each.en
    names = named(each.features)
    place = "" if each.lon is None else f" [{_WORDS[language]['at']} {each.lon:.6f}, {each.lat:.6f}]"
    return f"{names}{': ' if names else ''}{text}{place} ({each.code})"


def named(features: tuple[FeatureRef, ...]) -> str:
    """Name the features of a finding, the first few of many."""
    shown = ", ".join(str(each) for each in features[:_MOST_NAMED])
    return shown if len(features) <= _MOST_NAMED else f"{shown} … ({len(features)})"
