"""Which column of a boundary file says what, and what its codes and kinds mean.

Village codes are the 12 digits of the statistical division codes; their first nine are the town. Two systems of 9-digit
town codes are in use and collide, so nine digits never identify a village here.
"""

import math
import re
import unicodedata
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from geo.boundary_file import ColumnChoice
from geo.faults import Fault, fault
from geo.reading.raw import Attributes, RawFeature, RawLayer
from geo.reading.words import clip

_CUT_BYTES = (10, 11)  # A .dbf keeps 10 bytes of a column's name; some programs write 11.
_MOST = 0.5
_VILLAGE_DIGITS, _TOWN_DIGITS, _LONGEST_DIGITS = 12, 9, 19
_TOWN_ENDING = "000"

# Pairs stand at the same place: the column of names that belongs to a column of codes.
_CODES = (
    "code",
    "SQCDM",
    "CUNDM",
    "XZQDM",
    "AREA_CODE",
    "PAC",
    "ZLDWDM",
    "村代码",
    "村级代码",
    "行政区代码",
    "code12",
)
_NAMES = (
    "name",
    "SQCMC",
    "CUNMC",
    "XZQMC",
    "AREA_NAME",
    "NAME",
    "ZLDWMC",
    "村名称",
    "村名",
    "行政区名称",
    "full_name",
)
_ALIASES: dict[str, tuple[str, ...]] = {
    "code": _CODES,
    "name": _NAMES,
    "town_code": ("town_code", "XZJDM", "XZXZQDM", "XZDM", "乡镇代码", "乡镇街道代码"),
    "town_name": ("town_name", "XZJMC", "XZXZQMC", "XZMC", "乡镇名", "乡镇名称", "乡镇街道名称"),
    "kind": ("kind", "LX", "type", "类型", "区域类型"),
    "area_km2": ("area_km2", "面积平方公里", "MJ_KM2"),
}
_ROLES_ZH = {
    "code": "代码(code)",
    "name": "名称(name)",
    "town_code": "乡镇代码(town_code)",
    "kind": "类型(kind)",
}

_KINDS = {
    "village": ("village", "村", "行政村", "村民委员会", "村委会", "建制村"),
    "community": ("community", "社区", "居委会", "居民委员会", "城市社区", "农村社区"),
    "town_seat": ("town_seat", "场镇", "镇场镇", "镇区", "集镇"),
    "urban": ("urban", "城区"),
    "duty_place": ("duty_place", "公务地点"),
}
KIND_OF_WORD = {word: kind for kind, words in _KINDS.items() for word in words}
EXCLUSION_KINDS = frozenset({"town_seat", "urban"})
"""Kinds whose codes are the importer's own: no statistical code exists for them."""
_FREE_CODES = EXCLUSION_KINDS | {"duty_place"}


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What a feature's attributes say, and their faults."""

    code: str | None
    name: str | None
    kind: str | None
    kind_as_read: str | None
    town_code: str | None
    town_name: str | None
    claimed_area_km2: float | None
    faults: list[Fault] = field(default_factory=list)


def choose_columns(layer: RawLayer, given: ColumnChoice | None) -> tuple[ColumnChoice, list[Fault]]:
    """Decide which column says what: as given, else by known names, and for codes by content."""
    wanted = asdict(given or ColumnChoice())
    faults: list[Fault] = []
    chosen: dict[str, str | None] = {}
    shown = clip(", ".join(layer.columns))
    for role, column in wanted.items():
        if column is None:
            chosen[role] = _recognised(role, layer, chosen, faults)
        elif column in layer.columns:
            chosen[role] = column
        else:
            chosen[role] = None
            faults += [fault("column-unknown", column=clip(column), columns=shown)]
    told = {str(each.numbers.get("role")) for each in faults}
    for role in ("code", "name"):
        if chosen[role] is None and wanted[role] is None and _ROLES_ZH[role] not in told and layer.features:
            faults.append(fault("column-not-found", role=_ROLES_ZH[role], columns=shown))
    return ColumnChoice(**chosen), faults


