"""The register of versions and the atlas of shapes, without a database."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geo.zones import ZoneKind, circle
from server.places.atlas import Atlas, Register, Stored

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def row(
    zone: UUID,
    version: UUID,
    since: datetime = DAY,
    until: datetime | None = None,
    *,
    kind: str = "village",
    code: str = "500116101200",
    ended: bool = False,
    box: tuple[float, float, float, float] | None = None,
) -> tuple[object, ...]:
    return (version, zone, kind, code, since, until, ended, *(box or (None, None, None, None)))


def test_the_latest_published_version_that_speaks_of_the_instant_is_in_force() -> None:  # edge 46
    zone, first, season, correction = uuid4(), uuid4(), uuid4(), uuid4()
    register = Register(
        [
            row(zone, first, DAY),
            row(zone, season, DAY + timedelta(days=10), DAY + timedelta(days=20)),  # edge 51
            row(zone, correction, DAY + timedelta(days=5), DAY + timedelta(days=12)),
        ]
    )
    by_day = {
        day: register.in_force(zone, DAY + timedelta(days=day)) for day in (-1, 0, 4, 5, 11, 12, 19, 20)
    }
    assert by_day == {
        -1: None,
        0: first,
        4: first,
        5: correction,
        11: correction,
        12: season,
        19: season,
        20: first,
    }


def test_an_ended_zone_is_no_place_and_no_fence() -> None:  # edge 49
    zone, first = uuid4(), uuid4()
    register = Register([row(zone, first), row(zone, uuid4(), DAY + timedelta(days=3), ended=True)])
    assert register.assigned(["500116101200"], [], DAY) == ((first,), ())
    assert register.assigned(["500116101200"], [], DAY + timedelta(days=3)) == ((), ("500116101200",))


def test_an_extra_place_out_of_season_is_left_out() -> None:  # edge 51
    village, pasture = uuid4(), uuid4()
    register = Register(
        [
            row(village, UUID(int=1)),
            row(pasture, UUID(int=2), DAY, DAY + timedelta(days=9), kind="duty_place"),
        ]
    )
    at = DAY + timedelta(days=9)
    assert register.assigned(["500116101200"], [pasture], DAY)[0] == (UUID(int=1), UUID(int=2))
    assert register.assigned(["500116101200"], [pasture], at)[0] == (UUID(int=1),)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 15) | st.none(), st.booleans()), max_size=8),
    st.integers(-2, 50),
)
def test_in_force_agrees_with_reading_the_rows_backwards(
    spans: list[tuple[int, int | None, bool]], day: int
) -> None:
    zone = uuid4()
    rows = []
    expected = None
    for number, (since, length, ended) in enumerate(spans):
        until = None if length is None else since + length
        rows.append(
            row(
                zone,
                UUID(int=number),
                DAY + timedelta(days=since),
                None if until is None else DAY + timedelta(days=until),
                ended=ended,
            )
        )
        if since <= day and (until is None or day < until):
            expected = None if ended else UUID(int=number)
    assert Register(rows).in_force(zone, DAY + timedelta(days=day)) == expected


@given(
    st.lists(st.tuples(st.floats(105.8, 106.6), st.floats(28.6, 29.5), st.floats(50, 4000)), max_size=12),
    st.floats(105.8, 106.6),
    st.floats(28.6, 29.5),
    st.floats(10, 3000),
)
def test_no_exclusion_zone_within_reach_is_overlooked(
    circles: list[tuple[float, float, float]], lon: float, lat: float, reach: float
) -> None:
    shapes = {UUID(int=n): circle(lon=x, lat=y, radius_m=r) for n, (x, y, r) in enumerate(circles)}
    register = Register([row(v, v, kind="urban", box=s.bounds) for v, s in shapes.items()])
    found = register.exclusions_near(lon=lon, lat=lat, reach_m=reach, at=DAY)
    near = circle(lon=lon, lat=lat, radius_m=reach)
    assert {version for version, shape in shapes.items() if shape.intersects(near)} <= set(found)
    assert list(found) == sorted(found)


def test_a_replaced_exclusion_zone_is_not_found_at_its_old_place() -> None:
    zone, old, new = uuid4(), uuid4(), uuid4()
    here, there = circle(lon=106.2, lat=29.2, radius_m=500), circle(lon=106.4, lat=29.2, radius_m=500)
    register = Register(
        [
            row(zone, old, kind="urban", box=here.bounds),
            row(zone, new, DAY + timedelta(days=5), kind="urban", box=there.bounds),
        ]
    )
    later = DAY + timedelta(days=5)
    assert register.exclusions_near(lon=106.2, lat=29.2, reach_m=100, at=DAY) == (old,)
    assert register.exclusions_near(lon=106.2, lat=29.2, reach_m=100, at=later) == ()
    assert register.exclusions_near(lon=106.4, lat=29.2, reach_m=100, at=later) == (new,)


def stored(lon: float, radius_m: float = 500.0, kind: str = "village") -> Stored:
    return Stored(kind, f"村{lon}", shapely.to_wkb(circle(lon=lon, lat=29.2, radius_m=radius_m)), 10.0)


def test_the_atlas_asks_only_for_what_it_lacks_and_joins_it() -> None:
    atlas = Atlas()
    one, two = uuid4(), uuid4()
    assert atlas.missing([((one, two), ())], [()]) == sorted([one, two])
    atlas.put({one: stored(106.2), two: stored(106.205)})
    places = atlas.assigned((one, two))
    assert places.versions == (one, two)
    assert places.covers(lon=106.2025, lat=29.2)
    atlas.trim()
    assert atlas.missing([((one, two), ())], []) == []
    assert atlas.assigned((one, two)) is places
    assert atlas.missing([((one,), ())], []) == [one]


def test_exclusion_zones_and_places_of_the_same_versions_are_kept_apart() -> None:
    atlas = Atlas()
    town = uuid4()
    atlas.put({town: stored(106.2, kind=ZoneKind.TOWN_SEAT.value)})
    assert atlas.excluded((town,)).covers(lon=106.2, lat=29.2)
    with pytest.raises(ValueError, match="town_seat"):
        atlas.assigned((town,))


def test_the_atlas_forgets_the_least_recently_used_and_only_when_told() -> None:
    atlas = Atlas(most_bytes=5_000)  # Two circles of 97 coordinates and a little.
    ids = [UUID(int=n) for n in range(4)]
    for number, version in enumerate(ids):
        atlas.put({version: stored(106.2 + number / 100)})
        atlas.assigned((version,))
    assert atlas.missing([((version,), ()) for version in ids], []) == []
    atlas.assigned((ids[0],))
    atlas.trim()
    assert atlas.missing([((version,), ()) for version in ids], []) == [ids[1], ids[2]]
    assert atlas.bytes <= 5_000


def test_a_shape_that_is_no_area_is_refused() -> None:
    line = Stored("village", "线", shapely.to_wkb(shapely.LineString([(106, 29), (107, 29)])), 1.0)
    with pytest.raises(ValueError, match="LineString"):
        Atlas().put({uuid4(): line})


def test_an_exclusion_zone_is_never_a_place_of_a_posting() -> None:
    village, seat = uuid4(), uuid4()
    register = Register([row(village, UUID(int=1)), row(seat, UUID(int=2), kind="town_seat")])
    # One that slipped in must not keep the person from checking in.
    assert register.assigned(["500116101200"], [seat], DAY) == ((UUID(int=1),), ())


def test_a_place_too_far_away_to_be_joined_leaves_the_others_and_cannot_be_told_from() -> None:
    atlas = Atlas()
    village, far = uuid4(), uuid4()
    atlas.put({village: stored(106.2), far: stored(116.2)})
    places = atlas.assigned((village, far))
    assert places.versions == (village,)
    assert places.covers(lon=106.2, lat=29.2)
    assert places.unfenced == ("村116.2",)  # So nobody is said to be outside of it (edge 49).
    atlas.put({village: stored(106.2, kind="urban"), far: stored(116.2, kind="urban")})
    assert atlas.excluded((village, far)).versions == (village,)
