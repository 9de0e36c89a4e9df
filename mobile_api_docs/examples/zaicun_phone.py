"""The reference client: what a phone does, in one file, to be read and translated.

`zaicun phone` runs exactly this code, and so do the demonstration and the tests. It needs Python 3.11 and httpx.

The four rules a phone must keep:

1. Make the check-in and its id at the tap, write it to the queue on disk, and only then try to send it.
2. Send it again, with the same id and the same content, until an answer comes that is final. 200 and 201 are; so are
   400, 403, 404, 409, 413, 415 and 422 (keep it and show its text). 401: renew the token. 429 and 503: wait as long as
   Retry-After says, with some jitter. Anything else, a cut connection included: later. A page of somebody else's, such
   as a Wi-Fi's login page or a proxy's error, is no answer whatever its status.
3. `sent_at` (and `sent_clock`) is read anew at each sending, from the same clock as `captured_at`; everything else stays as it was.
4. Never send a fix older than two minutes as new, never replace a missing fix by an older one.

And one that proves what was sent: keep each answer's receipt with the content and its salt, 72 hours at the least, better
for ever. When the server was restored from a backup (`sync` tells), send them again with their receipts.
"""

from __future__ import annotations

import base64
import json
import os
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import httpx

if TYPE_CHECKING:
    from zaicun_key import DeviceKey
    from zaicun_time import RunningClock

Json = dict[str, Any]
FINAL: Final = frozenset({200, 201, 400, 403, 404, 409, 413, 415, 422})
LATER: Final = 503
PORTION: Final = 20
"""Check-ins in one request: some 10 kB, which a weak signal still carries. The server takes 200."""
BATCH: Final = "/v1/check-ins/batch"
KEPT_FOR: Final = timedelta(hours=72)
KEPT: Final = 300
"""What was answered stays with its receipt at least so long, and so many of them at least."""
BEIJING: Final = timezone(timedelta(hours=8))


def system_clock() -> datetime:
    """Return the phone's own time; it may be wrong, the server corrects for that."""
    return datetime.now(UTC)


def uuid7(at: datetime) -> UUID:
    """Make a UUIDv7 (RFC 9562 section 5.7): 48 bits of milliseconds, then random bits."""
    milliseconds = int(at.timestamp() * 1000) & 0xFFFF_FFFF_FFFF  # A clock may even stand before 1970.
    number = milliseconds << 80 | secrets.randbits(80)
    number = number & ~(0xF << 76) | 0x7 << 76
    return UUID(int=number & ~(0x3 << 62) | 0x2 << 62)


@dataclass(frozen=True)
class Answer:
    """What became of one sending. `body` is the check-in, or the problem (RFC 9457)."""

    status: int
    body: Json
    replayed: bool = False

    @property
    def stored(self) -> bool:
        """Tell whether the check-in is stored on the server."""
        return self.status in {200, 201}


class Foreign(httpx.TransportError):
    """The answer is not zaicun's (a Wi-Fi's login page, a proxy's error): as good as no answer at all."""


class Refused(Exception):
    """The server answered with a problem."""

    def __init__(self, status: int, problem: Json) -> None:
        super().__init__(
            f"{status} {problem.get('code')}: {problem.get('detail_en') or problem.get('detail')}"
        )
        self.status = status
        self.problem = problem

    @property
    def passing(self) -> bool:
        """Tell whether it is about the moment, not about the request: try again later."""
        return self.status in {429, 500, 502, 503, 504}


