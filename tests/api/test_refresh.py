"""Refreshing: lost answers, two tabs, old generations, thieves (rulings 24, security.md M11)."""

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import product
from threading import Barrier, Thread

import jwt
import pytest
import sqlalchemy as sa
from conftest import Service, SetClock
from factories_auth import make_account, tokens_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paging import every

from server.access import Role
from server.auth import rules, sessions
from server.auth.keys import KeySet, Purpose
from server.auth.models import Account, LoginSession
from server.auth.rules import Family, Refresh, judge_refresh
from server.auth.sessions import Tokens
from server.problems import Problem

START = datetime(2026, 3, 1, 8, tzinfo=UTC)


@pytest.fixture
def cadre(service: Service, clock: SetClock) -> Account:
    clock.set(START)
    with service.database.write() as session:
        return make_account(session, role=Role.CADRE)


def refresh(service: Service, token: str) -> tuple[int, dict[str, str]]:
    answer = service.client.post("/v1/auth/refresh", json={"refresh_token": token})
    return answer.status_code, answer.json()


def renew(service: Service, token: str) -> Tokens | Problem:
    """Refresh as the route does, without HTTP, where thousands are needed."""
    with service.app.state.database.write() as session:
        return sessions.renew(session, service.app.state.doorkeeper, token)


def alive(service: Service, access_token: str) -> bool:
    with service.as_(access_token) as client:
        return client.get("/v1/me").status_code == 200


def test_the_next_token_is_another_and_the_access_token_works(service: Service, cadre: Account) -> None:
    first = tokens_for(service, cadre)
    status, second = refresh(service, first.refresh_token)
    assert status == 200
    assert second["refresh_token"] != first.refresh_token
    assert second["token_type"] == "Bearer"
    assert alive(service, second["access_token"])
    assert refresh(service, second["refresh_token"])[0] == 200


def test_the_answer_is_kept_by_nobody(service: Service, cadre: Account) -> None:
    given = tokens_for(service, cadre)
    answer = service.client.post("/v1/auth/refresh", json={"refresh_token": given.refresh_token})
    assert answer.headers["cache-control"] == "no-store"
    with service.database.read() as session:
        stored = session.execute(
            sa.text("SELECT * FROM sessions WHERE id = :id"), {"id": given.session_id}
        ).one()
    secret = base64.urlsafe_b64decode(answer.json()["refresh_token"].removeprefix("zr1_") + "=")[24:]
    assert len(secret) == 32
    assert secret not in [value for value in stored if isinstance(value, bytes)]


def test_a_lost_answer_is_given_again_and_names_the_same_successor(
    service: Service, cadre: Account, clock: SetClock
) -> None:
    first = tokens_for(service, cadre)
    _, lost = refresh(service, first.refresh_token)
    clock.move(seconds=30)
    status, again = refresh(service, first.refresh_token)
    assert status == 200
    assert again["refresh_token"] == lost["refresh_token"]
    assert alive(service, again["access_token"])


def test_an_old_token_after_the_grace_ends_the_session(
    service: Service, cadre: Account, clock: SetClock
) -> None:
    first = tokens_for(service, cadre)
    _, second = refresh(service, first.refresh_token)
    clock.move(seconds=30, microseconds=1)
    assert refresh(service, first.refresh_token)[0] == 401
    assert refresh(service, second["refresh_token"])[0] == 401
    assert not alive(service, second["access_token"])


def test_an_old_token_whose_successor_was_used_ends_the_session_within_the_grace(
    service: Service, cadre: Account
) -> None:
    first = tokens_for(service, cadre)
    _, second = refresh(service, first.refresh_token)
    _, third = refresh(service, second["refresh_token"])
    status, refused = refresh(service, first.refresh_token)
    assert (status, refused["code"]) == (401, "refresh-refused")
    assert not alive(service, third["access_token"])
    with service.as_(tokens_for(service, cadre).access_token) as client:
        deeds = [event["deed"] for event in client.get("/v1/me/security-events").json()["items"]]
    assert "auth:refresh-reuse" in deeds


def test_reuse_ends_that_session_and_no_other(service: Service, cadre: Account) -> None:
    stolen, other = tokens_for(service, cadre), tokens_for(service, cadre)
    token = stolen.refresh_token
    for _ in range(3):
        token = refresh(service, token)[1]["refresh_token"]
    assert refresh(service, stolen.refresh_token)[0] == 401
    assert refresh(service, token)[0] == 401
    assert refresh(service, other.refresh_token)[0] == 200


def test_a_session_ends_after_thirty_idle_days(service: Service, cadre: Account, clock: SetClock) -> None:
    first = tokens_for(service, cadre)
    clock.move(days=30, seconds=-1)
    status, second = refresh(service, first.refresh_token)
    assert status == 200
    clock.move(days=30)
    assert refresh(service, second["refresh_token"])[0] == 401


