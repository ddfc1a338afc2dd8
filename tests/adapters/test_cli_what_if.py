"""`replay redecide` and `replay what-if` as typed: over logs in PostgreSQL, by a role that may only read."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import typer
from psycopg import conninfo
from psycopg.sql import SQL, Identifier
from typer.testing import CliRunner, Result

from adapters import cli_what_if
from domain.services import INVENTORY
from domain.stock import AdjustStock, StockAdjusted
from tests.adapters.read_history import database_with
from tests.adapters.stored_history import append
from tests.shop_history import ShopHistory

READER = "what_if_reader"


def history() -> ShopHistory:
    """Order 1 paid after ten minutes, 2 lapsed and paid too late, 3 refused; three of goods 11 are left."""
    shop = ShopHistory()
    shop.stocked(11, 5)
    shop.placed("1", [(11, 2)])
    shop.now += timedelta(minutes=10)
    shop.paid("1")
    shop.placed("2", [(11, 1)], user_id=8)
    shop.placed("3", [(11, 9)], user_id=9)
    shop.now += timedelta(minutes=31)
    shop.lapsed("2")
    shop.rolled_back("2")
    shop.paid("2")
    shop.tell(INVENTORY, AdjustStock(11, 1, "found", goods_exist=True))
    return shop


SHOP = history()


@pytest.fixture(scope="module")
def reader(postgres_dsn: str) -> Iterator[str]:
    """The address of a role that can only SELECT, and only from the logs."""
    with database_with(SHOP, postgres_dsn) as dsn:
        with psycopg.connect(dsn, autocommit=True) as owner:
            owner.execute(SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(Identifier(READER)))
            for log in SHOP.logs:
                owner.execute(SQL("GRANT USAGE ON SCHEMA {} TO {}").format(*map(Identifier, (log, READER))))
                events = Identifier(log, "events")
                owner.execute(SQL("GRANT SELECT ON {} TO {}").format(events, Identifier(READER)))
        yield conninfo.make_conninfo(dsn, user=READER, password="x")
        with psycopg.connect(dsn, autocommit=True) as owner:
            owner.execute(SQL("DROP OWNED BY {}").format(Identifier(READER)))
            owner.execute(SQL("DROP ROLE {}").format(Identifier(READER)))


@pytest.fixture(autouse=True)
def _address(reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLROLL_DSN", reader)


def tillroll(*words: str) -> Result:
    app = typer.Typer()
    cli_what_if.register(app)
    return CliRunner().invoke(app, list(words))


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def refused(*words: str) -> str:
    """What is said, in one line, by a command that could not run."""
    result = tillroll(*words)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    return result.stderr.strip()


# re-decide


def test_redecide_of_what_the_shop_decided_finds_nothing() -> None:
    result = tillroll("redecide")
    assert result.exit_code == 0
    assert lines(result.stdout)[-1].endswith("commands are decided today as they were recorded.")
    body = json.loads(tillroll("redecide", "--json", "--log", "inventory", "--log", "goods").stdout)
    assert body["same"] is True
    assert {one["log"]: one["found"] for one in body["logs"]} == {"goods": 0, "inventory": 0}


def test_redecide_lists_an_event_that_today_s_rules_would_not_write(postgres_dsn: str) -> None:
    shop = history()
    position = shop.plant(INVENTORY, "stock-11", StockAdjusted(-1, "nobody", 99))
    with database_with(SHOP, postgres_dsn) as dsn, pytest.MonkeyPatch.context() as patch:
        with psycopg.connect(dsn) as connection:
            append(connection, "inventory", shop.logs["inventory"][position - 1 :])
        patch.setenv("TILLROLL_DSN", dsn)
        shown, body = tillroll("redecide", "--log", "inventory"), tillroll("redecide", "--json")
    assert (shown.exit_code, body.exit_code) == (1, 1)
    assert "StockAdjusted in stock-11 with on_hand 3 instead of 99" in shown.stdout
    assert lines(shown.stdout)[-1] == "1 of 7 commands would be decided otherwise."
    (found,) = [one for log in json.loads(body.stdout)["logs"] for one in log["differences"]]
    assert (found["log"], found["position"], found["command"]) == ("inventory", position, "AdjustStock")


def test_a_log_that_there_is_not_is_said_in_one_line() -> None:
    assert refused("redecide", "--log", "sales") == (
        "tillroll: --log 'sales': expected one of user, goods, inventory, order"
    )


# what if


def test_with_nothing_changed_nothing_would_differ() -> None:
    body = json.loads(tillroll("what-if", "--json").stdout)
    assert (body["orders"], body["goods"]) == ([], [])
    assert body["before"] == body["after"]
    assert lines(tillroll("what-if").stdout)[-1].endswith("no order and no stock would differ.")


def test_a_longer_window_is_shown_with_its_order_and_totals() -> None:
    result = tillroll("what-if", "--payment-window", "3600")
    assert result.exit_code == 0
    said = lines(result.stdout)
    assert "orders closed 1 0 -1" in said
    assert "revenue paid 500 750 +250" in said
    assert "2 8 2026-11-23 14:10:08 250 closed: payment-lapsed; refund due 250 paid" in said
    assert "11 4 3" in said
    assert said[-1].endswith(
        "1 orders would have ended otherwise, and the final stock of 1 goods would differ."
    )


def test_since_and_until_bound_what_is_changed_and_what_is_run() -> None:
    later = tillroll("what-if", "--payment-window", "60", "--since", "2026-11-23T14:05:00Z", "--json")
    assert json.loads(later.stdout)["orders"] == []
    early = json.loads(tillroll("what-if", "--payment-window", "60", "--until", "order=6", "--json").stdout)
    assert early["positions"]["order"] == 6
    assert early["before"]["orders"] == {"to pay": 1}


def rule_in(folder: Path, code: str) -> str:
    file = folder / "rule.py"
    file.write_text(code)
    return f"{file}:limit"


def test_a_rule_refuses_orders_with_its_own_words(tmp_path: Path) -> None:
    rule = rule_in(
        tmp_path,
        "from orchestrator.what_if_rule import Purchase\n"
        "def limit(order: Purchase) -> str | None:\n"
        "    return 'one of each' if any(line.nums > 1 for line in order.lines) else None\n",
    )
    body = json.loads(tillroll("what-if", "--rule", rule, "--json").stdout)
    after = {one["order_id"]: (one["after"]["what"], one["after"]["why"]) for one in body["orders"]}
    assert after == {"1": ("not started", "one of each"), "3": ("not started", "one of each")}
    assert (body["before"]["revenue_paid"], body["after"]["revenue_paid"]) == (500, 0)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def other(order): ...", "has no function limit"),
        ("limit = 7", "has no function limit"),
        ("def limit(:", "broke: SyntaxError: invalid syntax"),
        ("raise SystemExit(3)", "broke: SystemExit: 3"),
        ("def limit(order): return order.nothing", "the rule broke at order 1: AttributeError"),
        ("def limit(order): return 5", "the rule gave 5 for order 1: expected a reason, or None"),
    ],
)
def test_a_rule_that_cannot_be_used_is_said_in_one_line(tmp_path: Path, code: str, said: str) -> None:
    assert said in refused("what-if", "--rule", rule_in(tmp_path, code))


def test_what_was_typed_wrong_is_said_in_one_line(tmp_path: Path) -> None:
    missing = tmp_path / "none.py"
    assert refused("what-if", "--rule", f"{missing}:f") == (
        f"tillroll: --rule: {missing} cannot be read: No such file or directory"
    )
    assert "expected FILE.py:FUNCTION" in refused("what-if", "--rule", "rule.py")
    assert "expected whole seconds" in refused("what-if", "--payment-window", "0")
    assert "expected whole seconds" in refused("what-if", "--sell-deadline", "1.5")
    assert "expected a time with its zone" in refused("what-if", "--since", "2026-11-23T14:03:00")
    assert "--until" in refused("what-if", "--until", "yesterday")


def test_a_role_without_rights_is_said_in_one_line(reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLROLL_DSN", conninfo.make_conninfo(reader, user="nobody_at_all"))
    assert refused("redecide").startswith("tillroll: log user cannot be read: ")
    assert refused("what-if").startswith("tillroll: log order cannot be read: ")
