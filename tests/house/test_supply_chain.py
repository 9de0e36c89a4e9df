"""What runs is what is locked, its licences are known, and while it runs it talks to nobody (security.md M25)."""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import sbom
from conftest import ROOT, Service
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.licenses import canonicalize_license_expression
from packaging.markers import Marker
from packaging.version import Version

LOCKS = ("run.lock", "dev.lock")
FLOORS = {"pyjwt": "2.12", "starlette": "0.49.1", "python-multipart": "0.0.27", "psycopg": "3.3.9"}
"""Versions below these have holes that are known (M25)."""
PERMISSIVE = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "MIT", "MIT-CMU", "MIT-0", "PSF-2.0", "Zlib",
}  # fmt: skip
WEAK_COPYLEFT = {
    "certifi": "MPL-2.0",  # Certificates, unchanged.
    "orjson": "MPL-2.0",  # Its parts of MPL are unchanged.
    "pathspec": "MPL-2.0",  # Builds the editable install.
    "pikepdf": "MPL-2.0",  # Unchanged, and run in a process of its own.
    "psycopg": "LGPL-3.0-only",  # Used as a library that anybody may replace: it is installed beside, not inside.
    "psycopg-binary": "LGPL-3.0-only",
    "psycopg-pool": "LGPL-3.0-only",
}
"""Licences with duties, package by package, and how the duty is met. Anything else is looked at before it comes in."""
TOOLS = {"pip", "setuptools", "wheel", "zaicun"}


def locked(name: str) -> list[sbom.Locked]:
    return sbom.locked((ROOT / "requirements" / name).read_text("utf-8"))


def here(packages: list[sbom.Locked]) -> dict[str, str]:
    """Return the packages whose markers hold on this machine."""
    return {each.name: each.version for each in packages if not each.marker or Marker(each.marker).evaluate()}


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(sbom.BILL.read_text("utf-8"))
    return whole


