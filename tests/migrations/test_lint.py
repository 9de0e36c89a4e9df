"""Every migration is safe for tables in use, by our own rules and by squawk's; the rules catch what is not."""

import subprocess
import sys
from pathlib import Path

import pytest
from migrations import lint
from migrations.offline import FUTURE, Written, scripts, written

ALL = list(written([FUTURE]))
SQUAWK = Path(sys.executable).with_name("squawk")
EXCLUDED = {
    "prefer-bigint-over-int": "versions, counters and generations do not reach two thousand million",
    "prefer-bigint-over-smallint": "minutes, percents and halves of days; the hot row stays short",
    "prefer-text-field": "alembic_version is Alembic's own table",
    "ban-drop-constraint": "dropping IF EXISTS before adding is what makes a step repeatable",
    "ban-drop-column": "allowed in the second release; `works_with` is checked instead",
    "ban-drop-table": "as with columns",
}
UNSAFE = [
    "CREATE INDEX checkins_note_idx ON checkins (note)",
    "CREATE UNIQUE INDEX people_phone_key ON people (phone)",
    "ALTER TABLE checkins ALTER COLUMN note TYPE VARCHAR(500)",
    "ALTER TABLE checkins ALTER COLUMN utc_offset_min SET DATA TYPE INTEGER",
    "ALTER TABLE checkins ADD COLUMN battery SMALLINT NOT NULL",
    "ALTER TABLE checkins ADD COLUMN seen_at TIMESTAMPTZ DEFAULT now()",
    "ALTER TABLE checkins ADD COLUMN key UUID DEFAULT gen_random_uuid() NOT NULL",
    "ALTER TABLE checkins ADD COLUMN number BIGINT GENERATED ALWAYS AS IDENTITY",
    "ALTER TABLE checkins ADD COLUMN number BIGSERIAL",
    "ALTER TABLE people ADD COLUMN village TEXT REFERENCES regions (code)",
    "ALTER TABLE people ADD COLUMN badge TEXT UNIQUE",
    "ALTER TABLE checkins ALTER COLUMN note SET NOT NULL",
    "ALTER TABLE checkins ADD CONSTRAINT c CHECK (utc_offset_min > -961)",
    "ALTER TABLE checkins ADD CONSTRAINT c FOREIGN KEY(person_id) REFERENCES people (id)",
    "ALTER TABLE people ADD CONSTRAINT c UNIQUE (phone)",
    "ALTER TABLE people ADD CONSTRAINT c PRIMARY KEY (number)",
    "ALTER TABLE postings ADD CONSTRAINT c EXCLUDE USING gist (person_id WITH =)",
    "ALTER TABLE checkins RENAME COLUMN note TO remark",
    "ALTER TABLE checkins RENAME TO taps",
    "ALTER TABLE checkins SET UNLOGGED",
    "ALTER TABLE checkins DISABLE TRIGGER ALL",
    "UPDATE checkins SET note = ''",
    "DELETE FROM checkin_attempts",
    "TRUNCATE checkin_attempts",
    "LOCK TABLE checkins",
    "REINDEX TABLE checkins",
    "DROP INDEX checkins_day_idx",
    "CREATE TYPE mood AS ENUM ('glad')",
]
SHORT = ["SET lock_timeout = '500ms'", "SET statement_timeout = '10000ms'", "BEGIN"]


@pytest.mark.parametrize("migration", ALL, ids=lambda each: each.script.revision)
def test_no_migration_stops_people(migration: Written) -> None:
    assert lint.faults(migration.statements) == []


@pytest.mark.parametrize("statement", UNSAFE)
def test_what_would_stop_people_is_caught(statement: str) -> None:
    assert lint.faults([*SHORT, statement, "COMMIT"]), statement


