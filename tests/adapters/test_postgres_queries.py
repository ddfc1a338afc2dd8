"""What the API reads of goods, stock, carts and users, from read models that projections wrote."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from psycopg import conninfo

from adapters import postgres_queries
from adapters.postgres_queries import Queries, ReadsUnavailable, read_pool
from domain.cart import CartLine, PutCartLine
from domain.goods import CreateGoods
from domain.services import GOODS, ORDER
from tests.adapters.read_history import SHOP, all_pages, database_with
from tests.adapters.stored_history import store
from tests.shop_history import START, ShopHistory


@pytest.fixture(scope="module")
def dsn(postgres_dsn: str) -> Iterator[str]:
    """A database with the history in it; tests only read, or add what others do not look at."""
    with database_with(SHOP, postgres_dsn) as address:
        yield address


@pytest.fixture
async def queries(dsn: str) -> AsyncIterator[Queries]:
    async with read_pool(dsn) as pool:
        yield Queries(pool)


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


async def test_reads_go_on_when_connections_break_after_they_were_looked_at(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def seems_to_live(connection: psycopg.AsyncConnection) -> None:
        pass

    monkeypatch.setattr(postgres_queries, "_must_live", seems_to_live)
    async with read_pool(dsn, min_size=2, max_size=2) as pool:
        await pool.wait()
        await asyncio.to_thread(break_connections, dsn)
        assert await Queries(pool).goods(20)


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
