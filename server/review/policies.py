"""The plausibility policy in force, the habits of clients that go with it, and what another document would have found.

One document holds for the whole installation, because clients and phones know no towns. It is adopted by an operator
with a reason (`zaicun plausibility adopt`); every version stays, and each assessment names the one it was made by.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from server import audit, clock, problems
from server.checkins.plausibility.habits import Custom
from server.checkins.plausibility.policy import TrustPolicy, parse, to_document
from server.month.reading import PolicyRefused
from server.problems import FieldFault, Problem
from server.review.models import ClientCustom, TrustPolicyRow


@dataclass(frozen=True, slots=True)
class InForce:
    """A policy with the number under which assessments name it."""

    id: int
    policy: TrustPolicy


def newest(session: orm.Session) -> TrustPolicyRow | None:
    """Return the newest document; None where none was adopted yet."""
    return session.scalars(sa.select(TrustPolicyRow).order_by(TrustPolicyRow.id.desc()).limit(1)).first()


def in_force(session: orm.Session) -> InForce:
    """Return the newest policy. The built-in one is written down before it is used for the first time."""
    row = newest(session)
    if row is None:
        row = _kept(session, TrustPolicy(), "内置 / built in", "zaicun")
    return InForce(row.id, parse(row.document))


def read(document: Mapping[str, Any]) -> TrustPolicy:
    """Read a document. Raises Problem (422 policy-refused) with every fault."""
    try:
        return parse(document)
    except PolicyRefused as refused:
        raise Problem(
            problems.POLICY_REFUSED,
            zh="；".join(f"{fault.path}：{fault.zh}" for fault in refused.faults[:5]),
            en="; ".join(f"{fault.path}: {fault.en}" for fault in refused.faults[:5]),
            errors=[FieldFault(fault.path, fault.code, fault.zh, fault.en) for fault in refused.faults],
        ) from None


def adopt(session: orm.Session, document: Mapping[str, Any], *, reason: str, by: str) -> TrustPolicyRow:
    """Put a document in force for what is assessed from now on. What was assessed before keeps its version."""
    row = _kept(session, read(document), reason, by)
    audit.record(
        session, None, "plausibility:adopt", ("plausibility-policy", row.id), by=by, version=row.version, reason=reason
    )  # fmt: skip
    return row


def _kept(session: orm.Session, policy: TrustPolicy, reason: str, by: str) -> TrustPolicyRow:
    row = TrustPolicyRow(
        version=policy.version,
        document=to_document(policy),
        reason=reason,
        adopted_at=clock.now(),
        adopted_by=by,
    )
    session.add(row)
    session.flush()
    return row


def customs_known(session: orm.Session) -> dict[str, Custom]:
    """Return the habits of clients as last learned."""
    newest_day = sa.select(sa.func.max(ClientCustom.day)).scalar_subquery()
    rows = session.scalars(sa.select(ClientCustom).where(ClientCustom.day == newest_day))
    return {
        row.client: Custom(row.people, row.few_decimals, row.constant_accuracy, row.same_altitude)
        for row in rows
    }


def keep_customs(session: orm.Session, day: date, customs: Mapping[str, Custom]) -> None:
    """Keep what was learned up to a day."""
    rows = [
        {
            "day": day,
            "client": client,
            "people": each.people,
            "few_decimals": each.few_decimals,
            "constant_accuracy": each.constant_accuracy,
            "same_altitude": each.same_altitude,
        }
        for client, each in sorted(customs.items())
        if each.people
    ]
    if rows:
        session.execute(sa.insert(ClientCustom), rows)
