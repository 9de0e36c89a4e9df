"""How a worker gives check-ins their receipts: its key, the epoch, and the steps of the people's chains.

A chain grows by comparing and setting (ruling 21, without a lock that is held across a round trip): the look-up of a
group reads in one snapshot where each person's head stands and which ids are stored; the receipts are made for that;
and the statement that stores the group moves each head only from there, and stores nothing of a person whose head has
moved meanwhile. As every check-in that is stored moves its person's head, a head that stood still also says that
nothing of that person was stored meanwhile. Whoever lost is looked up and judged again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from server import problems
from server.auth.jws import PublicKey, Unfit
from server.auth.keys import Key, KeySet, Purpose
from server.checkins import instants, judging, receipts, rules
from server.checkins.instants import Timing
from server.checkins.judging import Incoming
from server.checkins.receipts import Receipt
from server.checkins.storing import NO_HEAD, Head, Kept, Step
from server.problems import Problem

# The first epoch of a database; of one that came out of a backup from before there were receipts, a later number.
BEGIN = """INSERT INTO receipt_epochs (number, id, issuer, began_at, cause, resend_from)
SELECT 1 + count(*), gen_random_uuid(), %s, now(), CASE count(*) WHEN 0 THEN 'first' ELSE 'restored' END,
    max((details ->> 'made_at')::timestamptz)
