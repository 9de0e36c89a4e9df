"""Files that must not be taken: nothing of them is stored, whatever they do to whoever examines them (security.md M15)."""

import resource
from collections.abc import Iterator

import httpx
import pytest
from conftest import Service
from factories_attachments import announce, jpeg, link, send, stored, upload
from factories_auth import make_account, token_for
from factories_checkins import LONG_AGO
from hostile_files import Hostile, corpus, deep_inside

from server.access import Role

pytestmark = pytest.mark.slow
HOSTILE = corpus()
MOST_CPU_S = 2.0
"""For any one file, whatever it is; of processor, because what else this machine does says nothing about the file."""


@pytest.fixture
def phone(service: Service) -> Iterator[httpx.Client]:
    with service.database.write() as session:
        account = make_account(session, role=Role.CADRE, region="500116101200", valid_from=LONG_AGO)
    with service.as_(token_for(service, account)) as client:
        yield client


def test_the_corpus_is_large_enough() -> None:
    assert len(HOSTILE) >= 60
    assert len({each.name for each in HOSTILE}) == len(HOSTILE)


def spent() -> float:
    """Return the processor time of every process that examined something and ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("file", HOSTILE, ids=[each.name for each in HOSTILE])
def test_nothing_of_a_hostile_file_is_stored(service: Service, phone: httpx.Client, file: Hostile) -> None:
    folder = service.settings.var / "attachments"
    one = announce(phone, file.content, file.claimed, name=file.name)
    before = spent()
    answer = send(phone, one, file.content)
    assert spent() - before <= MOST_CPU_S
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "attachment-refused"
    assert answer.json()["reason"] in file.reasons
    assert stored(folder) == []
    again = send(phone, one, b"", at=len(file.content))
    assert again.json()["reason"] == answer.json()["reason"]
    assert phone.get(f"/v1/attachments/{one}").json()["state"] == "refused"
    assert phone.get(f"/v1/attachments/{one}/upload").json()["reason"] == answer.json()["reason"]
    assert phone.post(f"/v1/attachments/{one}/link").json()["code"] == "attachment-not-ready"


def test_what_the_reader_of_a_document_gives_up_is_not_in_what_is_kept(phone: httpx.Client) -> None:
    """An array 5,000 deep, in a page that shows nothing of it: qpdf stops at 500, and writes the rest anew."""
    told = upload(phone, deep_inside(), "application/pdf")
    got = phone.get(link(phone, told["id"])).content
    assert told["pages"] == 1
    assert b"[[[" not in got
    assert len(got) == told["bytes"] < 2000


def test_a_photo_whose_exif_is_broken_is_a_photo_without_exif(phone: httpx.Client) -> None:  # edge 131
    """The fuzzer's find: Pillow warns of such EXIF, and every warning was an error that refused the photo."""
    broken = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x88%\0\x04\0\0\0\x01\0\0\0\x08"
    photo = jpeg()
    told = upload(phone, photo[:2] + b"\xff\xe1" + (len(broken) + 2).to_bytes(2) + broken + photo[2:])
    assert (told["state"], told["width"], told["taken_at"]) == ("ready", 320, None)
