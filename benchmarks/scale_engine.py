"""The engine on a small shop and on a large one in turn, by the same process: what the size alone costs.

Each round begins with new ledgers, as after a restart, and with orders of every goods, so that all are in
memory. The small shop is a fresh copy in every round, because a round writes more than it held.
"""

import asyncio
import gc
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import conninfo
from psycopg.sql import SQL, Identifier

from adapters.settings import Settings
from benchmarks.engine import Engine, open_engine
from benchmarks.engine_shapes import HOT, Basket, Shape, basket_of
from benchmarks.limit_server import Work
from benchmarks.scale_fill import address, heads
from benchmarks.settled import WATCHDOG, settle

WARM_UP_LINES: Final = 500
"""Of an order of the warm-up."""

WARM_UP_AT_ONCE: Final = 4
"""Orders of so many lines that wait together become one commit, which must not take long."""

WARM_UP_S: Final = 0.001
"""Each customer of the warm-up places one order, however long it takes."""

_PLACED: Final = """
SELECT count(*) FROM "order".events WHERE topic = 'OrderPlaced' AND notification_id > %s
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """`spread`: over all goods; else every order is of the same two."""

    goods: int
    spread: bool
    clients: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Round:
    """Processor time in milliseconds an order: of Python with all its threads, and of PostgreSQL."""

    orders: int
    orders_per_s: float
    python_ms: float
    postgres_ms: float
    wal_bytes: float

    @property
    def cpu_ms(self) -> float:
        return self.python_ms + self.postgres_ms


async def engine_round(settings: Settings, asked: Asked) -> Round:
    """Raises AssertionError when an order is not placed, or the log has others than were answered."""
    dsn = address(settings)
    head = (await asyncio.to_thread(heads, dsn))["order"]
    baskets = Baskets(asked)
    async with open_engine(settings, (), baskets.shape()) as engine:
        await _warm_up(engine, len(baskets.wide))
        await engine.fill_carts(await engine.carts_for(asked.seconds, asked.clients))
        await asyncio.to_thread(settle, dsn, WATCHDOG)
        gc.collect()
        measured = await _measured(engine, dsn, asked)
        answered = len(engine.placed)
        assert not engine.refused, f"{len(engine.refused)} orders were refused"
    with psycopg.connect(dsn) as connection:
        (placed,) = connection.execute(_PLACED, (head,)).fetchone() or (0,)
    assert placed == answered, f"{answered} orders answered, {placed} placed"
    return measured


class Baskets:
    """What is ordered: first every goods once, many in an order; then two at random."""

    def __init__(self, asked: Asked) -> None:
        self._all = range(1, asked.goods + 1) if asked.spread else HOT
        pieces = range(0, len(self._all), WARM_UP_LINES)
        self.wide = [basket_of(self._all[first : first + WARM_UP_LINES]) for first in pieces]
        self._left = deque(self.wide)

    def shape(self) -> Shape:
        return Shape(goods=(), basket=self._next)

    def _next(self, _number: int) -> Basket:
        return self._left.popleft() if self._left else basket_of(random.sample(self._all, 2))


async def _warm_up(engine: Engine, orders: int) -> None:
    await engine.fill_carts(orders)
    for first in range(0, orders, WARM_UP_AT_ONCE):
        await engine.place(min(WARM_UP_AT_ONCE, orders - first), WARM_UP_S)


@contextmanager
def fresh_copy(settings: Settings) -> Iterator[Settings]:
    """The same shop in a database of its own, which is gone afterwards. Nobody else may use the first one."""
    dsn = address(settings)
    name = conninfo.conninfo_to_dict(dsn)["dbname"]
    server = conninfo.make_conninfo(dsn, dbname="postgres")
    copy = Identifier(f"{name}_copy")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {} TEMPLATE {}").format(copy, Identifier(str(name))))
        try:
            there = conninfo.make_conninfo(dsn, dbname=f"{name}_copy")
            yield settings.model_copy(update={"shared_dsn": there})
        finally:
            connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(copy))


async def _measured(engine: Engine, dsn: str, asked: Asked) -> Round:
    before, python_s = await asyncio.to_thread(Work.until_now, dsn), time.process_time()
    times, seconds = await engine.place(asked.clients, asked.seconds)
    python_s = time.process_time() - python_s
    work = (await asyncio.to_thread(Work.until_now, dsn)).since(before)
    orders = len(times)
    return Round(
        orders=orders,
        orders_per_s=orders / seconds,
        python_ms=python_s * 1e3 / orders,
        postgres_ms=work.cpu_s * 1e3 / orders,
        wal_bytes=work.wal_bytes / orders,
    )


Figure = Callable[[Round], float]

FIGURES: Final[dict[str, Figure]] = {
    "orders/s": lambda one: one.orders_per_s,
    "CPU ms an order": lambda one: one.cpu_ms,
    "of it Python": lambda one: one.python_ms,
    "of it PostgreSQL": lambda one: one.postgres_ms,
    "WAL bytes an order": lambda one: one.wal_bytes,
}
