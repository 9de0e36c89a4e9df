"""A version runs on a newer schema when every later migration says so: upgrades roll, and a version can be taken back."""

import os
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from conftest import ROOT, Cloned
from migrations import dumped
from migrations.databases import APP, empty_database, up
from migrations.offline import FUTURE, scripts

from server import migrate
from server.cluster import Cluster
from server.lock_watch import MigrationFault
from server.revisions import Applied, first_misfit

LINE = [script.revision for script in scripts()]
LAST_THAT_FITS = "future_7"


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[Cloned]:
    with empty_database(cluster) as cloned:
        yield cloned


@pytest.mark.parametrize(
    ("applied", "own", "misfit"),
    [
        ("a:a", "a", None),
        ("a:a b:a", "a", None),
        ("a:a b:a c:a", "b", None),
        ("a:a b:b", "a", "b"),
        ("a:a b:a c:b", "a", "c"),
        ("a:a b:a c:b", "b", None),
        ("a:a b:b c:a", "a", "b"),  # What was taken away does not come back.
        ("a:a b:a", "c", "b"),
        ("", "a", "missing"),
        ("a:a b:z", "a", "b"),  # A name that nobody knows is no leave.
    ],
)
def test_the_first_migration_that_does_not_fit(applied: str, own: str, misfit: str | None) -> None:
    rows = [Applied(*each.split(":")) for each in applied.split()]
    assert first_misfit(rows, own) == misfit


def check(url: str) -> None:
    """Ask what a service asks before it starts. Raises what it is told."""
    with migrate.owner_engine(url).connect() as connection:
        fault = migrate.misfit(connection)
    if fault is not None:
        raise fault


def test_a_newer_schema_that_only_has_more_is_accepted(empty: Cloned) -> None:
    migrate.upgrade(empty.owner_url, APP)
    check(empty.app_url)
    for script in scripts([FUTURE]):
        if script.revision in LINE:
            continue
        up(empty, script.revision)
        if script.revision == "future_8":
            break
        check(empty.app_url)
    with pytest.raises(MigrationFault, match="future_8 took away"):
        check(empty.app_url)
    up(empty, "future_9")
    with pytest.raises(MigrationFault, match="newer than this version's"):
        check(empty.app_url)


def test_an_older_schema_and_an_empty_database_are_refused(empty: Cloned) -> None:
    with pytest.raises(MigrationFault, match=r"schema is missing.*zaicun migrate"):
        check(empty.owner_url)
    up(empty, LINE[0])
    with pytest.raises(MigrationFault, match=f"schema is {LINE[0]}, this version needs {LINE[-1]}"):
        check(empty.owner_url)


def test_a_schema_of_which_nothing_is_known_is_refused(empty: Cloned) -> None:
    migrate.upgrade(empty.owner_url, APP)
    with psycopg.connect(empty.owner_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'another-product'")
        connection.execute("DELETE FROM schema_revisions")
    with pytest.raises(MigrationFault, match=r"missing took away|another-product"):
        check(empty.app_url)
    with pytest.raises(MigrationFault):
        migrate.upgrade(empty.owner_url, APP)


def test_an_old_version_leaves_a_newer_schema_as_it_is(empty: Cloned) -> None:
    """`zaicun migrate` of the version that was taken back does nothing, and says so."""
    up(empty, LAST_THAT_FITS)
    told: list[str] = []
    before = dumped.schema(empty.owner_url)
    migrate.upgrade(empty.owner_url, APP, say=told.append)
    assert dumped.schema(empty.owner_url) == before
    assert told == [
        "The database was migrated by a newer version, and this one can use it: nothing is changed."
    ]


@pytest.mark.slow
def test_this_version_does_all_its_work_on_a_newer_schema() -> None:
    """Check-ins, months and the roster through HTTP, by the tests of those rooms, on the schema of a later release."""
    rooms = os.environ.get(
        "ZAICUN_PROVE_ROOMS", "tests/api/test_checkins.py tests/api/test_months.py tests/api/test_roster.py"
    )
    environment = {**os.environ, "ZAICUN_PROVE_SCHEMA": LAST_THAT_FITS}
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", *rooms.split()],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout[-4000:] + told.stderr[-2000:]