def test_a_session_ends_after_ninety_days_however_much_it_is_used(
    service: Service, cadre: Account, clock: SetClock
) -> None:
    given = tokens_for(service, cadre)
    token = given.refresh_token
    for _ in range(8):
        clock.move(days=11)
        status, answer = refresh(service, token)
        assert status == 200
        token = answer["refresh_token"]
    assert datetime.fromisoformat(answer["refresh_expires_at"]) == START + timedelta(days=90)
    clock.move(days=2)
    assert refresh(service, token)[0] == 401


def test_a_disabled_account_is_not_renewed_and_its_token_is_not_spent(
    service: Service, cadre: Account
) -> None:
    given = tokens_for(service, cadre)
    with service.database.write() as session:
        session.execute(sa.update(Account).where(Account.id == cadre.id).values(disabled_at=START, version=2))
    assert refresh(service, given.refresh_token)[0] == 401
    with service.database.write() as session:
        session.execute(sa.update(Account).where(Account.id == cadre.id).values(disabled_at=None))
    assert refresh(service, given.refresh_token)[0] == 200


def test_a_changed_grant_comes_with_the_next_token(service: Service, cadre: Account) -> None:
    given = tokens_for(service, cadre)
    with service.database.write() as session:
        session.execute(sa.update(Account).where(Account.id == cadre.id).values(version=Account.version + 1))
    assert not alive(service, given.access_token)
    _, second = refresh(service, given.refresh_token)
    assert alive(service, second["access_token"])


def test_logging_out_ends_the_refresh_token_too(service: Service, cadre: Account) -> None:
    given = tokens_for(service, cadre)
    with service.as_(given.access_token) as client:
        assert client.post("/v1/auth/logout").status_code == 204
        assert client.post("/v1/auth/logout").status_code == 401
    assert refresh(service, given.refresh_token)[0] == 401


def damaged(token: str) -> dict[str, str]:
    packed = bytearray(base64.urlsafe_b64decode(token.removeprefix("zr1_") + "="))

    def made(**changed: bytes) -> str:
        parts = {"sid": bytes(packed[:16]), "gen": bytes(packed[16:24]), "secret": bytes(packed[24:])}
        parts.update(changed)
        return "zr1_" + base64.urlsafe_b64encode(b"".join(parts.values())).decode().rstrip("=")

    return {
        "empty": "",
        "mark alone": "zr1_",
        "other mark": "zr2_" + token[4:],
        "short": token[:-8],
        "long": token + "AAAA",
        "not base64": "zr1_" + "!" * 75,
        "not ASCII": "zr1_" + "密" * 75,
        "secret of zeros": made(secret=bytes(32)),
        "generation ahead": made(gen=(1).to_bytes(8)),
        "generation enormous": made(gen=b"\xff" * 8),
        "session unknown": made(sid=b"\x01" * 16),
        "an access token": "eyJhbGciOiJFUzI1NiJ9.e30.AA",  # pragma: allowlist secret
    }


def test_a_guessed_token_is_refused_and_does_not_harm_the_session(service: Service, cadre: Account) -> None:
    """Otherwise whoever learns a session's id, which every access token shows, could log its owner out."""
    given = tokens_for(service, cadre)
    for name, forged in damaged(given.refresh_token).items():
        assert (name, refresh(service, forged)[0]) == (name, 401)
    _, second = refresh(service, given.refresh_token)
    for name, forged in damaged(given.refresh_token).items():
        assert (name, refresh(service, forged)[0]) == (name, 401)
    assert refresh(service, second["refresh_token"])[0] == 200


def test_an_access_token_is_no_refresh_token_and_the_other_way(service: Service, cadre: Account) -> None:
    given = tokens_for(service, cadre)
    assert not alive(service, given.refresh_token)
    assert refresh(service, given.access_token)[0] in {401, 422}


# --- two at once
def race(service: Service, token: str, tabs: int = 2) -> list[Tokens | Problem]:
    barrier = Barrier(tabs)

    def one(_tab: int) -> Tokens | Problem:
        barrier.wait()
        return renew(service, token)

    with ThreadPoolExecutor(tabs) as pool:
        return list(pool.map(one, range(tabs)))


def race_rounds(service: Service, cadre: Account, clock: SetClock, rounds: int) -> None:
    token = tokens_for(service, cadre).refresh_token
    for turn in range(rounds):
        clock.move(minutes=9)
        answers = race(service, token)
        successors = {answer.refresh_token for answer in answers if isinstance(answer, Tokens)}
        assert len(answers) == 2
        assert all(isinstance(answer, Tokens) for answer in answers), turn
        assert len(successors) == 1, turn
        token = successors.pop()
    with service.database.read() as session:
        row = session.scalars(sa.select(LoginSession).where(LoginSession.account_id == cadre.id)).one()
    assert (row.generation, row.revoked_at) == (rounds, None)