@dataclass
class Phone:
    """One phone: its tokens, its queue, its clock.

    `store` is a folder that survives the app (tokens and queue); None keeps everything in memory only.
    """

    server: str
    store: Path | None = None
    clock: Callable[[], datetime] = system_clock
    pause: Callable[[float], None] = time.sleep
    label: str = "zaicun-phone/1.0"
    language: str = "zh"
    client: httpx.Client | None = None
    access: str | None = None
    refresh: str | None = None
    key: DeviceKey | None = None  # With one, what is logged in from now on is bound to it: zaicun_key.py.
    running: RunningClock | None = None  # Native apps have one: zaicun_time.py.
    bound: bool = False
    person: str | None = None  # Whose phone it is: part of what is signed.
    nonce: str | None = None
    device_hint: str | None = (
        None  # By it the server knows this phone again when somebody guesses at the password.
    )
    queue: list[Json] = field(default_factory=list)
    epoch: str | None = (
        None  # Of the chain of receipts; another one means that the server was restored from a backup.
    )

    def __post_init__(self) -> None:
        self._http = self.client or httpx.Client(base_url=self.server, timeout=15)
        if self.store is not None:
            self.store.mkdir(parents=True, exist_ok=True, mode=0o700)
            kept = self.store / "phone.json"
            if kept.exists():
                state = json.loads(kept.read_text("utf-8"))
                self.access, self.refresh, self.queue = state["access"], state["refresh"], state["queue"]
                self.device_hint, self.bound = state.get("device_hint"), state.get("bound", False)
                self.epoch = state.get("epoch")
                self.person = state.get("person")

    def close(self) -> None:
        """Close the connections. Tokens and queue stay where they are kept."""
        self._http.close()

    # --- logging in

    def notice(self, digest: str | None = None) -> Json:
        """Fetch the notice about personal information (告知书) to show it: the one in force, or the one of a digest."""
        response = self._exchange("GET", "/v1/notice" if digest is None else f"/v1/notices/{digest}", None)
        found = _read(response, "digest")
        if not response.is_success:
            raise Refused(response.status_code, found)
        return found

    def activate(self, login: str, code: str, password: str, notice: str | None = None) -> None:
        """Use the one-time code from the slip, choose a password, and be logged in.

        `notice` is the digest of the notice that the person accepted; without it the first activation is refused.
        """
        body = {"login": login, "code": code, "password": password, "client": self.label}
        if notice is not None:
            body["notice"] = notice
        self._tokens(self._open("/v1/auth/activate", body | self._protection()))
        self._learn_person()

    def login(self, login: str, password: str) -> None:
        """Log in with a password."""
        body = {"login": login, "password": password, "client": self.label}
        if self.device_hint is not None:
            body["device_hint"] = self.device_hint
        self._tokens(self._open("/v1/auth/login", body | self._protection()))
        self._learn_person()

    def _learn_person(self) -> None:
        """Learn whose phone this is, so that check-ins can be signed where there is no signal; else it is asked later."""
        self.person = None
        try:
            if self.bound or any("person" in entry for entry in self.queue):
                self.person = (self.get("/v1/me")["person"] or {}).get("id")
        except (httpx.TransportError, Refused):
            pass
        self._save()

    def _protection(self) -> Json:
        return {} if self.key is None else {"key_protection": self.key.protection}

    def renew(self) -> None:
        """Get a new pair of tokens. A lost answer does no harm: the same refresh token gets the same successor."""
        if self.refresh is None:
            raise Refused(401, {"code": "token-missing", "detail_en": "log in first", "detail": "请先登录"})
        self._tokens(self._open("/v1/auth/refresh", {"refresh_token": self.refresh}))

    def _headers(self) -> dict[str, str]:
        """Return what every request carries: the language of texts, and which client this is (ASCII only)."""
        named = {"Zaicun-Client": self.label} if self.label.isascii() else {}
        return {"Accept-Language": self.language, **named}

    def _open(self, path: str, body: Json) -> Json:
        for attempt in range(6):
            answer = self._exchange("POST", path, body)
            if answer.status_code not in {429, 503}:
                break
            self.pause(backoff(attempt, answer.headers.get("Retry-After")))
        found = _read(answer, "access_token")
        if not answer.is_success:
            raise Refused(answer.status_code, found)
        return found

    def _tokens(self, body: Json) -> None:
        self.access, self.refresh = body["access_token"], body["refresh_token"]
        self.device_hint = body.get("device_hint", self.device_hint)  # A refresh brings none.
        self.bound = body["token_type"] == "DPoP"  # noqa: S105  The name of a scheme.
        self._save()

    # --- checking in

    def tap(
        self,
        position: Json | None,
        *,
        kind: str = "day",
        no_position: str | None = None,
        note: str | None = None,
        outside_work: bool = False,
    ) -> UUID:
        """Make a check-in and put it into the queue; nothing is sent yet. Returns its id."""
        now = self.clock()
        made = uuid7(now)
        content: Json = {
            "kind": kind,
            "captured_at": now.astimezone(BEIJING).isoformat(),
            "utc_offset_min": 480,
            "position": position,
            "client": self.label,
            "salt": base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("="),
        }
        if self.running is not None:
            content["clock"] = self.running.at_tap()
        if no_position is not None:
            content["no_position"] = no_position
        if note is not None:
            content["note"] = note
        if outside_work:
            content["outside_work"] = True
        entry: Json = {"id": str(made), "content": content, "answer": None}
        if self.bound and self.key is not None and self.person is not None:
            # Now, however late it is sent, and for this person, whoever logs in on this phone until then.
            entry |= {"signed": self.key.check_in(self.person, str(made), content), "person": self.person}
        self.queue.append(entry)
        self._save()
        return made

    def waiting(self) -> int:
        """Return how many check-ins are not on the server yet: show it to the person ("2 waiting")."""
        return sum(entry["answer"] is None for entry in self.queue)

    def flush(self, *, attempts: int = 8) -> list[Answer]:
        """Send what waits, oldest first, several in a request; return the final answers. What gets none stays queued.

        Raises Refused when the person must log in again; nothing of the queue is lost by it.
        """
        answers: list[Answer] = []
        left: set[str] = (
            set()
        )  # The server stumbles over these: they stay, and the others are not held up by them.
        size = PORTION
        while waiting := [e for e in self._own() if e["id"] not in left][:size]:
            told = self._send(waiting, attempts)
            if told is None:
                break  # No way through just now; the rest waits too.
            if len(told) != len(waiting):
                size = 1  # The queue was refused as a whole: each by itself then.
                continue
            for entry, answer in zip(waiting, told, strict=True):
                if answer.body.get("code") == "receipt-refused":
                    entry["again"] = False  # Once more, as an ordinary late one.
                elif answer.status in FINAL:
                    entry["answer"] = {"status": answer.status, "body": answer.body}
                    if answer.stored:
                        entry["receipt"] = answer.body.get("receipt") or entry.get("receipt")
                    answers.append(answer)
                elif answer.status == httpx.codes.UNAUTHORIZED and not entry.get("anew"):
                    # Signed by a key that is not this account's, or not at all: once more, by the key of today.
                    entry["signed"], entry["anew"] = None, True
                elif answer.status != LATER:
                    left.add(entry["id"])
            self._save()
        return answers

    def _own(self) -> list[Json]:
        """Return what waits and is not another person's, who used this phone before."""
        return [e for e in self.queue if e["answer"] is None and e.get("person") in {None, self.person}]

    def _send(self, entries: list[Json], attempts: int) -> list[Answer] | None:
        """Send these until they are answered; None when no way through was found. Nothing settled is no answer yet."""
        for attempt in range(attempts):
            retry_after = None
            try:
                response = self._sent(entries)
                if response.status_code in FINAL | {500} or _signature_refused(response):
                    answers = _answers(response, len(entries))
                    if any(answer.status != LATER for answer in answers):
                        return answers
                    if not answers:
                        return []
                retry_after = response.headers.get("Retry-After")
            except httpx.TransportError:
                pass
            except Refused as refused:  # The token could not be renewed.
                if not refused.passing:
                    raise
            self.pause(backoff(attempt, retry_after))
        return None

    def _sent(self, entries: list[Json]) -> httpx.Response:
        """Send one check-in as it is, or several as a queue, with the phone's time of this sending."""
        contents = [self._content(entry) for entry in entries]
        sending: Json = {"sent_at": self.clock().astimezone(BEIJING).isoformat()}
        if self.running is not None:
            sending["sent_clock"] = self.running.at_sending()
        if len(entries) == 1:
            return self.call("PUT", f"/v1/check-ins/{entries[0]['id']}", {**contents[0], **sending})
        items = [{"id": entry["id"], **content} for entry, content in zip(entries, contents, strict=True)]
        return self.call("POST", BATCH, {**sending, "items": items})

    def accept(self, digest: str) -> None:
        """Say that the person accepted the notice that a sync named. It can wait: nothing is refused for it."""
        response = self.call("PUT", f"/v1/me/notices/{digest}")
        found = _read(response, "accepted")
        if not response.is_success:
            raise Refused(response.status_code, found)

    def fetch_anchor(self) -> None:
        """Get a time anchor and keep it: at the start, when a network comes back, after sending; once an hour is enough."""
        if self.running is not None:
            asked = self.running.asking()
            response = self.call("POST", "/v1/time/anchors", asked)
            found = _read(response, "anchor")
            if not response.is_success:
                raise Refused(response.status_code, found)
            self.running.keep(asked, found)

    def _content(self, entry: Json) -> Json:
        """Return what is sent of a check-in: as it is, or signed when the login is bound to the key.

        With its receipt beside it when it comes back after a restore.
        """
        back = {"receipt": entry["receipt"]} if entry.get("again") else {}
        if not self.bound or self.key is None:
            return {**entry["content"], **back}
        if not entry.get("signed"):  # Made before there was a key, or before it was known whose phone it is.
            if self.person is None:
                self._learn_person()
            if self.person is None:
                raise Foreign("whose phone this is could not be learnt")
            entry["signed"] = self.key.check_in(self.person, entry["id"], entry["content"])
        return {**entry["signed"], **back}

    # --- receipts

    def sync(self) -> Json:
        """Fetch what is needed without a signal. After a restore of a backup, queue again what it may have lost."""
        found = self.get("/v1/me/sync")
        now = found.get("receipts")
        if now is not None and now["epoch_id"] != self.epoch:
            if self.epoch is not None:
                self._queue_again(now["resend_from"])
            self.epoch = now["epoch_id"]
            self._save()
        return found

    def _queue_again(self, since: str | None) -> None:
        """Queue what the server had received since then: with its receipt it comes back with its own time."""
        for entry in self.queue:
            if entry.get("receipt") is None or entry["answer"] is None:
                continue
            received_at = datetime.fromisoformat(entry["answer"]["body"]["received_at"])
            if since is None or received_at >= datetime.fromisoformat(since) - timedelta(minutes=10):
                entry["answer"], entry["again"] = None, True

    # --- everything else

    def call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request with the access token, renewing it once when it is refused. `content` is bytes instead of JSON."""
        for last in (False, True):
            if self.access is None:
                self.renew()
            response = self._exchange(method, path, body, self.access, content=content, headers=headers)
            if last or self.refresh is None or not _token_refused(response):
                return response
            self.access = None
        raise AssertionError("unreachable")

    def _exchange(
        self,
        method: str,
        path: str,
        body: Json | None,
        token: str | None = None,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request, with the proof of the key where one is wanted; once more with the nonce the server asks for."""
        for last in (False, True):
            carried = {**self._headers(), **(headers or {})}
            # A check-in needs no proof: it was signed itself, days ago perhaps, and is not about the request.
            sends_check_ins = path == BATCH or (method == "PUT" and path.startswith("/v1/check-ins/"))
            proven = token is None or (self.bound and not sends_check_ins)
            if token is not None:
                carried["Authorization"] = f"{'DPoP' if self.bound and proven else 'Bearer'} {token}"
            if self.key is not None and proven:
                url = str(self._http.build_request(method, path).url).partition("?")[0]
                carried["DPoP"] = self.key.proof(method, url, self.nonce, token)
            response = self._http.request(method, path, json=body, content=content, headers=carried)
            self.nonce = response.headers.get("DPoP-Nonce", self.nonce)
            if last or not _nonce_wanted(response):
                return response
        raise AssertionError("unreachable")

    def get(self, path: str) -> Json:
        """Read something; raises Refused for a problem."""
        response = self.call("GET", path)
        found = _read(response)
        if not response.is_success:
            raise Refused(response.status_code, found)
        return found

    def month(self, month: str) -> Json:
        """Return one's own month with its day grid (`2026-11`)."""
        return self.get(f"/v1/me/months/{month}")

    def _save(self) -> None:
        if self.store is None:
            return
        answered = [entry for entry in self.queue if entry["answer"] is not None]
        before = self.clock() - KEPT_FOR
        forgotten = {  # What is not answered yet is never forgotten.
            entry["id"]
            for entry in answered[:-KEPT]
            if datetime.fromisoformat(entry["content"]["captured_at"]) < before
        }
        self.queue = [entry for entry in self.queue if entry["id"] not in forgotten]
        state = json.dumps(
            {
                "access": self.access,
                "refresh": self.refresh,
                "device_hint": self.device_hint,
                "bound": self.bound,
                "person": self.person,
                "queue": self.queue,
                "epoch": self.epoch,
            }
        )
        # Written aside, forced to the disk and renamed: a phone that dies here keeps the old queue or the new one.
        aside = self.store / f"phone.{uuid4().hex}.tmp"
        with os.fdopen(
            os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(state)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self.store / "phone.json")


