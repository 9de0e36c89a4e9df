"""The drill of edge 133: an older backup is restored, phones send again, and the record is what it was."""

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from conftest import Clone, Cloned, Service, SetClock, running_service
from docs.phones import FIX, phone_of
from factories_auth import token_for
from factories_checkins import Cadre, make_cadre, make_world
from factories_receipts import zaicun
from zaicun_phone import Phone

from server import clock as clock_module
from server.checkins import receipts

NOON = datetime(2026, 11, 17, 4, 0, tzinfo=UTC)
RECORD = """SELECT id, received_at, event_at, captured_at, sent_at, day, kind, verdict, reason, standing, band, village_code,
    commitment, content_hash, accuracy_m, p_inside, note, client FROM checkins ORDER BY id"""
MONTHS = "SELECT person_id, month, sure, unsure, unfenced, outside, claimed FROM person_months ORDER BY 1, 2"
OLD = "SELECT receipt FROM checkin_old_receipts"
pytestmark = pytest.mark.slow


def rows(cloned: Cloned, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(cloned.owner_url) as connection:
        return connection.execute(query.encode()).fetchall()


def phones_in(stack: ExitStack, service: Service, cadres: list[Cadre], folder: Path) -> list[Phone]:
    """Return everybody's phone as it keeps its things, logged in anew."""
    made = []
    for number, cadre in enumerate(cadres):
        phone = phone_of(service, cadre, [], store=folder / f"phone{number}", clock=clock_module.now)
        made.append(stack.enter_context(phone))
        made[-1].access = token_for(service, cadre.account)
    return made


@dataclass
class Lost:
    """A service after its restore, and what there was before."""

    service: Service
    cadres: list[Cadre]
    folder: Path
    records: list[tuple[Any, ...]]
    months: list[tuple[Any, ...]]
    old: list[str]


@pytest.fixture
def lost(clone: Clone, tmp_path: Path, clock: SetClock) -> Iterator[Lost]:
    """Three people check in; a backup, a new key; they check in twice more, sent late; then the backup is restored."""
    cloned, var, file = clone(), tmp_path / "var", tmp_path / "yesterday.backup"
    clock.set(NOON)
    with running_service(cloned, var) as service:
        world = make_world(service)
        cadres = [make_cadre(service, world) for _ in range(3)]
        with ExitStack() as stack:
            for phone in phones_in(stack, service, cadres, tmp_path):
                phone.tap(dict(FIX))
                phone.flush()
                phone.sync()
        assert zaicun(service, "backup", file).exit_code == 0
        assert zaicun(service, "keys", "rotate", "--purpose", "receipt").exit_code == 0
        for hours in (20, 24):
            clock.move(hours=hours)
            with ExitStack() as stack:
                for phone in phones_in(stack, service, cadres, tmp_path):
                    phone.tap(dict(FIX), note="山里无信号")
        clock.move(hours=4)
        with ExitStack() as stack:
            phones = phones_in(stack, service, cadres, tmp_path)
            assert [[answer.status for answer in phone.flush()] for phone in phones] == [[201, 201]] * 3
            old = [entry["receipt"] for phone in phones for entry in phone.queue]
        records, months = rows(cloned, RECORD), rows(cloned, MONTHS)
    assert (len(records), len(set(old))) == (9, 9)
    restored = zaicun(service, "restore", file, "--replace", "--yes")
    assert restored.exit_code == 0, restored.output
    assert len(rows(cloned, RECORD)) == 3
    clock.move(hours=90)  # Beyond the 72 hours that a phone alone may claim.
    with running_service(cloned, var) as again:
        yield Lost(again, cadres, tmp_path, records, months, old)


def test_after_a_restore_phones_send_again_and_the_record_is_what_it_was(lost: Lost) -> None:  # edge 133
    service, cloned = lost.service, lost.service.cloned
    with ExitStack() as stack:
        for phone in phones_in(stack, service, lost.cadres, lost.folder):
            told = phone.sync()["receipts"]
            assert (told["epoch"], told["seq"]) == (2, 1)
            assert phone.waiting() == 3  # Those since the backup, and those of the minutes before it.
            assert sorted(answer.status for answer in phone.flush()) == [200, 201, 201]
            assert phone.waiting() == 0
            back = [entry["answer"]["body"] for entry in phone.queue[1:]]
            assert [(body["late"], body["standing"]) for body in back] == [
                (True, "counted"),
                (True, "counted"),
            ]
            assert all(body["restored_at"] for body in back)
            phone.sync()
            assert phone.waiting() == 0  # Once is enough.
    assert rows(cloned, RECORD) == lost.records
    assert rows(cloned, MONTHS) == lost.months
    assert {receipt for (receipt,) in rows(cloned, OLD)} <= set(lost.old)
    assert len(rows(cloned, OLD)) == 6
    checked = zaicun(service, "receipts", "check")
    assert checked.exit_code == 0, checked.output
    # Who kept the receipts from before and those from after has a whole history, and the server agrees with it.
    history = lost.folder / "history.txt"
    new = [entry["receipt"] for n in range(3) for entry in _queue(lost.folder / f"phone{n}")]
    history.write_text("\n".join([*lost.old, *new]))
    verified = zaicun(service, "verify-receipt", history, "--complete", "--database")
    assert verified.exit_code == 0, verified.output
    assert {receipts.said(receipt)["epoch"] for receipt in new} == {1, 2}
    history.write_text("\n".join(lost.old + new[:-1]))
    verified = zaicun(service, "verify-receipt", history, "--complete")
    assert verified.exit_code == 1
    assert "cut off by a restore" in verified.output


def _queue(store: Path) -> list[dict[str, Any]]:
    queue: list[dict[str, Any]] = json.loads((store / "phone.json").read_text("utf-8"))["queue"]
    return queue


def test_without_its_receipt_it_is_an_ordinary_late_one(lost: Lost) -> None:
    with ExitStack() as stack:
        phone = phones_in(stack, lost.service, lost.cadres[:1], lost.folder)[0]
        phone.sync()
        for entry in phone.queue:
            entry["again"] = False
        phone.flush()
        body = phone.queue[-1]["answer"]["body"]
    assert (body["standing"], body["restored_at"]) == (
        "claimed",
        None,
    )  # The phone alone says when it was made.


def forged(receipt: str) -> str:
    header, payload, signature = receipt.split(".")
    said = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).replace(
        b'"2026-11-19', b'"2026-11-18'
    )
    return f"{header}.{base64.urlsafe_b64encode(said).decode().rstrip('=')}.{signature}"


