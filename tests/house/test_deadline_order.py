"""Deadlines in an order in which each party hears of the other's end: refused at the start otherwise, and `check` says so."""

import json

import pytest
from click.testing import CliRunner

from server import deadlines
from server.cli import main
from server.settings import LEAST_SPARE_S, Settings, SettingsFault, load, replaced


@pytest.mark.parametrize(
    ("within", "statement"), [("3", "3"), ("3", "10"), ("2.5", "2.4"), (None, "2.9"), ("2.6", None)]
)
def test_the_database_gives_up_before_the_service_does(within: str | None, statement: str | None) -> None:
    given = {"ZAICUN_ANSWER_WITHIN_S": within, "ZAICUN_STATEMENT_TIMEOUT_S": statement}
    env = {name: value for name, value in given.items() if value is not None}
    with pytest.raises(SettingsFault, match=r"ZAICUN_STATEMENT_TIMEOUT_S.*先于服务放弃"):
        load(env)
    result = CliRunner(env=env).invoke(main, ["check", "--json"])
    assert result.exit_code == 1
    wrong = [each for each in json.loads(result.output)["findings"] if each["name"] in given]
    assert {each["state"] for each in wrong} == {"wrong"}


def test_an_order_that_fits_is_taken() -> None:
    taken = load({"ZAICUN_ANSWER_WITHIN_S": "2.5", "ZAICUN_STATEMENT_TIMEOUT_S": "2.25"})
    assert taken.answer_within_s - taken.statement_timeout_s == LEAST_SPARE_S
    with pytest.raises(SettingsFault):
        replaced(Settings(), statement_timeout_s=3.0)


def test_the_shortest_answer_leaves_time_to_connect() -> None:
    shortest = {"ZAICUN_STATEMENT_TIMEOUT_S": "1"}
    assert load(shortest | {"ZAICUN_ANSWER_WITHIN_S": "2.5"}).answer_within_s > deadlines.CONNECT_WITHIN_S
    with pytest.raises(SettingsFault):
        load(shortest | {"ZAICUN_ANSWER_WITHIN_S": str(deadlines.CONNECT_WITHIN_S)})
