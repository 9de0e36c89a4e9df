"""Which check-in repeats which (edge 66), against the definition said plainly."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from server.checkins.rules import DOUBLE_TAP, Kind, Tap, doubles

NOON = datetime(2026, 11, 16, 4, 0, tzinfo=UTC)
# Around the limit to the microsecond, and often at the same instant.
OFFSETS = st.builds(
    lambda minutes, more: timedelta(minutes=minutes, microseconds=more), st.integers(0, 6), st.integers(-1, 1)
)
TAPS = st.lists(
    st.builds(
        Tap,
        event_at=OFFSETS.map(NOON.__add__),
        id=st.uuids(),
        kind=st.sampled_from(Kind),
        day=st.sampled_from([date(2026, 11, 16), date(2026, 11, 17)]),
    ),
    unique_by=lambda tap: tap.id,
    max_size=30,
)


def plainly(taps: list[Tap]) -> dict[UUID, UUID]:
    found = {}
    for tap in taps:
        earlier = [
            one
            for one in taps
            if (one.kind, one.day) == (tap.kind, tap.day)
            and (one.event_at, one.id) < (tap.event_at, tap.id)
            and one.event_at > tap.event_at - DOUBLE_TAP
        ]
        if earlier:
            found[tap.id] = min(earlier, key=lambda one: (one.event_at, one.id)).id
    return found


@given(TAPS)
def test_a_repetition_names_the_first_within_two_minutes(taps: list[Tap]) -> None:
    assert doubles(taps) == plainly(taps)


def test_two_minutes_later_is_no_repetition() -> None:
    one = Tap(NOON, UUID(int=1), Kind.DAY, NOON.date())
    later = one._replace(event_at=NOON + DOUBLE_TAP, id=UUID(int=2))
    sooner = later._replace(event_at=later.event_at - timedelta(microseconds=1), id=UUID(int=3))
    assert doubles([later, one]) == {}
    assert doubles([sooner, one]) == {sooner.id: one.id}
