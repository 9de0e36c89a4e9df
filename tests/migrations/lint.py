"""What a migration may not do to tables that people are using: read from the SQL that it would run.

Each rule names the lock or the scan behind it (PostgreSQL manual, sections 13.3.1 and "ALTER TABLE, Notes").
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

NAME = r'(?:ONLY )?(?:IF EXISTS )?(?:IF NOT EXISTS )?"?(?:public\.)?([a-z_][a-z0-9_]*)"?'
_MADE = re.compile(rf"CREATE TABLE {NAME}", re.IGNORECASE)
_ALTER = re.compile(rf"ALTER TABLE {NAME} (.*)", re.IGNORECASE)
_INDEX = re.compile(
    rf"CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?(?:IF NOT EXISTS )?\S+ ON {NAME}", re.IGNORECASE
)
_SHORT = re.compile(r"SET lock_timeout = '(\d+)ms'", re.IGNORECASE)
LONGEST_WAIT_MS = 1_000

ANYWHERE: Mapping[str, str] = {
    r"TRUNCATE|LOCK TABLE|VACUUM FULL|CLUSTER": "takes ACCESS EXCLUSIVE for as long as it runs",
    r"REINDEX (?!.*CONCURRENTLY)": "stops writing until the index is built; REINDEX CONCURRENTLY does not",
    r"DROP INDEX (?!CONCURRENTLY)": "takes ACCESS EXCLUSIVE; use online.drop_index",
    r"CREATE TYPE .* AS ENUM": "an enum cannot lose a value; texts with a CHECK are the house's way",
    r"ALTER TABLE .* RENAME": "the running version knows the old name; add a new one and fill it",
}
ON_ALTER: Mapping[str, str] = {
    r"ALTER COLUMN \S+ (SET DATA )?TYPE": "rewrites the table under ACCESS EXCLUSIVE",
    r"ADD COLUMN .* (GENERATED|BIGSERIAL|SERIAL|SMALLSERIAL)": "rewrites the table under ACCESS EXCLUSIVE",
    r"ADD COLUMN .* DEFAULT (?!'|\d|-\d|true|false|NULL)": "a default that is no constant rewrites the table",
    r"ADD COLUMN (?!.*DEFAULT).* NOT NULL": "old rows have no value, and old code gives none",
    r"ADD COLUMN .* (UNIQUE|PRIMARY KEY|REFERENCES|CHECK)": "scans the table under a lock; add it NOT VALID afterwards",
    r"ADD CONSTRAINT \S+ (CHECK|FOREIGN)(?!.*NOT VALID$)": "scans the table under a lock; use online.add_...",
    r"ADD CONSTRAINT \S+ (UNIQUE|PRIMARY KEY)(?! USING INDEX)": "builds an index under ACCESS EXCLUSIVE",
    r"ADD CONSTRAINT \S+ EXCLUDE": "builds an index under ACCESS EXCLUSIVE, and there is no other way",
    r"SET (LOGGED|UNLOGGED|TABLESPACE|ACCESS METHOD)": "rewrites the table under ACCESS EXCLUSIVE",
    r"(DISABLE|ENABLE) (TRIGGER|RULE)": "the record is not written past its rules",
}
NARROWING = re.compile(r"DROP TABLE|DROP COLUMN|ALTER COLUMN \S+ SET NOT NULL", re.IGNORECASE)
REPEATABLE = re.compile(
    r"IF (NOT )?EXISTS|CONCURRENTLY|VALIDATE CONSTRAINT|^SET |^UPDATE|^(BEGIN|COMMIT)$|SET NOT NULL"
    r"|^INSERT INTO .* ON CONFLICT DO NOTHING$|^ANALYZE ",
    re.IGNORECASE,
)


def faults(statements: Sequence[str]) -> list[str]:
    """Return what is wrong with the statements of one migration, one line each; nothing when it is safe."""
    made = {match.group(1) for each in statements if (match := _MADE.match(each))}
    found = [f"{why}: {each}" for each in statements for why in _statement_faults(each, made)]
    return [
        *found,
        *_timeouts(statements),
        *_transactions(statements, made),
        *_required(statements, made),
        *_unrepeatable(statements),
    ]


def _statement_faults(each: str, made: set[str]) -> Iterator[str]:
    for pattern, why in ANYWHERE.items():
        if re.match(pattern, each, re.IGNORECASE):
            yield why
    index = _INDEX.match(each)
    if index and not index.group(1) and index.group(2) not in made:
        yield "stops writing until the index is built; use online.create_index"
    alter = _ALTER.match(each)
    if alter and alter.group(1) not in made:
        yield from (
            why for pattern, why in ON_ALTER.items() if re.search(pattern, alter.group(2), re.IGNORECASE)
        )
    if re.match(r"(UPDATE|DELETE FROM) (?!alembic_version)", each, re.IGNORECASE) and "ctid" not in each:
        yield "locks every row it meets until the end; use online.fill"


def _timeouts(statements: Iterable[str]) -> Iterator[str]:
    """Ask that every lock inside a transaction is waited for under a short timeout."""
    short, inside = False, False
    for each in statements:
        if match := _SHORT.match(each):
            short = int(match.group(1)) <= LONGEST_WAIT_MS
        elif re.match(r"SET lock_timeout", each, re.IGNORECASE):
            short = False
        elif each == "BEGIN":
            inside = True
        elif each == "COMMIT":
            inside = False
        elif not short and (inside or not _is_gentle(each)) and not each.startswith("SET "):
            yield f"waits for a lock without a short lock_timeout: {each}"


def _is_gentle(each: str) -> bool:
    """Tell whether a statement takes SHARE UPDATE EXCLUSIVE at most, or locks rows alone."""
    return bool(re.match(r"(CREATE|DROP) (UNIQUE )?INDEX CONCURRENTLY|UPDATE|ALTER TABLE \S+ VALIDATE", each))


def _transactions(statements: Iterable[str], made: set[str]) -> Iterator[str]:
    """Ask that one table in use is altered in a transaction, and nothing is validated where it was added."""
    altered: set[str] = set()
    unchecked: set[str] = set()
    for each in statements:
        if each in {"BEGIN", "COMMIT"}:
            altered, unchecked = set(), set()
            continue
        if added := re.search(r"ADD CONSTRAINT (\S+).*NOT VALID$", each, re.IGNORECASE):
            unchecked.add(added.group(1))
        if (checked := re.search(r"VALIDATE CONSTRAINT (\S+)", each, re.IGNORECASE)) and checked.group(
            1
        ) in unchecked:
            yield f"looks at every row under the lock of the constraint's making: {each}"
        if (alter := _ALTER.match(each)) and alter.group(1) not in made:
            altered.add(alter.group(1))
            if len(altered) > 1:
                yield f"waits for the locks of {', '.join(sorted(altered))} together: {each}"


def _required(statements: Sequence[str], made: set[str]) -> Iterator[str]:
    """Ask that SET NOT NULL finds a checked constraint: without one it scans the table under its lock."""
    checked: set[str] = set()
    conditions: dict[str, str] = {}
    for each in statements:
        if added := re.search(r"ADD CONSTRAINT (\S+) CHECK \((.*)\) NOT VALID$", each, re.IGNORECASE):
            conditions[added.group(1)] = added.group(2)
        if valid := re.search(r"VALIDATE CONSTRAINT (\S+)", each, re.IGNORECASE):
            checked.add(conditions.get(valid.group(1), "").lower())
        alter = _ALTER.match(each)
        match = re.search(r"COLUMN (\S+) SET NOT NULL", each)
        if match and alter and alter.group(1) not in made and f"{match.group(1)} is not null" not in checked:
            yield f"scans the table under ACCESS EXCLUSIVE; use online.require: {each}"


def _unrepeatable(statements: Sequence[str]) -> Iterator[str]:
    """Ask that a migration that leaves its transaction can be run again from its beginning.

    What stands in one transaction with the new number of the schema is committed with it or not at all, so it is never
    run again.
    """
    if statements.count("COMMIT") < 2:
        return
    dropped: set[str] = set()
    for each in statements[: _numbered(statements)]:
        if drop := re.search(r"DROP CONSTRAINT IF EXISTS (\S+)", each):
            dropped.add(drop.group(1))
        added = re.search(r"ADD CONSTRAINT (\S+)", each)
        if not REPEATABLE.search(each) and not (added and added.group(1) in dropped):
            yield f"cannot be run again after an interruption: {each}"


def _numbered(statements: Sequence[str]) -> int:
    """Return where the transaction begins that writes the schema's number; the end, when none does."""
    numbers = [place for place, each in enumerate(statements) if each.startswith("UPDATE alembic_version")]
    if not numbers:
        return len(statements) - 1 - statements[::-1].index("COMMIT")
    begins = [place for place, each in enumerate(statements[: numbers[-1]]) if each in {"BEGIN", "COMMIT"}]
    return begins[-1] if begins and statements[begins[-1]] == "BEGIN" else numbers[-1]


def narrows(statements: Iterable[str]) -> bool:
    """Tell whether the schema afterwards may lack what the code before it needs."""
    return any(NARROWING.search(each) for each in statements)
