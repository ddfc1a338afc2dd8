"""`tillroll projections`: what an operator types and sees."""

import json
import re
from datetime import UTC, datetime

import pytest
import typer
from typer.testing import CliRunner, Result

from adapters import cli_projections
from projections import PROJECTIONS
from tests.adapters.projected_shop import projected_shop, recorded_ago, sql
from tests.shop_history import ShopHistory

HEADINGS = ["Projection", "Log", "Position", "Head", "Waiting", "For", "State", "Moved", "(UTC)"]


@pytest.fixture
def dsn(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TILLROLL_DSN", fresh_database)
    return fresh_database


@pytest.fixture
def shop(dsn: str) -> ShopHistory:
    return projected_shop(dsn)


def projections(*words: str) -> Result:
    app = typer.Typer()
    cli_projections.register(app)
    return CliRunner().invoke(app, list(words))


def row_of(result: Result, name: str) -> str:
    return next(" ".join(line.split()) for line in result.stdout.splitlines() if line.split()[0] == name)


def test_one_row_a_projection_in_words(shop: ShopHistory) -> None:
    result = projections()

    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == HEADINGS
    assert [line.split()[0] for line in lines[1:]] == [*(p.name for p in PROJECTIONS), "order.order_saga"]
    n = len(shop.logs["order"])
    moved = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d"
    assert re.fullmatch(f"order_info order {n} {n} 0 0 s up to date {moved}", row_of(result, "order_info")), (
        result.stdout
    )


def test_what_waits_is_counted_and_told_how_long(dsn: str, shop: ShopHistory) -> None:
    recorded_ago(dsn, shop, seconds=4000)
    result = projections()

    assert result.exit_code == 0
    assert " 2 1 h 6 min catching up " in row_of(result, "goods")


def test_one_that_nobody_moves(dsn: str, shop: ShopHistory) -> None:
    sql(dsn, "UPDATE read.position SET at = now() - interval '1 hour'")
    recorded_ago(dsn, shop, seconds=45)
    result = projections()

    assert result.exit_code == 0
    assert " 2 45 s no projector is moving it " in row_of(result, "goods")


def test_a_stopped_one_says_why_and_the_exit_code_says_so(dsn: str, shop: ShopHistory) -> None:
    sql(dsn, r"UPDATE read.position SET last_error = E'bad event \x1b[2J' WHERE projection = 'goods'")
    result = projections()

    assert result.exit_code == 1
    assert r" STOPPED: bad event \x1b[2J " in row_of(result, "goods")


def test_one_of_another_version_says_what_to_do(dsn: str, shop: ShopHistory) -> None:
    sql(dsn, "UPDATE read.position SET shape = 'older' WHERE projection = 'goods'")
    result = projections()

    assert result.exit_code == 1
    assert " made by another version: rebuild " in row_of(result, "goods")


def test_the_same_for_a_program(dsn: str, shop: ShopHistory) -> None:
    recorded_ago(dsn, shop, seconds=40)
    result = projections("--json")
    items = {(item["schema"], item["projection"]): item for item in json.loads(result.stdout)["items"]}

    assert result.exit_code == 0
    goods = items["read", "goods"]
    head = len(shop.logs["goods"])
    assert goods.pop("behind_s") == pytest.approx(40, abs=5)
    assert datetime.now(UTC) > datetime.fromisoformat(goods.pop("moved_at"))
    assert goods == {
        "projection": "goods",
        "schema": "read",
        "log": "goods",
        "position": head - 2,
        "head": head,
        "behind_events": 2,
        "state": "catching-up",
        "error": None,
    }
    assert items["order", "order_saga"]["state"] == "up-to-date"


def test_a_database_that_is_not_migrated_is_one_clear_line(dsn: str) -> None:
    result = projections()

    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "tillroll migrate" in result.stderr


def test_a_database_that_does_not_answer_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLROLL_DSN", "postgresql://nobody@127.0.0.1:1/none")
    result = projections("--json")

    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
