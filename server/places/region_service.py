"""Deeds on the register of regions: importing a table, recording and withdrawing successors."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date

import sqlalchemy as sa
from sqlalchemy import orm

from server import audit, clock, problems
from server.access import Role, Who
from server.places import hooks, region_queries, region_table, rules
from server.places.models import Region, RegionSuccessor, RegionVersion
from server.places.region_table import RegionRow
from server.problems import FieldFault, Problem

IMPORTERS = (Role.DISTRICT, Role.ADMIN)
_SUCCESSIONS = sa.text("SELECT pg_advisory_xact_lock(hashtext('zaicun:region-successors'))")
_MOST_FAULTS = 500


@dataclass(frozen=True)
class _Batch:
    """One table on its way into the register."""

    who: Who | None
    known: Mapping[str, Region]
    coming: Collection[str]
    since: date
    outcome: "TableOutcome"
    versions: list[RegionVersion] = field(default_factory=list)


@dataclass
class TableOutcome:
    """What a table of regions does."""

    dry_run: bool
    new: int = 0
    changed: list[str] = field(default_factory=list)
    unchanged: int = 0


def import_table(
    session: orm.Session, who: Who | None, data: bytes, *, valid_from: date | None, dry_run: bool
) -> TableOutcome:
    """Bring the register to what the table says: every row, or none and the faults of all of them.

    `valid_from` is the day from which new regions exist and changed names hold (None: today). Repeating the same table
    changes nothing. `who` None is the operator on the machine itself. Raises the problem region-rows-faulty.
    """
    rows, faults = region_table.read(data)
    known = region_queries.known(
        session, [code for row in rows for code in (row.code, *_ancestors(row.code))]
    )
    coming = {row.code for row in rows} | known.keys()
    for row in rows:
        faults.extend(_misplaced(who, row, coming))
    if faults:
        faults.sort(key=lambda fault: fault.line or 0)
        raise Problem(
            problems.REGION_ROWS_FAULTY,
            zh=f"共 {len(faults)} 处错误；改正后请重新导入整个文件。",
            en=f"{len(faults)} faults; correct them and import the whole file again.",
            errors=faults[:_MOST_FAULTS],
            faults=len(faults),
        )
    outcome = TableOutcome(dry_run)
    since = valid_from or rules.today(clock.now())
    batch = _Batch(who, known, coming, since, outcome)
    ordered = sorted(rows, key=lambda row: (len(rules.significant(row.code)), row.code))
    for row in ordered:
        if row.code not in known:
            _apply(session, batch, row)
    session.flush()  # New regions, the upper levels first, before anything that points at them.
    for row in ordered:
        if row.code in known:
            _apply(session, batch, row)
    if not dry_run:
        session.add_all(batch.versions)
        details = {"new": outcome.new, "changed": len(outcome.changed), "unchanged": outcome.unchanged}
        audit.record(session, who, "region:import", ("region-table", since.isoformat()), **details)
        session.flush()
    return outcome


def _ancestors(code: str) -> list[str]:
    found = []
    above = rules.parent_of(code)
    while above is not None:
        found.append(above)
        above = rules.parent_of(above)
    return found


def _misplaced(who: Who | None, row: RegionRow, coming: Collection[str]) -> list[FieldFault]:
    faults = []
    if who is not None and not who.reaches(row.code, *IMPORTERS):
        zh, en = f"{row.code} 不在您的范围内。", f"{row.code} lies outside your region."
        faults.append(FieldFault("code", "outside-your-region", zh, en, row.line))
    needed = row.parent or (
        rules.parent_of(row.code)
        if row.kind in {rules.RegionKind.VILLAGE, rules.RegionKind.COMMUNITY}
        else None
    )
    if needed is not None and needed not in coming:
        zh, en = (
            f"上级区划 {needed} 尚未登记，也不在表中。",
            f"Region {needed} above it is not known, nor in the table.",
        )
        faults.append(FieldFault("parent", "parent-unknown", zh, en, row.line))
    return faults


def _apply(session: orm.Session, batch: _Batch, row: RegionRow) -> None:
    stored = batch.known.get(row.code)
    parent = (
        row.parent
        or (stored.parent_code if stored else None)
        or region_table.ancestor(row.code, batch.coming)
    )
    facts = (row.name, row.kind, row.urban_rural_class or (stored.urban_rural_class if stored else None))
    renamed = stored is None or facts != (stored.name, stored.kind, stored.urban_rural_class)
    outcome = batch.outcome
    if stored is None:
        outcome.new += 1
    elif renamed or parent != stored.parent_code or row.valid_until not in {None, stored.valid_until}:
        outcome.changed.append(row.code)
    else:
        outcome.unchanged += 1
        return
    if outcome.dry_run:
        return
    from_day = row.valid_from or batch.since
    if stored is None:
        stored = Region(code=row.code, valid_from=from_day, valid_until=row.valid_until)
        session.add(stored)
    stored.name, stored.kind, stored.urban_rural_class = facts
    stored.parent_code = parent
    stored.valid_until = row.valid_until or stored.valid_until
    if renamed:
        batch.versions.append(_version(stored, from_day, batch.who))


def _version(region: Region, from_day: date, who: Who | None) -> RegionVersion:
    return RegionVersion(
        code=region.code,
        name=region.name,
        kind=region.kind,
        urban_rural_class=region.urban_rural_class,
        from_day=from_day,
        recorded_at=clock.now(),
        recorded_by=who.account_id if who else None,
    )


def follow(
    session: orm.Session, who: Who | None, from_code: str, to_code: str, from_day: date
) -> tuple[RegionSuccessor, bool]:
    """Record that `to_code` follows `from_code` (edge 48). Returns the link and whether this call made it.

    Raises not-found for a region out of reach, and succession-impossible for another successor than the stored one,
    regions of different levels, or a chain that would come back to its start.
    """
    session.execute(_SUCCESSIONS)
    old, new = _reached(session, who, from_code), _reached(session, who, to_code)
    stored = region_queries.successor(session, from_code)
    if stored is not None:
        if (stored.to_code, stored.from_day) == (to_code, from_day):
            return stored, False
        raise Problem(
            problems.SUCCESSION_IMPOSSIBLE,
            zh=f"{old.name} 自 {stored.from_day} 起已由 {stored.to_code} 承继。",
            en=f"{old.name} is followed by {stored.to_code} from {stored.from_day} already.",
        )
    _refuse_impossible(session, old, new, from_day)
    link = RegionSuccessor(from_code=from_code, to_code=to_code, from_day=from_day)
    session.add(link)
    if old.valid_until is None and old.valid_from < from_day:
        old.valid_until = from_day
    audit.record(
        session, who, "region:follow", ("region", from_code), to=to_code, from_day=from_day.isoformat()
    )
    session.flush()
    if (judgements := hooks.judgements()) is not None:
        judgements.region_followed(session, [from_code, to_code], from_day)
    return link, True


def _reached(session: orm.Session, who: Who | None, code: str) -> Region:
    if who is None:
        return region_queries.region(session, code)
    return region_queries.access_region(session, who, code, Role.DISTRICT)


def _refuse_impossible(session: orm.Session, old: Region, new: Region, from_day: date) -> None:
    if len(rules.significant(old.code)) != len(rules.significant(new.code)):
        raise Problem(
            problems.SUCCESSION_IMPOSSIBLE,
            zh=f"{old.name} 与 {new.name} 不是同一级区划。",
            en=f"{old.name} and {new.name} are not regions of the same level.",
        )
    if new.valid_until is not None and new.valid_until <= from_day:
        raise Problem(
            problems.SUCCESSION_IMPOSSIBLE,
            zh=f"{new.name} 自 {new.valid_until} 起已停用。",
            en=f"{new.name} is no longer valid from {new.valid_until}.",
        )
    ends = region_queries.followed(session, [new.code], date.max)
    if old.code in {new.code, ends.get(new.code)}:
        raise Problem(
            problems.SUCCESSION_IMPOSSIBLE,
            zh="承继关系会绕回原区划。",
            en="The chain of successors would come back to its start.",
        )


def unfollow(session: orm.Session, who: Who, from_code: str) -> None:
    """Withdraw a successor that was recorded by mistake. The audit log keeps both deeds."""
    session.execute(_SUCCESSIONS)
    old = region_queries.access_region(session, who, from_code, Role.DISTRICT)
    link = region_queries.successor(session, from_code)
    if link is None:
        raise Problem(problems.NOT_FOUND, zh="没有登记承继关系。", en="No successor is recorded.")
    if old.valid_until == link.from_day:
        old.valid_until = None
    audit.record(
        session,
        who,
        "region:unfollow",
        ("region", from_code),
        to=link.to_code,
        from_day=link.from_day.isoformat(),
    )
    session.delete(link)
    session.flush()
    if (judgements := hooks.judgements()) is not None:
        judgements.region_followed(session, [from_code, link.to_code], link.from_day)
