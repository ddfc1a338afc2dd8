"""Rebuilds and swaps beside writers, a projector and readers: no read fails, none misses or repeats a row."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
import pytest

from adapters.postgres_projector import Projector
from adapters.postgres_queries import Item, Queries, read_pool
from adapters.postgres_read_schema import create_read_tables
from adapters.read_rebuild import Rebuilt, Teller, rebuild, swap_back
from tests.adapters.read_side import LOGS, assert_same_as_fold, catch_up, create_logs, store
from tests.shop_history import ShopHistory

ORDERS_A_BATCH: Final = 10
BATCH_EVERY_S: Final = 0.05
BETWEEN_LOOKS_S: Final = 0.02
USERS: Final = 5
LINES: Final = ((11, 1), (12, 2))


class Reader:
    """Pages through one user's orders, again and again, and remembers which ones it has seen."""

    def __init__(self, queries: Queries, user_id: int) -> None:
        self.longest_s = 0.0
        self.reads = 0
        self.seen: set[str] = set()
        self._queries = queries
        self._user_id = user_id

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.look()
            # The rebuild runs in this process, too, and must come to its turn.
            await asyncio.sleep(BETWEEN_LOOKS_S)

    async def look(self) -> None:
        found = await self._all_pages()
        ids = [order["order_id"] for order in found]
        assert len(ids) == len(set(ids)), "an order twice"
        assert self.seen <= set(ids), "an order that was there is missing"
        assert all(_lines(order) == LINES for order in found), "an order without its goods"
        self.seen = set(ids)
        goods = await self._timed(self._queries.goods_by_ids([11, 12]))
        assert set(goods) == {11, 12}, "goods that were there are missing"

    async def _all_pages(self) -> list[Item]:
        orders: list[Item] = []
        cursor = None
        while True:
            page, cursor = await self._timed(self._queries.orders_page(self._user_id, None, 20, cursor))
            orders += page
            if cursor is None:
                return orders

    async def _timed(self, read: Any) -> Any:
        began = time.monotonic()
        answer = await read
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        self.reads += 1
        return answer


def _lines(order: Item) -> tuple[tuple[int, int], ...]:
    return tuple((line["goods_id"], line["nums"]) for line in order["goods"])


def opened() -> ShopHistory:
    shop = ShopHistory()
    for goods_id in (11, 12):
        shop.stocked(goods_id, units=1_000_000)
    return shop


async def write(dsn: str, shop: ShopHistory, stop: asyncio.Event) -> None:
    """About 200 orders a second."""
    number = 1_000
    while not stop.is_set():
        for _ in range(ORDERS_A_BATCH):
            number += 1
            shop.placed(str(number), list(LINES), user_id=1 + number % USERS)
        await asyncio.to_thread(store, dsn, shop, notify=True)
        await asyncio.sleep(BATCH_EVERY_S)


@asynccontextmanager
async def busy(dsn: str, shop: ShopHistory) -> AsyncIterator[list[Reader]]:
    """Everything that goes on beside a rebuild, until the block ends. Raises what any of it raised."""
    stop = asyncio.Event()
    async with read_pool(dsn, max_size=USERS) as pool, asyncio.TaskGroup() as tasks:
        readers = [Reader(Queries(pool), user_id) for user_id in range(1, USERS + 1)]
        tasks.create_task(Projector(dict.fromkeys(LOGS, dsn), dsn).run(stop))
        tasks.create_task(write(dsn, shop, stop))
        for reader in readers:
            tasks.create_task(reader.run(stop))
        try:
            yield readers
        finally:
            # Also after an error: Python 3.11 can lose a cancellation, and a reader then goes on.
            stop.set()


async def test_rebuilds_and_swaps_are_not_noticed(fresh_database: str, figure: Callable[[str], None]) -> None:
    create_logs(fresh_database)
    create_read_tables(fresh_database)
    shop = opened()
    store(fresh_database, shop)
    # Readers demand the goods from their first look on.
    catch_up(fresh_database)
    dsns = dict.fromkeys([*LOGS, "read"], fresh_database)
    made: list[Rebuilt] = []
    async with busy(fresh_database, shop) as readers:
        await asyncio.sleep(1)
        for _ in range(2):
            made.append(await asyncio.to_thread(rebuild, dsns, Teller(), accept=False))
        await asyncio.to_thread(swap_back, dsns, Teller())
        made.append(await asyncio.to_thread(rebuild, dsns, Teller(), accept=False))
        await asyncio.sleep(1)
    assert all(one.comparison.is_same and one.swapped_at for one in made)
    reads, longest_s = sum(reader.reads for reader in readers), max(reader.longest_s for reader in readers)
    orders = sum(len(reader.seen) for reader in readers)
    figure(f"4 swaps beside {orders} new orders: {reads} reads, the longest {longest_s * 1000:.0f} ms")
    await caught_up(fresh_database, shop)
    assert_same_as_fold(fresh_database, shop)


async def caught_up(dsn: str, shop: ShopHistory) -> None:
    """The projector was stopped with the rest; another one finishes."""
    stop = asyncio.Event()
    projector = Projector(dict.fromkeys(LOGS, dsn), dsn)
    task = asyncio.create_task(projector.run(stop))
    async with asyncio.timeout(30):
        while any(state.position < len(shop.logs[state.log]) for state in projector.states()):
            await asyncio.sleep(0.01)
    stop.set()
    await task


async def test_the_check_can_fail(fresh_database: str) -> None:
    """A reader who is shown fewer orders than before says so."""
    create_logs(fresh_database)
    create_read_tables(fresh_database)
    shop = opened()
    shop.placed("900", list(LINES), user_id=1)
    store(fresh_database, shop)
    catch_up(fresh_database)
    async with read_pool(fresh_database) as pool:
        reader = Reader(Queries(pool), 1)
        await reader.look()
        await asyncio.to_thread(truncate, fresh_database)
        with pytest.raises(AssertionError, match="an order that was there is missing"):
            await reader.look()


def truncate(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("TRUNCATE read.order_info")