@pytest.mark.parametrize(
    "statements",
    [
        ["BEGIN", "ALTER TABLE checkins ADD COLUMN battery SMALLINT", "COMMIT"],
        ["SET lock_timeout = '4s'", "BEGIN", "ALTER TABLE checkins ADD COLUMN battery SMALLINT", "COMMIT"],
        ["SET lock_timeout = 0", "ALTER TABLE checkins ADD COLUMN IF NOT EXISTS battery SMALLINT"],
        [
            *SHORT,
            "ALTER TABLE checkins ADD CONSTRAINT c CHECK (a > 0) NOT VALID",
            "ALTER TABLE checkins VALIDATE CONSTRAINT c",
            "COMMIT",
        ],
        [
            *SHORT,
            "ALTER TABLE checkins ADD COLUMN a INTEGER",
            "ALTER TABLE people ADD COLUMN a INTEGER",
            "COMMIT",
        ],
        [*SHORT, "ALTER TABLE people ADD COLUMN a INTEGER", "COMMIT", "BEGIN", "SELECT 1", "COMMIT"],
        [*SHORT, "ALTER TABLE people ADD COLUMN a INTEGER", "COMMIT", "BEGIN", "UPDATE alembic_version SET x = 1", "COMMIT"],
        [*SHORT, "INSERT INTO people SELECT * FROM units", "COMMIT", "BEGIN", "UPDATE alembic_version SET x = 1", "COMMIT"],
        [*SHORT, "ANALYZE people", "COMMIT", "CREATE VIEW v AS SELECT 1", "UPDATE alembic_version SET x = 1", "COMMIT"],
    ],
    ids=["no timeout", "long timeout", "no timeout at last", "validated at once", "two tables", "not twice",
         "not twice before the number", "copied twice", "outside of the number's transaction"],
)  # fmt: skip
def test_the_order_of_statements_is_looked_at_too(statements: list[str]) -> None:
    assert lint.faults(statements)


@pytest.mark.parametrize(
    "before",
    [
        "CREATE TABLE IF NOT EXISTS copies (id INTEGER)",
        "INSERT INTO copies (id) SELECT 1 ON CONFLICT DO NOTHING",
    ],
)
def test_what_is_committed_with_the_number_of_the_schema_is_never_run_again(before: str) -> None:
    after = [
        "ANALYZE copies",
        "CREATE VIEW copied AS SELECT 1",
        "UPDATE alembic_version SET version_num = '9'",
    ]
    assert lint.faults([*SHORT, before, "COMMIT", "BEGIN", *after, "COMMIT"]) == []
    assert lint.faults([*SHORT, before, after[1], "COMMIT", "BEGIN", *after, "COMMIT"]) != []


@pytest.mark.parametrize("migration", ALL, ids=lambda each: each.script.revision)
def test_squawk_finds_nothing_that_is_not_explained(migration: Written, tmp_path: Path) -> None:
    file = tmp_path / "migration.sql"
    file.write_text(migration.sql)
    told = subprocess.run(
        [SQUAWK, "--reporter", "gcc", f"--exclude={','.join(EXCLUDED)}", "--pg-version=15", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr


def test_squawk_would_find_something(tmp_path: Path) -> None:
    file = tmp_path / "migration.sql"
    file.write_text(
        "BEGIN;\nCREATE INDEX i ON checkins (note);\nALTER TABLE checkins ALTER note TYPE int;\nCOMMIT;\n"
    )
    told = subprocess.run(
        [SQUAWK, "--reporter", "gcc", f"--exclude={','.join(EXCLUDED)}", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert "require-concurrent-index-creation" in told.stdout
    assert "changing-column-type" in told.stdout


def test_every_migration_says_which_versions_can_use_the_schema_afterwards() -> None:
    line = [script.revision for script in scripts([FUTURE])]
    reach = 0
    for migration in ALL:
        script = migration.script
        works_with = script.module.works_with
        assert works_with in line[: line.index(script.revision) + 1], script.revision
        if script.down_revision is None:
            continue
        if lint.narrows(migration.statements):
            # What the version before still uses cannot be taken away from under it, unless it is said that none fits.
            assert works_with in {script.down_revision, script.revision}, (
                f"{script.revision} takes something away"
            )
        # What an earlier migration took away does not come back.
        assert line.index(works_with) >= reach, script.revision
        reach = line.index(works_with)


def test_the_line_of_migrations_has_one_end_and_no_branches() -> None:
    released = scripts()
    assert [script.down_revision for script in released] == [None, *[s.revision for s in released[:-1]]]
    for number, script in enumerate(released, 1):
        assert script.revision.startswith(f"{number:04d}"), script.path
        assert script.module.__doc__
        assert script.module.__doc__.strip().endswith(".")