def _answers(response: httpx.Response, size: int) -> list[Answer]:
    """Return the answer to each of the check-ins that were sent; none when a queue was refused as a whole."""
    if size == 1:
        replayed = response.headers.get("Idempotent-Replay") == "true"
        return [Answer(response.status_code, _read(response, "verdict"), replayed)]
    found = _read(response, "items")
    return [
        Answer(item["status"], item["check_in"] or item["problem"], item["status"] == httpx.codes.OK)
        for item in found.get("items", [])
    ]


def _read(response: httpx.Response, member: str | None = None) -> Json:
    """Return the body of an answer: what was asked for, with this member, or a problem with its code. Raises Foreign."""
    try:
        found = response.json()
    except ValueError as error:
        raise Foreign(f"{response.status_code} without JSON") from error
    wanted = member if response.is_success else "code"
    if not isinstance(found, dict) or (wanted is not None and wanted not in found):
        raise Foreign(f"{response.status_code} without {wanted}")
    return found


def _signature_refused(response: httpx.Response) -> bool:
    """Tell whether the check-in should have been signed by another key; the request itself was understood."""
    return response.status_code == httpx.codes.UNAUTHORIZED and _read(response)["code"] == "proof-refused"


def _nonce_wanted(response: httpx.Response) -> bool:
    """Tell whether the server asks for the proof to be made again: the nonce was old, or there was none yet."""
    return response.status_code == httpx.codes.UNAUTHORIZED and "use_dpop_nonce" in response.headers.get(
        "WWW-Authenticate", ""
    )


def _token_refused(response: httpx.Response) -> bool:
    """Tell whether a 401 is about the access token; a wrong old password is a 401 too, and renewing does not cure it."""
    if response.status_code != httpx.codes.UNAUTHORIZED:
        return False
    return str(_read(response)["code"]).startswith("token-")


def backoff(attempt: int, retry_after: str | None = None) -> float:
    """Seconds to wait: what the server asks for or 2^n, plus jitter, so that phones do not come back all at once."""
    asked = float(retry_after) if retry_after and retry_after.isdigit() else min(60.0, 0.5 * 2**attempt)
    return asked * (1 + random.random() / 2)  # noqa: S311  Jitter, not a secret.
