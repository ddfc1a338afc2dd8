"""`tillroll saga` on a real log: what waits is shown, acts are recorded, the watchdog sends what they owe."""

import asyncio
import json
import os
import pwd
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import typer
from typer.testing import CliRunner, Result

from adapters import cli_replaying, cli_saga
from adapters.cli import main
from adapters.ids import utc_now
from adapters.ledger_codec import CODEC
from adapters.postgres_due import SCHEMA, PostgresDue
from adapters.postgres_log import PostgresLog
from adapters.postgres_migrate import migrate
from adapters.postgres_projection import PostgresProjection
from adapters.saga_desk import CannotAct, possible_acts
from adapters.settings import load_settings
from domain.saga import MOVES, Resent, Step
from domain.saga_acts import CompensationOrdered
from domain.sale import Rollback, Sell
from domain.services import ORDER
from orchestrator.ledger import Ledger
from orchestrator.messages import Command
from orchestrator.watchdog import Watchdog
from projections.order_saga import ORDER_SAGA
from tests.adapters.stored_history import append
from tests.shop_history import ShopHistory


@pytest.fixture
def shop() -> ShopHistory:
    """Began a minute ago: 1 is paid, 2 and 3 are being sold, 4 waits for payment, 5 is given back; 3 and 5
    are stuck, and not due for an hour: only a retry makes the watchdog look at them.
    """
    shop = ShopHistory()
    shop.now = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=60)
    shop.stocked(12, 10)
    shop.placed("1", [(12, 3)])
    shop.paid("1")
    shop.started("2", [(12, 1)], user_id=8)
    shop.started("3", [(12, 2)], user_id=9)
    again_at = shop.now + timedelta(hours=1)
    shop.plant(ORDER, "saga-3", Resent(4, again_at, "inventory has not answered Sell"))
    shop.placed("4", [(12, 1)], user_id=10)
    shop.placed("5", [(12, 1)], user_id=11)
    shop.cancelled("5", user_id=11)
    shop.plant(ORDER, "saga-5", Resent(5, again_at, "inventory has not answered Rollback"))
    return shop


