"""The engine: the whole saga, from a place-order command to OrderPlaced in the log, without HTTP.

    python -m benchmarks.engine --shape spread --clients 32 --seconds 10

PostgreSQL and JetStream are real, fsync is on, and every part that decides an order runs: ledgers, wire,
inventory, orchestrator and watchdog. Carts are filled before the clock starts. Each client places an order
of two goods and waits for its outcome, one after the other. Afterwards the logs are counted: every order that
was answered is placed, and every unit of it sold once. `--role` starts a role as a process of its own.
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import random
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, Final

import psycopg
import uvloop

from adapters.ids import utc_now
from adapters.retail_result import percentile
from adapters.role_process import RoleProcess
from adapters.roles import GC_THRESHOLDS, SWITCH_INTERVAL_S
from adapters.settings import Settings, child_environment
from adapters.wiring import Plant, add_inventory, add_orchestrator, open_plant
from benchmarks.limit_server import Work, tree_cpu_s
from benchmarks.peers.figures import CLIENTS, SECONDS, SHAPES, Figures
from benchmarks.server import migrated_settings
from benchmarks.settled import EVERYBODY, WATCHDOG, settle
from benchmarks.stocked import GOODS_COUNT, batches, stock_up
from domain import streams
from domain.cart import CartLine, ReplaceCart
from domain.order import Contact
from domain.recorded import Cause
from domain.services import GOODS, INVENTORY

CONTACT: Final = Contact("1 High Street, London", "Ann Example", "07700 900000", "leave at the door")
WAIT_S: Final = 30.0
CARTS_PER_S: Final = 5_000
"""Filled beforehand for each second of placing."""

_BOOKS: Final = """
SELECT (SELECT count(*) FROM "order".events WHERE topic = 'OrderPlaced'),
       (SELECT count(*) FROM inventory.events WHERE topic = 'Sold'),
       (SELECT count(*) FROM inventory.events WHERE topic = 'StockSold'),
       (SELECT count(DISTINCT (originator_id, convert_from(state, 'UTF8')::json -> 'data' ->> 'order_id'))
          FROM inventory.events WHERE topic = 'StockSold')
"""


@dataclass(frozen=True, slots=True)
class EngineAsked:
    """`roles`: run as a process of their own. `carts`: filled before; 0 for as many as could be needed."""

    shape: str
    clients: int
    seconds: float
    carts: int = 0
    roles: tuple[str, ...] = ()


class Engine:
    """The part of the api role that places orders, in the process of the roles that decide them."""

    def __init__(self, plant: Plant, shape: str) -> None:
        self._plant = plant
        self._orders = plant.order_ledger()
        self._checkout = plant.checkout()
        self._shape = shape
        self._users, self._commands = count(1), count(1)
        self._ready: list[int] = []

    async def stock_up(self) -> None:
        await stock_up(self._plant.ledger(GOODS), self._plant.ledger(INVENTORY))

    async def fill_carts(self, orders: int) -> None:
        """A cart of two goods for each of so many customers who have none yet."""
        for some in batches(range(orders)):
            users = [next(self._users) for _ in some]
            await self._orders.submit_all(
                [(ReplaceCart(user, self._lines()), self._cause(user)) for user in users]
            )
            self._ready += users

    async def warm_up(self) -> int:
        """An order of every goods, so that all are in memory as the limit's are; how many orders."""
        pairs = [(each, each + 1) for each in range(1, GOODS_COUNT, 2)]
        for some in batches(range(len(pairs))):
            users = [next(self._users) for _ in some]
            carts = zip(users, [pairs[each] for each in some], strict=True)
            await self._orders.submit_all(
                [(ReplaceCart(user, _cart(pair)), self._cause(user)) for user, pair in carts]
            )
            self._ready += users
            await asyncio.gather(*(self._place_one([]) for _ in users))
        return len(pairs)

    async def place(self, clients: int, seconds: float) -> tuple[list[float], float]:
        """Milliseconds of each order, and how many seconds all of it took."""
        latencies: list[float] = []
        begun = time.perf_counter()
        await asyncio.gather(*(self._call(begun + seconds, latencies) for _ in range(clients)))
        return latencies, time.perf_counter() - begun

    async def _call(self, until: float, latencies: list[float]) -> None:
        while time.perf_counter() < until:
            await self._place_one(latencies)

    async def _place_one(self, latencies: list[float]) -> None:
        begun, user = time.perf_counter(), self._ready.pop()
        placing = await self._checkout.place(
            user_id=user,
            contact_for=lambda _: CONTACT,
            use=None,
            cause=self._cause(user),
            wait_s=WAIT_S,
        )
        assert placing.order.placed is not None, placing
        latencies.append((time.perf_counter() - begun) * 1e3)

    def _lines(self) -> tuple[CartLine, ...]:
        return _cart((1, 2) if self._shape == "hot" else random.sample(range(1, GOODS_COUNT + 1), 2))

    def _cause(self, user: int = 0) -> Cause:
        return Cause(f"bench-{next(self._commands)}", streams.user(user), "", utc_now())


