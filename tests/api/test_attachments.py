"""Attachments over HTTP: sent in pieces over bad links, examined, stored without what they tell of a person, downloaded."""

import hashlib
import io
import re
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from conftest import Clone, Service, SetClock, running_service
from factories_attachments import (
    announce,
    announcement,
    exif,
    jpeg,
    link,
    noisy,
    offset,
    pdf,
    png,
    send,
    stored,
    upload,
    webp,
)  # fmt: skip
from factories_auth import make_account, token_for
from factories_checkins import LONG_AGO
from PIL import Image
from sqlalchemy import orm

from server import ids
from server.access import Role, Who
from server.attachments import owners
from server.attachments import service as deeds
from server.attachments.models import Attachment
from server.attachments.owners import Readable
from server.attachments.rules import OwnerKind
from server.auth.models import Account
from server.looks import Seen

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
TOWN, VILLAGE = "500116101", "500116101200"
MOST_GROWTH = 64 << 20


@pytest.fixture(autouse=True)
def _now(clock: SetClock) -> None:
    clock.set(NOW)


@pytest.fixture
def phone(service: Service) -> Iterator[httpx.Client]:
    with newcomer(service) as client:
        yield client


def newcomer(service: Service, role: Role = Role.CADRE, region: str = VILLAGE) -> httpx.Client:
    with service.database.write() as session:
        account = make_account(session, role=role, region=region, valid_from=LONG_AGO)
    return service.as_(token_for(service, account))


def folder(service: Service) -> Path:
    return service.settings.var / "attachments"


def contents(service: Service) -> list[Path]:
    return stored(folder(service) / "content")


# --- what is stored
def test_a_photo_is_stored_upright_and_without_what_its_exif_tells(
    service: Service, phone: httpx.Client
) -> None:
    """Edge 131: its time is information; its place is thrown away unless somebody asked to keep it."""
    taken = datetime.fromisoformat("2026-11-19T09:30:00+08:00")
    told = exif(taken, lon=106.2561, lat=29.2913, orientation=6)
    sent = jpeg(640, 480, exif=told, comment=b"COMMENT-OF-THE-PHONE")
    assert b"MAKER-OF-THE-PHONE" in sent
    shown = upload(phone, sent, name="IMG_1.jpg")
    assert (shown["state"], shown["media_type"], shown["width"], shown["height"]) == (
        "ready",
        "image/jpeg",
        480,
        640,
    )
    assert datetime.fromisoformat(shown["taken_at"]) == taken
    assert shown.get("lon") is None
    assert shown.get("lat") is None
    got = service.client.get(link(phone, shown["id"])).raise_for_status().content
    assert not re.search(rb"MAKER-OF|COMMENT-OF|Exif", got)
    with Image.open(io.BytesIO(got)) as picture, Image.open(io.BytesIO(sent)) as original:
        assert not dict(picture.getexif())
        turned = original.transpose(Image.Transpose.ROTATE_270)
        assert picture.getpixel((20, 600)) == pytest.approx(turned.getpixel((20, 600)), abs=12)
    with service.database.read() as session:
        row = session.get_one(Attachment, UUID(shown["id"]))
        assert (row.lon_e7, row.lat_e7) == (None, None)
    # 2 cm, the precision of what the phone wrote.
    kept = upload(phone, sent, keep_position=True)
    assert (kept["lon"], kept["lat"]) == pytest.approx((106.2561, 29.2913), abs=2e-7)


@pytest.mark.parametrize(("sent", "claimed", "kept"), [
    (png(), "image/png", "image/png"), (webp(), "image/webp", "image/jpeg"), (png(), "image/jpeg", "image/png"),
    (pdf(3, Author="AUTHOR-OF-THE-PAPER"), "application/pdf", "application/pdf"),
])  # fmt: skip
def test_the_type_is_what_the_content_is(
    service: Service, phone: httpx.Client, sent: bytes, claimed: str, kept: str
) -> None:
    shown = upload(phone, sent, claimed)
    assert shown["media_type"] == kept
    got = service.client.get(link(phone, shown["id"]))
    assert got.headers["content-type"] == kept
    assert b"AUTHOR-OF" not in got.content
    if kept == "application/pdf":
        assert shown["pages"] == 3


def test_a_large_photo_is_made_smaller(phone: httpx.Client) -> None:
    shown = upload(phone, jpeg(5000, 4000))
    assert (shown["width"], shown["height"]) == (3072, 2458)


