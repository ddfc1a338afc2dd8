"""The commands as an engineer types them: what they print, and how they say no."""

import json
from pathlib import Path

import psycopg
import pytest
import typer
from typer.testing import CliRunner, Result

from adapters import cli_audit, cli_replaying
from adapters.order_story import read_story, timeline_of
from domain.cart import CartLine, ReplaceCart
from domain.services import INVENTORY, ORDER, USER
from domain.stock import StockReturned
from domain.user import RegisterUser, Role
from orchestrator.timeline import timeline
from tests.adapters.stored_history import append, store
from tests.shop_history import SELL_DEADLINE, START, ShopHistory

PAID_ORDER = """\
Order 1 user 7 CNY 8.49 paid saga PAID
2026-11-23 14:00:04 0 ms customer 7 Cart filled with 2 goods, 4 units order=1
2026-11-23 14:00:05 1.0 s customer 7 Order started: 2 goods, 4 units, amount CNY 8.49; inventory to sell them\
 order=2
2026-11-23 14:00:05 0 ms customer 7 Checkout begun: 2 goods, 4 units order=3 by order=2
2026-11-23 14:00:06 1.0 s order saga Inventory sold 2 goods, 4 units\
 goods 12: 3, now 7 on hand; goods 13: 1, now 9 on hand inventory=3 by order=2
2026-11-23 14:00:07 1.0 s inventory The stock is sold; payment awaited until 2026-11-23 14:30:07 UTC\
 order=4 by inventory=3
2026-11-23 14:00:07 0 ms inventory Order placed: 2 goods, 4 units, amount CNY 8.49 order=5 by order=4
2026-11-23 14:00:07 0 ms inventory What was ordered left the cart: 2 goods, 4 units order=6 by order=4
2026-11-23 14:00:08 1.0 s user 3 Paid CNY 8.49 by alipay, trade T-1 order=7
2026-11-23 14:00:08 0 ms user 3 The end: paid order=8 by order=7
"""


@pytest.fixture
def shop() -> ShopHistory:
    """Order 1 is paid, 2 is being sold, 900 was sold by hand."""
    shop = ShopHistory()
    shop.stocked(12, 10)
    shop.stocked(13, 10, price=99)
    shop.placed("1", [(12, 3), (13, 1)])
    shop.paid("1")
    shop.started("2", [(12, 1)])
    return shop