def test_a_receipt_that_proves_nothing_is_refused_with_its_reason_and_recorded(lost: Lost) -> None:
    service = lost.service
    with ExitStack() as stack:
        phone = phones_in(stack, service, lost.cadres[:1], lost.folder)[0]
        second, third = phone.queue[1:]
        tries = {
            "signature": forged(third["receipt"]),
            "check-in": second["receipt"],
            "person": _queue(lost.folder / "phone1")[2]["receipt"],
            "form": "no.receipt",
        }
        sent = [(cause, {**third["content"], "receipt": receipt}) for cause, receipt in tries.items()]
        sent.append(("content", {**third["content"], "note": "另写", "receipt": third["receipt"]}))
        sent_at = clock_module.now().isoformat()
        for cause, body in sent:
            answer = phone.call("PUT", f"/v1/check-ins/{third['id']}", {**body, "sent_at": sent_at})
            problem = answer.json()
            assert (answer.status_code, problem["code"], problem["cause"]) == (422, "receipt-refused", cause)
        items = [{"id": third["id"], **body} for _, body in sent]
        batch = phone.call("POST", "/v1/check-ins/batch", {"sent_at": sent_at, "items": items}).json()[
            "items"
        ]
        assert [item["problem"]["cause"] for item in batch] == [cause for cause, _ in sent]
        kept = phone.get("/v1/check-ins/attempts")["items"]
        assert [attempt["code"] for attempt in kept] == ["receipt-refused"] * 10
        assert len(rows(service.cloned, RECORD)) == 3
        # The reference client sends it once more without, rather than give it up.
        third["receipt"], third["answer"], third["again"] = tries["person"], None, True
        assert phone.flush()[-1].body["standing"] == "claimed"


def test_what_a_stolen_key_signed_brings_nothing_back(lost: Lost) -> None:
    result = zaicun(lost.service, "keys", "rotate", "--purpose", "receipt", "--stolen")
    assert result.exit_code == 0
    with running_service(lost.service.cloned, lost.folder / "var") as service, ExitStack() as stack:
        phone = phones_in(stack, service, lost.cadres[:1], lost.folder)[0]
        third = phone.queue[2]
        body = {**third["content"], "receipt": third["receipt"], "sent_at": clock_module.now().isoformat()}
        answer = phone.call("PUT", f"/v1/check-ins/{third['id']}", body)
        assert (answer.status_code, answer.json()["cause"]) == (422, "key")
        published = service.client.get("/v1/receipt-keys").json()["keys"]
    assert [key["distrusted_from"] is None for key in published] == [False, False, True]