def _cart(goods: Iterable[int]) -> tuple[CartLine, ...]:
    return tuple(CartLine(each, 1, checked=True) for each in goods)


async def engine_round(settings: Settings, asked: EngineAsked) -> Figures:
    """Raises AssertionError when an order is not placed, or placed or sold twice."""
    dsn = settings.dsn("order")
    assert dsn is not None
    async with _engine(settings, asked) as engine:
        await engine.stock_up()
        warm = await engine.warm_up()
        await engine.fill_carts(asked.carts or int(CARTS_PER_S * asked.seconds))
        await asyncio.to_thread(settle, dsn, EVERYBODY if "projector" in asked.roles else WATCHDOG)
        before, cpu_s = await asyncio.to_thread(Work.until_now, dsn), tree_cpu_s(os.getpid())
        sys.stderr.write("placing\n")
        times, took = await engine.place(asked.clients, asked.seconds)
        cpu_s = tree_cpu_s(os.getpid()) - cpu_s
        work = (await asyncio.to_thread(Work.until_now, dsn)).since(before)
    _check_books(dsn, len(times) + warm)
    return _figures(asked, sorted(times), took, cpu_s, work)


@asynccontextmanager
async def _engine(settings: Settings, asked: EngineAsked) -> Any:
    async with AsyncExitStack() as stack:
        plant = await open_plant(settings, stack)
        if asked.roles:
            process = RoleProcess(["serve", *asked.roles], child_environment(settings), settings.data)
            process.start()
            stack.callback(process.stop)
        if "inventory" not in asked.roles:
            add_inventory(plant)
        add_orchestrator(plant)
        engine = Engine(plant, asked.shape)
        # As every process of these roles begins.
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        tasks = [asyncio.create_task(part) for part in plant.tasks]
        try:
            yield engine
        finally:
            plant.stopping.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _figures(asked: EngineAsked, times: Sequence[float], seconds: float, cpu_s: float, work: Work) -> Figures:
    orders = len(times)
    return Figures(
        name="engine",
        shape=asked.shape,
        clients=asked.clients,
        orders=orders,
        seconds=seconds,
        orders_per_s=orders / seconds,
        p50_ms=percentile(times, 50),
        p99_ms=percentile(times, 99),
        cpu_ms_per_order=cpu_s * 1e3 / orders,
        postgres_ms_per_order=work.cpu_s * 1e3 / orders,
        load_ms_per_order=0.0,
        commits_per_order=work.commits / orders,
        wal_bytes_per_order=work.wal_bytes / orders,
        errors=0,
    )


def _check_books(dsn: str, answered: int) -> None:
    with psycopg.connect(dsn) as connection:
        placed, sold, units, different = connection.execute(_BOOKS).fetchone() or (0, 0, 0, 0)
    assert placed == sold == answered, f"{answered} answered, {placed} placed, {sold} sold"
    assert units == different == 2 * placed, f"{placed} orders of two goods took {units} units"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="spread")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--carts", type=int, default=0)
    parser.add_argument("--role", action="append", default=[], help="run this role as a process of its own")
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING)
    asked = EngineAsked(args.shape, args.clients, args.seconds, args.carts, tuple(args.role))
    with migrated_settings("engine") as settings:
        figures = uvloop.run(engine_round(settings, asked))
    sys.stdout.write(json.dumps(asdict(figures)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
