"""Reading what receipts need: keys, epochs, the heads of chains, and the records in the order of their chains."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm

from server.auth.jws import PublicKey
from server.checkins import receipts
from server.checkins.models import CheckIn, PersonHead, ReceiptEpoch, ReceiptKey
from server.checkins.record import COLUMNS, Record

ROWS_AT_ONCE = 2_000
_RECORD = [getattr(CheckIn, name) for name in COLUMNS]


class HeadSeen(NamedTuple):
    """Where a person's chain stands."""

    epoch: int
    seq: int
    hash: bytes


def keys(session: orm.Session) -> dict[str, PublicKey]:
    """Return every key that ever signed receipts here, by its id."""
    return receipts.public_keys((row.kid, row.x) for row in registered(session))


def registered(session: orm.Session) -> Sequence[ReceiptKey]:
    """Return the rows of keys, oldest first."""
    return session.scalars(sa.select(ReceiptKey).order_by(ReceiptKey.id)).all()


def epochs(session: orm.Session) -> Sequence[ReceiptEpoch]:
    """Return the epochs, oldest first."""
    return session.scalars(sa.select(ReceiptEpoch).order_by(ReceiptEpoch.number)).all()


def head_of(session: orm.Session, person_id: UUID) -> HeadSeen | None:
    """Return where a person's chain stands; None before its first receipt."""
    row = session.get(PersonHead, person_id)
    return None if row is None else HeadSeen(row.epoch, row.seq, row.hash)


def heads(session: orm.Session) -> dict[UUID, HeadSeen]:
    """Return where everybody's chain stands: some 200 bytes a person."""
    query = sa.select(PersonHead.person_id, PersonHead.epoch, PersonHead.seq, PersonHead.hash)
    return {person: HeadSeen(epoch, seq, head) for person, epoch, seq, head in session.execute(query)}


def without(session: orm.Session) -> int:
    """Return how many check-ins were stored before there were receipts."""
    return session.scalar(sa.select(sa.func.count()).where(CheckIn.chain_seq.is_(None))) or 0


def all_records(session: orm.Session) -> Iterator[Record]:
    """Yield all records that have a receipt, person by person, in the order of the chains; read as they are asked for."""
    query = (
        sa.select(*_RECORD)
        .where(CheckIn.chain_seq.is_not(None))
        .order_by(CheckIn.person_id, CheckIn.chain_seq)
        .execution_options(yield_per=ROWS_AT_ONCE)
    )
    return (Record._make(row) for row in session.execute(query))


def own_page(session: orm.Session, person_id: UUID, after: int, limit: int) -> list[Record]:
    """Return a person's records after a number of their chain, in its order, one more than `limit` if there are."""
    query = (
        sa.select(*_RECORD)
        .where(CheckIn.person_id == person_id, CheckIn.chain_seq > after)
        .order_by(CheckIn.chain_seq)
        .limit(limit + 1)
    )
    return [Record._make(row) for row in session.execute(query)]


def stored(session: orm.Session, person_id: UUID, checkin_id: UUID) -> Record | None:
    """Return the record of a check-in, None where there is none."""
    query = sa.select(*_RECORD).where(CheckIn.person_id == person_id, CheckIn.id == checkin_id)
    row = session.execute(query).one_or_none()
    return None if row is None else Record._make(row)
