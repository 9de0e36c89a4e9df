"""Two real workers: one truthful page of metrics, a dashboard and alerts that name what exists, a log that never blocks."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import yaml
from conftest import ROOT
from factories_checkins import Cadre, check_in, make_cadre, make_world
from processes import ZAICUN, Processes, clean_environment, free_port, scrape, total

from server import problems

pytestmark = pytest.mark.slow
DASHBOARD = ROOT / "server/deploy/grafana/zaicun.json"
ALERTS = ROOT / "server/deploy/prometheus/alerts.yml"
LOGIN = {"login": "nobody", "password": "correct horse"}  # pragma: allowlist secret


@pytest.fixture(scope="module")
def cadre(two_workers: Processes) -> Cadre:
    return make_cadre(two_workers.service, make_world(two_workers.service, town="500116131"))


@pytest.fixture(scope="module", autouse=True)
def traffic(two_workers: Processes, cadre: Cadre) -> None:
    """A little of everything that the dashboard shows."""
    headers = {"Authorization": f"Bearer {cadre.token}"}
    with httpx.Client(base_url=two_workers.url, timeout=30) as client:
        body = check_in(datetime.now(UTC))
        for _ in range(2):
            path = f"/v1/check-ins/{UUID_ONE}"
            assert client.put(path, json=body, headers=headers).status_code in {200, 201}
        assert client.put(f"/v1/check-ins/{uuid4()}", json={}, headers=headers).status_code == 422
        assert client.put(f"/v1/check-ins/{uuid4()}", json=body).status_code == 401
        assert client.post("/v1/auth/login", json=LOGIN).status_code == 401
        assert client.head("/v1/me", headers=headers).status_code == 200
        with socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=10) as line:
            line.sendall(
                b"POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"
            )  # And is gone.


UUID_ONE = uuid4()


def test_whoever_is_asked_the_sum_of_both_workers_is_told(two_workers: Processes) -> None:
    before = total(scrape(two_workers.url), "zaicun_http_requests_total", operation="livez", status="200")

    def ask(
        _: int,
    ) -> None:  # Each on a connection of its own, so that the kernel spreads them over the workers.
        assert httpx.get(f"{two_workers.url}/livez", timeout=30).status_code == 200

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(400)))
    told = [scrape(two_workers.url) for _ in range(6)]
    sums = {total(page, "zaicun_http_requests_total", operation="livez", status="200") for page in told}
    assert sums == {before + 400}
    assert {total(page, "zaicun_http_request_seconds_count", operation="livez") for page in told} == sums
    done = Counter(line["worker"] for line in two_workers.lines() if line.get("operation") == "livez")
    assert set(done) == {0, 1}, "the load was meant to reach both"
    asked = Counter(line["worker"] for line in two_workers.lines() if line.get("operation") == "metrics_page")
    assert set(asked) == {0, 1}, "both were meant to be asked"


def test_each_worker_shows_its_own_memory_and_only_living_ones_do(two_workers: Processes) -> None:
    page = scrape(two_workers.url)
    for worker in ("0", "1"):
        assert 20e6 < total(page, "zaicun_process_memory_bytes", worker=worker) < 2e9
        assert total(page, "zaicun_process_cpu_seconds_total", worker=worker) > 0.1
    assert total(page, "zaicun_workers") == 2
    assert total(page, "zaicun_http_in_flight") == 1  # The one that asks.


def test_a_killed_worker_takes_no_count_with_it_and_its_successor_counts_on(two_workers: Processes) -> None:
    with httpx.Client(base_url=two_workers.url) as client:
        for _ in range(50):
            client.get("/v1/nowhere")
    before = scrape(two_workers.url)
    victim = next(line["pid"] for line in reversed(two_workers.lines()) if line["worker"] == 1)
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            after = scrape(two_workers.url)
        except httpx.TransportError:
            continue
        started = total(after, "zaicun_process_start_timestamp_seconds", worker="1")
        if started > total(before, "zaicun_process_start_timestamp_seconds", worker="1"):
            break
        time.sleep(0.2)
    assert total(after, "zaicun_workers") == 2
    for name in ("zaicun_http_requests_total", "zaicun_problems_total", "zaicun_checkins_stored_total"):
        for (found, labels), value in before.items():
            if found == name:
                assert after[found, labels] >= value
    unknown = {"operation": "unmatched", "status": "404"}
    assert total(after, "zaicun_http_requests_total", **unknown) == total(
        before, "zaicun_http_requests_total", **unknown
    )


def test_what_happened_is_counted_under_its_name(two_workers: Processes) -> None:
    page = scrape(two_workers.url)
    assert total(page, "zaicun_checkins_stored_total", verdict="inside") == 1
    assert total(page, "zaicun_checkins_replayed_total") == 1
    assert total(page, "zaicun_checkins_refused_total", code="invalid-request") == 1
    assert total(page, "zaicun_attempts_unproven_total", code="token-missing") == 1  # Ruling 13.
    assert total(page, "zaicun_logins_total", outcome="unknown-login") >= 1
    assert total(page, "zaicun_problems_total", operation="auth-login", code="login-refused") >= 1
    assert total(page, "zaicun_intake_group_size_count") >= 2
    assert total(page, "zaicun_intake_store_seconds_count") == total(page, "zaicun_intake_group_size_count")
    assert total(page, "zaicun_http_requests_total", operation="auth-me", status="200") == 1  # HEAD is GET's.
    assert total(page, "zaicun_database_up") == 1
    assert total(page, "zaicun_scheduler_up") == 0
    assert total(page, "zaicun_series_dropped_total") == 0


def test_labels_come_from_lists_in_the_code(two_workers: Processes) -> None:
    with httpx.Client(base_url=two_workers.url) as client:
        for number in range(200):
            client.get(f"/v1/nowhere/{number}")
            client.get(f"/v1/check-ins/{uuid4()}")
            client.request(f"ODD{number}", "/v1/me")
    document = two_workers.service.app.openapi()
    known = {op["operationId"] for path in document["paths"].values() for op in path.values()}
    served = {"livez", "readyz", "metrics_page", "unmatched"}
    codes = set(problems.registry())
    for _, given in scrape(two_workers.url):
        labels = dict(given)
        assert labels.get("operation", "unmatched") in known | served
        assert labels.get("code", "not-found") in codes
        assert re.fullmatch(r"[1-5]\d\d", labels.get("status", "200"))
        assert labels.get("worker", "0") in {"0", "1"}


_WORDS = re.compile(r"\b(zaicun_[a-z0-9_]+|up)\b")


def _asked() -> dict[str, str]:
    """Return every expression of the dashboard and of the alerts, by where it stands."""
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    found = {
        f"panel {panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    }
    found |= {
        f"variable {each['name']}": each["definition"]
        for each in dashboard["templating"]["list"]
        if "definition" in each
    }
    for group in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]:
        found |= {f"alert {rule['alert']}": rule["expr"] for rule in group["rules"]}
    return found


ONLY_WITH_A_FAILURE = {"zaicun_intake_store_failed_total"}
ONLY_WITH_A_SCHEDULER = {
    "zaicun_scheduler_silent_seconds",
    "zaicun_scheduler_busy_seconds",
    "zaicun_job_last_success_timestamp_seconds",
}


def test_dashboard_and_alerts_ask_only_for_what_a_real_page_tells(two_workers: Processes) -> None:
    real = (
        {name for name, _ in scrape(two_workers.url)} | {"up"} | ONLY_WITH_A_SCHEDULER | ONLY_WITH_A_FAILURE
    )
    named: set[str] = set()
    for place, expression in _asked().items():
        words = set(_WORDS.findall(expression))
        assert words, place
        assert words <= real, (place, words - real)
        assert all(expression.count(a) == expression.count(b) for a, b in ("()", "[]", "{}")), place
        named |= words
    meant = {
        name for name in real if name.startswith("zaicun_") and not name.endswith(("_created", "_bucket"))
    }
    unseen = {
        n for n in meant if not any(n == w or n.rpartition("_")[0] == w.rpartition("_")[0] for w in named)
    }
    assert unseen == set(), "a metric that nobody looks at"


def test_labels_in_dashboard_and_alerts_exist(two_workers: Processes) -> None:
    labels: dict[str, set[str]] = {}
    for name, given in scrape(two_workers.url):
        labels.setdefault(name, set()).update(dict(given))
    for place, expression in _asked().items():
        for name, matchers in re.findall(r"(zaicun_\w+)\{([^}]*)\}", expression):
            wanted = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) - {"instance"}
            if name not in ONLY_WITH_A_SCHEDULER | ONLY_WITH_A_FAILURE:
                assert wanted <= labels[name], place


def test_every_alert_says_what_to_do_in_both_languages() -> None:
    rules = [r for g in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"] for r in g["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 15
    for rule in rules:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert re.search("[\u4e00-\u9fff]{6}", rule["annotations"]["zh"]), rule["alert"]
        assert len(rule["annotations"]["en"].split()) >= 10, rule["alert"]


def test_the_scheduler_and_its_jobs_show_on_the_page(two_workers: Processes) -> None:
    env = clean_environment(
        DATABASE_URL=two_workers.service.cloned.app_url,
        VAR=two_workers.service.settings.var,
        LOG_FORMAT="json",
    )
    with subprocess.Popen([ZAICUN, "scheduler"], env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 60
            page = scrape(two_workers.url)
            while time.monotonic() < deadline and not total(page, "zaicun_scheduler_up"):
                time.sleep(0.3)
                page = scrape(two_workers.url)
            assert total(page, "zaicun_scheduler_up") == 1
            assert total(page, "zaicun_scheduler_silent_seconds") < 60
            while time.monotonic() < deadline and not total(
                page, "zaicun_job_last_success_timestamp_seconds"
            ):
                time.sleep(0.3)
                page = scrape(two_workers.url)
            done_at = total(page, "zaicun_job_last_success_timestamp_seconds", job="verify-months")
            assert abs(time.time() - done_at) < 120
            assert {name for name, _ in page} >= ONLY_WITH_A_SCHEDULER
        finally:
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=60)
    assert all("message" in json.loads(line) for line in said.splitlines())


def test_the_log_of_a_service_is_json_to_the_last_line(two_workers: Processes) -> None:
    lines = two_workers.lines()  # Reads each of them as JSON.
    asked = [line for line in lines if line["logger"] == "zaicun.request"]
    assert {"ts", "level", "worker", "request_id", "operation", "status", "ms"} <= set(asked[0])
    refused = [line for line in asked if line["status"] >= 400]
    assert all(line.get("problem") in problems.registry() for line in refused)
    gone = [line for line in asked if line["status"] == 0]  # Was hung up on, and refused nothing.
    assert [(line["operation"], line["level"], "problem" in line) for line in gone] == [
        ("auth-login", "info", False)
    ]
    given = str(uuid4())
    httpx.get(f"{two_workers.url}/v1/me", headers={"X-Request-Id": given})
    assert [line["operation"] for line in two_workers.lines() if line.get("request_id") == given] == [
        "auth-me"
    ]


def test_a_log_that_nobody_reads_stops_nothing(two_workers: Processes, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    port = free_port()
    env = clean_environment(
        DATABASE_URL=two_workers.service.cloned.app_url, VAR=two_workers.service.settings.var, PORT=port,
        LOG_FORMAT="json", METRICS_DIR=tmp_path / "counted",
    )  # fmt: skip
    with subprocess.Popen([ZAICUN, "serve"], env=env, stderr=writer) as process:
        os.close(writer)
        url = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + 90
            while time.monotonic() < deadline and process.poll() is None:
                try:
                    httpx.get(f"{url}/livez", timeout=5)
                    break
                except httpx.TransportError:
                    time.sleep(0.2)
            slowest = 0.0
            with httpx.Client(base_url=url, timeout=10) as client:
                for _ in range(1500):  # 64 KiB of pipe are full after some 300 lines.
                    began = time.perf_counter()
                    assert client.get("/livez").status_code == 200
                    slowest = max(slowest, time.perf_counter() - began)
            assert slowest < 2
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0  # Nor does it keep the service from ending.
        finally:
            os.close(reader)
            if process.poll() is None:
                process.kill()
