"""What a time anchor holds is what was sealed in it; and how far a clock that was set can be off."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.auth import anchors
from server.auth.keys import KeySet
from server.clock_watch import LEAST, ClockWatch

PERSON = UUID("01a1a9dd-1200-7a01-81f3-c9a7d2b4f801")
AT = datetime(2026, 11, 16, 4, 0, 0, 123_456, tzinfo=UTC)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeySet:
    found = KeySet(Path(tmp_path_factory.mktemp("keys")))
    found.ensure()
    return found


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  Hypothesis adds the zone.
    st.text(min_size=1, max_size=64),
    st.integers(0, 2**60),
)
def test_an_anchor_tells_what_was_sealed_to_its_person_alone(
    keys: KeySet, at: datetime, boot_id: str, asked_ms: int
) -> None:
    token = anchors.issue(keys, PERSON, at=at, boot_id=boot_id, asked_ms=asked_ms)
    assert len(token) <= anchors.LONGEST
    assert anchors.read(keys, PERSON, token) == (at, anchors.boot_digest(boot_id), asked_ms)
    assert anchors.read(keys, uuid4(), token) is None
    assert boot_id not in token or len(boot_id) < 6


@given(st.data())
def test_an_anchor_in_which_anything_was_changed_is_none(keys: KeySet, data: st.DataObject) -> None:
    token = anchors.issue(keys, PERSON, at=AT, boot_id="b", asked_ms=7)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda each: each != token[place]))
    assert anchors.read(keys, PERSON, token[:place] + other + token[place + 1 :]) is None
    assert anchors.read(keys, PERSON, token + other) is None


@given(st.text(max_size=200) | st.from_regex(r"1\.[\w-]*\.[\w-]*\.[\w-]*", fullmatch=True))
def test_what_is_no_anchor_is_none_and_no_error(keys: KeySet, text: str) -> None:
    assert anchors.read(keys, PERSON, text) is None


SECONDS = st.integers(-400 * 86_400, 400 * 86_400).map(lambda s: timedelta(seconds=s))


@given(st.lists(SECONDS, min_size=2, max_size=6), st.data())
def test_where_the_clock_was_right_once_the_true_time_is_among_the_possible(
    offs: list[timedelta], data: st.DataObject
) -> None:
    right = offs[data.draw(st.integers(0, len(offs) - 1))]  # In this phase the clock showed the true time.
    now, off = AT, offs[0] - right
    watch = ClockWatch(lambda: now + off, lambda: now - AT)
    told = []
    for each in offs:
        now, off = now + timedelta(hours=3), each - right
        told.append(watch.look())
        now += timedelta(minutes=1)
        assert watch.look() is None
    moves = [later - earlier for earlier, later in zip([offs[0], *offs], offs, strict=False)]
    assert [step.by if step else None for step in told] == [m if abs(m) >= LEAST else None for m in moves]
    if any(abs(each - offs[0]) < LEAST for each in offs[1:]) or any(
        timedelta(0) < abs(m) < LEAST for m in moves
    ):
        return  # Taken back, so it is believed again; or too small to be told.
    earlier, later = watch.possible()
    assert now + off - earlier <= now <= now + off + later
