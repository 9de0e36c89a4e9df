"""From signals to a score, and from a score to the attention of a person. There is nothing here that rejects (M24).

Points add up, capped by family. Below `sampled_from` a check-in is counted like any other; from there a share of them
is drawn for review; from `reviewed_from` all are looked at. Whatever the score, the check-in stays counted as its
verdict says until a person decides otherwise.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

import numpy as np

from server.checkins.plausibility import identity, movement, quality, repetition, timing
from server.checkins.plausibility.facts import Allowance, BoolArray, Columns, IntArray, Named
from server.checkins.plausibility.habits import Custom, Habits, habits_of
from server.checkins.plausibility.policy import TrustPolicy
from server.checkins.plausibility.signals import FAMILIES, SENTENCES, Code, Family, Found, Signal

_MOST_WITNESSES = 40
"""Check-ins named as evidence of one signal, the newest; more help nobody to check it."""


class Attention(StrEnum):
    """What a score asks of people. Codes are for ever; none of them takes a day from anybody."""

    NONE = "none"
    SAMPLE = "sample"
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class Scored:
    """A batch with its signals: `score` is one number a row, `allowed` tells for each signal which rows are excused."""

    policy: TrustPolicy
    score: IntArray
    found: Sequence[Found]
    allowed: Sequence[IntArray]  # The number of the allowance for each of the signal's rows, -1 for none.

    def attention(self) -> tuple[BoolArray, BoolArray]:
        """Return which rows may be drawn and which are reviewed."""
        review = self.score >= self.policy.reviewed_from
        return (self.score >= self.policy.sampled_from) & ~review, review


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """One check-in's signals with its score, by which version of the policy."""

    check_in: UUID
    score: int
    attention: Attention
    policy_version: str
    signals: tuple[Signal, ...]


def score(
    columns: Columns,
    habits: Habits,
    policy: TrustPolicy,
    excuses: Mapping[Code, Sequence[BoolArray]] | None = None,
) -> Scored:
    """Find and weigh all signals of a batch. `excuses` give, for a code, the rows that each recorded decision allows."""
    limits = policy.limits
    # An altitude that a client makes up (mini-programs say 0 when they did not ask) is none.
    columns = replace(columns, altitude_cm=np.where(habits.same_altitude, np.nan, columns.altitude_cm))
    found = [
        *quality.found(columns, habits, limits),
        *repetition.found(columns, limits),
        *movement.found(columns, limits),
        *identity.found(columns, limits),
        *timing.found(columns, limits),
    ]
    sums = {family: np.zeros(len(columns), dtype=np.int64) for family in Family}
    allowed = []
    for each in found:
        by = np.full(len(each.rows), -1, dtype=np.int64)
        for number, rows in enumerate((excuses or {}).get(each.code, ())):
            by[rows[each.rows] & (by < 0)] = number
        allowed.append(by)
        sums[FAMILIES[each.code]][each.rows[by < 0]] += policy.points[each.code]
    total = np.zeros(len(columns), dtype=np.int64)
    for family, points in sums.items():
        total += np.minimum(points, policy.caps[family])
    return Scored(policy, total, found, allowed)


def assess(
    named: Named,
    *,
    known: Mapping[str, Custom],
    policy: TrustPolicy,
    allowances: Sequence[Allowance] = (),
) -> list[Assessment]:
    """Assess every check-in of a batch, with the evidence named, in the order of the rows.

    The batch holds the check-ins asked about and all that they are compared with: the same people's of the window,
    others' at the same points and with the same devices. `known` are the customs of clients by name. The result for a
    check-in does not depend on the order of the batch.
    """
    numbers = {client: code for code, client in enumerate(named.clients)}
    habits = habits_of(
        named.columns, {numbers[name]: each for name, each in known.items() if name in numbers}, policy.limits
    )
    excuses: dict[Code, list[BoolArray]] = {}
    reasons: dict[Code, list[str]] = {}
    for allowance in allowances:
        code = Code(allowance.code)
        excuses.setdefault(code, []).append(_matching(named, allowance))
        reasons.setdefault(code, []).append(allowance.reason)
    scored = score(named.columns, habits, policy, excuses)
    signals: list[list[Signal]] = [[] for _ in named.ids]
    for each, by in zip(scored.found, scored.allowed, strict=True):
        for at, row in enumerate(each.rows):
            reason = None if by[at] < 0 else reasons[each.code][int(by[at])]
            signals[int(row)].append(_told(each, at, named, policy, reason))
    version = policy.version
    sampled, reviewed = scored.attention()
    return [
        Assessment(
            check_in=named.ids[row],
            score=int(scored.score[row]),
            attention=Attention.REVIEW
            if reviewed[row]
            else Attention.SAMPLE
            if sampled[row]
            else Attention.NONE,
            policy_version=version,
            signals=tuple(sorted(signals[row], key=lambda signal: (-signal.points, signal.code))),
        )
        for row in range(len(named.ids))
    ]


def drawn(key: bytes, check_in: UUID, person: UUID, percent: int) -> bool:
    """Say whether a check-in in the sampled band is drawn for review.

    By a keyed hash: the same answer for ever, and nobody without the key can choose an id that is not drawn.
    """
    digest = hmac.digest(key, b"zaicun sample 1\0" + person.bytes + check_in.bytes, hashlib.sha256)
    return int.from_bytes(digest[:8], "big") * 100 < percent << 64


def _matching(named: Named, allowance: Allowance) -> BoolArray:
    columns = named.columns
    matching = columns.latest_s >= allowance.since.timestamp()
    if allowance.until is not None:
        matching &= columns.latest_s <= allowance.until.timestamp()
    if allowance.person is not None:
        matching &= columns.person == _number(named.people, allowance.person)
    if allowance.device is not None:
        matching &= columns.device == _number(named.devices, allowance.device)
    return np.asarray(matching)


def _number(names: Sequence[object], name: object) -> int:
    return names.index(name) if name in names else -2  # -1 stands for unknown, which no allowance means.


def _told(found: Found, at: int, named: Named, policy: TrustPolicy, reason: str | None) -> Signal:
    row = int(found.rows[at])
    window = found.order[int(found.low[at]) : int(found.high[at])]
    columns = named.columns
    witnesses = sorted(
        (int(other) for other in window if other != row),
        key=lambda other: (-columns.latest_s[other], named.ids[other].int),
    )[:_MOST_WITNESSES]
    figures = {name: round(float(values[at]), 6) for name, values in found.figures.items()}
    said = SENTENCES[found.code]
    return Signal(
        code=found.code,
        family=FAMILIES[found.code],
        points=0 if reason is not None else policy.points[found.code],
        zh=said.zh.format(**figures),
        en=said.en.format(**figures),
        check_ins=tuple(named.ids[other] for other in witnesses),
        figures=figures,
        allowed_because=reason,
    )
