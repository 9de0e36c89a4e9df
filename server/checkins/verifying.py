"""What is wrong with receipts: looked at one by one, as chains, and against the records they are about. Pure.

A fault proves something: a receipt that is forged, a chain that does not hold together, a record that was deleted or
altered. A note is what an honest person's receipts may show as well, such as one that is not there.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import ValidationError

from server.auth import jws
from server.auth.jws import PublicKey, Unfit
from server.checkins import judging, receipts, rules
from server.checkins.receipts import Receipt
from server.checkins.record import Record
from server.checkins.schemas import CheckInIn

_TEXTS = {
    "form": ("不是回执", "is not a receipt"),
    "header": ("不是回执", "is not a receipt"),
    "payload": ("回执版本未知", "is a receipt of an unknown version"),
    "key": ("签名密钥未知", "was signed with a key that is not among those given"),
    "stolen": ("签名密钥已报失窃", "was signed with a key that was reported stolen"),
    "signature": ("签名不正确：伪造或被改动", "has a wrong signature: it is forged or altered"),
    "content": ("与保存的内容不符", "is not about the content that was kept with it"),
    "commitment": ("与保存的坐标和盐不符", "is not about the position and the salt that were kept with it"),
    "fork": ("同一编号有两份回执", "shares its number with another one: somebody was told two histories"),
    "link": ("与上一份回执不衔接", "does not follow the receipt before it"),
    "epochs": ("同一期有两个编号", "is of an epoch that another receipt knows by another id"),
    "gap": ("之前缺少回执", "has no receipt before it here"),
    "cut": ("恢复备份后尚未找回", "was cut off by a restore and has not come back"),
    "deleted": ("服务器上没有这次签到", "has no record: it was deleted"),
    "altered": ("服务器上的记录已被改动", "has a record that was altered"),
    "head": ("服务器上的链头落后于此回执", "is newer than the head of the chain on the server: the chain was cut"),
    "unsealed": ("记录的签名不正确：记录被改动", "has a signature that is not over this record: the record was altered"),
    "missing": ("此前的记录缺失", "does not follow the record before it: records are missing"),
    "tail": ("链尾的记录缺失", "is the last record, but the head of the chain is further: records are missing"),
}  # fmt: skip
_NOTES = {"gap", "cut", "key"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found. `subject` names what it is about; `more` says how it differs."""

    code: str
    subject: str
    more: str = ""

    @property
    def fault(self) -> bool:
        """Tell whether it proves something, or only has to be known."""
        return self.code not in _NOTES

    @property
    def text(self) -> str:
        """Return it in both languages."""
        zh, en = _TEXTS[self.code]
        more = f" ({self.more})" if self.more else ""
        return f"{'✗' if self.fault else '△'} {self.subject}: {zh} / {en}{more}"


class Kept(NamedTuple):
    """A receipt as somebody kept it, with the content that was sent, where that was kept too."""

    receipt: str
    content: Mapping[str, Any] | None
    place: str


def named(receipt: Receipt) -> str:
    """Return how a receipt is called: its day, its number and its check-in."""
    return f"{receipt.day} #{receipt.epoch}.{receipt.seq} {receipt.checkin_id}"


def each(
    kept: Iterable[Kept], keys: Mapping[str, PublicKey], stolen: frozenset[str] = frozenset()
) -> tuple[list[Receipt], list[Finding]]:
    """Read receipts one by one; return those that are good, each once, and what was found."""
    good: dict[bytes, Receipt] = {}
    found: list[Finding] = []
    for one in kept:
        try:
            receipt = receipts.read(one.receipt, keys)
        except Unfit as fault:
            found.append(Finding(fault.cause, one.place))
            continue
        if receipt.kid in stolen:
            found.append(Finding("stolen", named(receipt)))
        good[receipt.digest] = receipt
        if one.content is not None:
            found += _content(receipt, one.content)
    return list(good.values()), found


