"""The commands `zaicun account` and `zaicun keys`."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from conftest import Clone, Cloned

from server.auth import service as auth_service
from server.auth.keys import Purpose
from server.auth.models import Account
from server.cli import main
from server.db import Database
from server.problems import Problem


@pytest.fixture
def operator(clone: Clone, tmp_path: Path) -> tuple[CliRunner, Cloned, dict[str, str]]:
    cloned = clone()
    given = {"ZAICUN_DATABASE_URL": cloned.app_url, "ZAICUN_VAR": str(tmp_path)}
    # The tests' own variable is no setting, and the command rightly refuses what it does not know.
    return CliRunner(env={**given, "ZAICUN_TEST_VAR": None}), cloned, given


def test_the_first_administrator_is_made_once(operator: tuple[CliRunner, Cloned, dict[str, str]]) -> None:
    runner, cloned, _ = operator
    made = runner.invoke(main, ["account", "first-admin", "--login", "Boss"])
    assert made.exit_code == 0, made.output
    assert "boss" in made.output
    assert re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", made.output)
    again = runner.invoke(main, ["account", "first-admin", "--login", "boss2"])
    assert again.exit_code == 1
    assert "已有管理员账号" in again.output
    odd = runner.invoke(main, ["account", "first-admin", "--login", "张三"])
    assert odd.exit_code == 2
    database = Database(cloned.owner_url, pool_size=1)
    with database.write() as session:
        session.execute(sa.update(Account).values(disabled_at=sa.func.now()))
    taken = runner.invoke(main, ["account", "first-admin", "--login", "boss"])
    assert (taken.exit_code, "login-taken" in taken.output) == (1, True)
    assert runner.invoke(main, ["account", "first-admin", "--login", "boss3"]).exit_code == 0
    database.close()


def test_two_first_administrators_at_once_are_one(
    operator: tuple[CliRunner, Cloned, dict[str, str]],
) -> None:
    _, cloned, _ = operator
    database = Database(cloned.app_url, pool_size=4)
    barrier = threading.Barrier(4)

    def make(number: int) -> bool:
        barrier.wait()
        try:
            with database.write() as session:
                auth_service.first_administrator(session, f"boss{number}", "管理员")
        except Problem:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(make, range(4))) == 1
    database.close()


def test_an_operator_lets_the_only_administrator_back_in(
    operator: tuple[CliRunner, Cloned, dict[str, str]],
) -> None:
    runner, _, _ = operator
    first = runner.invoke(main, ["account", "first-admin", "--login", "boss"])
    second = runner.invoke(main, ["account", "reset", "--login", "BOSS"])
    found = [re.search(r"[0-9A-Z]{4}(?:-[0-9A-Z]{4}){2}", one.output) for one in (first, second)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0][0] != found[1][0]
    assert runner.invoke(main, ["account", "reset", "--login", "nobody"]).exit_code == 1


def _current(listed: str) -> list[str]:
    return sorted(line.split()[0] for line in listed.splitlines() if line.endswith(" current"))


def test_keys_are_listed_and_rotated_without_showing_a_secret(
    operator: tuple[CliRunner, Cloned, dict[str, str]],
) -> None:
    runner, _, given = operator
    listed = runner.invoke(main, ["keys", "list"])
    assert _current(listed.output) == sorted(Purpose)
    assert runner.invoke(main, ["keys", "rotate"]).exit_code == 0
    assert runner.invoke(main, ["keys", "rotate", "--purpose", "refresh", "--stolen"]).exit_code == 0
    after = runner.invoke(main, ["keys", "list"])
    assert len(after.output.splitlines()) == len(Purpose) + 2
    assert _current(after.output) == sorted(Purpose)
    secrets = re.findall(
        r'"(?:d|k)": "([^"]+)"',
        "".join(file.read_text() for file in Path(given["ZAICUN_VAR"], "keys").iterdir()),
    )
    assert len(secrets) == len(Purpose) + 2
    assert [one for one in secrets if one in after.output] == []
    assert runner.invoke(main, ["keys", "rotate", "--purpose", "other"]).exit_code == 2
