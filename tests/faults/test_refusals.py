"""The service does not start, nor go on, where it could lose what it acknowledged or let somebody in (M5, ruling 28)."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import psycopg
import pytest
import sqlalchemy as sa
from conftest import Cloned, running_service
from factories_checkins import check_in, make_cadre, make_world
from faults.standing import NAME, Standing, served, standing
from processes import until

from server import clock, ids, runtime, safety, safety_facts, safety_texts
from server.auth.keys import KeySet
from server.cluster import APP_ROLE, OWNER_ROLE, SUPERUSER
from server.db import Database
from server.settings import Settings, SettingsFault


@pytest.fixture(scope="module")
def database() -> Iterator[Standing]:
    with standing() as made:
        yield made


@pytest.fixture
def settings(database: Standing, tmp_path: Path) -> Settings:
    made = Settings(database_url=database.cluster.app_dsn, var=tmp_path)
    KeySet(made.keys_dir).ensure()
    return made


def say_to(database: Standing, *statements: str) -> None:
    with psycopg.connect(database.cluster.dsn(SUPERUSER, NAME), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@contextmanager
def changed(database: Standing, do: tuple[str, ...], undo: tuple[str, ...]) -> Iterator[None]:
    say_to(database, *do)
    try:
        yield
    finally:
        say_to(database, *undo)


RELOAD = "SELECT pg_reload_conf(), pg_sleep(0.2)"
IN_THE_DATABASE = {
    "fsync-off": (("ALTER SYSTEM SET fsync = off", RELOAD), ("ALTER SYSTEM RESET fsync", RELOAD)),
    "full-page-writes-off": (
        ("ALTER SYSTEM SET full_page_writes = off", RELOAD),
        ("ALTER SYSTEM RESET full_page_writes", RELOAD),
    ),
    "synchronous-commit-off": (
        (f"ALTER ROLE {APP_ROLE} SET synchronous_commit = off",),
        (f"ALTER ROLE {APP_ROLE} RESET synchronous_commit",),
    ),
    "damage-hidden": (
        (f"ALTER DATABASE {NAME} SET zero_damaged_pages = on",),
        (f"ALTER DATABASE {NAME} RESET zero_damaged_pages",),
    ),
    "database-read-only": (
        (f"ALTER DATABASE {NAME} SET default_transaction_read_only = on",),
        (f"ALTER ROLE {SUPERUSER} SET default_transaction_read_only = off",),
    ),
    "role-superuser": ((f"ALTER ROLE {APP_ROLE} SUPERUSER",), (f"ALTER ROLE {APP_ROLE} NOSUPERUSER",)),
    "role-bypasses-rls": ((f"ALTER ROLE {APP_ROLE} BYPASSRLS",), (f"ALTER ROLE {APP_ROLE} NOBYPASSRLS",)),
    "role-too-mighty": (
        (f"GRANT pg_execute_server_program TO {APP_ROLE}",),
        (f"REVOKE pg_execute_server_program FROM {APP_ROLE}",),
    ),
    "role-owns-tables": ((f"GRANT {OWNER_ROLE} TO {APP_ROLE}",), (f"REVOKE {OWNER_ROLE} FROM {APP_ROLE}",)),
    "role-may-create": (
        (f"GRANT CREATE ON SCHEMA public TO {APP_ROLE}",),
        (f"REVOKE CREATE ON SCHEMA public FROM {APP_ROLE}",),
    ),
    "role-rights-excess": (
        (f"GRANT DELETE ON checkin_rows TO {APP_ROLE}",),
        (f"REVOKE DELETE ON checkin_rows FROM {APP_ROLE}",),
    ),
    "role-rights-lacking": (
        (f"REVOKE INSERT ON checkin_rows FROM {APP_ROLE}",),
        (f"GRANT INSERT ON checkin_rows TO {APP_ROLE}",),
    ),
    "schema": (
        ("UPDATE alembic_version SET version_num = '0001'",),
        ("UPDATE alembic_version SET version_num = (SELECT revision FROM schema_revisions ORDER BY seq DESC LIMIT 1)",),
    ),
}  # fmt: skip


def refusal(settings: Settings) -> str:
    with pytest.raises(SettingsFault) as caught:
        runtime.check_safe(settings)
    return str(caught.value)


def test_a_durable_database_and_a_plain_role_are_accepted(settings: Settings) -> None:
    said: list[str] = []
    runtime.check_safe(settings, said.append)
    assert said == []


@pytest.mark.parametrize("name", IN_THE_DATABASE)
def test_each_unsafe_state_of_the_database_is_refused_by_its_name(
    database: Standing, settings: Settings, name: str
) -> None:
    do, undo = IN_THE_DATABASE[name]
    if name == "database-read-only":
        say_to(database, *undo)  # So that the superuser can take it back.
        undo = (f"ALTER DATABASE {NAME} RESET default_transaction_read_only",)
    with changed(database, do, undo):
        assert f"[{name}]" in refusal(settings)
    runtime.check_safe(settings)


def test_a_right_on_a_single_column_is_a_right_too(database: Standing, settings: Settings) -> None:
    do, undo = (
        f"GRANT UPDATE (note) ON checkin_rows TO {APP_ROLE}",
        f"REVOKE UPDATE (note) ON checkin_rows FROM {APP_ROLE}",
    )
    with changed(database, (do,), (undo,)):
        assert "[role-rights-excess]" in refusal(settings)
        assert "checkin_rows: UPDATE" in refusal(settings)


def test_a_commit_that_does_not_wait_for_the_standby_is_refused(
    database: Standing, settings: Settings
) -> None:
    """`local` undoes a synchronous standby: 1,080 acknowledged check-ins were lost when that was measured."""
    do = (
        f"ALTER ROLE {APP_ROLE} SET synchronous_commit = local",
        f"ALTER ROLE {SUPERUSER} SET synchronous_commit = local",
    )
    undo = (f"ALTER ROLE {APP_ROLE} RESET ALL", f"ALTER ROLE {SUPERUSER} RESET synchronous_commit")
    with changed(database, do, undo):
        runtime.check_safe(settings)  # Without a standby nothing more can be waited for.
        with changed(
            database,
            ("ALTER SYSTEM SET synchronous_standby_names = 'other'", RELOAD),
            ("ALTER SYSTEM RESET synchronous_standby_names", RELOAD),
        ):
            assert "[synchronous-commit-off]" in refusal(settings)


def key_file(settings: Settings, purpose: str) -> Path:
    return next(settings.keys_dir.glob(f"{purpose}-*.jwk"))


def with_secret(settings: Settings, secret: str) -> None:
    path = key_file(settings, "refresh")
    path.write_text(json.dumps({**json.loads(path.read_text()), "k": secret}))


KEYS: dict[str, Callable[[Settings], object]] = {
    "key-readable": lambda settings: key_file(settings, "access").chmod(0o640),
    "key-weak": lambda settings: with_secret(settings, "c2hvcnQ"),  # pragma: allowlist secret
    "key-sample": lambda settings: with_secret(
        settings,
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",  # pragma: allowlist secret
    ),
    "key-unreadable": lambda settings: key_file(settings, "access").write_text("{"),
    "key-folder-open": lambda settings: settings.keys_dir.chmod(0o770),
}


@pytest.mark.parametrize("name", KEYS)
def test_each_unsafe_key_is_refused_by_its_name(settings: Settings, name: str) -> None:
    KEYS[name](settings)
    assert f"[{name}]" in refusal(settings)


def test_a_secret_that_somebody_typed_is_weak(settings: Settings) -> None:
    with_secret(settings, "a" * 43)
    assert "[key-weak]" in refusal(settings)


def test_a_secret_key_among_the_products_own_files_is_refused(settings: Settings) -> None:
    inside = Path(runtime.__file__).parent / "data" / "keys"
    assert "[key-folder-in-product]" in refusal(replace(settings, keys=inside))


@pytest.mark.parametrize("password", ["postgres", "zaicun_app", "changeme", "MySecretPassword", "zaicun"])
def test_a_password_that_anybody_would_guess_is_refused(settings: Settings, password: str) -> None:
    guessed = settings.database_url.replace(APP_ROLE, f"{APP_ROLE}:{password}", 1)
    told = refusal(replace(settings, database_url=guessed))
    assert "[password-sample]" in told
    assert "ZAICUN_DATABASE_URL" in told


def test_a_password_of_the_environment_counts_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "postgres")
    assert "PGPASSWORD" in refusal(settings)


def test_debugging_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    assert "[debug-on]" in refusal(settings)


def test_a_public_address_without_tls_is_refused(settings: Settings) -> None:
    everywhere = replace(settings, host="0.0.0.0")  # noqa: S104  Must be refused.
    assert "[public-bind]" in refusal(everywhere)
    runtime.check_safe(replace(everywhere, behind_proxy=True))


@pytest.mark.parametrize(
    ("constant", "value", "name"),
    [("OLDEST_POSTGRESQL", 99, "postgresql-old"), ("OLDEST_POSTGIS", (9, 0), "postgis-old")],
)
def test_a_server_that_is_too_old_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, constant: str, value: object, name: str
) -> None:
    monkeypatch.setattr(safety, constant, value)
    assert f"[{name}]" in refusal(settings)


def test_clocks_that_are_apart_are_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    present = clock.system
    monkeypatch.setattr(clock, "system", lambda: present() + timedelta(seconds=30))
    assert "[clocks-apart]" in refusal(settings)


def test_another_encoding_is_refused(database: Standing, settings: Settings) -> None:
    create = "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
    with changed(database, (create,), ("DROP DATABASE latin",)):
        told = refusal(replace(settings, database_url=database.cluster.dsn(APP_ROLE, "latin")))
        assert "[encoding]" in told
        assert "[schema]" in told  # Everything is named at once.
        assert "[postgis-old]" in told


def test_a_plain_link_to_another_machine_must_be_said(settings: Settings) -> None:
    """The facts of such a link cannot be had on one machine, so the one that differs is set."""
    pool = Database(settings.database_url, pool_size=1)
    with pool.engine.connect() as connection:
        facts = safety_facts.read(settings, connection)
    pool.close()
    far = replace(facts, remote=True)
    assert {f.name for f in safety.judged(settings, far)} == {"link-plain"}
    chosen = safety.judged(settings, replace(far, sslmode="disable"))
    assert [(f.name, f.severity) for f in chosen] == [("link-plain-chosen", safety.Severity.WARN)]
    unverified = safety.judged(settings, replace(far, encrypted=True, sslmode="require"))
    assert [f.name for f in unverified] == ["link-unverified"]
    assert safety.judged(settings, replace(far, encrypted=True, sslmode="verify-full")) == []


def test_warnings_stop_nothing_and_are_said(database: Standing, settings: Settings) -> None:
    said: list[str] = []
    do, undo = (
        f"ALTER DATABASE {NAME} SET log_statement = 'all'",
        f"ALTER DATABASE {NAME} RESET log_statement",
    )
    with changed(database, (do,), (undo,)):
        runtime.check_safe(replace(settings, workers=64), said.append)
    assert [line.split("]")[0] for line in said] == ["Warning [connections-few", "Warning [log-statement"]


def test_every_check_speaks_both_languages_and_has_one_name() -> None:
    names = [check.name for check in safety.CHECKS]
    assert len(names) == len(set(names))
    assert set(names) == set(safety_texts.TEXTS)
    assert sum(check.severity is safety.Severity.REFUSE for check in safety.CHECKS) >= 12


@pytest.mark.slow
def test_the_command_ends_with_the_name_of_what_is_wrong(database: Standing, tmp_path: Path) -> None:
    do, undo = IN_THE_DATABASE["synchronous-commit-off"]
    with (
        changed(database, do, undo),
        pytest.raises(AssertionError, match="synchronous-commit-off"),
        served(database.cluster, database.cluster.app_dsn, tmp_path),
    ):
        pass


# --- after the start


@pytest.mark.slow
def test_a_setting_that_turns_unsafe_while_serving_stops_the_acknowledging(
    database: Standing, tmp_path: Path
) -> None:
    with served(database.cluster, database.cluster.app_dsn, tmp_path) as running:
        cadre = make_cadre(running.service, make_world(running.service))
        with running.service.as_(cadre.token) as client:

            def put() -> httpx.Response:
                return client.put(f"/v1/check-ins/{ids.new_id()}", json=check_in(clock.now()))

            assert put().status_code == 201
            do, undo = IN_THE_DATABASE["fsync-off"]
            with changed(database, do, undo):
                until(lambda: client.get("/readyz").status_code == 503)
                refused = put()
                assert (refused.status_code, refused.json()["code"]) == (503, "database-unsafe")
                assert "fsync=off" in refused.json()["detail_en"]
                assert int(refused.headers["Retry-After"]) >= 30
            until(lambda: client.get("/readyz").status_code == 200)
            assert put().status_code == 201


def test_a_new_connection_is_asked_and_an_old_one_is_pinned(database: Standing) -> None:
    """The role is told to forget about durability while the service runs: what is open stays safe, nothing new is used."""
    pool = Database(database.cluster.app_dsn, pool_size=2)
    do, undo = IN_THE_DATABASE["synchronous-commit-off"]
    ask = sa.text("SELECT current_setting('synchronous_commit')")
    with pool.read() as session, changed(database, do, undo):
        assert session.execute(ask).scalar_one() == "on"
        with pytest.raises(Exception, match="database-unsafe"), pool.read():
            pass
    say_to(database, "ALTER SYSTEM SET synchronous_commit = off", RELOAD)
    try:
        with pool.read() as session:
            assert session.execute(ask).scalar_one() == "on"
    finally:
        say_to(database, "ALTER SYSTEM RESET synchronous_commit", RELOAD)
        pool.close()


def test_the_intakes_own_connection_is_asked_as_well(database: Standing, tmp_path: Path) -> None:
    cluster = database.cluster
    cloned = Cloned(NAME, cluster.app_dsn, cluster.dsn(OWNER_ROLE, NAME))
    do, undo = IN_THE_DATABASE["synchronous-commit-off"]
    with running_service(cloned, tmp_path) as service:
        cadre = make_cadre(service, make_world(service, town="500116107"))
        with changed(database, do, undo), service.as_(cadre.token) as client:
            answer = client.put(f"/v1/check-ins/{ids.new_id()}", json=check_in(clock.now()))
        assert (answer.status_code, answer.json()["code"]) == (503, "database-unsafe")
