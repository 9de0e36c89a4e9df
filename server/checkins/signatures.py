"""By which phone's key a check-in was signed, and what that key was good for then: every SELECT about it."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server.auth import rules as auth_rules
from server.auth.models import Account, DeviceEvent, DeviceKey
from server.auth.rules import KeyEvent, KeyState, Protection
from server.checkins.instants import CLOCK_TOLERANCE
from server.checkins.models import CheckIn, CheckInSignature, CheckInSigner
from server.checkins.signing import Proof


@dataclass(frozen=True, slots=True)
class Signature:
    """Who signed. `device_id`, `client` and `protection` are None for a key that the account never enrolled.

    `state_then` is what the key was good for at the tap: None before it was enrolled, as for check-ins that waited in the
    queue and were signed later. What became of it afterwards (a code, a loss) is `state_now`.
    """

    jkt: str
    device_id: UUID | None
    client: str | None
    protection: Protection | None
    state_then: KeyState | None
    state_now: KeyState | None


def of_check_ins(session: orm.Session, seqs: Collection[int]) -> dict[int, Signature]:
    """Return the signatures of check-ins by their number; the unsigned ones are not in it. Two statements."""
    rows: Sequence[sa.Row[int, str, datetime, DeviceKey | None]] = session.execute(
        sa.select(CheckInSignature.seq, CheckInSigner.jkt, CheckIn.event_at, DeviceKey)
        .join(CheckInSigner, CheckInSigner.id == CheckInSignature.signer)
        .join(CheckIn, CheckIn.seq == CheckInSignature.seq)
        .outerjoin(Account, Account.person_id == CheckIn.person_id)
        .outerjoin(DeviceKey, sa.and_(DeviceKey.account_id == Account.id, DeviceKey.jkt == CheckInSigner.jkt))
        .where(CheckInSignature.seq.in_(seqs))
    ).all()
    events = _events(session, {row[3].id for row in rows if row[3] is not None})
    return {row[0]: _signature(row[1], row[2], row[3], events) for row in rows}


def _events(session: orm.Session, devices: Collection[UUID]) -> Mapping[UUID, Sequence[DeviceEvent]]:
    found: defaultdict[UUID, list[DeviceEvent]] = defaultdict(list)
    for event in session.scalars(sa.select(DeviceEvent).where(DeviceEvent.device_id.in_(devices))):
        found[event.device_id].append(event)
    return found


def _signature(
    jkt: str, at: datetime, device: DeviceKey | None, events: Mapping[UUID, Sequence[DeviceEvent]]
) -> Signature:
    if device is None:
        return Signature(jkt, None, None, None, None, None)
    happened = [(KeyEvent(event.kind), event.at) for event in events[device.id]]
    return Signature(
        jkt=jkt,
        device_id=device.id,
        client=device.client,
        protection=Protection(device.protection),
        state_then=auth_rules.key_state_at(happened, at, grace=CLOCK_TOLERANCE),
        state_now=auth_rules.key_state(kind for kind, _ in happened),
    )


def proof_of(session: orm.Session, seq: int) -> Proof | None:
    """Return the signature of a check-in to the letter, None without one. `signing.opened` checks it, with no other table."""
    row = session.execute(
        sa.select(CheckInSigner, CheckInSignature)
        .join(CheckInSignature, CheckInSignature.signer == CheckInSigner.id)
        .where(CheckInSignature.seq == seq)
    ).one_or_none()
    return None if row is None else Proof(row[0].jkt, row[0].header, row[1].payload, row[1].phone_signature)
