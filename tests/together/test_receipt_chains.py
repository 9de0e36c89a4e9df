"""The chain of receipts under several workers at once: never forked, whoever comes first; and found where it is."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Clone, Service, SetClock, running_service
from factories_checkins import Cadre, World, check_in, make_cadre, make_world, renewed
from factories_receipts import Sent, put_all, zaicun

from server import ids
from server.checkins import receipts, storing
from server.checkins.intake import Intake, Stored
from server.checkins.storing import Looked

NOON = datetime(2026, 11, 17, 4, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


class Slow(Intake):
    """A worker that is slow between looking up and storing, so that another one comes in between."""

    async def _look_up(self, *given: Any) -> Looked:
        known = await super()._look_up(*given)
        await asyncio.sleep(0.02)
        return known


def by_workers(service: Service, shares: list[list[Sent]]) -> list[Any]:
    """Give each worker its share, all at the same moment; return all outcomes."""

    async def run() -> list[Any]:
        workers = [Slow(service.app.state.settings) for _ in shares]
        for worker in workers:
            worker.start()
        try:
            told = await asyncio.gather(
                *(put_all(service, worker, share) for worker, share in zip(workers, shares, strict=True))
            )
        finally:
            for worker in workers:
                await worker.close()
        return [outcome for one in told for outcome in one]

    return asyncio.run(run())


def taps(cadres: list[Cadre], each: int) -> list[Sent]:
    at = NOON - timedelta(days=1)
    return [
        (cadre, ids.new_id(), check_in(at + timedelta(minutes=5 * number), sent=NOON))
        for number in range(each)
        for cadre in cadres
    ]


def test_four_workers_and_the_same_people_make_one_chain_a_person(
    service: Service, world: World, clock: SetClock
) -> None:
    clock.set(NOON)
    cadres = [make_cadre(service, world) for _ in range(3)]
    same = taps(cadres, 1)  # Edge 67: these reach all workers at once.
    shares = [[*taps(cadres, 4), *same] for _ in range(4)]
    told = by_workers(service, shares)
    assert all(isinstance(outcome, Stored) for outcome in told), told
    stored = [(outcome.record.person_id, outcome.record.id, outcome.record.chain_seq) for outcome in told]
    # Four of its own for each worker, and one of all: seventeen a person, each told the same number by everybody.
    assert {(person, seq) for person, _, seq in stored} == {
        (cadre.person_id, seq) for cadre in cadres for seq in range(1, 18)
    }
    assert len(set(stored)) == 3 * 17
    result = zaicun(service, "receipts", "check")
    assert result.exit_code == 0, result.output


def stored_in_turn(service: Service, sent: list[Sent]) -> list[str]:
    """Store these by one worker, as many at once as wait in its queue; return the receipts."""

    async def run() -> list[Any]:
        worker = Intake(service.app.state.settings)
        worker.start()
        try:
            return [
                outcome
                for start in range(0, len(sent), 250)
                for outcome in await put_all(service, worker, sent[start : start + 250])
            ]
        finally:
            await worker.close()

    return [receipts.compact(outcome.record) or "" for outcome in asyncio.run(run())]


@pytest.mark.slow
def test_ten_thousand_receipts_verify_after_the_key_was_rotated(
    apart: Service, clock: SetClock, tmp_path: Path
) -> None:  # S5
    clock.set(NOON)
    world = make_world(apart)
    cadres = [make_cadre(apart, world) for _ in range(50)]
    first = stored_in_turn(apart, taps(cadres, 100))
    assert zaicun(apart, "keys", "rotate", "--purpose", "receipt").exit_code == 0
    clock.move(seconds=30)
    second = stored_in_turn(apart, taps([renewed(apart, cadre) for cadre in cadres], 100))
    assert len({*first, *second}) == 10_000
    assert len({receipt.partition(".")[0] for receipt in (*first, *second)}) == 2  # Two keys.
    every, keys = tmp_path / "receipts.txt", tmp_path / "keys.json"
    every.write_text("\n".join([*first, *second]))
    keys.write_text(apart.client.get("/v1/receipt-keys").text)
    offline = zaicun(apart, "verify-receipt", every, "--keys", keys, "--complete")
    assert offline.exit_code == 0, offline.output[-500:]
    assert "10000 份回执的签名正确，0 处有问题" in offline.output
    checked = zaicun(apart, "receipts", "check")
    assert (checked.exit_code, "50 人的 10000 份回执已核对，0 处有问题" in checked.output) == (0, True)


@pytest.fixture
def apart(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(clone(), tmp_path_factory.mktemp("var")) as running:
        yield running


def test_without_the_comparison_the_chain_forks_and_is_found(
    apart: Service, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The teeth: what the statement would be without its WHERE."""
    comparison, whole = b"WHERE h.seq = excluded.was ", storing.keep_statement
    assert comparison in whole()
    assert comparison in whole("checkin_times", "checkin_signatures")
    monkeypatch.setattr(storing, "keep_statement", lambda *beside: whole(*beside).replace(comparison, b""))
    clock.set(NOON)
    cadre = make_cadre(apart, make_world(apart))
    by_workers(apart, [taps([cadre], 4) for _ in range(2)])
    result = zaicun(apart, "receipts", "check")
    assert result.exit_code == 1, "the suite has no teeth: a forked chain went unnoticed"
    assert "✗" in result.output