@pytest.fixture
def dsn(shop: ShopHistory, fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TILLROLL_DSN", fresh_database)
    migrate(load_settings())
    with psycopg.connect(fresh_database) as connection:
        for log in ("order", "inventory"):
            append(connection, log, shop.logs[log])
            last = len(shop.logs[log])
            sequence = f"""'"{log}".events_notification_id_seq'"""
            connection.execute(f"SELECT setval({sequence}, {last})".encode())
    project(fresh_database)
    return fresh_database


def project(dsn: str) -> None:
    """The orchestrator's own list of sagas catches up."""
    with PostgresProjection(ORDER_SAGA, log_dsn=dsn, read_dsn=dsn, schema=SCHEMA) as live:
        while live.advance():
            pass


def tillroll(*words: str) -> Result:
    app = typer.Typer()
    app.add_typer(cli_saga.app, name="saga")
    cli_replaying.register(app)
    return CliRunner().invoke(app, list(words))


def refused(*words: str) -> str:
    result = tillroll(*words)
    assert isinstance(result.exception, CannotAct)
    return str(result.exception)


def woken(dsn: str) -> list[Command]:
    """What a watchdog on this database sends at one look."""
    sent: list[Command] = []

    async def look() -> None:
        log, due = PostgresLog(dsn, ORDER.log), PostgresDue(dsn)
        ledger = Ledger(ORDER, log, CODEC)
        await Watchdog(ledger, due=due.due, send=sent.append, clock=utc_now).look()
        await ledger.close()
        await due.close()
        log.close()

    project(dsn)
    asyncio.run(look())
    return sent


@pytest.mark.usefixtures("dsn")
def test_the_list_shows_what_is_stuck_first_and_only_what_owes_something() -> None:
    result = tillroll("saga", "list")
    rows = [line.split() for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    listed = [["3", "SELLING", "Sell"], ["5", "ROLLING_BACK", "Rollback"], ["2", "SELLING", "Sell"]]
    assert [row[:3] for row in rows[1:4]] == listed
    assert "inventory has not answered Sell since" in result.stdout
    assert rows[4][:4] == ["3", "shown,", "2", "stuck:"]


@pytest.mark.usefixtures("dsn")
def test_the_list_as_json_says_which_are_stuck() -> None:
    listed = json.loads(tillroll("saga", "list", "--json").stdout)
    stuck = [(item["order_id"], item["stuck"]) for item in listed["items"]]
    assert stuck == [("3", True), ("5", True), ("2", False)]
    assert listed["more"] is False


@pytest.mark.usefixtures("dsn")
def test_the_list_is_narrowed_by_step_age_and_number() -> None:
    waiting = json.loads(tillroll("saga", "list", "--step", "awaiting_payment", "--json").stdout)
    assert [item["order_id"] for item in waiting["items"]] == ["4"]
    old = json.loads(tillroll("saga", "list", "--older-than", "3600", "--json").stdout)
    assert old["items"] == []
    first = json.loads(tillroll("saga", "list", "--limit", "1", "--json").stdout)
    assert ([item["order_id"] for item in first["items"]], first["more"]) == (["3"], True)
    assert tillroll("saga", "list", "--older-than", "3600").stdout.startswith("No saga is as you asked")


def test_a_list_that_nobody_keeps_says_that_it_is_behind(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute('UPDATE "order".position SET position = position - 3')

    listed = tillroll("saga", "list")
    assert listed.exit_code == 0
    assert (
        listed.stderr == "tillroll: this list is 3 events behind the order log: does an orchestrator run?\n"
    )
    assert json.loads(tillroll("saga", "list", "--json").stdout)["behind"] == 3


@pytest.mark.usefixtures("dsn")
def test_an_order_id_of_thousands_of_digits_is_one_clear_line() -> None:
    refused = tillroll("saga", "show", "7" * 5_000)
    assert isinstance(refused.exception, CannotAct)
    assert len(str(refused.exception)) < 120


@pytest.mark.usefixtures("dsn")
def test_a_saga_is_shown_in_words_with_what_can_be_done() -> None:
    told = tillroll("saga", "show", "3").stdout
    assert "Step       SELLING since 20" in told
    assert "Waits for  inventory's answer whether it sold 1 goods, 2 units" in told
    assert "Owes       Sell, sent again 4 times, stuck; next try at " in told
    assert "Last error inventory has not answered Sell since 20" in told
    assert "tillroll saga retry 3 --reason TEXT" in told
    assert "tillroll saga compensate 3 --reason TEXT" in told
    assert "tillroll replay order 3" in told


@pytest.mark.usefixtures("dsn")
def test_a_saga_that_has_ended_says_so_and_offers_nothing() -> None:
    told = tillroll("saga", "show", "1").stdout
    assert "The end    paid" in told
    assert "You can" not in told
    shown = json.loads(tillroll("saga", "show", "1", "--json").stdout)
    assert (shown["step"], shown["owes"], shown["acts"], shown["waits_for"]) == ("PAID", None, [], None)


def test_a_retry_is_recorded_with_who_and_why_and_the_watchdog_sends_what_is_owed(dsn: str) -> None:
    assert Rollback("5") not in woken(dsn)
    told = tillroll("saga", "retry", "5", "--reason", "the broker is back", "--by", "mary-jane")
    assert told.exit_code == 0, told.exception
    assert told.stdout.startswith("RetrySaga recorded as operator-mary-jane at order=")
    story = tillroll("replay", "order", "5").stdout
    assert "operator mary-jane" in story
    assert "Retry ordered: the broker is back" in story
    assert Rollback("5") in woken(dsn)


def test_a_retry_past_the_deadline_of_a_sell_gives_the_order_up(dsn: str) -> None:
    tillroll("saga", "retry", "3", "--reason", "the broker is back")
    assert Sell not in map(type, woken(dsn))
    shown = json.loads(tillroll("saga", "show", "3", "--json").stdout)
    assert (shown["step"], shown["reason"]) == ("ROLLING_BACK", "sell-unanswered")


def test_a_compensated_order_owes_the_rollback_and_the_watchdog_sends_it(dsn: str) -> None:
    shown = json.loads(
        tillroll("saga", "compensate", "4", "--reason", "the customer called", "--json").stdout
    )
    assert (shown["step"], shown["owes"], shown["reason"]) == ("ROLLING_BACK", "Rollback", "compensated")
    assert shown["acts"] == ["retry"]
    project(dsn)
    with psycopg.connect(dsn) as connection:
        connection.execute("""UPDATE "order".order_saga SET next_try_at = now() WHERE order_id = 4""")
    assert Rollback("4") in woken(dsn)
    told = tillroll("saga", "compensate", "4", "--reason", "again").stdout
    assert told.startswith("CompensateSaga done before, nothing recorded")


@pytest.mark.usefixtures("dsn")
def test_the_login_name_stands_in_the_log_when_nobody_else_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "mallory")
    monkeypatch.setenv("USER", "mallory")
    own = pwd.getpwuid(os.getuid()).pw_name
    told = tillroll("saga", "retry", "3", "--reason", "why not").stdout
    assert told.startswith(f"RetrySaga recorded as operator-{own} at order=")


@pytest.mark.usefixtures("dsn")
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("show", "99"), "there is no order 99"),
        (("retry", "99", "--reason", "x"), "there is no order 99"),
        (("show", "-"), "order id '-': expected a whole number from 1 to 9223372036854775807"),
        (("show", "9" * 30), f"order id '{'9' * 30}': expected a whole number from 1 to 9223372036854775807"),
        (("retry", "1", "--reason", "x"), "order 1 is at PAID: This order's saga owes inventory nothing"),
        (("compensate", "1", "--reason", "x"), "order 1: The order is paid already."),
        (("retry", "3", "--reason", "  "), "--reason: expected 1 to 500 characters in one line"),
        (("retry", "3", "--reason", "x" * 501), "--reason: expected 1 to 500 characters in one line"),
        (("retry", "3", "--reason", "a\nb"), "--reason: expected 1 to 500 characters in one line"),
        (("retry", "3", "--reason", "x", "--by", ""), "--by: expected 1 to 64 characters in one line"),
        (("list", "--step", "LOST"), "--step 'LOST': expected one of SELLING, AWAITING_PAYMENT, PAID"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(words: tuple[str, ...], why: str) -> None:
    told = refused("saga", *words)
    assert told.startswith(why)
    assert "\n" not in told


def test_a_refusal_records_nothing(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        count = """SELECT count(*) FROM "order".events"""
        before = connection.execute(count).fetchone()
        refused("saga", "compensate", "1", "--reason", "x")
        assert connection.execute(count).fetchone() == before


@pytest.mark.parametrize(
    "words", [("list",), ("show", "1"), ("retry", "1", "--reason", "x"), ("compensate", "1", "--reason", "x")]
)
@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("postgresql://127.0.0.1:1/nothing", "tillroll: "),
        (None, "tillroll: no Tillroll runs on the data folder "),
    ],
)
def test_without_a_database_there_is_one_line_on_stderr_and_exit_1(
    words: tuple[str, ...],
    address: str | None,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("TILLROLL_DSN", raising=False)
    if address is not None:
        monkeypatch.setenv("TILLROLL_DSN", address)
    monkeypatch.setattr("sys.argv", ["tillroll", "saga", *words, "--data", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        main()
    told = capsys.readouterr()
    assert (end.value.code, told.out) == (1, "")
    assert told.err.startswith(why)
    assert told.err.count("\n") == 1


@pytest.mark.parametrize("step", Step)
def test_exactly_what_would_not_be_refused_is_offered(step: Step) -> None:
    assert ("compensate" in possible_acts(step)) == ((step, CompensationOrdered) in MOVES)
    assert ("retry" in possible_acts(step)) == (step in (Step.SELLING, Step.ROLLING_BACK))