FROM audit_log WHERE deed = 'backup:restore' HAVING NOT EXISTS (SELECT FROM receipt_epochs) ON CONFLICT DO NOTHING"""
EPOCH = "SELECT number, id, issuer FROM receipt_epochs ORDER BY number DESC LIMIT 1"
LEARN = "INSERT INTO receipt_keys (kid, x, since) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
KEYS = "SELECT id, kid, x FROM receipt_keys"
KEEP_OLD = """INSERT INTO checkin_old_receipts (person_id, checkin_id, at, receipt) VALUES (%s, %s, %s, %s)
ON CONFLICT DO NOTHING"""
_CAUSES = {
    "form": ("格式不正确", "it is not a receipt"),
    "header": ("格式不正确", "it is not a receipt"),
    "payload": ("格式不正确", "it is not a receipt"),
    "key": (
        "签名密钥不属于本系统或已被弃用",
        "it was signed with a key that is not ours, or that was stolen",
    ),
    "signature": ("签名不正确", "its signature is wrong"),
    "person": ("属于他人", "it is somebody else's"),
    "check-in": ("属于另一次签到", "it is another check-in's"),
    "content": ("与所发内容或盐不一致", "the content or the salt is not that of the receipt"),
}


class Epoch(NamedTuple):
    """The stretch of the chains that receipts are made in."""

    number: int
    id: UUID
    issuer: str


class Sealer:
    """The receipts of one worker."""

    def __init__(self, keys: KeySet, issuer: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._epoch: Epoch | None = None
        self._key: Key | None = None
        self._numbers: dict[str, int] = {}
        self._registered: dict[str, PublicKey] = {}

    async def ready(self, connection: psycopg.AsyncConnection[Any], epoch: int) -> None:
        """Learn what the next receipts need; asks the database only when the epoch (0: none yet) or the key is a new one."""
        self._key = key = self._keys.current(Purpose.RECEIPT)
        if self._epoch is None or self._epoch.number != epoch:
            if epoch == 0:
                await connection.execute(BEGIN, (self._issuer,))
            row = await (await connection.execute(EPOCH)).fetchone()
            self._epoch = None if row is None else Epoch(*row)
            self._numbers.clear()
        if key.kid not in self._numbers:
            if key.verifier is None or key.signer is None:
                raise RuntimeError(f"the key of receipts {key.kid} cannot sign")
            await connection.execute(LEARN, (key.kid, key.verifier.jwk["x"], key.active_from))
            rows = await (await connection.execute(KEYS)).fetchall()
            self._numbers = {kid: number for number, kid, _ in rows}
            self._registered = receipts.public_keys((kid, x) for _, kid, x in rows)

    def seal(self, group: Iterable[Kept], heads: Mapping[UUID, Head]) -> tuple[list[Kept], list[Step]]:
        """Return the check-ins with their receipts, and one step for each of their people.

        `heads` are those of the look-up; several of one person follow each other as they stand in the group.
        """
        epoch, key = self._epoch, self._key
        if epoch is None or key is None or key.signer is None:
            raise RuntimeError("receipts are not ready")
        number = self._numbers[key.kid]
        at: dict[UUID, Head] = {}
        sealed: list[Kept] = []
        for kept in group:
            person = kept.record.person_id
            head = at.get(person) or heads.get(person, NO_HEAD)
            record, receipt = receipts.seal(
                kept.record._replace(
                    issuer=epoch.issuer,
                    epoch=epoch.number,
                    epoch_id=epoch.id,
                    chain_seq=head.seq + 1,
                    receipt_key=number,
                    kid=key.kid,
                    prev=head.hash,
                ),
                key.signer,
            )
            at[person] = Head(head.seq + 1, receipts.digest(receipt))
            sealed.append(replace(kept, record=record, receipt=receipt))
        steps = [
            Step(person, head.seq, heads.get(person, NO_HEAD).seq, epoch.number, head.hash or b"")
            for person, head in at.items()
        ]
        return sealed, steps

    # --- check-ins that come back

    def verifying(self) -> dict[str, PublicKey]:
        """Return the keys whose receipts bring a check-in back, by id: ours, but those that were stolen."""
        listed = [key for key in self._keys.listed() if key.purpose is Purpose.RECEIPT]
        stolen = {key.kid for key in listed if self._keys.distrusted(key)}
        own = {key.kid: key.verifier for key in listed if key.verifier is not None}
        # A key whose file is gone cannot be told from a stolen one, once there was one.
        others = {} if any(key.distrusts_earlier for key in listed) else self._registered
        return {kid: key for kid, key in (others | own).items() if kid not in stolen}

    def back(self, item: Incoming) -> Incoming | Problem:
        """Return a resent check-in as it was received before, by the receipt that came with it; a Problem for one that does not fit."""
        try:
            return _as_before(item, receipts.read(item.given.receipt or "", self.verifying()))
        except Unfit as fault:
            zh, en = _CAUSES[fault.cause]
            return Problem(
                problems.RECEIPT_REFUSED,
                zh=f"所附回执不能用来找回这次签到：{zh}。请去掉回执重新发送，将按补传处理。",
                en=f"The receipt does not bring this check-in back: {en}. Send it again without the receipt.",
                cause=fault.cause,
            )

    async def keep_old(self, connection: psycopg.AsyncConnection[Any], item: Incoming) -> None:
        """Keep the receipt with which a check-in comes back. It stands by itself: a receipt of ours, whatever follows."""
        if item.back is not None:
            await connection.execute(
                KEEP_OLD, (item.person_id, item.id, item.back.at, item.back.receipt.compact)
            )


def _as_before(item: Incoming, receipt: Receipt) -> Incoming:
    if receipt.person_id != item.person_id:
        raise Unfit("person")
    if receipt.checkin_id != item.id:
        raise Unfit("check-in")
    given = item.given
    content = judging.content_of(given)
    place = None if given.position is None else rules.commitment(item.salt, judging.exact(given.position))
    if not rules.same_digest(content, receipt.content) or place != receipt.commitment:
        raise Unfit("content")
    return item._replace(
        given=given.model_copy(update={"sent_at": receipt.sent_at}),
        received_at=receipt.received_at,
        timing=_timing_of(item, receipt),
        back=judging.Back(item.received_at, receipt),
    )


def _timing_of(item: Incoming, receipt: Receipt) -> Timing:
    """Return how the time was taken then. What the running clock showed at that sending is gone; the receipt has the rest."""
    now = item.timing.running
    running = None if now is None else replace(now, sent=None)
    try:
        timing = instants.timing(item.given.captured_at, receipt.sent_at, receipt.received_at, running)
    except OverflowError:  # It was placed by that reading alone.
        timing = replace(item.timing, earliest=receipt.event_at, latest=receipt.event_at, running=running)
    return replace(
        timing,
        event_at=receipt.event_at,
        earliest=min(timing.earliest, receipt.event_at),
        latest=max(timing.latest, receipt.event_at),
    )
