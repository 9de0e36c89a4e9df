"""A backup that was made shows in the metrics, so that one that was not made can be noticed."""

import time
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result
from conftest import Service
from processes import scrape, total

from server.cli import main

pytestmark = pytest.mark.slow
SHOWN = "zaicun_backup_last_success_timestamp_seconds"


def run(service: Service, *words: object) -> Result:
    env = {
        "ZAICUN_DATABASE_URL": service.cloned.app_url,
        "ZAICUN_OWNER_DATABASE_URL": service.cloned.owner_url,
        "ZAICUN_VAR": str(service.settings.var),
    }
    return CliRunner(env=env).invoke(main, [str(word) for word in words])


def test_the_last_backup_that_succeeded_shows_and_no_other(service: Service, tmp_path: Path) -> None:
    never = scrape(service.url)
    assert (SHOWN, ()) in never  # An alert on what does not exist would never fire.
    assert total(never, SHOWN) == 0
    assert run(service, "backup", tmp_path / "nowhere" / "a.backup").exit_code == 1
    assert run(service, "keys", "backup", tmp_path / "keys.backup").exit_code == 0
    assert total(scrape(service.url), SHOWN) == 0
    made = time.time()
    assert run(service, "backup", tmp_path / "a.backup").exit_code == 0
    shown = total(scrape(service.url), SHOWN)
    assert made - 1 <= shown <= time.time()
    assert run(service, "backup", tmp_path / "a.backup").exit_code == 1  # It exists and is not overwritten.
    page = scrape(service.url)
    assert total(page, SHOWN) == shown
    assert (
        total(page, "zaicun_job_last_success_timestamp_seconds", job="backup") == 0
    )  # No job of the scheduler's.
    assert run(service, "backup", "--without-keys", tmp_path).exit_code == 0
    assert total(scrape(service.url), SHOWN) > shown


def test_a_backup_that_cannot_be_noted_is_a_backup_and_says_so(service: Service, tmp_path: Path) -> None:
    with psycopg.connect(service.cloned.owner_url, autocommit=True) as owner:
        owner.execute(
            "CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END'"
        )
        owner.execute("CREATE TRIGGER refused BEFORE INSERT ON job_runs EXECUTE FUNCTION refused()")
        try:
            result = run(service, "backup", tmp_path / "b.backup")
        finally:
            owner.execute("DROP TRIGGER refused ON job_runs; DROP FUNCTION refused()")
    assert result.exit_code == 0
    assert "could not be noted" in result.output
    assert run(service, "restore", "--check", tmp_path / "b.backup").exit_code == 0
