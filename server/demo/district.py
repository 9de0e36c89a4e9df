"""The demonstration district (合成示意): its files, and a roster of people who do not exist."""

import csv
import io
import json
import random
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import shapely
from shapely import MultiPolygon, Point, Polygon
from shapely.geometry import shape

DATA = Path(__file__).resolve().parent.parent / "demo_data" / "jiangjin"
DISTRICT, DISTRICT_NAME = "500116", "江津区"
_FAMILY = "王李张刘陈杨黄赵周吴徐孙马朱胡郭何罗高林郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘蔡蒋余于杜叶程魏苏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤"
_GIVEN = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰飞红梅建国志文波辉斌宇浩凯健俊帆雪倩颖琳晶妍欢瑞峰"
)
_RARE = "𬭎䶮㛃"
_UNITS = ("区住房城乡建委", "区交通运输委", "区水利局", "区农业农村委", "区教委", "区卫生健康委", "区民政局", "区财政局", "区林业局", "区文化旅游委",
          "区市场监管局", "区税务局", "区供销合作社", "区融媒体中心", "区自来水公司", "区人民医院", "区农商行", "区城投公司")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Village:
    """A village of the district with its boundary."""

    code: str
    name: str
    town: str
    town_name: str
    shape: Polygon | MultiPolygon


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who does not exist, posted to a village."""

    number: str
    name: str
    unit: str
    role: str
    village: Village
    from_day: date
    until_day: date | None


class District:
    """The files of the demonstration and what is drawn from them with a fixed seed."""

    def __init__(self, *, people: int, month: date, seed: int = 2021) -> None:
        self._random = random.Random(seed)  # noqa: S311  The demonstration is the same every time.
        self._wanted = people
        self._month = month

    def file(self, name: str) -> bytes:
        """Return one of the district's files."""
        return (DATA / name).read_bytes()

    def regions_csv(self) -> bytes:
        """Return the register of regions as the import takes it."""
        out = io.StringIO()
        rows = csv.writer(out)
        rows.writerow(["code", "name", "kind", "class", "parent"])
        rows.writerow([f"{DISTRICT}000000", DISTRICT_NAME, "district", "", ""])
        for town in self._rows("towns.csv"):
            rows.writerow([town["code12"], town["name"], town["kind"], "", f"{DISTRICT}000000"])
        for unit in self._rows("units.csv"):
            rows.writerow(
                [
                    unit["code"],
                    unit["name"],
                    unit["kind"],
                    unit["urban_rural_class"],
                    f"{unit['town_code']}000",
                ]
            )
        return out.getvalue().encode()

    @cached_property
    def villages(self) -> list[Village]:
        """The units where a stay counts, in the order of their codes."""
        features = json.loads(self.file("villages.geojson"))["features"]
        found = [
            Village(p["code"], p["name"], p["town_code"], p["town_name"], _area(feature["geometry"]))
            for feature in features
            if (p := feature["properties"])["kind"] == "village" and p["lodging_counts"]
        ]
        return sorted(found, key=lambda village: village.code)

    @cached_property
    def seats(self) -> dict[str, Polygon | MultiPolygon]:
        """Each town's exclusion zone (town seat or urban area), by town code."""
        features = json.loads(self.file("exclusion_zones.geojson"))["features"]
        return {f["properties"]["town_code"]: _area(f["geometry"]) for f in features}

    @cached_property
    def people(self) -> list[Person]:
        """The cadres: a first secretary and members in each drawn village, a few coming or leaving in the month."""
        drawn = self._random
        people: list[Person] = []
        villages = list(self.villages)
        drawn.shuffle(villages)
        for village in villages:
            for place in range(drawn.choice((1, 2, 2, 3))):
                if len(people) >= self._wanted:
                    return people
                people.append(self._person(len(people) + 1, village, first=place == 0))
        return people

    def _person(self, number: int, village: Village, *, first: bool) -> Person:
        drawn = self._random
        rare = drawn.choice(_RARE) if number % 97 == 0 else ""
        name = drawn.choice(_FAMILY) + (
            rare or "".join(drawn.choice(_GIVEN) for _ in range(drawn.choice((1, 2, 2))))
        )
        began, ended = date(self._month.year - 1, drawn.randint(1, 12), drawn.randint(1, 28)), None
        if number % 41 == 0:
            began = self._month + timedelta(days=drawn.randint(3, 12))
        elif number % 53 == 0:
            ended = self._month + timedelta(days=drawn.randint(8, 24))
        role = "第一书记" if first else "工作队员"
        return Person(f"JJ{number:04d}", name, drawn.choice(_UNITS), role, village, began, ended)

    def roster_csv(self) -> bytes:
        """Return the roster as an office would send it."""
        out = io.StringIO()
        rows = csv.writer(out)
        rows.writerow(
            ["工号", "姓名", "派出单位", "村代码", "村名", "镇", "职务", "任职时间", "离任时间", "离任原因"]
        )
        for each in self.people:
            ended = [each.until_day.isoformat(), "任期届满"] if each.until_day else ["", ""]
            rows.writerow(
                [
                    each.number,
                    each.name,
                    each.unit,
                    each.village.code,
                    each.village.name,
                    each.village.town_name,
                    each.role,
                    each.from_day.isoformat(),
                    *ended,
                ]
            )
        return out.getvalue().encode("utf-8-sig")

    def _rows(self, name: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.file(name).decode("utf-8"))))


def _area(geometry: dict[str, Any]) -> Polygon | MultiPolygon:
    area = shape(geometry)
    if not isinstance(area, Polygon | MultiPolygon):
        raise TypeError(f"{area.geom_type} is no area")
    return area


def somewhere_in(area: Polygon | MultiPolygon, drawn: random.Random, *, inset_deg: float = 0.0004) -> Point:
    """Return a point inside an area, about 40 m from its border where it is wide enough."""
    inner = area.buffer(-inset_deg)
    inside = area if inner.is_empty else inner
    west, south, east, north = inside.bounds
    for _ in range(200):
        point = Point(drawn.uniform(west, east), drawn.uniform(south, north))
        if inside.contains(point):
            return point
    return inside.representative_point()


def on_border_of(area: Polygon | MultiPolygon, drawn: random.Random) -> Point:
    """Return a point on the outer border of an area."""
    ring = max(shapely.get_parts(area), key=lambda part: part.area).exterior
    spot: Point = ring.interpolate(drawn.random(), normalized=True)
    return spot