def test_two_tabs_that_refresh_at_once_get_the_same_successor(
    service: Service, cadre: Account, clock: SetClock
) -> None:
    race_rounds(service, cadre, clock, 60)


@pytest.mark.slow
def test_two_tabs_race_a_thousand_times(service: Service, cadre: Account, clock: SetClock) -> None:
    race_rounds(service, cadre, clock, 1000)


def test_eight_tabs_at_once_rotate_once(service: Service, cadre: Account) -> None:
    answers = race(service, tokens_for(service, cadre).refresh_token, tabs=8)
    assert len({answer.refresh_token for answer in answers if isinstance(answer, Tokens)}) == 1
    assert all(isinstance(answer, Tokens) for answer in answers)


def test_a_refresh_that_waited_judges_by_what_it_finds_then(service: Service, cadre: Account) -> None:
    """Judging by what it read before it waited, the second would set the family back by a generation."""
    first = tokens_for(service, cadre).refresh_token
    late: list[Tokens | Problem] = []
    thread = Thread(target=lambda: late.append(renew(service, first)))
    with service.app.state.database.write() as session:
        second = sessions.renew(session, service.app.state.doorkeeper, first)
        assert isinstance(second, Tokens)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "it must wait for the row"
        sessions.renew(session, service.app.state.doorkeeper, second.refresh_token)
    thread.join(10)
    assert isinstance(late[0], Problem)


# --- honest clients and thieves
class Phone:
    """A client that keeps the newest refresh token it has seen, and repeats while no answer comes."""

    def __init__(self, service: Service, token: str) -> None:
        self.service = service
        self.token = token

    def refresh(self, clock: SetClock, lost: list[float]) -> bool:
        """Refresh; `lost` are the pauses after answers that did not come. Tell whether the session still lives."""
        for pause in lost:
            renew(self.service, self.token)  # It reached the server; the answer did not reach the phone.
            clock.move(seconds=pause)
        answer = renew(self.service, self.token)
        if isinstance(answer, Problem):
            return False
        self.token = answer.refresh_token
        return True


def honest_rounds(service: Service, cadre: Account, clock: SetClock, rounds: int) -> None:
    phone = Phone(service, tokens_for(service, cadre).refresh_token)
    for trial in range(rounds):
        pauses = [(trial * 7 + i * 3) % 7 for i in range(trial % 6)]
        assert sum(pauses) <= 30
        assert phone.refresh(clock, [float(p) for p in pauses]), trial
        clock.move(minutes=9)
    with service.database.read() as session:
        row = session.scalars(sa.select(LoginSession).where(LoginSession.account_id == cadre.id)).one()
    assert (row.generation, row.revoked_at) == (rounds, None)


def test_an_honest_phone_is_not_logged_out_by_lost_answers(
    service: Service, cadre: Account, clock: SetClock
) -> None:
    """Up to five lost answers a refresh, all within the 30 seconds."""
    honest_rounds(service, cadre, clock, 60)


@pytest.mark.slow
def test_an_honest_phone_is_not_logged_out_in_a_thousand_trials(
    service: Service, cadre: Account, clock: SetClock
) -> None:
    honest_rounds(service, cadre, clock, 1000)


def test_a_stolen_token_ends_with_the_second_holder_that_uses_it(
    service: Service, cadre: Account, clock: SetClock
) -> None:
    """All orders in which owner and thief use their copies, 31 seconds or more apart, up to five uses."""
    for order in product("OT", repeat=5):
        if len(set(order)) == 1:
            continue
        start = tokens_for(service, cadre).refresh_token
        holders = {"O": Phone(service, start), "T": Phone(service, start)}
        used: set[str] = set()
        for who in order:
            clock.move(seconds=31)
            survived = holders[who].refresh(clock, [])
            used.add(who)
            # While one holder alone used it, it lives; the first use of the other ends it for both.
            assert survived == (len(used) == 1), order


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from("OT"), st.integers(0, 3), st.integers(0, 90)), max_size=14))
def test_the_server_does_what_the_model_says(
    service: Service, cadre: Account, clock: SetClock, steps: list[tuple[str, int, int]]
) -> None:
    """Owner and thief present any token they ever saw, at any time, against a model of eight lines."""
    seen = {"O": [(0, tokens_for(service, cadre).refresh_token)]}
    seen["T"] = list(seen["O"])
    newest, rotated, dead = 0, clock(), False
    for who, back, pause in steps:
        clock.move(seconds=pause)
        generation, token = seen[who][-1 - min(back, len(seen[who]) - 1)]
        answer = renew(service, token)
        repeated = generation == newest - 1 and (clock() - rotated).total_seconds() <= 30
        if not dead and generation == newest:
            newest, rotated = newest + 1, clock()
        elif not (not dead and repeated):
            dead = True
        assert isinstance(answer, Problem) == dead
        if isinstance(answer, Tokens):
            seen[who].append((newest, answer.refresh_token))
    assert all(text == other for n, text in seen["O"] for m, other in seen["T"] if n == m), (
        "one generation, one token"
    )


