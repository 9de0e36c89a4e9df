"""What the service hands out to read: the interactive document without the internet, texts, and what problems stand for."""

import gzip
import re
from html.parser import HTMLParser

import httpx
import pytest
from conftest import ROOT, Service
from docs import contract

from server import papers, problems

CODES = [pytest.param(kind, id=code) for code, kind in problems.registry().items()]


class Links(HTMLParser):
    """What a page loads or leads to, and whether it has scripts of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.inline: list[str] = []
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._open = tag
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        if tag in {"script", "link", "img"}:
            self.loaded.append(given.get("src") or given.get("href") or "")
        elif tag == "a":
            self.linked.append(given.get("href") or "")

    def handle_data(self, data: str) -> None:
        if self._open in {"script", "style"} and data.strip():
            self.inline.append(data)
        self._open = ""


def read(page: httpx.Response) -> Links:
    links = Links()
    links.feed(page.text)
    return links


def test_the_interactive_document_loads_nothing_from_elsewhere(service: Service) -> None:
    page = service.client.get("/docs")
    links = read(page)
    assert links.inline == []  # The policy would stop it.
    assert len(links.loaded) == 4
    assert page.headers["Content-Security-Policy"] == papers.POLICY
    assert "unsafe" not in papers.POLICY
    for address in [*links.loaded, *links.linked]:
        assert not re.match(r"[a-z]+:|//", address), address
        got = service.client.get(str(httpx.URL(f"{service.url}/docs").join(address)))
        assert got.status_code == 200, address
        assert got.headers["X-Content-Type-Options"] == "nosniff"
    kinds = {
        service.client.get(f"/{each}").headers["Content-Type"].partition(";")[0] for each in links.loaded
    }
    assert kinds == {"text/javascript", "text/css", "image/png"}


def test_its_script_asks_this_server_only(service: Service) -> None:
    begin = service.client.get(f"/{papers.address_of('begin.js')}").text
    assert 'url: "openapi.json"' in begin
    assert "validatorUrl: null" in begin  # Else the document would be sent to a validator on the internet.
    assert "http" not in begin


def test_files_may_be_kept_for_ever_because_their_address_changes_with_them(service: Service) -> None:
    address = f"/{papers.address_of('swagger-ui.css')}"
    assert service.client.get(address).headers["Cache-Control"] == papers.FOR_EVER
    wrong = re.sub(r"[0-9a-f]{16}", "0" * 16, address)
    for other in (
        wrong,
        wrong.replace("0" * 16, ""),
        address.replace("swagger-ui.css", "main.py"),
        "/docs/x/..%2Fmain.py",
    ):
        assert service.client.get(other).status_code == 404, other


@pytest.mark.parametrize(
    "path", ["/docs", "/openapi.json", "/docs/guide", "/docs/changes", "/problems", "/problems/not-found"]
)
def test_a_copy_at_hand_is_not_sent_again(service: Service, path: str) -> None:
    plain = service.client.get(path, headers={"Accept-Encoding": "identity"})
    packed = service.client.get(path, headers={"Accept-Encoding": "br, gzip;q=0.8"})
    assert plain.status_code == packed.status_code == 200
    assert "Content-Encoding" not in plain.headers
    assert packed.content == plain.content  # httpx has unpacked it.
    for answer in (plain, packed):
        assert answer.headers["Cache-Control"] == "no-cache"
        assert "Accept-Encoding" in answer.headers["Vary"]
        asked = {
            "Accept-Encoding": answer.request.headers["Accept-Encoding"],
            "If-None-Match": answer.headers["ETag"],
        }
        again = service.client.get(path, headers=asked)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == answer.headers["ETag"]
    if packed.headers.get("Content-Encoding"):
        assert packed.headers["ETag"] != plain.headers["ETag"]


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("br;q=1, gzip", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("", False),
        ("x-gzip", False),
        ("identity", False),
    ],
)
def test_who_takes_gzip_gets_it(service: Service, header: str, taken: bool) -> None:
    with service.client.stream("GET", "/openapi.json", headers={"Accept-Encoding": header}) as answer:
        raw = b"".join(answer.iter_raw())
        assert (answer.headers.get("Content-Encoding") == "gzip") == taken
    content = gzip.decompress(raw) if taken else raw
    assert content.startswith(b"{")


def test_the_served_document_is_the_document(service: Service) -> None:
    assert service.client.get("/openapi.json").json() == contract.document()


@pytest.mark.parametrize(("path", "name"), [("/docs/guide", "guide.md"), ("/docs/changes", "CHANGES.md")])
def test_the_texts_are_those_of_the_project(service: Service, path: str, name: str) -> None:
    assert service.client.get(path).content == (ROOT / "mobile_api_docs" / name).read_bytes()


@pytest.mark.parametrize("kind", CODES)
def test_the_type_of_every_problem_leads_to_its_page(service: Service, kind: problems.Kind) -> None:
    page = service.client.get(kind.type)
    assert page.status_code == 200
    assert kind.zh in page.text
    assert kind.code in page.text
    assert str(kind.status) in page.text
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"] == papers.PLAIN_POLICY
    assert read(page).inline == []


def test_the_type_in_an_answer_leads_somewhere(service: Service) -> None:
    refused = service.client.get("/v1/me")
    meant = httpx.URL(f"{service.url}{refused.request.url.path}").join(refused.json()["type"])
    assert service.client.get(str(meant)).status_code == 200
    assert service.client.get("/problems/no-such").json()["code"] == "not-found"


def test_all_problems_are_listed(service: Service) -> None:
    found = {link.removeprefix("problems/") for link in read(service.client.get("/problems")).linked}
    assert found == set(problems.registry())
