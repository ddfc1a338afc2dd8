"""What the API reads, from read models that projections wrote."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta

import psycopg
import pytest
from psycopg import conninfo
from psycopg.sql import SQL, Identifier

from adapters.cursors import BadCursor
from adapters.postgres_queries import Item, Page, Queries, ReadsUnavailable, read_pool, statement_for
from domain.cart import CartLine, PutCartLine, ReplaceCart
from domain.goods import CreateGoods, DeleteGoods
from domain.order import Payment, PayOrder
from domain.sale import Rollback
from domain.services import GOODS, INVENTORY, ORDER, USER
from domain.user import RegisterUser, Role
from tests.adapters.stored_history import store
from tests.shop_history import CONTACT, PAYMENT_WINDOW, START, ShopHistory

NAMES = ("Red mug", "RED MUG, large", "red cup", "Éclair tray", "éclair fork", "50%_off", "50 off")


def history() -> ShopHistory:
    """Orders 901 to 920 of users 7 and 8: to pay, paid, closed; one refused, one begun; goods 12 deleted."""
    shop = ShopHistory()
    shop.tell(USER, RegisterUser(7, "sealed", "digest", "sealed-name", None, Role.STAFF, "hash"))
    for goods_id in (11, 12):
        shop.stocked(goods_id, units=30)
    for number in range(1, 21):
        order_id = str(900 + number)
        shop.placed(order_id, [(12, 1), (11, 1)], user_id=7 + number % 2)
        if number % 3 == 0:
            shop.paid(order_id)
        if number % 5 == 0 and number % 3:
            shop.cancelled(order_id)
    shop.started("999", [(11, 500)])
    shop.sold("999")
    shop.started("950", [(11, 2)], user_id=9)
    cart = (CartLine(12, 2, checked=True), CartLine(11, 1, checked=False))
    shop.tell(ORDER, ReplaceCart(9, cart))
    shop.tell(INVENTORY, Rollback("777"))
    shop.tell(GOODS, DeleteGoods(12))
    for number, name in enumerate(NAMES):
        shop.tell(GOODS, CreateGoods(20 + number, name, 100 + number))
    return shop


SHOP = history()


@pytest.fixture(scope="module")
def dsn(postgres_dsn: str) -> Iterator[str]:
    """A database with the history in it; tests only read, or add what others do not look at."""
    name = f"test_queries_{os.getpid()}"
    with psycopg.connect(postgres_dsn, autocommit=True) as owner:
        owner.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        address = conninfo.make_conninfo(postgres_dsn, dbname=name)
        store(SHOP, address)
        yield address
        owner.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@pytest.fixture
async def queries(dsn: str) -> AsyncIterator[Queries]:
    async with read_pool(dsn) as pool:
        yield Queries(pool)


async def all_pages(page: Callable[[str | None], Awaitable[Page]]) -> list[Item]:
    items, cursor = await page(None)
    while cursor:
        more, cursor = await page(cursor)
        assert more
        items += more
    return items


# goods


async def test_goods_by_ids_leaves_out_deleted_and_unknown_ones(queries: Queries) -> None:
    found = await queries.goods_by_ids([11, 12, 20, 999])
    assert found == {
        11: {"goods_id": 11, "name": "goods 11", "price": 250},
        20: {"goods_id": 20, "name": "Red mug", "price": 100},
    }
    assert await queries.goods_by_ids([]) == {}


async def test_goods_are_found_or_none(queries: Queries) -> None:
    assert await queries.goods(20) == {"goods_id": 20, "name": "Red mug", "price": 100}
    assert await queries.goods(12) is None
    assert await queries.goods(999) is None


@pytest.mark.parametrize("limit", [1, 2, 3, 8, 9, 100])
async def test_goods_pages_show_everything_for_sale_once_in_the_order_of_ids(
    queries: Queries, limit: int
) -> None:
    items = await all_pages(lambda cursor: queries.goods_page(None, limit, cursor))
    assert [item["goods_id"] for item in items] == [11, 20, 21, 22, 23, 24, 25, 26]
    assert items[1] == {"goods_id": 20, "name": "Red mug", "price": 100}


@pytest.mark.parametrize(
    ("q", "ids"),
    [
        ("red", [22, 20, 21]),
        ("RED M", [20, 21]),
        ("red mug,", [21]),
        ("É", [24, 23]),
        ("é", [24, 23]),
        ("50%", [25]),
        ("50", [26, 25]),
        ("_", []),
        ("ed", []),
        ("red\0", []),
        ("goods 12", []),
        ("r" * 300, []),
        ("'; --", []),
    ],
)
@pytest.mark.parametrize("limit", [1, 50])
async def test_goods_are_found_by_how_their_name_begins_in_any_case(
    queries: Queries, q: str, ids: list[int], limit: int
) -> None:
    items = await all_pages(lambda cursor: queries.goods_page(q, limit, cursor))
    assert [item["goods_id"] for item in items] == ids
    assert all(item.keys() == {"goods_id", "name", "price"} for item in items)


async def test_names_that_agree_in_a_hundred_letters_are_paged_once_each(fresh_database: str) -> None:
    shop = ShopHistory()
    for goods_id in range(1, 8):
        shop.tell(GOODS, CreateGoods(goods_id, "m" * 4_000 + str(goods_id % 3), 1))
    store(shop, fresh_database)
    async with read_pool(fresh_database) as pool:
        found = await all_pages(lambda cursor: Queries(pool).goods_page("mm", 2, cursor))
    assert [item["goods_id"] for item in found] == [1, 2, 3, 4, 5, 6, 7]


# inventory


async def test_stock_is_shown_with_the_version_of_its_stream(queries: Queries) -> None:
    stream = [recorded for recorded in SHOP.logs["inventory"] if recorded.originator_id == "stock-11"]
    shown = await queries.stock(11)
    assert shown == {"goods_id": 11, "stock": 10, "version": stream[-1].originator_version}
    assert await queries.stock(20) is None


async def test_a_sale_is_shown_with_its_lines(queries: Queries) -> None:
    lines = [{"goods_id": 12, "nums": 1}, {"goods_id": 11, "nums": 1}]
    assert await queries.sale("901") == {"order_id": "901", "status": 1, "lines": lines}
    assert (await queries.sale("999") or {})["status"] == 3
    assert await queries.sale("777") == {"order_id": "777", "status": 4, "lines": []}
    assert await queries.sale("1") is None


# cart


async def test_a_cart_stands_in_the_order_it_was_put_and_says_what_is_no_longer_for_sale(
    queries: Queries,
) -> None:
    deleted = {"goods_id": 12, "name": "goods 12", "price": 250, "nums": 2, "checked": True}
    kept = {"goods_id": 11, "name": "goods 11", "price": 250, "nums": 1, "checked": False}
    assert await queries.cart(9) == [{**deleted, "for_sale": False}, {**kept, "for_sale": True}]
    assert await queries.cart(10) == []


async def test_goods_that_the_goods_projection_has_not_seen_yet_have_no_name(fresh_database: str) -> None:
    shop = ShopHistory()
    shop.tell(ORDER, PutCartLine(7, CartLine(11, 1, checked=True)))
    store(shop, fresh_database)
    async with read_pool(fresh_database) as pool:
        (line,) = await Queries(pool).cart(7)
    assert (line["name"], line["price"], line["for_sale"]) == (None, None, False)


# orders


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


async def test_sagas_under_way_are_shown_longest_in_their_step_first(queries: Queries) -> None:
    items = await all_pages(lambda cursor: queries.sagas_page(None, None, 4, cursor))
    since = [item["since"] for item in items]
    assert since == sorted(since)
    assert {item["order_id"] for item in items} == {
        str(order_id) for order_id in ORDERS if order_id not in PAID
    } | {"950"}


async def test_sagas_are_found_by_step_and_age(queries: Queries) -> None:
    items = await all_pages(lambda cursor: queries.sagas_page("PAID", 0, 2, cursor))
    assert sorted(int(item["order_id"]) for item in items) == sorted(PAID)
    assert await queries.sagas_page("REFUSED", None, 5, None) == ([await queries.saga("999")], None)
    assert await queries.sagas_page(None, 10**9, 5, None) == ([], None)


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


async def test_a_user_is_shown_with_personal_data_as_it_is_in_the_log(queries: Queries) -> None:
    assert await queries.user(7) == {
        "user_id": 7,
        "email": "sealed",
        "nickname": "sealed-name",
        "gender": None,
        "role": 2,
        "created_at": START,
        "updated_at": START,
    }
    assert await queries.user(8) is None


# cursors


async def test_a_cursor_of_another_list_or_filter_is_refused(queries: Queries) -> None:
    _, cursor = await queries.orders_page(7, None, 1, None)
    for page in (
        queries.orders_page(8, None, 1, cursor),
        queries.orders_page(7, 1, 1, cursor),
        queries.goods_page(None, 1, cursor),
        queries.goods_page("red", 1, cursor),
        queries.sagas_page(None, None, 1, cursor),
        queries.orders_page(7, None, 1, "forged"),
    ):
        with pytest.raises(BadCursor):
            await page


# positions


async def test_a_position_that_is_reached_is_not_waited_for(queries: Queries) -> None:
    reached = {log: len(events) for log, events in SHOP.logs.items()}
    assert await queries.wait_for(reached, 0)
    assert await queries.wait_for({}, 0)


async def test_waiting_for_a_position_that_does_not_come_ends_in_time(queries: Queries) -> None:
    for position in (len(SHOP.logs["order"]) + 1, 10**30):
        began = time.monotonic()
        assert not await queries.wait_for({"goods": 1, "order": position}, 0.1)
        assert time.monotonic() - began < 1


async def test_waiting_ends_when_the_last_projection_of_the_log_arrives(fresh_database: str) -> None:
    store(ShopHistory(), fresh_database)
    async with read_pool(fresh_database) as pool:
        queries = Queries(pool)
        waiting = asyncio.create_task(queries.wait_for({"order": 5}, 5))
        for projection in ("order_info", "order_saga", "shopping_cart"):
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await asyncio.to_thread(move, fresh_database, projection, 5)
        assert await waiting


def move(dsn: str, projection: str, position: int) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "UPDATE read.position SET position = %s WHERE projection = %s", [position, projection]
        )


async def test_positions_are_shown_of_every_projection(queries: Queries) -> None:
    shown = await queries.positions()
    assert {item["projection"]: item["position"] for item in shown} == {
        "user": 1 + 1,
        "goods": len(SHOP.logs["goods"]),
        "inventory": len(SHOP.logs["inventory"]),
        "stock_sell_detail": len(SHOP.logs["inventory"]),
        "order_info": len(SHOP.logs["order"]),
        "order_saga": len(SHOP.logs["order"]),
        "shopping_cart": len(SHOP.logs["order"]),
    }
    assert all(item["last_error"] is None and item["at"].tzinfo for item in shown)


# the database


async def test_reads_go_on_after_every_connection_was_broken(dsn: str) -> None:
    async with read_pool(dsn, min_size=2, max_size=2) as pool:
        queries = Queries(pool)
        assert await queries.goods(20)
        await asyncio.to_thread(break_connections, dsn)
        assert await queries.goods(20)


def break_connections(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def test_a_database_that_takes_too_long_is_unavailable(dsn: str) -> None:
    slow = conninfo.make_conninfo(dsn, options="-c lock_timeout=50ms")
    async with read_pool(slow) as pool:
        with psycopg.connect(dsn) as holder:
            holder.execute("LOCK TABLE read.inventory IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(ReadsUnavailable, match="lock timeout"):
                await Queries(pool).stock(11)


PAGES = (
    ("goods_page", {"goods_id", "limit"}, "goods_for_sale"),
    ("goods_named", {"q", "limit"}, "goods_by_name"),
    ("goods_named", {"q", "lower_name", "goods_id", "limit"}, "goods_by_name"),
    ("orders_page", {"before", "limit"}, "order_info_pkey"),
    ("orders_page", {"user_id", "before", "limit"}, "order_info_of_user"),
    ("orders_page", {"status", "before", "limit"}, "order_info_in_status"),
    ("orders_page", {"user_id", "status", "before", "limit"}, "order_info_of_user_in_status"),
    ("sagas_page", {"since", "order_id", "limit"}, "order_saga_under_way"),
    ("sagas_page", {"since", "order_id", "older_than_s", "limit"}, "order_saga_under_way"),
    ("sagas_page", {"step", "since", "order_id", "limit"}, "order_saga_in_step"),
)


@pytest.mark.parametrize(("name", "given", "index"), PAGES)
def test_a_page_comes_from_one_index_without_sorting_or_leaving_out(
    dsn: str, name: str, given: set[str], index: str
) -> None:
    with psycopg.connect(dsn) as connection:
        fill(connection)
        plan = generic_plan(connection, statement_for(name, "read", frozenset(given)))
        connection.rollback()
    assert f" using {index} on " in plan
    assert "Sort" not in plan
    assert "Filter" not in plan


def fill(connection: psycopg.Connection) -> None:
    """Enough rows that reading a whole table is worse than any index, and statistics that say so."""
    connection.execute(
        "INSERT INTO read.order_info SELECT (jsonb_populate_record(old, jsonb_build_object('order_id',"
        " number, 'user_id', number % 50, 'status', 1 + number % 3))).*"
        " FROM read.order_info AS old, generate_series(10000, 15000) AS number WHERE old.order_id = 901"
    )
    connection.execute(
        "INSERT INTO read.order_saga SELECT number, (ARRAY['PAID', 'SELLING', 'AWAITING_PAYMENT'])"
        "[1 + number % 3], NULL, now() - make_interval(secs => number), 0, NULL, NULL"
        " FROM generate_series(10000, 15000) AS number"
    )
    connection.execute(
        "INSERT INTO read.goods SELECT number, now(), now(), CASE WHEN number % 3 = 0 THEN now() END,"
        " 'goods ' || number, 1 FROM generate_series(10000, 15000) AS number"
    )
    connection.execute("ANALYZE read.order_info, read.order_saga, read.goods")


def generic_plan(connection: psycopg.Connection, query: bytes) -> str:
    """The plan for parameters that are not known yet: what a prepared statement settles on."""
    text = query.decode()
    names = list(dict.fromkeys(part.partition(")s")[0] for part in text.split("%(")[1:]))
    for number, name in enumerate(names, start=1):
        text = text.replace(f"%({name})s", f"${number}")
    cursor = psycopg.ClientCursor(connection)
    return "\n".join(line for (line,) in cursor.execute(f"EXPLAIN (GENERIC_PLAN) {text}"))
