"""Which orders a trade stands at: the same answer whatever the read models know of it."""

from collections.abc import Iterator

import psycopg
import pytest

from adapters import story_trades
from adapters.story_reader import StoryReader
from adapters.story_trades import orders_of_trade
from domain.order import Payment, PayOrder
from domain.services import ORDER
from tests.adapters.read_history import database_with
from tests.adapters.stored_history import append
from tests.shop_history import ShopHistory

AWAY = "postgresql://nobody@127.0.0.1:1/none"


def history() -> ShopHistory:
    """1 is paid with T-1; 2 was closed, and T-1 and T-2 came for it afterwards; 3 is paid with T-3."""
    shop = ShopHistory()
    shop.stocked(12, 40)
    shop.placed("1", [(12, 1)])
    shop.paid("1")
    shop.placed("2", [(12, 2)])
    shop.cancelled("2")
    shop.rolled_back("2")
    for trade_id in ("T-1", "T-2"):
        shop.tell(ORDER, PayOrder("2", Payment("alipay", trade_id, 250, shop.now)), "user-3")
    shop.placed("3", [(12, 1)])
    shop.paid("3")
    shop.placed("4", [(12, 1)])
    return shop


SHOP = history()
ANSWERS = {"T-1": ("1", "2"), "T-2": ("2",), "T-3": ("3",), "T-9": (), "T": ()}


@pytest.fixture(scope="module")
def dsn(postgres_dsn: str) -> Iterator[str]:
    with database_with(SHOP, postgres_dsn) as address:
        yield address


@pytest.fixture
def dsns(dsn: str) -> dict[str, str]:
    return {"order": dsn, "read": dsn}


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """From where on the log was looked through, each time."""
    places: list[int] = []
    payments = StoryReader.payments

    def seen(reader: StoryReader, trade_id: str, after: int = 0) -> object:
        places.append(after)
        return payments(reader, trade_id, after)

    monkeypatch.setattr(StoryReader, "payments", seen)
    return places


def position(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "SELECT position FROM read.position WHERE projection = 'order_info'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def everything(dsns: dict[str, str]) -> dict[str, tuple[str, ...]]:
    return {trade_id: orders_of_trade(dsns, trade_id) for trade_id in ANSWERS}


def test_a_trade_is_found_at_all_its_orders_without_looking_through_the_log(
    dsns: dict[str, str], looked: list[int]
) -> None:
    known = {trade_id: orders for trade_id, orders in ANSWERS.items() if orders}
    assert {trade_id: orders_of_trade(dsns, trade_id) for trade_id in known} == known
    assert looked == [position(dsns["read"])] * len(known)


def test_a_trade_that_the_read_models_do_not_know_is_looked_for_in_the_whole_log(
    dsns: dict[str, str], looked: list[int]
) -> None:
    assert orders_of_trade(dsns, "T-9") == ()
    assert looked == [position(dsns["read"]), 0]


def test_without_read_models_the_answers_are_the_same(dsn: str, looked: list[int]) -> None:
    assert everything({"order": dsn, "read": AWAY}) == ANSWERS
    assert set(looked) == {0}


def test_with_too_many_orders_to_look_at_the_answers_are_the_same(
    dsns: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story_trades, "MAX_CANDIDATES", 2)
    assert everything(dsns) == ANSWERS


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE read.position SET shape = 'older'",
        "UPDATE read.order_info SET trade_id = NULL, refund_due = 0",
        "UPDATE read.order_info SET trade_id = 'T-1' WHERE order_id = 3",
        "DROP TABLE read.order_info",
    ],
)
def test_whatever_the_read_models_say_the_log_decides(dsn: str, dsns: dict[str, str], change: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "CREATE TABLE read.kept AS TABLE read.order_info; CREATE TABLE read.kept_p AS TABLE read.position"
        )
    with psycopg.connect(dsn) as connection:
        connection.execute(change.encode())
    try:
        assert everything(dsns) == ANSWERS
    finally:
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "DROP TABLE IF EXISTS read.order_info; ALTER TABLE read.kept RENAME TO order_info;"
                "DROP TABLE read.position; ALTER TABLE read.kept_p RENAME TO position"
            )


def test_a_payment_that_no_projector_has_seen_is_found(dsn: str, dsns: dict[str, str]) -> None:
    known = len(SHOP.logs["order"])
    SHOP.tell(ORDER, PayOrder("4", Payment("alipay", "T-1", 250, SHOP.now)), "user-3")
    with psycopg.connect(dsn) as connection:
        append(connection, "order", SHOP.logs["order"][known:])
    assert orders_of_trade(dsns, "T-1") == ("1", "2", "4")