def _content(receipt: Receipt, content: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        given = CheckInIn.model_validate({**content, "sent_at": receipt.sent_at.isoformat()})
    except ValidationError:
        yield Finding("content", named(receipt))
        return
    if not rules.same_digest(judging.content_of(given), receipt.content):
        yield Finding("content", named(receipt))
    salt = given.salt_bytes()
    if given.position is None or receipt.commitment is None:
        if (given.position is None) != (receipt.commitment is None):
            yield Finding("commitment", named(receipt))
    elif salt is not None:
        place = rules.commitment(salt, judging.exact(given.position))
        if not rules.same_digest(place, receipt.commitment):
            yield Finding("commitment", named(receipt))


def chained(good: Iterable[Receipt]) -> list[Finding]:
    """Return what is wrong with the order of these receipts, of one or several people."""
    people: defaultdict[UUID, list[Receipt]] = defaultdict(list)
    for receipt in good:
        people[receipt.person_id].append(receipt)
    return [finding for person in sorted(people) for finding in _chain(people[person])]


def _chain(own: Sequence[Receipt]) -> Iterator[Finding]:
    ordered = sorted(own, key=lambda receipt: (receipt.epoch, receipt.seq))
    yield from _epochs(ordered)
    back = {receipt.restores for receipt in ordered}
    known = {receipt.digest for receipt in ordered}
    begins: dict[int, int] = {}
    for receipt in ordered:
        begins.setdefault(receipt.epoch, receipt.seq)
    for before, after in pairwise(ordered):
        if before.epoch == after.epoch and before.seq == after.seq:
            yield Finding("fork", named(after))
        elif before.epoch == after.epoch and after.seq == before.seq + 1:
            if after.prev != before.digest:
                yield Finding("link", named(after))
        elif after.prev not in known:
            # The one before it may be of this epoch or of an earlier one, and is not here.
            yield Finding("gap", named(after))
    for receipt in ordered:
        later = [seq for epoch, seq in begins.items() if epoch > receipt.epoch]
        if later and receipt.seq >= min(later) and receipt.digest not in back:
            yield Finding("cut", named(receipt))
    first = ordered[0]
    if first.seq > 1:
        yield Finding("gap", named(first))
    elif first.prev is not None:
        yield Finding("link", named(first))


def _epochs(ordered: Iterable[Receipt]) -> Iterator[Finding]:
    ids: dict[int, UUID] = {}
    for receipt in ordered:
        if ids.setdefault(receipt.epoch, receipt.epoch_id) != receipt.epoch_id:
            yield Finding("epochs", named(receipt))


def told(receipt: Receipt, answer: Mapping[str, Any], head: tuple[int, int]) -> list[Finding]:
    """Compare a receipt with what the server tells its owner of the check-in (nothing: 404), and with the chain's head."""
    found: list[Finding] = []
    now = answer.get("receipt")
    if not answer:
        found.append(Finding("deleted", named(receipt)))
    elif not isinstance(now, str):
        found.append(Finding("altered", named(receipt)))
    elif now != receipt.compact and receipts.said(now).get("restores") != jws.encoded(receipt.digest):
        found.append(Finding("altered", named(receipt), _differences(receipt.compact, now)))
    return found + _behind(receipt, head)


def against(receipt: Receipt, record: Record | None, head: tuple[int, int] | None) -> list[Finding]:
    """Compare a receipt with the record that is stored under its id, and with the head (epoch, number) of the chain."""
    found: list[Finding] = []
    if record is None:
        found.append(Finding("deleted", named(receipt)))
    elif record.restores != receipt.digest and (now := receipts.compact(record)) != receipt.compact:
        found.append(
            Finding("altered", named(receipt), "" if now is None else _differences(receipt.compact, now))
        )
    return found + _behind(receipt, head or (receipt.epoch, 0))


def _behind(receipt: Receipt, head: tuple[int, int]) -> list[Finding]:
    if head[0] == receipt.epoch and head[1] < receipt.seq:
        return [Finding("head", named(receipt), f"{head[1]} < {receipt.seq}")]
    return []


def _differences(receipt: str, now: str) -> str:
    then, today = receipts.said(receipt), receipts.said(now)
    changed = [
        f"{name}: {then.get(name)} → {today.get(name)}" for name in then if then.get(name) != today.get(name)
    ]
    return "; ".join(changed)
