"""The engine: the whole saga, from a place-order command to OrderPlaced in the log, without HTTP.

    python -m benchmarks.engine --shape spread --callers 1000 --seconds 10

PostgreSQL and JetStream are real, fsync is on, and every part that decides an order runs: ledgers, wire,
inventory, orchestrator and watchdog. Carts are filled before the clock starts. Each caller places an order
of two goods and waits for its outcome, one after the other. Afterwards the logs are counted: every order
placed, every unit sold once.
"""

import argparse
import asyncio
import gc
import json
import logging
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, Final

import psycopg
import uvloop

from adapters.ids import utc_now
from adapters.role_process import RoleProcess
from adapters.roles import GC_THRESHOLDS, SWITCH_INTERVAL_S
from adapters.settings import Settings, child_environment
from adapters.wiring import Plant, add_inventory, add_orchestrator, open_plant
from benchmarks.cpu import cpu_by_name
from benchmarks.server import migrated_settings
from domain import streams
from domain.cart import CartLine, ReplaceCart
from domain.goods import CreateGoods
from domain.order import Contact
from domain.recorded import Cause
from domain.services import GOODS, INVENTORY
from domain.stock import SetInv, SetInvMany
from orchestrator.checkout import Checkout

GOODS_COUNT: Final = 10_000
PLENTY: Final = 100_000_000
CONTACT: Final = Contact("1 High Street, London", "Ann Example", "07700 900000", "leave at the door")
WAIT_S: Final = 30.0
FILLED_AT_ONCE: Final = 1_000
IMPORT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Round:
    """`python_us`: of this process, an order. `p50_ms`, `p99_ms`: from the command to the known outcome."""

    name: str
    shape: str
    callers: int
    orders: int
    seconds: float
    orders_per_s: float
    p50_ms: float
    p99_ms: float
    python_us: float
    postgres_us: float
    nats_us: float
    commits_per_order: float
    wal_bytes_per_order: float


class Engine:
    """The part of the api role that places orders, in the process of the roles that decide them."""

    def __init__(self, plant: Plant, dsn: str) -> None:
        self._plant = plant
        self._dsn = dsn
        self._orders = plant.order_ledger()
        self._checkout: Checkout = plant.checkout()
        self._ids = count(1)
        self._commands = count(1)
        self._ready: list[int] = []

    async def stock_up(self, goods: int) -> None:
        """Goods 1 to `goods`, with more units than anybody will order."""
        ledger = self._plant.ledger(GOODS)
        for some in _some(range(1, goods + 1), IMPORT):
            await asyncio.gather(
                *(ledger.submit(CreateGoods(each, f"goods {each}", 1_000), self._cause()) for each in some)
            )
            items = tuple(SetInv(each, PLENTY, goods_exist=True) for each in some)
            await self._plant.ledger(INVENTORY).submit(SetInvMany(items), self._cause())

    async def fill_carts(self, orders: int, shape: str) -> None:
        """A cart of two goods for each of so many customers who have none yet."""
        for some in _some(range(orders), FILLED_AT_ONCE):
            await asyncio.gather(*(self._fill_cart(shape) for _ in some))

    async def place(self, callers: int, seconds: float) -> tuple[list[float], float]:
        """Latencies in seconds, and how long all of it took."""
        latencies: list[float] = []
        begun = time.perf_counter()
        await asyncio.gather(*(self._call(begun + seconds, latencies) for _ in range(callers)))
        return latencies, time.perf_counter() - begun

    def left(self) -> int:
        return len(self._ready)

    async def _fill_cart(self, shape: str) -> None:
        user_id = next(self._ids)
        goods = (1, 2) if shape == "hot" else random.sample(range(1, GOODS_COUNT + 1), 2)
        lines = tuple(CartLine(each, 1, checked=True) for each in goods)
        await self._orders.submit(ReplaceCart(user_id, lines), self._cause(user_id))
        self._ready.append(user_id)

    async def _call(self, until: float, latencies: list[float]) -> None:
        while self._ready and (begun := time.perf_counter()) < until:
            user_id = self._ready.pop()
            placing = await self._checkout.place(
                user_id=user_id,
                contact_for=lambda _: CONTACT,
                use=None,
                cause=self._cause(user_id),
                wait_s=WAIT_S,
            )
            assert placing.order.placed is not None, placing
            latencies.append(time.perf_counter() - begun)

    def _cause(self, user_id: int = 0) -> Cause:
        return Cause(f"bench-{next(self._commands)}", streams.user(user_id), "", utc_now())