@pytest.fixture
def dsns(shop: ShopHistory, fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("TILLROLL_DSN", fresh_database)
    return store(shop, fresh_database)


def tillroll(*words: str) -> Result:
    app = typer.Typer()
    cli_audit.register(app)
    cli_replaying.register(app)
    return CliRunner().invoke(app, list(words))


def squeezed(text: str) -> str:
    return "".join(" ".join(line.split()) + "\n" for line in text.splitlines())


@pytest.mark.usefixtures("dsns")
def test_replay_order_tells_the_story_one_line_a_step_in_a_pipe() -> None:
    result = tillroll("replay", "order", "1")
    assert result.exit_code == 0
    lines = squeezed(result.stdout).splitlines()
    assert lines[0] == squeezed(PAID_ORDER).splitlines()[0]
    assert lines[2:] == squeezed(PAID_ORDER).splitlines()[1:]


@pytest.mark.usefixtures("dsns")
def test_replay_order_says_what_an_unfinished_order_waits_for() -> None:
    result = tillroll("replay", "order", "2")
    assert (
        "Waits for inventory's answer whether it sold 1 goods, 1 unit, since 2026-11-23 14:00:10, for "
        in result.stdout
    )


@pytest.mark.usefixtures("dsns")
def test_replay_order_as_json_has_the_same_story() -> None:
    story = json.loads(tillroll("replay", "order", "2", "--json").stdout)
    assert (story["order_id"], story["step"], story["status"]) == ("2", "SELLING", "NONE")
    assert story["waiting"]["since"] == "2026-11-23T14:00:10Z"
    assert [entry["event"] for entry in story["entries"]] == [
        "CartReplaced",
        "OrderStarted",
        "CheckoutBegun",
    ]


def test_a_story_from_the_logs_is_the_story_of_all_events_whatever_way_the_order_ended(
    shop: ShopHistory, fresh_database: str
) -> None:
    shop.placed("3", [(12, 99)])
    shop.placed("4", [(12, 1)])
    shop.cancelled("4")
    shop.rolled_back("4")
    for order_id in ("5", "6"):
        shop.started(order_id, [(13, 1)])
        shop.cancelled(order_id)
        shop.rolled_back(order_id)
    shop.started("7", [(13, 1)])
    shop.tell(ORDER, ReplaceCart(7, (CartLine(13, 2, checked=True),)), "user-7")
    shop.now += SELL_DEADLINE
    shop.given_up("7")
    shop.rolled_back("7")
    shop.started("8", [(13, 1)])
    shop.retried("8")
    shop.compensated("8")
    shop.placed("9", [(13, 1)])
    shop.compensated("9")
    shop.rolled_back("9")
    shop.started("10", [(13, 1)], user_id=9)
    shop.account_closed(9)
    shop.sold("10")
    dsns = store(shop, fresh_database)
    everything = [recorded for log in shop.logs.values() for recorded in log]
    for order_id in map(str, range(1, 11)):
        story = read_story(dsns, order_id)
        assert story is not None
        assert story.entries == timeline(order_id, everything)


async def test_timeline_of_gives_times_and_none_for_an_unknown_order(dsns: dict[str, str]) -> None:
    entries = await timeline_of(dsns, "1")
    assert entries is not None
    assert entries[-1]["what"] == "The end: paid"
    assert entries[0]["at"] > START
    assert await timeline_of(dsns, "4") is None


@pytest.mark.usefixtures("dsns")
def test_replay_stream_shows_events_and_state_as_of_then() -> None:
    now = json.loads(tillroll("replay", "stream", "stock-12", "--json").stdout)
    assert (now["log"], now["state"]) == ("inventory", {"on_hand": 7, "version": 2})
    for then in (("--version", "1"), ("--at", "2026-11-23T14:00:05Z")):
        before = json.loads(tillroll("replay", "stream", "stock-12", "--json", *then).stdout)
        assert before["state"] == {"on_hand": 10, "version": 1}
    text = tillroll("replay", "stream", "stock-12").stdout
    assert "StockSold" in text
    assert '"on_hand": 7' in text


@pytest.mark.parametrize("log", ["goods", "inventory", "order"])
def test_replay_stream_shows_a_stream_of_every_kind(dsns: dict[str, str], log: str) -> None:
    with psycopg.connect(dsns[log]) as connection:
        query = f"SELECT min(originator_id) FROM \"{log}\".events GROUP BY split_part(originator_id, '-', 1)"
        names = [row[0] for row in connection.execute(query)]
    for name in names:
        shown = json.loads(tillroll("replay", "stream", name, "--json").stdout)
        assert (shown["stream"], isinstance(shown["state"], dict)) == (name, True)


def test_replay_stream_hides_password_hashes(
    shop: ShopHistory, fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = RegisterUser(7, "ann@example.org", "d", "Ann", None, Role.CUSTOMER, "$argon2id$secret")
    shop.tell(USER, register)
    store(shop, fresh_database)
    monkeypatch.setenv("TILLROLL_DSN", fresh_database)
    for words in (("stream", "user-7"), ("stream", "user-7", "--json")):
        assert "argon2id" not in tillroll("replay", *words).stdout


@pytest.mark.usefixtures("dsns")
@pytest.mark.parametrize(
    ("words", "exit_code", "line"),
    [
        (("order", "4"), 1, "tillroll: there is no order 4, and no goods or trade of that number"),
        (("order", "order-13"), 1, "tillroll: there is no order 13"),
        (("order", "goods-99"), 1, "tillroll: there is no stock of goods 99"),
        (("order", "user-99"), 1, "tillroll: there is no user 99"),
        (("order", "x1"), 1, "tillroll: no payment came with trade x1"),
        (("order", "9" * 30), 1, "tillroll: no payment came with trade 999"),
        (("order", "x\x1b1"), 2, "tillroll: order id 'x\\x1b1': expected a whole number from 1 to 9"),
        (("order", "trade:"), 2, "tillroll: order id 'trade:': expected"),
        (("order", "1", "--at", "2020-01-01T00:00:00Z"), 1, "tillroll: there is no order 1 at 2020-01-01T"),
        (("order", "1", "--at", "noon"), 2, "tillroll: --at 'noon': expected a time with its zone"),
        (("stream", "stock-99"), 1, "tillroll: there is no stream stock-99"),
        (
            ("stream", "stock-12", "--at", "2020-01-01T00:00:00Z"),
            1,
            "tillroll: there is no stream stock-12 at",
        ),
        (("stream", "stock-12", "--version", "9"), 1, "tillroll: stream stock-12 has 2 events only"),
        (("stream", "stocks-12"), 2, "tillroll: stream 'stocks-12': expected one of cart, "),
        (("stream", "stock"), 2, "tillroll: stream 'stock': expected one of cart, "),
        (("stream", "stock-12", "--at", "noon"), 2, "tillroll: --at 'noon': expected a time with its zone"),
        (("stream", "stock-12", "--at", "2026-11-23T14:03:00"), 2, "tillroll: --at '2026-11-23T14:03:00': "),
        (("stream", "stock-12", "--version", "-1"), 2, "tillroll: --version '-1': expected a whole number"),
        (
            ("stream", "stock-12", "--version", "1", "--at", "2026-11-23T14:03:00Z"),
            2,
            "tillroll: --at and --version exclude each other",
        ),
    ],
)
def test_what_cannot_be_answered_is_said_in_one_line(
    words: tuple[str, ...], exit_code: int, line: str
) -> None:
    result = tillroll("replay", *words)
    assert result.exit_code == exit_code
    assert result.stdout == ""
    assert result.stderr.startswith(line)
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [("audit",), ("replay", "order", "1"), ("replay", "stream", "cart-1")])
def test_no_server_running_is_said_in_one_line_with_advice(words: tuple[str, ...], tmp_path: Path) -> None:
    result = tillroll(*words, "--data", str(tmp_path))
    assert result.exit_code == 2
    assert f"no Tillroll runs on the data folder {tmp_path}; start it with `tillroll up" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [("audit",), ("replay", "order", "1")])
