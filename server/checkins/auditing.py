"""Looking through every person's chain of receipts in the database, row by row, in the memory of one person.

Each row's receipt is written again from the row and its signature verified: what was edited shows, whatever column it
was. Numbers and hashes show what was taken out or put in, the heads what was cut off at the end. A chain that was cut
and whose head was moved back as well is whole here: only the receipts on the phones show it (`zaicun verify-receipt`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from uuid import UUID

from sqlalchemy import orm

from server.auth.jws import PublicKey
from server.checkins import receipt_queries, receipts
from server.checkins.record import Record
from server.checkins.verifying import Finding


@dataclass
class Audit:
    """What an audit counted so far. Findings come one by one while it runs."""

    people: int = 0
    receipts: int = 0
    unsealed: int = 0
    """Stored before there were receipts."""
    restored: int = 0
    keys: Mapping[str, PublicKey] = field(default_factory=dict)

    def run(self, session: orm.Session) -> Iterator[Finding]:
        """Yield what is wrong, person by person, each chain from its beginning."""
        self.keys = receipt_queries.keys(session)
        heads = receipt_queries.heads(session)
        self.unsealed = receipt_queries.without(session)
        rows = receipt_queries.all_records(session)
        for person, own in groupby(rows, lambda record: record.person_id):
            self.people += 1
            yield from self._chain(person, own, heads.pop(person, None))
        for person, (epoch, seq, _) in heads.items():
            yield Finding("tail", f"{person} #{epoch}.{seq}")

    def _chain(
        self, person: UUID, own: Iterable[Record], head: tuple[int, int, bytes] | None
    ) -> Iterator[Finding]:
        seq, digest = 0, None
        for record in own:
            self.receipts += 1
            self.restored += record.restores is not None
            name = f"{record.person_id} #{record.epoch}.{record.chain_seq} {record.day} {record.id}"
            if not self._signed(record):
                yield Finding("unsealed", name)
            if record.chain_seq != seq + 1:
                yield Finding("missing", name, f"#{seq} → #{record.chain_seq}")
            elif record.prev != digest:
                yield Finding("link", name)
            seq = record.chain_seq or 0
            digest = receipts.digest(receipts.compact(record) or "")
        if head is None or head[1:] != (seq, digest):
            yield Finding("tail", f"{person} #{seq}", "" if head is None else f"#{head[1]}")

    def _signed(self, record: Record) -> bool:
        receipt = receipts.compact(record)
        if receipt is None or record.kid is None or record.signature is None:
            return False
        key = self.keys.get(record.kid)
        return key is not None and key.signed(record.signature, receipt.rpartition(".")[0].encode())
