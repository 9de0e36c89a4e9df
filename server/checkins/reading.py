"""Reading check-ins off the wire: as they are, or signed by the phone's key (ruling 23). No I/O but the clock.

Whoever's token is bound to a key must sign: an unsigned check-in under such a token comes from somebody who has the token
and not the key (edge 72), and is refused without a trace on the person (ruling 13). Under a token that is not bound,
check-ins count unsigned until the district requires keys, and a signature is evidence besides.
"""

import secrets
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from server import clock, clock_watch, problems
from server.access import Who
from server.auth import anchors
from server.auth.jws import Unfit
from server.auth.keys import KeySet
from server.checkins import instants, signing
from server.checkins.instants import Anchored, Reading, Running
from server.checkins.judging import Incoming
from server.checkins.schemas import CheckInIn, RunningClockIn
from server.checkins.signing import Proof, Signed, Unopened
from server.problems import Problem

SIGNED = "signed"
_MARK = b'"signed"'
"""In the bytes of every signed check-in; in a text of an unsigned one the quotation marks are escaped."""
_of_bytes = CheckInIn.__pydantic_validator__.validate_json
_of_members = CheckInIn.__pydantic_validator__.validate_python
_TEXTS = {
    "position_not_signed": ("签名内容中没有定位", "what was signed has no position"),
    "coordinates_signed": (
        "签名内容中须以 commitment 代替坐标和 salt",
        "what is signed has a commitment in place of the coordinates and the salt",
    ),
    "commitment_differs": (
        "坐标与签名内容中的 commitment 不符",
        "the coordinates are not what was committed to",
    ),
    "opening_required": (
        "缺少 commitment 的坐标和 salt",
        "the coordinates and the salt of the commitment are missing",
    ),
    "integer_required": ("应为范围内的整数", "an integer within its range"),
    "salt": (
        "salt 应为 16 至 32 个随机字节的 base64url",
        "a salt is 16 to 32 random bytes in base64url",
    ),
    "signature_refused": (
        "签名不正确，或不是此签到的",
        "the signature is not good, or is not of this check-in",
    ),
}


def plainly(checkin_id: UUID, body: bytes, who: Who, keys: KeySet) -> Incoming | None:
    """Return the check-in in these bytes; None where the documented way has to look, with tables or with a refusal.

    Raises Problem, ValidationError or RequestValidationError, which all mean the same to the plain route.
    """
    given, proof = _read_plainly(checkin_id, body, who)
    if given is None or _unsaid(given):
        return None
    return incoming_of(checkin_id, given, body, who, keys=keys, proof=proof)


def _read_plainly(checkin_id: UUID, body: bytes, who: Who) -> tuple[CheckInIn | None, Proof | None]:
    if _MARK not in body:
        return (None if who.jkt is not None else _of_bytes(body)), None
    try:
        content = orjson.loads(body)
        if not isinstance(content, dict) or SIGNED not in content:
            return None, None
        signed = signing.opened(content[SIGNED], person_id=person_of(who), checkin_id=checkin_id)
        if signed.key.jkt != who.jkt:
            return None, None
        return _of_members(signing.unfolded(signed, content)), signed.proof
    except (ValueError, Unfit, Unopened):
        return None, None


def _unsaid(given: CheckInIn) -> bool:
    """Tell whether it comes from an app so old that it does not say all of its position (server.checkins.unsaid)."""
    return given.position is not None and bool(given.position.unsaid)


def signer_of(checkin_id: UUID, content: Mapping[str, Any], who: Who) -> Signed | None:
    """Return what a check-in's signature shows; None for an unsigned one that may be unsigned.

    Raises Unfit under a bound token: no signature, or none that is good. Under any other RequestValidationError.
    """
    if SIGNED not in content:
        if who.jkt is not None:
            raise Unfit("missing")
        return None
    try:
        return signing.opened(content[SIGNED], person_id=person_of(who), checkin_id=checkin_id)
    except Unfit:
        if who.jkt is not None:
            raise
        raise _unfit(SIGNED, "signature_refused") from None


def read(
    checkin_id: UUID,
    content: Mapping[str, Any],
    signed: Signed | None,
    body: bytes,
    who: Who,
    *,
    keys: KeySet,
) -> Incoming:
    """Return the check-in of a JSON object whose signature was looked at. Raises RequestValidationError."""
    if signed is None:
        return incoming_of(checkin_id, _given(dict(content)), body, who, keys=keys)
    try:
        unfolded = signing.unfolded(signed, content)
    except Unopened as fault:
        raise _unfit(fault.field, fault.code) from None
    return incoming_of(checkin_id, _given(unfolded), body, who, keys=keys, proof=signed.proof)


def _given(content: dict[str, Any]) -> CheckInIn:
    try:
        # As the framework reads a body, so that all are told the same of what does not fit.
        given: CheckInIn = _of_members(content, from_attributes=True)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(faults) from error
    return given


def _unfit(field: str, code: str) -> RequestValidationError:
    zh, en = _TEXTS[code]
    return RequestValidationError(
        [{"type": code, "loc": ("body", *field.split(".")), "msg": en, "ctx": {"zh": zh}}]
    )


def incoming_of(
    checkin_id: UUID,
    given: CheckInIn,
    body: bytes,
    who: Who,
    *,
    keys: KeySet | None = None,
    proof: Proof | None = None,
) -> Incoming:
    """Return a check-in as the intake takes it; `keys` are those that know time anchors again.

    Raises RequestValidationError where no clock could say such times.
    """
    received_at = clock.now()
    try:
        running = None if given.clock is None else _running(given, given.clock, who, keys)
        timing = instants.timing(given.captured_at, given.sent_at, received_at, running)
        if clock_watch.WATCH.doubted():
            timing = instants.widened(timing, *clock_watch.WATCH.possible())
    except OverflowError as error:
        raise RequestValidationError(
            [
                {
                    "type": "clock_unreadable",
                    "loc": ("body", "captured_at"),
                    "msg": "the phone's clock cannot be right; set it and check in again",
                }
            ]
        ) from error
    return Incoming(
        person_id=person_of(who),
        account_id=who.account_id,
        session_id=who.session_id,
        version=who.version,
        id=checkin_id,
        given=given,
        body=body,
        received_at=received_at,
        timing=timing,
        salt=given.salt_bytes() or new_salt(),
        proof=proof,
    )


def _running(given: CheckInIn, clock_in: RunningClockIn, who: Who, keys: KeySet | None) -> Running:
    """Return the readings of the running clock, with the anchor if it is one of ours for this person.

    Another anchor is no reason to refuse the check-in (M24): it is not used, and that is kept.
    """
    known = None
    if clock_in.anchor is not None and keys is not None:
        known = anchors.read(keys, person_of(who), clock_in.anchor)
    sent = given.sent_clock
    return Running(
        tapped=Reading(anchors.boot_digest(clock_in.boot_id), clock_in.tapped_ms),
        sent=None if sent is None else Reading(anchors.boot_digest(sent.boot_id), sent.ms),
        anchor=None
        if known is None or clock_in.got_ms is None
        else Anchored(known.at, Reading(known.boot, known.asked_ms), clock_in.got_ms),
        spoiled=clock_in.anchor is not None and known is None,
    )


def new_salt() -> bytes:
    """Return a salt for a phone that keeps none."""
    return secrets.token_bytes(16)


def person_of(who: Who) -> UUID:
    """Return the person of an account. Raises Problem (403)."""
    if who.person_id is None:
        raise Problem(
            problems.FORBIDDEN,
            zh="此账号没有对应的驻村干部。",
            en="This account is not linked to a person.",
        )
    return who.person_id