def test_a_server_that_is_not_there_is_said_in_one_line(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLROLL_DSN", "postgresql://nobody@127.0.0.1:1/none")
    result = tillroll(*words)
    assert result.exit_code == 2
    assert result.stderr.startswith("tillroll: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.usefixtures("dsns")
def test_a_clean_audit_exits_0_and_names_what_it_checked() -> None:
    result = tillroll("audit")
    assert result.exit_code == 0
    assert "Stock adds up after every event" in result.stdout
    assert "Unfinished: order 2, SELLING since 2026-11-23 14:00:10 UTC" in result.stdout
    assert "The books balance: " in result.stdout


def test_findings_exit_1_and_are_named(
    shop: ShopHistory, dsns: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = shop.plant(INVENTORY, "stock-12", StockReturned("1", 1, 8))
    with psycopg.connect(dsns["inventory"]) as connection:
        append(connection, "inventory", shop.logs["inventory"][-1:])
    result = tillroll("audit")
    assert result.exit_code == 1
    assert "THE BOOKS DO NOT BALANCE: 1 finding" in result.stdout
    assert f"inventory={place}" in result.stdout
    report = json.loads(tillroll("audit", "--json").stdout)
    assert (report["clean"], report["found"]) == (False, 1)
    assert report["findings"][0]["subject"] == "order 1"
    monkeypatch.setenv("TILLROLL_DSN", "nonsense=")
    assert tillroll("audit").exit_code == 2
