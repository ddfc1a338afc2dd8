"""What the API reads: rows of the read models under the API's names, ready for JSON.

Every list is paged by the key it is ordered by, from an index, so page 1,000 costs what page 1 costs and
rows that are added meanwhile neither repeat nor hide others. Personal data is as it is in the log: encrypted.
"""

import asyncio
import select
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier
from psycopg_pool import AsyncConnectionPool

from adapters.cursors import BigInt, Text, read_cursor, write_cursor
from adapters.error_text import first_line
from adapters.postgres_read_schema import query, session
from adapters.saga_rows import SagaFilter

MAX_BIGINT: Final = 2**63 - 1
MAX_ORDER_ID_DIGITS: Final = 19
FIRST_PAUSE_S: Final = 0.001
LAST_PAUSE_S: Final = 0.05
PAUSE_GROWTH: Final = 1.5

Item = dict[str, Any]
Page = tuple[list[Item], str | None]
"""Items, and the cursor of the next page: None after the last one."""


class ReadsUnavailable(Exception):
    """The read models cannot be read just now."""


def read_pool(dsn: str, *, min_size: int = 1, max_size: int = 8) -> AsyncConnectionPool:
    """A closed pool for `Queries`; the composition root opens and closes it.

    Connections are looked at before they are handed out: after a restart of Postgres all of them are dead.
    """
    return AsyncConnectionPool(
        session(dsn),
        min_size=min_size,
        max_size=max_size,
        open=False,
        kwargs={"autocommit": True},
        check=_must_live,
        timeout=2.0,
        name="reads",
    )


async def _must_live(connection: AsyncConnection[Any]) -> None:
    """What is idle has nothing to read, unless the server closed it or says something: then it is asked.

    To ask every time would be one more round trip for every query.
    """
    looked = select.poll()
    looked.register(connection.fileno(), select.POLLIN)
    if looked.poll(0):
        await AsyncConnectionPool.check_connection(connection)


