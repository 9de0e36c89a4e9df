"""Who may read the numbers, and that a sick database does not keep the page from coming."""

import asyncio
import socket
import threading
import time
from itertools import pairwise
from pathlib import Path

import httpx
import psycopg
import pytest
from conftest import Clone, Service, running_service
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from server import metrics, vitals
from server.settings import SettingsFault, load
from server.tally import Family, Kind, Tally, clear

TOKEN = "a-token-of-prometheus-0123456789"


def test_this_machine_reads_the_page_without_more(service: Service) -> None:
    answer = service.client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert answer.headers["cache-control"] == "no-store"
    names = [family.name for family in text_string_to_metric_families(answer.text)]
    assert len(names) == len(set(names)) > 20


def test_openmetrics_is_spoken_when_asked_for(service: Service) -> None:
    answer = service.client.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via"])
def test_whoever_comes_through_a_proxy_is_not_this_machine(service: Service, header: str) -> None:
    answer = service.client.get("/metrics", headers={header: "127.0.0.1"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


def test_behind_a_proxy_nobody_reads_it_without_a_token(clone: Clone, tmp_path: Path) -> None:
    # Through a proxy that adds no header every stranger comes from the proxy's address.
    with running_service(clone(), tmp_path, behind_proxy=True) as closed:
        assert closed.client.get("/metrics").status_code == 404


def test_with_a_token_the_token_decides_and_nothing_else(clone: Clone, tmp_path: Path) -> None:
    with running_service(clone(), tmp_path, behind_proxy=True, metrics_token=TOKEN) as guarded:

        def ask(given: str | None) -> httpx.Response:
            headers = {b"x-forwarded-for": b"203.0.113.7"}
            if given:
                headers[b"authorization"] = given.encode()
            return guarded.client.get("/metrics", headers=headers)

        assert ask(f"Bearer {TOKEN}").status_code == 200
        assert ask(f"bearer {TOKEN}").status_code == 200
        for wrong in (
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            f"Basic {TOKEN}",
            "Bearer",
            TOKEN,
            "Bearer é",
        ):
            answer = ask(wrong)
            assert answer.status_code == 401, wrong
            assert answer.headers["www-authenticate"] == "Bearer"
            assert TOKEN not in answer.text
        assert ask(None).json()["code"] == "token-missing"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("METRICS_TOKEN", "short"),
        ("METRICS_TOKEN", "a token with blanks 0123456789"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("LOG_CHECKINS_EVERY", "-1"),
    ],
)
def test_an_unfit_setting_stops_the_start_and_a_secret_is_not_repeated(name: str, value: str) -> None:
    with pytest.raises(SettingsFault, match=f"ZAICUN_{name}") as refused:
        load({f"ZAICUN_{name}": value})
    assert name != "METRICS_TOKEN" or value not in str(refused.value)
    assert TOKEN not in repr(load({"ZAICUN_METRICS_TOKEN": TOKEN}))


def test_while_the_database_is_away_the_page_comes_and_says_so(clone: Clone, tmp_path: Path) -> None:
    cloned = clone()
    with running_service(cloned, tmp_path) as running:
        assert "zaicun_database_up 1.0" in running.client.get("/metrics").text
        with psycopg.connect(cloned.owner_url, autocommit=True) as owner:
            name = cloned.name.encode()
            owner.execute(b'ALTER DATABASE "' + name + b'" CONNECTION LIMIT 0')
            began = time.perf_counter()
            page = running.client.get("/metrics").text
            assert time.perf_counter() - began < 4
            assert "zaicun_database_up 0.0" in page
            assert "zaicun_http_requests_total" in page
            owner.execute(b'ALTER DATABASE "' + name + b'" CONNECTION LIMIT -1')
        assert "zaicun_database_up 1.0" in running.client.get("/metrics").text


def test_two_readers_of_a_frozen_database_both_get_their_page() -> None:
    """Prometheus is often run twice; who asked second shares the question, and may not fail with it."""

    async def asked_twice() -> list[list[str]]:
        with socket.create_server(("127.0.0.1", 0)) as silent:  # It takes connections and never says a word.
            told = vitals.Vitals(f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none")
            first = asyncio.create_task(told.ask())
            await asyncio.sleep(0.5)
            both = await asyncio.gather(first, told.ask())
        return [[str(sample.value) for sample in page[0].samples] for page in both]

    assert asyncio.run(asked_twice()) == [["0.0"], ["0.0"]]


# --- the tally

COUNTED = Family("t_counted", "", Kind.COUNTER, ("label",))
SHOWN = Family("t_shown", "", Kind.GAUGE, each=True)
SIZES = Family("t_sizes", "", Kind.HISTOGRAM, ("label",), (1.0, 2.0, 4.0))


def summed(tally: Tally, family: Family, *labels: str) -> list[float]:
    rows = [slot.rows[family.name, labels] for slot in tally.slots() if (family.name, labels) in slot.rows]
    return [sum(cells) for cells in zip(*rows, strict=True)]


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from("ab"), st.floats(0, 10, allow_nan=False)), max_size=40
    )
)
def test_the_sum_of_all_workers_is_what_was_counted(events: list[tuple[int, str, float]]) -> None:
    import tempfile  # noqa: PLC0415  Hypothesis and pytest's tmp_path do not go together.

    with tempfile.TemporaryDirectory() as place:
        workers = [Tally() for _ in range(3)]
        for tally in workers:
            tally.add(COUNTED, "before", by=2)  # What was counted before a worker shares is not lost.
            tally.open(Path(place))
        for worker, label, size in events:
            workers[worker].add(COUNTED, label)
            workers[worker].observe(SIZES, label, size=size)
        for tally in workers:
            assert summed(tally, COUNTED, "before") == [6]
            for label in "ab":
                mine = [size for _, given, size in events if given == label]
                assert summed(tally, COUNTED, label) == ([len(mine)] if mine else [])
                edges = [0.0, 1.0, 2.0, 4.0, float("inf")]
                buckets = [
                    sum(low < size <= high or (low == 0 and size == 0) for size in mine)
                    for low, high in pairwise(edges)
                ]
                if mine:
                    assert summed(tally, SIZES, label)[:4] == buckets
                    assert summed(tally, SIZES, label)[4] == pytest.approx(sum(mine))
        for tally in workers:
            tally.close()