def test_what_hides_behind_a_picture_or_a_document_is_not_stored(
    service: Service, phone: httpx.Client
) -> None:
    """Polyglots: the file is also an archive, a page or a script; what is served is written anew."""
    hidden = b"PK\x03\x04<script>alert(1)</script><?php ?>HIDDEN"
    commented = jpeg()[:2] + b"\xff\xfe" + (len(hidden) + 2).to_bytes(2) + hidden + jpeg()[2:]
    for sent, kind in ((jpeg() + hidden, "image/jpeg"), (png() + hidden, "image/png"), (commented, "image/jpeg"),
                       (pdf() + b"\n" + hidden, "application/pdf")):  # fmt: skip
        shown = upload(phone, sent, kind)
        assert b"HIDDEN" not in service.client.get(link(phone, shown["id"])).content


@pytest.mark.parametrize(("given", "shown"), [
    ("../../etc/passwd", "passwd"), (r"C:\keys\a.pdf", "a.pdf"), ("通知\u202efdp.exe", "通知fdp.exe"), ("a\x00b\n.jpg", "ab.jpg"),
    ("..", ""), ("名" * 500, "名" * 120), ('x"; filename="y.exe', "x; filename=y.exe"), ("\ud83d", ""),
])  # fmt: skip
def test_a_name_is_a_label_and_nothing_is_stored_under_it(
    service: Service, phone: httpx.Client, given: str, shown: str
) -> None:
    before = {path.name for path in stored(service.settings.var)}
    body = announcement(jpeg(seed=ord(given[0])), name="")
    text = httpx.Response(200, json=body).text.replace('"name":""', '"name":' + ascii_json(given))
    answer = phone.post("/v1/attachments", content=text, headers={"Content-Type": "application/json"})
    if given == "\ud83d":
        assert answer.status_code in {201, 422}  # Half a character is no text.
        return
    assert answer.raise_for_status().json()["name"] == shown
    send(phone, body["id"], jpeg(seed=ord(given[0]))).raise_for_status()
    named = service.client.get(link(phone, body["id"])).headers["content-disposition"]
    assert named == f'attachment; filename="{body["id"]}.jpg"'
    made = {path.name for path in stored(service.settings.var)} - before
    assert all(re.fullmatch(r"[0-9a-f]{62}", name) for name in made)


def ascii_json(text: str) -> str:
    """Return a JSON string of ASCII, half characters too."""
    return '"' + "".join(f"\\u{ord(each):04x}" for each in text) + '"'


def test_equal_content_is_legal_and_one_file(service: Service, phone: httpx.Client) -> None:
    sent, before = jpeg(seed=77), len(contents(service))
    first, second = upload(phone, sent), upload(phone, sent)
    with newcomer(service) as other:
        third = upload(other, sent)
        got = service.client.get(link(other, third["id"])).content
    assert len({each["id"] for each in (first, second, third)}) == 3
    assert len(contents(service)) == before + 1
    # Write-once: what one of them gives up stays for the others.
    assert phone.delete(f"/v1/attachments/{first['id']}/upload").status_code == 204
    assert service.client.get(link(phone, second["id"])).content == got


# --- what is not
def test_what_is_not_taken_leaves_nothing_and_says_why(service: Service, phone: httpx.Client) -> None:
    """Every kind of hostile file: test_hostile_attachments.py."""
    before = stored(folder(service))
    one = announce(phone, b"<svg/>")
    for at in (0, 6):
        answer = send(phone, one, b"<svg/>"[at:], at=at)
        assert (answer.status_code, answer.json()["code"], answer.json()["reason"]) == (
            422,
            "attachment-refused",
            "not-allowed",
        )
    assert stored(folder(service)) == before
    assert phone.get(f"/v1/attachments/{one}").json()["refusal"]["code"] == "not-allowed"
    assert phone.get(f"/v1/attachments/{one}/upload").json()["reason"] == "not-allowed"


# --- sent in pieces
def cut_off(service: Service, phone: httpx.Client, one: str, content: bytes, at: int, sent: int) -> None:
    """Send a piece of which only the first bytes leave before the link breaks."""
    url = httpx.URL(service.url)
    head = (
        f"PATCH /v1/attachments/{one}/upload HTTP/1.1\r\nHost: {url.host}\r\nAuthorization: {phone.headers['authorization']}\r\n"
        f"Content-Type: application/partial-upload\r\nUpload-Offset: {at}\r\nUpload-Complete: ?1\r\n"
        f"Content-Length: {len(content) - at}\r\n\r\n"
    )
    with socket.create_connection((url.host, url.port or 80)) as line:
        line.sendall(head.encode() + content[at : at + sent])