class Queries:
    """The read models of one schema. Raises ReadsUnavailable; pages raise BadCursor."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[Any]], schema: str = "read") -> None:
        self._pool = pool
        self._schema = schema

    async def goods_by_ids(self, ids: Iterable[int]) -> dict[int, Item]:
        """Those that are for sale, by id: goods_id, name, price."""
        found = await self._rows("goods", {"ids": list(ids)})
        return {item["goods_id"]: item for item in found}

    async def goods(self, goods_id: int) -> Item | None:
        """goods_id, name, price; None when there are no such goods for sale."""
        return (await self.goods_by_ids([goods_id])).get(goods_id)

    async def goods_page(self, q: str | None, limit: int, cursor: str | None) -> Page:
        """Goods for sale in the order of ids, or those whose name begins with `q`, in the order of names."""
        if q:
            return await self._goods_named(q, limit, cursor)
        question = "goods"
        keys = read_cursor(cursor, question, tuple[BigInt]) if cursor else (None,)
        found = await self._rows("goods_page", {"goods_id": keys[0], "limit": limit + 1})
        return _page(found, limit, question, lambda item: (item["goods_id"],))

    async def _goods_named(self, q: str, limit: int, cursor: str | None) -> Page:
        question = f"goods q={q}"
        keys = read_cursor(cursor, question, tuple[Text, BigInt]) if cursor else (None, None)
        params = {"q": q, "lower_name": keys[0], "goods_id": keys[1], "limit": limit + 1}
        # A name holds no NUL, and Postgres refuses to look for one.
        found = [] if "\0" in q else await self._rows("goods_named", params)
        items, next_cursor = _page(
            found, limit, question, lambda item: (item["lower_name"], item["goods_id"])
        )
        return [_without(item, "lower_name") for item in items], next_cursor

    async def stock(self, goods_id: int) -> Item | None:
        """goods_id, stock, version."""
        return await self._row("stock", {"goods_id": goods_id})

    async def sale(self, order_id: str) -> Item | None:
        """order_id, status (1 sold, 2 returned, 3 refused, 4 barred), lines: [{goods_id, nums}]."""
        return await self._row("sale", {"order_id": _number(order_id)})

    async def cart(self, user_id: int) -> list[Item]:
        """goods_id, name, price, nums, checked, for_sale, in the order the lines were put.

        Name and price are None for the moment in which the goods' own projection is behind.
        """
        return await self._rows("cart", {"user_id": user_id})

    async def order(self, order_id: str) -> Item | None:
        """The order as the contract has it, goods included."""
        found = await self._with_goods(await self._rows("order", {"order_id": _number(order_id)}))
        return found[0] if found else None

    async def orders_page(
        self, user_id: int | None, status: int | None, limit: int, cursor: str | None
    ) -> Page:
        """Orders with their goods, newest first; of one user and in one status, where given."""
        question = f"orders user_id={user_id} status={status}"
        keys = read_cursor(cursor, question, tuple[BigInt]) if cursor else (MAX_BIGINT,)
        params = {"user_id": user_id, "status": status, "before": keys[0], "limit": limit + 1}
        found = await self._rows("orders_page", params)
        orders, next_cursor = _page(found, limit, question, lambda item: (int(item["order_id"]),))
        return await self._with_goods(orders), next_cursor

    async def open_orders(self, user_ids: Collection[int], limit: int) -> dict[int, int]:
        """How many orders to pay these users have, each counted up to `limit`."""
        rows = await self._rows("open_orders", {"user_ids": list(user_ids), "limit": limit})
        return {row["user_id"]: row["orders"] for row in rows}

    async def deliverable(self, user_id: int, paid_after: datetime) -> list[str]:
        """Ids of the user's orders that are to pay, or were paid after that moment."""
        found = await self._rows("deliverable", {"user_id": user_id, "paid_after": paid_after})
        return [item["order_id"] for item in found]

    async def saga(self, order_id: str) -> Item | None:
        """order_id, step, owes, since, tries, next_try_at, last_error."""
        return await self._row("saga", {"order_id": _number(order_id)})

    async def sagas_page(self, which: SagaFilter, limit: int, cursor: str | None) -> Page:
        """Sagas, longest in their step first."""
        question = f"sagas {which}"
        keys = read_cursor(cursor, question, tuple[datetime, BigInt]) if cursor else (None, None)
        params = {"step": which.step, "older_than_s": which.older_than_s, "stuck": which.is_stuck or None}
        place = {"since": keys[0], "order_id": keys[1], "limit": limit + 1}
        found = await self._rows("sagas_page", {**params, **place})
        return _page(found, limit, question, lambda item: (item["since"], int(item["order_id"])))

    async def user(self, user_id: int) -> Item | None:
        """user_id, email, nickname, gender, role, created_at, updated_at."""
        return await self._row("user", {"user_id": user_id})

    async def positions(self) -> list[Item]:
        """Every projection of the schema: log, projection, position, at, last_error."""
        return await self._rows("positions", {})

    async def wait_for(self, positions: Mapping[str, int], timeout_s: float) -> bool:
        """Wait until every projection of these logs has reached its position. False when time is up."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        pause_s = FIRST_PAUSE_S
        while not await self._have_reached(positions):
            if loop.time() + pause_s > deadline:
                return False
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * PAUSE_GROWTH, LAST_PAUSE_S)
        return True

    async def _have_reached(self, positions: Mapping[str, int]) -> bool:
        least = [min(position, MAX_BIGINT) for position in positions.values()]
        row = await self._row("has_reached", {"logs": list(positions), "positions": least})
        return row is not None and bool(row["has_reached"])

    async def _with_goods(self, orders: Sequence[Item]) -> list[Item]:
        by_id: dict[str, Item] = {order["order_id"]: {**order, "goods": []} for order in orders}
        if by_id:
            ids = [int(order_id) for order_id in by_id]
            for line in await self._rows("order_goods", {"order_ids": ids}):
                by_id[line["order_id"]]["goods"].append(_without(line, "order_id"))
        return list(by_id.values())

    async def _row(self, name: str, params: Mapping[str, Any]) -> Item | None:
        found = await self._rows(name, params)
        return found[0] if found else None

    async def _rows(self, name: str, params: Mapping[str, Any]) -> list[Item]:
        given = frozenset(key for key, value in params.items() if value is not None)
        text = statement_for(name, self._schema, given)
        try:
            # What ends a connection after it was looked at ends others of the pool too, perhaps all of them.
            for _ in range(self._pool.max_size):
                async with self._pool.connection() as connection:
                    try:
                        return await _read(connection, text, params)
                    except psycopg.OperationalError:
                        if not connection.broken:
                            raise
            async with self._pool.connection() as connection:
                return await _read(connection, text, params)
        except psycopg.OperationalError as error:
            raise ReadsUnavailable(first_line(error)) from error


async def _read(connection: AsyncConnection[Any], text: bytes, params: Mapping[str, Any]) -> list[Item]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(text, params, prepare=True)
        return await cursor.fetchall()


@cache
def statement_for(name: str, schema: str, given: frozenset[str]) -> bytes:
    """A named query. A line that ends in `-- when a b unless c` stays if a and b are given and c is not."""
    lines = [line for line in query(name).splitlines() if _stays(line, given)]
    return SQL("\n".join(lines)).format(schema=Identifier(schema)).as_bytes()


def _stays(line: str, given: frozenset[str]) -> bool:
    code, _, mark = line.rpartition(" -- ")
    wanted, _, unwanted = mark.partition("unless")
    if not (code and mark.startswith(("when ", "unless "))):
        return True
    return given.issuperset(wanted.split()[1:]) and given.isdisjoint(unwanted.split())


def _page(
    found: Sequence[Item], limit: int, question: str, keys_of: Callable[[Item], tuple[Any, ...]]
) -> Page:
    """One row more than asked for was fetched: it says that there is a next page."""
    items = list(found[:limit])
    return items, write_cursor(question, keys_of(items[-1])) if len(found) > limit else None


def _number(order_id: str) -> int:
    """The order id as it stands in the tables; for what is no order id at all, a number that never does."""
    number = int(order_id) if order_id.isdecimal() and len(order_id) <= MAX_ORDER_ID_DIGITS else -1
    return number if str(number) == order_id and number <= MAX_BIGINT else -1


def _without(item: Item, key: str) -> Item:
    return {name: value for name, value in item.items() if name != key}
