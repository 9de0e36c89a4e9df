"""What must become of a position, written down apart from the code that judges it (security.md M23).

Inputs are the literal JSON texts of the fields, so that 1e400, -0, 1E2 and 0.10 are different things. The oracle knows
rulings 1 and 2 and plain arithmetic with Decimal; it shares no line with geo/ or server/.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import combinations, product

REFUSED, KEPT = "refused", "kept"
VALUES: dict[str, tuple[str | None, ...]] = {
    # Longitude and latitude together: None stands for a field that is missing.
    "place": (
        "middle", "east as gcj02", "east as bd09", "town", "far", "near border", "rounded to 4", "rounded to 3",
        "rounded to 2", "rounded to 1", "whole degrees", "15 decimals", "exponent form", "swapped", "null island",
        "almost null island", "other hemisphere", "south pole", "lon 180", "lon 180.1", "lat 90.1", "lat -91",
        "lon NaN", "lat Infinity", "lat -Infinity", "lon 1e400", "lon string", "lat null", "lon missing", "lat missing",
        "lon true", "lat list", "lon object", "lon huge integer", "lat denormal", "lon string NaN", "lat empty string",
    ),
    "datum": ('"wgs84"', '"gcj02"', '"bd09"', '"cgcs2000"', '"WGS84"', '"utm"', "null", "4326", None),
    "accuracy_m": (
        "12", None, "null", "0", "-0.0", "-5", "0.1", "500", "500.1", "10000", "1e308", "1e400", "NaN", "-Infinity",
        '"12"', '"x"', "true", "[]", "1e-320", "499.9999999999999999",
    ),
    "age_s": (
        "3", "0", "-1", "-86401", "-1000000000", "-1000000001", "120", "120.1", "1000000000", "1e300", "Infinity", "NaN", "null", '"3"',
        '"old"', "false", None,
    ),
    "mocked": ("false", "true", "null", '"no"', '"maybe"', "2", None),
    "altitude_m": ("350.5", "-20001", "100001", "NaN", '"high"', "null", None),
    "speed_mps": ("1.2", "-1", "-1001", "1e9", "Infinity", '"fast"', "null", None),
    "provider": ('"gps"', '"' + "x" * 81 + '"', '"a\\u0000b"', "7", "null", None),
}  # fmt: skip
"""Every field with its values. A place is a pair, because what is wrong with it is often the pair."""
PAIRS: dict[str, tuple[str | None, str | None]] = {
    "middle": ("106.2071234", "28.9081234"), "east as gcj02": ("106.2208615", "28.8999907"),
    "east as bd09": ("106.2273049", "28.9061329"), "town": ("106.2181234", "28.9181234"),
    "far": ("106.2500001", "28.9500001"), "near border": ("106.2000101", "28.9081234"),
    "rounded to 4": ("106.2071", "28.9081"), "rounded to 3": ("106.207", "28.908"), "rounded to 2": ("106.21", "28.91"),
    "rounded to 1": ("106.2", "28.9"), "whole degrees": ("106", "29"),
    "15 decimals": ("106.207123412345678", "28.908123412345678"), "exponent form": ("1.062071234e2", "289081234E-7"),
    "swapped": ("28.9081234", "106.2071234"), "null island": ("0", "0.0"), "almost null island": ("0.0009", "-0.001"),
    "other hemisphere": ("-106.2071234", "-28.9081234"), "south pole": ("106.2071234", "-90"), "lon 180": ("180", "28.9"),
    "lon 180.1": ("180.1", "28.9"), "lat 90.1": ("5.5", "90.1"), "lat -91": ("106.2071234", "-91"),
    "lon NaN": ("NaN", "28.9"), "lat Infinity": ("106.2", "Infinity"), "lat -Infinity": ("106.2", "-Infinity"),
    "lon 1e400": ("1e400", "28.9"), "lon string": ('"106.2071234"', "28.9081234"), "lat null": ("106.2", "null"),
    "lon missing": (None, "28.9"), "lat missing": ("106.2", None), "lon true": ("true", "28.9"), "lat list": ("106.2", "[28.9]"),
    "lon object": ('{"deg": 106}', "28.9"), "lon huge integer": ("1" + "0" * 400, "28.9"),
    "lat denormal": ("106.2071234", "5e-324"), "lon string NaN": ('"NaN"', "28.9"), "lat empty string": ("106.2", '""'),
}  # fmt: skip
LARGEST = Decimal(sys.float_info.max)
FIELDS = tuple(VALUES)
Row = tuple[str | None, ...]


@dataclass(frozen=True)
class Expected:
    """What must become of it. `verdicts` holds every verdict that the rulings allow; None where it is refused."""

    outcome: str
    verdicts: frozenset[str] | None = None


def body(row: Row) -> bytes:
    """Write the position as JSON, with each value exactly as it stands in the table."""
    given = dict(zip(FIELDS, row, strict=True))
    lon, lat = PAIRS[given.pop("place") or ""]
    fields = {"lon": lon, "lat": lat, **given}
    return b"{" + ",".join(f'"{k}": {v}' for k, v in fields.items() if v is not None).encode() + b"}"


@cache
def number(text: str | None) -> Decimal | None:
    """Read a finite JSON number; None for anything else, a text of digits and a truth value included (edge 38)."""
    if text is None or not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", text):
        return None
    exact = Decimal(text)
    return exact if abs(exact) <= LARGEST else None


def is_null(text: str | None) -> bool:
    """Tell whether an optional field is left open."""
    return text is None or text == "null"


def expected(row: Row) -> Expected:
    """Return what must become of a position at the middle of a village with a town seat in its corner."""
    given = dict(zip(FIELDS, row, strict=True))
    lon, lat = (number(text) for text in PAIRS[given["place"] or ""])
    age, accuracy = number(given["age_s"]), number(given["accuracy_m"])
    if not _readable(given, lon, lat, age, accuracy):
        return Expected(REFUSED)
    assert lon is not None
    assert lat is not None
    assert age is not None
    if _impossible(lon, lat):
        return Expected(REFUSED)
    if age > 120:
        return Expected(KEPT, frozenset({"unusable"}))
    stated = accuracy if accuracy is not None and float(accuracy) > 0 else None
    if stated is not None and float(stated) > 500:
        return Expected(KEPT, frozenset({"unusable"}))
    return Expected(KEPT, _where(given, stated))


def _readable(given: dict[str, str | None], *numbers: Decimal | None) -> bool:
    lon, lat, age, accuracy = numbers
    if lon is None or lat is None or given["datum"] not in {'"wgs84"', '"gcj02"', '"bd09"', '"cgcs2000"'}:
        return False
    if age is None or not -(10**9) <= age <= 10**9:
        return False
    if accuracy is None and not is_null(given["accuracy_m"]):
        return False
    for name, low, high in (("altitude_m", -20_000, 100_000), ("speed_mps", -1_000, 100_000)):
        value = number(given[name])
        if not is_null(given[name]) and (value is None or not low <= value <= high):
            return False
    return given["mocked"] in {"false", "true", "null", None} and given["provider"] in {'"gps"', "null", None}


def _impossible(lon: Decimal, lat: Decimal) -> bool:
    swapped = 18 <= lon <= 54 and 73 <= lat <= 136
    outside = not (-180 <= lon <= 180 and -90 <= lat <= 90)
    nowhere = abs(lon) <= Decimal("0.001") and abs(lat) <= Decimal("0.001")
    return swapped or outside or nowhere


DOUBTFUL = frozenset({"unsure", "outside", "town"})
OUT = frozenset({"outside"})
UNUSABLE = frozenset({"unusable"})
SAME = {'"wgs84"', '"cgcs2000"'}  # Less than a metre apart.
ROUNDED_AWAY = {"rounded to 2", "rounded to 1", "whole degrees", "lon 180"}
"""Two decimals of a degree are 740 m at 29 degrees north, and coarser than 500 m is unusable (ruling 1, edge 41)."""
PLAIN = {
    "middle": "inside",
    "15 decimals": "inside",
    "exponent form": "inside",
    "rounded to 4": "inside",
    "town": "town",
}
ELSEWHERE = {"other hemisphere", "south pole", "lat denormal", "far"}
SHIFTED = {("east as gcj02", '"gcj02"'), ("east as bd09", '"bd09"')}


def _where(given: dict[str, str | None], stated: Decimal | None) -> frozenset[str]:
    """Say which verdicts are right: exactly one where it is plain, those that are safe where it depends on metres."""
    place, datum = given["place"] or "", given["datum"]
    if place in ROUNDED_AWAY:
        return UNUSABLE
    if place in ELSEWHERE:
        return OUT
    if stated is None:
        return DOUBTFUL  # Unknown is judged as 500 m: never better than unsure (ruling 2).
    plain = PLAIN.get(place) if datum in SAME else "inside" if (place, datum) in SHIFTED else None
    return frozenset({plain}) if plain is not None and stated <= 12 else DOUBTFUL | {"inside"}


JUDGED_BY = ("place", "datum", "accuracy_m", "age_s", "mocked")
USUAL: Row = ("middle", '"wgs84"', "12", "3", "false", "350.5", "1.2", '"gps"')


def whole_product() -> Iterator[Row]:
    """Give every combination of what a verdict hangs on, and every combination of the rest with a usual position."""
    judged = [VALUES[name] for name in JUDGED_BY]
    rest = [VALUES[name] for name in FIELDS[len(JUDGED_BY) :]]
    yield from ((*head, *USUAL[len(JUDGED_BY) :]) for head in product(*judged))
    yield from ((*USUAL[: len(JUDGED_BY)], *tail) for tail in product(*rest))


def pairwise() -> list[Row]:
    """Return rows in which every two values of every two fields meet, and every two that are fine meet in a fine row.

    Without the second part what is wrong with one field would hide nearly everything that another does.
    """
    fine = {
        name: tuple(value for value in VALUES[name] if expected(_usual_but(name, value)).outcome == KEPT)
        for name in FIELDS
    }
    where = [(place, datum, *USUAL[2:]) for place in fine["place"] for datum in fine["datum"]]
    return list(dict.fromkeys([*_covering(VALUES), *_covering(fine), *where]))


def _usual_but(name: str, value: str | None) -> Row:
    return tuple(value if field == name else usual for field, usual in zip(FIELDS, USUAL, strict=True))


def _covering(values: Mapping[str, tuple[str | None, ...]]) -> list[Row]:
    """Make rows around pairs that have not met; the other fields take the value that meets most others anew."""
    places = range(len(FIELDS))
    wanted = {
        ((a, x), (b, y))
        for a, b in combinations(places, 2)
        for x in values[FIELDS[a]]
        for y in values[FIELDS[b]]
    }
    rows: list[Row] = []
    for pair in sorted(wanted, key=str):
        if pair not in wanted:
            continue
        chosen = dict(pair)
        for field in places:
            if field not in chosen:
                chosen[field] = max(
                    values[FIELDS[field]],
                    key=lambda value, f=field: _new_pairs(wanted, chosen, f, value),  # type: ignore[misc]
                )
        wanted -= {((a, chosen[a]), (b, chosen[b])) for a, b in combinations(places, 2)}
        rows.append(tuple(chosen[field] for field in places))
    return rows


def _new_pairs(
    wanted: set[tuple[tuple[int, str | None], tuple[int, str | None]]],
    chosen: dict[int, str | None],
    field: int,
    value: str | None,
) -> int:
    pairs = (sorted(((field, value), other), key=lambda each: each[0]) for other in chosen.items())
    return sum((one, two) in wanted for one, two in pairs)