# --- the lock
@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_versions_and_hashes_and_nothing_else(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text("utf-8")
    packages = locked(
        name
    )  # Raises for a line that is anything else: an index, an address, an option, a range.
    assert packages
    assert [each.name for each in packages if not each.hashes] == []
    assert "://" not in text
    assert not re.search(r"^\s*-", text.replace("    --hash=sha256:", ""), re.MULTILINE)


@pytest.mark.parametrize(
    "line", ["--index-url https://x", "a>=1", "a==1", "-e .", "a @ https://x", "    --hash=md5:0"]
)
def test_a_lock_with_anything_else_is_not_read(line: str) -> None:
    with pytest.raises(sbom.Unreadable):
        sbom.locked(f"{line}\n")


def test_what_is_installed_is_what_is_locked() -> None:
    installed = {
        sbom.canonical(each.metadata["Name"]): each.version for each in importlib.metadata.distributions()
    }
    wanted = here(locked("dev.lock"))
    assert {name: version for name, version in installed.items() if name not in TOOLS} == wanted


def test_what_runs_is_a_part_of_what_is_tested() -> None:
    run, dev = here(locked("run.lock")), here(locked("dev.lock"))
    assert {name: dev.get(name) for name in run} == run


def test_versions_with_known_holes_are_kept_out() -> None:
    for each in locked("run.lock"):
        if each.name in FLOORS:
            assert Version(each.version) >= Version(FLOORS[each.name]), each
    assert {"pyjwt", "starlette", "psycopg"} <= {each.name for each in locked("run.lock")}


# --- the bill of materials
def test_the_bill_is_fresh_and_the_same_every_time(bill: dict[str, Any]) -> None:
    assert sbom.written() == sbom.written() == sbom.BILL.read_text("utf-8"), "run bin/sbom"
    text = json.dumps(bill)
    assert "timestamp" not in text
    assert "serialNumber" not in text
    addresses = re.findall(r"[a-z]+://[^\"]*", text)
    assert addresses == [
        "http://cyclonedx.org/schema/bom-1.6.schema.json"
    ]  # The name of the format; no registry.
    assert str(ROOT) not in text


def test_the_bill_is_valid_cyclonedx() -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(sbom.BILL.read_text("utf-8")) is None
    broken = sbom.BILL.read_text("utf-8").replace('"type": "library"', '"type": "book"', 1)
    assert validator.validate_str(broken) is not None


def test_the_bill_names_exactly_the_packages_of_the_lock(bill: dict[str, Any]) -> None:
    told = {
        (each["name"], each["version"]): {entry["content"] for entry in each["hashes"]}
        for each in bill["components"]
    }
    assert told == {(each.name, each.version): set(each.hashes) for each in locked("run.lock")}


def test_everything_is_there_for_a_reason(bill: dict[str, Any]) -> None:
    edges = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    root = bill["metadata"]["component"]["bom-ref"]
    reached, waiting = set(), [root]
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting += edges[ref]
    refs = {each["bom-ref"] for each in bill["components"]}
    # Hatchling and what it needs make the installation itself (bin/setup); nothing imports them at run time.
    building = refs - reached
    assert {ref.split("/")[1].split("@")[0] for ref in building} <= {
        "editables", "hatchling", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers",
    }  # fmt: skip


def test_every_licence_is_known_and_allowed(bill: dict[str, Any]) -> None:
    for each in bill["components"]:
        expression = each["licenses"][0]["expression"]
        assert canonicalize_license_expression(expression) == expression, each["name"]
        allowed = PERMISSIVE | ({WEAK_COPYLEFT[each["name"]]} if each["name"] in WEAK_COPYLEFT else set())
        names = set(re.findall(r"[A-Za-z0-9.-]+", expression)) - {"AND", "OR", "WITH"}
        if " OR " in expression and " AND " not in expression:
            assert names & allowed, (each["name"], expression)
        else:
            assert names <= allowed, (each["name"], expression)


# --- while it runs
ALONE = Path(__file__).with_name("alone.py")


@pytest.mark.slow
def test_the_service_runs_without_a_network_and_asks_for_none(tmp_path: Path) -> None:
    """In a network namespace with a loopback and nothing else: it starts, answers, and looks nobody up."""
    unshare = (
        ["unshare", "--net"]
        if subprocess.run(["unshare", "--net", "true"], check=False).returncode == 0
        else None
    )
    if unshare is None:
        unshare = ["unshare", "--user", "--map-root-user", "--net"]
        if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode != 0:
            pytest.skip("this machine allows no network namespaces")
    told = subprocess.run(
        [*unshare, sys.executable, ALONE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    seen = json.loads(told.stdout.splitlines()[-1])
    assert seen["answers"] == {
        "/livez": 200,
        "/readyz": 200,
        "/v1/time": 200,
        "/openapi.json": 200,
        "/docs": 200,
        "login": 401,
    }
    assert seen["outside"] == "unreachable"
    assert seen["asked"] == [], "somebody outside was called or looked up"
    assert seen["teeth"] == ["socket.getaddrinfo example.org", "socket.connect 192.0.2.1"]


LOADS = re.compile(
    r"""(?:<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)\s*=\s*["']?|@import\s+(?:url\()?["']?|url\(["']?"""
    r"""|\bfetch\(\s*["'`]|\bimport\(?\s*["'`]|importScripts\(\s*["'`]|new (?:WebSocket|EventSource|Worker)\(\s*["'`])"""
    r"""((?:https?:|wss?:)?//[^"'`)\s>]+)""",
    re.IGNORECASE,
)
PARTS = re.compile(r"""<(?:script|link|img)\b[^>]*?\b(?:src|href)\s*=\s*["']?([^"'\s>]+)""", re.IGNORECASE)
PAGES = ("/docs", "/docs/guide", "/docs/changes", "/problems", "/problems/not-found")


def test_the_search_for_foreign_addresses_finds_them() -> None:
    for text in (
        '<script src="https://cdn.example/x.js">',
        "<link rel=stylesheet href=//cdn.example/x.css>",
        '@import "https://fonts.example/a.css"',
        "background: url(http://img.example/a.png)",
        'fetch("https://api.example/")',
        "import('https://cdn.example/m.js')",
    ):
        assert LOADS.search(text), text
    assert not LOADS.search(
        '<a href="https://www.rfc-editor.org/rfc/rfc9457">'
    )  # A link is followed by a person.


def test_nothing_that_is_served_loads_from_elsewhere(service: Service) -> None:
    waiting, seen = list(PAGES), set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = service.client.get(path, follow_redirects=True)
        assert answer.status_code == 200, path
        kind = answer.headers["content-type"]
        assert LOADS.findall(answer.text) == [], path
        if "html" in kind:
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy or "default-src 'self'" in policy
            assert not re.search(r"https?:|\*", policy), policy
            parts = [urljoin(str(answer.url), part) for part in PARTS.findall(answer.text)]
            assert {urlsplit(part).netloc for part in parts} <= {urlsplit(service.url).netloc, ""}, parts
            waiting += [urlsplit(part).path for part in parts if urlsplit(part).scheme.startswith("http")]
    assert any(path.endswith(".js") for path in seen), "the interactive documents were not looked at"
