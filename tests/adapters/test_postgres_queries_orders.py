"""What the API reads of orders and sagas: everything once, newest or most urgent first."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import psycopg
import pytest

from adapters.cursors import BadCursor
from adapters.postgres_queries import Queries, read_pool
from adapters.saga_rows import SagaFilter
from domain.order import Payment, PayOrder
from domain.saga import Resent
from domain.services import ORDER
from tests.adapters.read_history import SHOP, all_pages, database_with
from tests.adapters.stored_history import store
from tests.shop_history import CONTACT, PAYMENT_WINDOW, ShopHistory


@pytest.fixture(scope="module")
def dsn(postgres_dsn: str) -> Iterator[str]:
    """A database with the history in it; tests only read, or add what others do not look at."""
    with database_with(SHOP, postgres_dsn) as address:
        yield address


@pytest.fixture
async def queries(dsn: str) -> AsyncIterator[Queries]:
    async with read_pool(dsn) as pool:
        yield Queries(pool)


async def test_an_order_has_all_of_the_contract(queries: Queries) -> None:
    shown = await queries.order("903")
    assert shown is not None
    paid = next(r for r in SHOP.logs["order"] if r.originator_id == "order-903" and r.originator_version == 2)
    placed_at = paid.cause.at - timedelta(seconds=1)
    assert shown == {
        "order_id": "903",
        "user_id": 8,
        "status": 2,
        "close_reason": None,
        "amount": 500,
        "pay_type": "alipay",
        "trade_id": "T-903",
        "pay_time": paid.cause.at,
        "pay_before": placed_at + PAYMENT_WINDOW,
        "refund_due": 0,
        "address": CONTACT.address,
        "signer_name": CONTACT.signer_name,
        "signer_mobile": CONTACT.signer_mobile,
        "post": CONTACT.post,
        "created_at": placed_at,
        "goods": [
            {"goods_id": 12, "goods_name": "goods 12", "goods_price": 250, "nums": 1},
            {"goods_id": 11, "goods_name": "goods 11", "goods_price": 250, "nums": 1},
        ],
    }


@pytest.mark.parametrize(
    "order_id", ["1", "999", "0901", "+901", " 901", "-1", "", "x", "9" * 19, "9" * 40, "９０１", "901.0"]
)
async def test_what_is_no_placed_order_is_none(queries: Queries, order_id: str) -> None:
    assert await queries.order(order_id) is None


ORDERS = list(range(920, 900, -1))
PAID = [order_id for order_id in ORDERS if (order_id - 900) % 3 == 0]
CLOSED = [order_id for order_id in ORDERS if (order_id - 900) % 5 == 0 and (order_id - 900) % 3]


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
@pytest.mark.parametrize(
    ("user_id", "status", "ids"),
    [
        (None, None, ORDERS),
        (7, None, [order_id for order_id in ORDERS if order_id % 2 == 0]),
        (8, None, [order_id for order_id in ORDERS if order_id % 2]),
        (None, 2, PAID),
        (None, 3, CLOSED),
        (7, 2, [order_id for order_id in PAID if order_id % 2 == 0]),
        (8, 1, [order_id for order_id in ORDERS if order_id % 2 and order_id not in (*PAID, *CLOSED)]),
        (1, None, []),
    ],
)
async def test_order_pages_show_every_order_once_newest_first(
    queries: Queries, user_id: int | None, status: int | None, ids: list[int], limit: int
) -> None:
    orders = await all_pages(lambda cursor: queries.orders_page(user_id, status, limit, cursor))
    assert [order["order_id"] for order in orders] == [str(order_id) for order_id in ids]
    assert all(len(order["goods"]) == 2 for order in orders)


async def test_orders_to_pay_are_counted_no_further_than_asked(queries: Queries) -> None:
    to_pay = await all_pages(lambda cursor: queries.orders_page(8, 1, 5, cursor))
    assert len(to_pay) > 3
    assert await queries.open_orders([8, 4_711], 1_000) == {8: len(to_pay), 4_711: 0}
    assert await queries.open_orders([8], 2) == {8: 2}


async def test_orders_placed_while_paging_neither_repeat_nor_hide_others(fresh_database: str) -> None:
    shop = ShopHistory()
    shop.stocked(11, units=100)
    for number in range(900, 910):
        shop.placed(str(number), [(11, 1)])
    store(shop, fresh_database)
    seen: list[str] = []
    async with read_pool(fresh_database) as pool:
        queries, cursor, newer = Queries(pool), None, 2_000
        while True:
            items, cursor = await queries.orders_page(7, None, 2, cursor)
            seen += [item["order_id"] for item in items]
            if cursor is None:
                break
            await asyncio.to_thread(copy_order, fresh_database, 905, newer)
            newer += 1
        assert seen == [str(number) for number in range(909, 899, -1)]
        newest, _ = await queries.orders_page(7, None, 1, None)
    assert newest[0]["order_id"] == str(newer - 1)


def copy_order(dsn: str, order_id: int, new_id: int) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO read.order_info SELECT (jsonb_populate_record(old, jsonb_build_object('order_id',"
            " %s::bigint))).* FROM read.order_info AS old WHERE order_id = %s",
            [new_id, order_id],
        )


async def test_what_is_paid_late_is_shown_as_refund_due(fresh_database: str) -> None:
    shop = ShopHistory()
    shop.stocked(11, units=5)
    shop.placed("900", [(11, 1)])
    shop.cancelled("900")
    shop.tell(ORDER, PayOrder("900", Payment("wechat", "late", 250, shop.now)))
    store(shop, fresh_database)
    async with read_pool(fresh_database) as pool:
        shown = await Queries(pool).order("900") or {}
    assert (shown["status"], shown["close_reason"], shown["refund_due"]) == (3, "cancelled", 250)


# sagas and users


async def test_sagas_that_owe_something_are_shown_longest_in_their_step_first(queries: Queries) -> None:
    items = await all_pages(lambda cursor: queries.sagas_page(SagaFilter(), 2, cursor))
    since = [item["since"] for item in items]
    assert since == sorted(since)
    assert {item["order_id"]: item["owes"] for item in items} == {
        **{str(order_id): "Rollback" for order_id in CLOSED},
        "950": "Sell",
    }


async def test_sagas_that_wait_for_their_payment_owe_nothing_and_are_found_by_step(queries: Queries) -> None:
    items = await all_pages(lambda cursor: queries.sagas_page(SagaFilter("AWAITING_PAYMENT"), 4, cursor))
    assert {int(item["order_id"]) for item in items} == set(ORDERS) - set(PAID) - set(CLOSED)
    assert {item["owes"] for item in items} == {None}


async def test_sagas_are_found_by_step_and_age(queries: Queries) -> None:
    items = await all_pages(lambda cursor: queries.sagas_page(SagaFilter("PAID", 0), 2, cursor))
    assert sorted(int(item["order_id"]) for item in items) == sorted(PAID)
    assert await queries.sagas_page(SagaFilter("REFUSED"), 5, None) == ([await queries.saga("999")], None)
    assert await queries.sagas_page(SagaFilter(None, 10**9), 5, None) == ([], None)


async def test_sagas_that_are_stuck_are_found_without_the_others(fresh_database: str) -> None:
    shop = ShopHistory()
    shop.stocked(11, units=9)
    for user_id, order_id, tries in ((7, "900", 2), (8, "901", 3), (9, "902", 7)):
        shop.started(order_id, [(11, 1)], user_id)
        shop.plant(ORDER, f"saga-{order_id}", Resent(tries, shop.now, "inventory has not answered Sell"))
    store(shop, fresh_database)
    async with read_pool(fresh_database) as pool:
        items, _ = await Queries(pool).sagas_page(SagaFilter(is_stuck=True), 9, None)
    assert [(item["order_id"], item["tries"]) for item in items] == [("901", 3), ("902", 7)]


async def test_a_saga_says_what_it_owes_and_when_it_is_looked_at(queries: Queries) -> None:
    shown = await queries.saga("950") or {}
    next_try_at = shown["since"] + timedelta(seconds=1)
    assert shown == {
        "order_id": "950",
        "step": "SELLING",
        "owes": "Sell",
        "since": shown["since"],
        "tries": 0,
        "next_try_at": next_try_at,
        "last_error": None,
    }
    assert await queries.saga("1") is None


# cursors


async def test_a_cursor_of_another_list_or_filter_is_refused(queries: Queries) -> None:
    _, cursor = await queries.orders_page(7, None, 1, None)
    for page in (
        queries.orders_page(8, None, 1, cursor),
        queries.orders_page(7, 1, 1, cursor),
        queries.goods_page(None, 1, cursor),
        queries.goods_page("red", 1, cursor),
        queries.sagas_page(SagaFilter(), 1, cursor),
        queries.orders_page(7, None, 1, "forged"),
    ):
        with pytest.raises(BadCursor):
            await page