@given(
    newest=st.integers(0, 5),
    presented=st.integers(0, 7),
    genuine=st.booleans(),
    revoked=st.booleans(),
    since=st.integers(-5, 60),
    idle_days=st.integers(0, 40),
    age_days=st.integers(0, 100),
)
def test_the_verdict_on_a_refresh_token(
    newest: int, presented: int, genuine: bool, revoked: bool, since: int, idle_days: int, age_days: int
) -> None:
    at = START
    family = Family(
        newest,
        at - timedelta(seconds=since),
        at - timedelta(days=idle_days),
        at + timedelta(days=90 - age_days),
        revoked,
    )
    verdict = judge_refresh(family, presented, genuine=genuine, at=at)
    usable = genuine and not revoked and idle_days < 30 and age_days < 90
    assert (verdict is Refresh.ROTATE) == (usable and presented == newest)
    assert (verdict is Refresh.REPEAT) == (usable and presented == newest - 1 and since <= 30)
    assert (verdict is Refresh.REUSE) == (
        usable and presented < newest and not (presented == newest - 1 and since <= 30)
    )


# --- the key they are derived from
def test_sessions_outlive_a_rotation_of_the_key(service: Service, cadre: Account, clock: SetClock) -> None:
    given = tokens_for(service, cadre)
    keys: KeySet = service.app.state.doorkeeper.keys
    before = keys.current(Purpose.REFRESH)
    keys.rotate(Purpose.REFRESH)
    clock.move(seconds=11)
    assert keys.current(Purpose.REFRESH).kid != before.kid
    assert refresh(service, given.refresh_token)[0] == 200
    assert refresh(service, tokens_for(service, cadre).refresh_token)[0] == 200


def test_a_stolen_key_ends_every_session_of_before(service: Service, cadre: Account) -> None:
    given = tokens_for(service, cadre)
    service.app.state.doorkeeper.keys.rotate(Purpose.REFRESH, distrust_earlier=True)
    assert refresh(service, given.refresh_token)[0] == 401
    assert refresh(service, tokens_for(service, cadre).refresh_token)[0] == 200


# --- one's own sessions
def test_one_sees_and_ends_only_the_own_sessions(service: Service, cadre: Account, clock: SetClock) -> None:
    mine = tokens_for(service, cadre)
    clock.move(seconds=1)
    phone = tokens_for(service, cadre)
    with service.database.write() as session:
        stranger = make_account(session)
    theirs = tokens_for(service, stranger)
    with service.as_(mine.access_token) as client:
        listed = client.get("/v1/auth/sessions").json()["items"]
        assert [row["id"] for row in listed] == [str(phone.session_id), str(mine.session_id)]
        assert [row["current"] for row in listed] == [False, True]
        assert client.delete(f"/v1/auth/sessions/{theirs.session_id}").status_code == 404
        assert client.delete(f"/v1/auth/sessions/{stranger.id}").status_code == 404
        assert client.delete("/v1/auth/sessions/1").status_code == 422
        assert client.delete(f"/v1/auth/sessions/{phone.session_id}").status_code == 204
        assert client.delete(f"/v1/auth/sessions/{phone.session_id}").status_code == 204
        assert len(client.get("/v1/auth/sessions").json()["items"]) == 1
    assert refresh(service, phone.refresh_token)[0] == 401
    assert refresh(service, theirs.refresh_token)[0] == 200


def test_sessions_come_in_pages(service: Service, cadre: Account, clock: SetClock) -> None:
    made = []
    for _ in range(5):
        clock.move(seconds=1)
        made.append(tokens_for(service, cadre))
    with service.as_(made[-1].access_token) as client:
        found = [row["id"] for row in every(client, "/v1/auth/sessions", limit=2)]
        assert client.get("/v1/auth/sessions", params={"cursor": "x"}).json()["code"] == "bad-cursor"
    assert found == [str(one.session_id) for one in reversed(made)]


def test_an_access_token_names_its_session(service: Service, cadre: Account) -> None:
    given = tokens_for(service, cadre)
    claims = jwt.decode(given.access_token, options={"verify_signature": False})
    assert claims["sid"] == str(given.session_id)
    assert claims["exp"] - claims["iat"] == rules.ACCESS_LIFE.total_seconds()