def resumed(phone: httpx.Client, one: str, content: bytes) -> dict[str, Any]:
    """Go on from where the service says, as often as it says so."""
    at = offset(phone, one)
    for _ in range(20):
        answer = send(phone, one, content[at:], at=at)
        if answer.status_code == 200:
            found: dict[str, Any] = answer.json()
            return found
        assert answer.json()["code"] == "upload-offset", answer.text
        at = answer.json()["offset"]
    raise AssertionError("the upload did not end")


@pytest.mark.parametrize("number", [10, pytest.param(50, marks=pytest.mark.slow)])
def test_a_link_that_is_cut_at_every_tenth_leaves_the_whole_file_or_none(  # S10
    service: Service, number: int
) -> None:
    with newcomer(service) as phone:
        for seed in range(number):
            content = noisy(160, 120, seed=1000 * number + seed)
            before = contents(service)
            one = announce(phone, content)
            for tenth in range(9):
                at = offset(phone, one)
                cut_off(service, phone, one, content, at, len(content) * (tenth + 1) // 10 - at)
                assert contents(service) == before
                assert phone.get(f"/v1/attachments/{one}").json()["state"] == "open"
            assert resumed(phone, one, content)["state"] == "ready"
            assert len(contents(service)) == len(before) + 1


def test_what_arrived_before_the_link_broke_is_kept(service: Service, phone: httpx.Client) -> None:
    content = noisy(900, 900)
    one = announce(phone, content)
    cut_off(service, phone, one, content, 0, 400_000)
    deadline = time.monotonic() + 10
    while offset(phone, one) < 400_000 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert offset(phone, one) == 400_000
    assert send(phone, one, content[400_000:], at=400_000).json()["state"] == "ready"


def test_a_piece_that_does_not_begin_at_the_end_is_not_written(phone: httpx.Client) -> None:
    content = jpeg()
    one = announce(phone, content)
    assert send(phone, one, content[:1000], last=False).headers["Upload-Complete"] == "?0"
    for at in (0, 999, 1001, len(content)):
        answer = send(phone, one, content[at:] or b"x", at=at)
        assert (answer.status_code, answer.json()["code"]) == (409, "upload-offset")
        assert answer.json()["offset"] == 1000
    assert send(phone, one, content[1000:] + b"x", at=1000).json()["code"] == "upload-offset"
    assert (
        send(phone, one, content[1000:-1], at=1000).json()["offset"] == len(content) - 1
    )  # Said to be the last; it is not.
    assert send(phone, one, content[-1:], at=len(content) - 1).json()["state"] == "ready"
    # An answer that was lost: asked again, it is the same.
    assert send(phone, one, b"", at=len(content)).json()["state"] == "ready"
    assert phone.head(f"/v1/attachments/{one}/upload").headers["Upload-Complete"] == "?1"


def test_content_with_another_hash_begins_anew(phone: httpx.Client) -> None:
    content = jpeg()
    one = announce(phone, content)
    answer = send(phone, one, content[:-5] + b"wrong")
    assert (answer.json()["code"], answer.json()["offset"]) == ("upload-damaged", 0)
    assert offset(phone, one) == 0
    assert send(phone, one, content).json()["state"] == "ready"


def test_two_senders_of_one_upload_do_not_spoil_it(phone: httpx.Client, service: Service) -> None:
    content = noisy(1200, 900)
    one = announce(phone, content)
    threads = [threading.Thread(target=send, args=(phone, one, content)) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert resumed(phone, one, content)["state"] == "ready"
    assert stored(folder(service) / "incoming") == []


def test_an_announcement_sent_twice_counts_once(phone: httpx.Client, service: Service) -> None:
    body = announcement(jpeg())
    assert phone.post("/v1/attachments", json=body).status_code == 201
    again = phone.post("/v1/attachments", json=body)
    assert (again.status_code, again.headers["Idempotent-Replay"]) == (200, "true")
    assert phone.post("/v1/attachments", json={**body, "size": 7}).json()["code"] == "id-reused"
    with newcomer(service) as other:
        told = other.post("/v1/attachments", json=body).json()
        assert (told["code"], told.get("fields")) == ("id-reused", None)


def test_the_quota_counts_what_is_announced(clone: Clone, tmp_path: Path) -> None:
    with (
        running_service(clone(), tmp_path, attachment_mb=1, attachment_quota_mb=2) as here,
        newcomer(here) as phone,
    ):
        body = announcement(b"x", size=(1 << 20) + 1)
        assert phone.post("/v1/attachments", json=body).json()["limit_bytes"] == 1 << 20
        sizes = [1 << 20, (1 << 20) - 5]
        made = [announcement(b"x", size=size) for size in sizes]
        assert [phone.post("/v1/attachments", json=each).status_code for each in made] == [201, 201]
        full = phone.post("/v1/attachments", json=announcement(b"123456"))
        assert (full.json()["code"], full.json()["used_bytes"]) == ("attachment-quota", sum(sizes))
        phone.delete(f"/v1/attachments/{made[0]['id']}/upload").raise_for_status()
        for _ in range(19):
            announce(phone, b"x")
        assert phone.post("/v1/attachments", json=announcement(b"x")).json()["limit_open"] == 20
        too_long = send(phone, made[1]["id"], bytes((1 << 20) + 1))
        assert too_long.json()["code"] == "body-too-large"


def test_memory_stays_flat_while_large_files_come_and_go(
    service: Service, phone: httpx.Client, tmp_path: Path
) -> None:
    """Measured in this process, which serves and sends; the phone reads its file piece by piece."""
    large = tmp_path / "large.jpg"
    large.write_bytes(noisy(4000, 3000))
    size = large.stat().st_size
    assert 8 << 20 < size < 16 << 20
    told = {
        "size": size,
        "sha256": hashlib.sha256(large.read_bytes()).hexdigest(),
        "media_type": "image/jpeg",
    }
    peak, ended = [resident()], threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            peak[0] = max(peak[0], resident())

    watching = threading.Thread(target=watch)
    before = resident()
    watching.start()
    try:
        for _ in range(3):
            one = str(ids.new_id())
            phone.post("/v1/attachments", json={"id": one, **told}).raise_for_status()
            headers = {
                "Content-Type": "application/partial-upload",
                "Upload-Offset": "0",
                "Upload-Complete": "?1",
            }
            answer = phone.patch(f"/v1/attachments/{one}/upload", content=pieces(large), headers=headers)
            assert answer.json()["state"] == "ready", answer.text
            with service.client.stream("GET", link(phone, one)) as got:
                assert sum(len(each) for each in got.iter_bytes()) == int(got.headers["content-length"])
    finally:
        ended.set()
        watching.join()
    assert peak[0] - before <= MOST_GROWTH, (peak[0] - before) >> 20


def resident() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * 4096


def pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(1 << 16):
            yield piece


# --- read
def test_a_link_is_for_minutes_and_for_one_session(service: Service, clock: SetClock) -> None:
    with service.database.write() as session:
        account = make_account(session, role=Role.CADRE, region=VILLAGE, valid_from=LONG_AGO)
    with service.as_(token_for(service, account)) as phone:
        one = upload(phone, jpeg())["id"]
        url = link(phone, one)
        bare = service.client.get(url)
        assert (bare.status_code, bare.headers["x-content-type-options"]) == (200, "nosniff")
        assert bare.headers["content-disposition"].startswith("attachment;")
        assert bare.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert "no-store" in bare.headers["cache-control"]
        for changed in (
            url[:-1] + ("A" if url[-1] != "A" else "B"),
            url + "=",
            url.replace("/1.", "/2."),
            url[:-9],
        ):
            assert service.client.get(changed).status_code == 404
        clock.move(seconds=299)
        assert service.client.get(url).status_code == 200
        clock.move(seconds=1)
        assert service.client.get(url).status_code == 404
        fresh = link(phone, one)
        phone.post("/v1/auth/logout").raise_for_status()
        assert service.client.get(fresh).status_code == 404


def test_a_content_is_read_in_ranges(service: Service, phone: httpx.Client) -> None:
    url = link(phone, upload(phone, jpeg(900, 700))["id"])
    whole = service.client.get(url)
    size, etag = len(whole.content), whole.headers["etag"]

    def got(asked: str, **more: str) -> tuple[int, bytes, str | None]:
        answer = service.client.get(url, headers={"Range": asked, **more})
        return answer.status_code, answer.content, answer.headers.get("content-range")

    assert got("bytes=0-99") == (206, whole.content[:100], f"bytes 0-99/{size}")
    assert got("bytes=100-") == (206, whole.content[100:], f"bytes 100-{size - 1}/{size}")
    assert got("bytes=-7") == (206, whole.content[-7:], f"bytes {size - 7}-{size - 1}/{size}")
    assert got(f"bytes=5-{size * 9}")[1] == whole.content[5:]
    for ignored in ("bytes=0-1,3-4", "lines=1-2", "bytes=9-3", "bytes=-", "bytes=" + "0-1," * 20):
        assert got(ignored)[:2] == (200, whole.content)
    assert got(f"bytes={size}-")[::2] == (416, f"bytes */{size}")
    assert got("bytes=-0")[0] == 416
    assert got("bytes=0-9", **{"If-Range": etag})[0] == 206
    assert got("bytes=0-9", **{"If-Range": '"other"'})[0] == 200
    head = service.client.head(url)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(size), b"")


def test_a_content_that_was_lost_is_a_fault_of_ours(service: Service, phone: httpx.Client) -> None:
    before = set(contents(service))
    url = link(phone, upload(phone, jpeg(seed=404))["id"])
    (lost,) = set(contents(service)) - before
    lost.unlink()
    answer = service.client.get(url)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage-unavailable")


class Logs:
    """Stands where a room above will: its records are read by the officers of one town."""

    def __init__(self, person: UUID) -> None:
        self.person = person

    def readable(self, _session: orm.Session, who: Who, _owner_id: UUID) -> Readable | None:
        if not who.reaches(VILLAGE, Role.TOWN):
            return None
        return Readable(seen=Seen(self.person, VILLAGE), roles=(Role.TOWN,))


@pytest.fixture
def logs() -> Iterator[Logs]:
    room = Logs(ids.new_id())
    owners.install(OwnerKind.WORK_LOG, room)
    yield room
    owners._KINDS.clear()  # noqa: SLF001  The rooms above install theirs when the application is assembled.


def attach(service: Service, account: Account, one: str, owner: UUID) -> None:
    who = Who(account_id=account.id, session_id=ids.new_id(), version=1)
    with service.database.write() as session:
        deeds.attach(session, who, [UUID(one)], OwnerKind.WORK_LOG, owner)


def test_what_is_attached_is_read_by_whoever_may_read_the_record_and_that_is_recorded(
    service: Service, logs: Logs
) -> None:
    with service.database.write() as session:
        account = make_account(session, role=Role.CADRE, region=VILLAGE, valid_from=LONG_AGO)
    record = ids.new_id()
    town, elsewhere = newcomer(service, Role.TOWN, TOWN), newcomer(service, Role.TOWN, "500116102")
    with service.as_(token_for(service, account)) as phone, town, elsewhere:
        one = upload(phone, jpeg(), keep_position=True)["id"]
        assert town.post(f"/v1/attachments/{one}/link").status_code == 404
        attach(service, account, one, record)
        got = service.client.get(link(town, one))
        assert got.status_code == 200
        refused = elsewhere.post(f"/v1/attachments/{one}/link")
        nothing = elsewhere.post(f"/v1/attachments/{ids.new_id()}/link")
        assert refused.status_code == nothing.status_code == 404
        assert refused.json()["detail"] == nothing.json()["detail"]
        assert town.get(f"/v1/attachments/{one}").status_code == 404  # Its time and place are the uploader's.
        linked = phone.delete(f"/v1/attachments/{one}/upload")
        assert linked.json()["code"] == "attachment-linked"
    with service.database.read() as session:
        looks = session.connection().exec_driver_sql(
            "SELECT role, subject FROM looks WHERE what = 'attachment' AND person_id = %s", (logs.person,)
        )
        assert [tuple(row) for row in looks] == [("town_officer", one)]
        shown = deeds.attached(session, OwnerKind.WORK_LOG, [record])[record]
        assert [each.model_dump(exclude_none=True).keys() & {"lon", "lat", "taken_at"} for each in shown] == [
            set()
        ]


def test_only_ones_own_ready_attachments_can_be_attached(service: Service) -> None:
    with service.database.write() as session:
        account = make_account(session, role=Role.CADRE, region=VILLAGE, valid_from=LONG_AGO)
    with service.as_(token_for(service, account)) as phone, newcomer(service) as other:
        unfinished, others = announce(phone, jpeg()), upload(other, jpeg())["id"]
        for one in (unfinished, others, str(ids.new_id())):
            with pytest.raises(Exception, match="attachment-unknown"):
                attach(service, account, one, ids.new_id())


def test_nobody_elses_upload_is_there(service: Service, phone: httpx.Client) -> None:
    one = announce(phone, jpeg())
    with newcomer(service) as other:
        for method, path in (("GET", ""), ("HEAD", "/upload"), ("DELETE", "/upload"), ("POST", "/link")):
            assert other.request(method, f"/v1/attachments/{one}{path}").status_code == 404
        assert send(other, one, jpeg()).status_code == 404
    assert offset(phone, one) == 0
    assert timedelta(seconds=service.settings.attachment_link_s) <= timedelta(minutes=10)