def test_a_successor_counts_on_in_its_predecessors_slot_but_shows_none_of_its_gauges(tmp_path: Path) -> None:
    first, second = Tally(), Tally()
    assert (first.open(tmp_path), second.open(tmp_path)) == (0, 1)
    second.add(COUNTED, "a", by=5)
    second.set(SHOWN, to=7)
    second.close()
    dead = next(slot for slot in first.slots() if slot.worker == 1)
    assert not dead.alive
    assert summed(first, COUNTED, "a") == [5]
    with (tmp_path / "1.names").open("ab") as half:
        half.write(b'["t_cou')  # Killed while it wrote a name.
    third = Tally()
    assert third.open(tmp_path) == 1
    third.add(COUNTED, "b")
    third.add(COUNTED, "a", by=2)
    assert summed(first, COUNTED, "a") == [7]
    assert summed(first, COUNTED, "b") == [1]
    assert summed(first, SHOWN) == [0]
    clear(tmp_path)
    assert {slot.worker for slot in first.slots()} == {0, 1}, "living workers keep their slots"
    third.close()
    clear(tmp_path)
    assert {slot.worker for slot in first.slots()} == {0}
    first.close()


def test_threads_lose_no_count() -> None:
    tally = Tally()

    def count() -> None:
        for _ in range(20_000):
            tally.add(COUNTED, "a")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert summed(tally, COUNTED, "a") == [80_000]


def test_label_sets_without_end_are_given_up_and_said() -> None:
    tally = Tally()
    for number in range(20_000):
        tally.add(COUNTED, str(number))
    (slot,) = tally.slots()
    assert len(slot.rows) < 10_000
    assert slot.lost > 10_000
    assert f"zaicun_series_dropped_total {float(slot.lost)}" in metrics.page("", tally=tally)[0].decode()
