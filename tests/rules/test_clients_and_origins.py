"""Which origins can be configured, and which versions of a client are too old."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import clients, origins, settings
from server.settings import SettingsFault


@pytest.mark.parametrize(
    "origin",
    [
        "https://phone.example.org",
        "https://phone.example.org:8443",
        "https://10.1.2.3",
        "https://[2001:db8::1]:8443",
        "http://localhost:5173",
        "http://127.0.0.1:3000",
        "http://[::1]:3000",
    ],
)
def test_an_origin_as_a_browser_sends_it_is_accepted(origin: str) -> None:
    assert origins.fault_of(origin) is None
    assert settings.load({"ZAICUN_CORS_ORIGINS": f" {origin} ,"}).cors_origins == (origin,)


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("*", "wildcard"),
        ("https://*.example.org", "wildcard"),
        ("null", "not an origin"),
        ("https://phone.example.org/", "https://phone.example.org"),
        ("https://Phone.example.org", "https://phone.example.org"),
        ("https://phone.example.org:443", "usual port"),
        ("https://phone.example.org:99999", "possible port"),
        ("http://phone.example.org", "not encrypted"),
        ("http://127.0.0.1.evil.example", "not encrypted"),
        ("https://user@phone.example.org", "not an origin"),
        ("ftp://phone.example.org", "not an origin"),
        ("https://", "not an origin"),
        ("https://[", "not an origin"),
        ("phone.example.org", "not an origin"),
    ],
)
def test_what_no_browser_sends_stops_the_start_and_says_why(origin: str, said: str) -> None:
    fault = origins.fault_of(origin)
    assert fault is not None
    assert said in fault
    with pytest.raises(SettingsFault, match="ZAICUN_CORS_ORIGINS"):
        settings.load({"ZAICUN_CORS_ORIGINS": f"https://good.example {origin}"})


@given(st.text(max_size=60))
def test_no_text_breaks_the_look_at_an_origin(text: str) -> None:
    fault = origins.fault_of(text)
    assert fault is None or fault


@pytest.mark.parametrize(
    ("header", "old"),
    [
        ("zaicun-phone/1.1.9 (Android 14)", True),
        ("zaicun-phone/1.1.9", True),
        ("zaicun-phone/1.2 (iOS 18)", False),
        ("zaicun-phone/1.2.0", False),
        ("zaicun-phone/1.10 (Android 14)", False),
        ("zaicun-phone/2", False),
        ("zaicun-phone/0.9-beta", True),
        ("zaicun-phone/1.1+build7 (x)", True),
        ("zaicun-mini/2.9", True),
        ("zaicun-mini/3.0", False),
        ("another/0.1", False),
        ("zaicun-phone", False),
        ("", False),
        ("zaicun-phone/１.0", False),
        ("zaicun-phone/99999999999.1", False),
    ],
)
def test_versions_are_compared_as_numbers(header: str, old: bool) -> None:
    least = clients.minimums(["zaicun-phone/1.2", "zaicun-mini/3.0.0"])
    assert (clients.outdated(header, least) is not None) == old


@given(
    st.lists(st.integers(0, 10**9 - 1), min_size=1, max_size=4),
    st.lists(st.integers(0, 10**9 - 1), min_size=1, max_size=4),
)
def test_a_client_is_too_old_when_its_numbers_come_first(have: list[int], need: list[int]) -> None:
    least = clients.minimums([f"phone/{'.'.join(map(str, need))}"])
    told = clients.outdated(f"phone/{'.'.join(map(str, have))} (any)", least)
    padded = [[*numbers, 0, 0, 0][:4] for numbers in (have, need)]
    assert (told is not None) == (padded[0] < padded[1])


@pytest.mark.parametrize(
    "entry", ["zaicun-phone", "zaicun-phone/", "/1.0", "phone/1.0.0.0.0", "phone/x", "Phone/1"]
)
def test_a_minimum_that_cannot_be_read_stops_the_start(entry: str) -> None:
    with pytest.raises(SettingsFault, match="ZAICUN_MINIMUM_CLIENTS"):
        settings.load({"ZAICUN_MINIMUM_CLIENTS": entry})


def test_a_minimum_is_named_once() -> None:
    with pytest.raises(SettingsFault, match="each name once"):
        settings.load({"ZAICUN_MINIMUM_CLIENTS": "phone/1.0, phone/2.0"})