def _some(numbers: range, size: int) -> Iterator[range]:
    for first in range(numbers.start, numbers.stop, size):
        yield range(first, min(first + size, numbers.stop))


async def engine_round(
    settings: Settings, shape: str, callers: int, seconds: float, carts: int, roles: Sequence[str] = ()
) -> Round:
    """Raises AssertionError when an order is not placed, or placed or sold twice."""
    dsn = settings.dsn("order")
    assert dsn is not None
    async with AsyncExitStack() as stack:
        plant = await open_plant(settings, stack)
        if roles:
            process = RoleProcess(["serve", *roles], child_environment(settings), settings.data)
            process.start()
            stack.callback(process.stop)
        if "inventory" not in roles:
            add_inventory(plant)
        add_orchestrator(plant)
        engine = Engine(plant, dsn)
        # As every process of these roles begins.
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        tasks = [asyncio.create_task(part) for part in plant.tasks]
        try:
            await engine.stock_up(GOODS_COUNT)
            await engine.fill_carts(carts, shape)
            await engine.place(callers, 1.0)
            await asyncio.to_thread(_caught_up, dsn)
            sys.stderr.write("PLACING\n")
            before, cpu = await asyncio.to_thread(_server, dsn), cpu_by_name()
            latencies, took = await engine.place(callers, seconds)
            used = {name: seconds - cpu[name] for name, seconds in cpu_by_name().items()}
            after = await asyncio.to_thread(_server, dsn)
            assert engine.left(), "there were not enough carts: give more --carts"
        finally:
            plant.stopping.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    orders = len(latencies)
    return Round(
        "engine",
        shape,
        callers,
        orders,
        took,
        orders / took,
        _quantile(latencies, 0.5) * 1e3,
        _quantile(latencies, 0.99) * 1e3,
        used["python"] / orders * 1e6,
        used["postgres"] / orders * 1e6,
        used["nats-server"] / orders * 1e6,
        (after[0] - before[0]) / orders,
        (after[1] - before[1]) / orders,
    )


def _caught_up(dsn: str) -> None:
    """Until the watchdog's own list has seen what was filled in."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        while True:
            row = connection.execute(
                'SELECT (SELECT max(notification_id) FROM "order".events)'
                ' - (SELECT min(position) FROM "order".position)'
            ).fetchone()
            if row is not None and row[0] <= 0:
                return
            time.sleep(0.05)


def _server(dsn: str) -> tuple[int, int]:
    """Commits and bytes of WAL of the server so far."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        row = connection.execute(
            "SELECT (SELECT sum(xact_commit) FROM pg_stat_database)::bigint,"
            " (SELECT wal_bytes FROM pg_stat_wal)::bigint"
        ).fetchone()
    assert row is not None
    return row[0], row[1]


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shape", choices=["spread", "hot"], default="spread")
    parser.add_argument("--callers", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--carts", type=int, default=100_000)
    parser.add_argument("--role", action="append", default=[])
    parser.add_argument("--say", action="store_true")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    with migrated_settings("engine") as settings:
        round_of = engine_round(settings, args.shape, args.callers, args.seconds, args.carts, args.role)
        figures = uvloop.run(round_of)
    body: dict[str, Any] = asdict(figures)
    sys.stdout.write(json.dumps(body) + "\n")


if __name__ == "__main__":
    main()
