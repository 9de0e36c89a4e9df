"""Ranges and names of attachments, against a second writing of the rule and over any text."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.attachments.rules import LARGEST_NAME, shown_name, span_of

CONTENT = bytes(range(50))


def slice_of(first: int | None, last: int | None) -> bytes | None:
    """Return what RFC 9110 14.1.2 says a range selects of CONTENT, by Python's slices; None when there is nothing."""
    if first is None:
        return CONTENT[-last:] if last else None
    return CONTENT[first : None if last is None else last + 1] or None


@given(first=st.none() | st.integers(0, 60), last=st.none() | st.integers(0, 60))
def test_a_range_selects_what_its_slice_does(first: int | None, last: int | None) -> None:
    asked = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    wanted = slice_of(first, last)
    whole = (first is None and last is None) or (first is not None and last is not None and last < first)
    if whole:
        assert span_of(asked, len(CONTENT)) is None
    elif wanted is None:
        with pytest.raises(ValueError, match="no such bytes"):
            span_of(asked, len(CONTENT))
    else:
        span = span_of(asked, len(CONTENT))
        assert span is not None
        assert CONTENT[span.first : span.last + 1] == wanted
        assert span.size == len(wanted)


@given(st.text(max_size=60))
def test_what_is_no_range_asks_for_the_whole(text: str) -> None:
    if not text.startswith("bytes="):
        assert span_of(text, 50) is None


@given(st.text(max_size=300))
def test_a_shown_name_leads_nowhere_and_turns_nothing_round(given_: str) -> None:
    name = shown_name(given_)
    assert len(name) <= LARGEST_NAME
    assert not set(name) & set('/\\"<>|:*?')
    assert name.strip(".") or not name
    assert all(unicodedata.category(each) not in {"Cc", "Cf", "Cs"} for each in name)
    assert shown_name(name) == name