def _plain_key(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip().lower()


def _answers_to(column: str, alias: str, layer: RawLayer) -> bool:
    """Tell whether a column has an alias's name, be it cut to the bytes a .dbf keeps."""
    key, wanted = _plain_key(column), _plain_key(alias)
    if key == wanted:
        return True
    if not layer.cut_columns:
        return False
    code = wanted.encode(layer.encoding or "utf-8", "replace")
    return any(
        len(code) > size and key.rstrip("\ufffd") == code[:size].decode(layer.encoding or "utf-8", "ignore")
        for size in _CUT_BYTES
    )


def _recognised(role: str, layer: RawLayer, chosen: dict[str, str | None], faults: list[Fault]) -> str | None:
    found = [
        column for alias in _ALIASES[role] for column in layer.columns if _answers_to(column, alias, layer)
    ]
    found = list(dict.fromkeys(found))
    if role == "code":
        return _code_column(found, layer, faults)
    if role == "name" and chosen.get("code"):
        paired = _paired_name(str(chosen["code"]), layer)
        if paired is not None:
            return paired
    if len(found) > 1 and role == "name" and not _all_equal(found, layer):
        faults.append(_ambiguous(role, found))
        return None
    return found[0] if found else None


def _code_column(found: list[str], layer: RawLayer, faults: list[Fault]) -> str | None:
    """Choose among columns of codes by what they hold: the village's has 12 digits."""
    if not found and layer.format == "kml":
        found = ["description"] if _share(layer, "description", _is_village_code) > _MOST else []
    full = [column for column in found if _share(layer, column, _is_village_code) > _MOST]
    rivals = full or found
    if len(rivals) > 1 and not _all_equal(rivals, layer):
        faults.append(_ambiguous("code", rivals))
        return None
    return rivals[0] if rivals else None


def _ambiguous(role: str, found: list[str]) -> Fault:
    return fault("column-ambiguous", role=_ROLES_ZH[role], columns=clip(", ".join(found)))


def _paired_name(code_column: str, layer: RawLayer) -> str | None:
    for code, name in zip(_CODES, _NAMES, strict=True):
        if _answers_to(code_column, code, layer):
            return next((column for column in layer.columns if _answers_to(column, name, layer)), None)
    return None


def _share(layer: RawLayer, column: str, test: Callable[[str], bool]) -> float:
    texts = [_as_text(feature.attributes.get(column)) for feature in layer.features]
    return sum(test(text) for text in texts if text) / max(1, len(texts))


def _all_equal(columns: list[str], layer: RawLayer) -> bool:
    return all(
        len({_as_text(feature.attributes.get(column)) for column in columns}) == 1
        for feature in layer.features
    )


def _as_text(value: object) -> str | None:
    """Give an attribute as text; numbers that are whole lose the point a spreadsheet gave them."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, float):
        value = int(value) if math.isfinite(value) and value.is_integer() else value
    text = unicodedata.normalize("NFC", str(value)).strip()
    if re.fullmatch(r"\d+\.0+", text):
        text = text.split(".", maxsplit=1)[0]
    return text or None


def _is_village_code(text: str) -> bool:
    return _cut_code(text) is not None


def _cut_code(text: str) -> str | None:
    """Give the 12 digits of a code that has them, alone or before zeros (a 19-digit 坐落单位代码); None otherwise."""
    if not (text.isascii() and text.isdigit() and _VILLAGE_DIGITS <= len(text) <= _LONGEST_DIGITS):
        return None
    return text[:_VILLAGE_DIGITS] if not text[_VILLAGE_DIGITS:].strip("0") else None


def labels_of(feature: RawFeature, columns: ColumnChoice) -> Labels:
    """Read a feature's code, name, kind, town and claimed area by the chosen columns, naming what is wrong."""
    values = feature.attributes
    kind_as_read = _said(values, columns.kind)
    kind = KIND_OF_WORD.get(kind_as_read.lower()) if kind_as_read else None
    faults: list[Fault] = []
    code = _code(_said(values, columns.code), kind, feature.index, columns.code is not None, faults)
    name = _said(values, columns.name)
    if name is None and columns.name is not None:
        faults.append(fault("name-missing", feature=feature.index))
    town = _town_code(_said(values, columns.town_code), code, kind, feature.index, faults)
    return Labels(
        code=code,
        name=name,
        kind=kind,
        kind_as_read=kind_as_read,
        town_code=town,
        town_name=_said(values, columns.town_name),
        claimed_area_km2=_number(values, columns.area_km2),
        faults=faults,
    )


def _said(values: Attributes, column: str | None) -> str | None:
    return None if column is None else _as_text(values.get(column))


def _number(values: Attributes, column: str | None) -> float | None:
    value = None if column is None else values.get(column)
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _code(
    text: str | None, kind: str | None, index: int, has_column: bool, faults: list[Fault]
) -> str | None:
    """Read a code; only one that identifies a unit is given back."""
    if text is None:
        if has_column:
            faults.append(fault("code-missing", feature=index))
        return None
    if kind in _FREE_CODES:
        return text
    code = _cut_code(text)
    if code is None:
        nine = text.isascii() and text.isdigit() and len(text) == _TOWN_DIGITS
        faults.append(
            fault("code-nine-digits" if nine else "code-malformed", feature=index, value=clip(text, 40))
        )
        return None
    if code != text:
        faults.append(fault("code-cut-to-twelve", feature=index, value=clip(text, 40)))
    if code.endswith(_TOWN_ENDING):
        faults.append(fault("code-of-a-town", feature=index, value=code))
    return code


def _town_code(
    text: str | None, code: str | None, kind: str | None, index: int, faults: list[Fault]
) -> str | None:
    """Read the town's nine digits; from the village's own code where no column says them."""
    from_code = code[:_TOWN_DIGITS] if code is not None and kind not in _FREE_CODES else None
    if text is None:
        return from_code
    long = len(text) == _VILLAGE_DIGITS and text.endswith(_TOWN_ENDING)
    town = text[:_TOWN_DIGITS] if long or len(text) == _TOWN_DIGITS else None
    if town is None or not (town.isascii() and town.isdigit()):
        faults.append(fault("town-code-malformed", feature=index, value=clip(text, 40)))
        return from_code
    if from_code is not None and town != from_code:
        faults.append(fault("town-code-differs", feature=index, town=town, value=str(code)))
        return None
    return town
