"""`audit --redecide`: a fault that adds up shows once each command is decided again by today's rules."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from psycopg import conninfo
from typer.testing import CliRunner, Result

from adapters import cli_audit, cli_stock
from domain.limits import MAX_STOCK
from domain.services import INVENTORY
from domain.stock import StockAdjusted
from tests.adapters.read_history import database_with
from tests.shop_history import ShopHistory


def history() -> tuple[ShopHistory, int]:
    """Goods 12 are more than any command makes them, at that position; the levels add up."""
    shop = ShopHistory()
    shop.stocked(12, 10)
    shop.placed("1", [(12, 3)])
    shop.paid("1")
    position = shop.plant(INVENTORY, "stock-12", StockAdjusted(MAX_STOCK, "found", MAX_STOCK + 7))
    shop.placed("2", [(12, 1)])
    return shop, position


SHOP, POSITION = history()


@pytest.fixture(scope="module")
def dsn(postgres_dsn: str) -> Iterator[str]:
    with database_with(SHOP, postgres_dsn) as address:
        yield address


@pytest.fixture(autouse=True)
def _shop(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLROLL_DSN", dsn)


def tillroll(*words: str) -> Result:
    app = typer.Typer()
    cli_audit.register(app)
    cli_stock.register(app)
    return CliRunner().invoke(app, ["audit", *words])


def counted(report: Any) -> dict[str, int]:
    return {checked["check"]: checked["count"] for checked in report["checks"]}


def test_without_the_option_no_command_is_decided_again() -> None:
    result = tillroll("--json")
    assert result.exit_code == 0, result.output
    assert not [check for check in counted(json.loads(result.stdout)) if check.startswith("decisions")]


def test_a_difference_is_a_finding_with_its_stream_and_position() -> None:
    result = tillroll("--json", "--redecide")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    (finding,) = report["findings"]
    place = (finding["check"], finding["subject"], finding["log"], finding["position"])
    assert place == ("decisions inventory", "stream stock-12", "inventory", POSITION)
    assert finding["what"].startswith("AdjustStock gives a refusal, stock-too-large today; recorded: ")
    assert counted(report)["decisions inventory"] == 4


def test_a_page_is_written_also_when_there_are_findings_and_the_exit_code_says_so(tmp_path: Path) -> None:
    page = tmp_path / "audit.html"
    result = tillroll("--redecide", "--html", str(page))
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1].startswith("THE BOOKS DO NOT BALANCE: 1 finding in ")
    text = page.read_text(encoding="utf-8")
    for said in ("THE BOOKS DO NOT BALANCE", f"inventory={POSITION}", "tillroll replay stream stock-12"):
        assert said in text
    assert "--since" not in text, "what has findings is not continued"


def test_who_may_not_read_a_log_is_told_in_one_line(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLROLL_DSN", conninfo.make_conninfo(dsn, dbname="no_such_database"))
    result = tillroll("--redecide")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
