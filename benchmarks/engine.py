"""The engine: the whole saga, from a place-order command to OrderPlaced in the log, without HTTP.

    python -m benchmarks.engine --shape spread --clients 32 --seconds 10

PostgreSQL and JetStream are real, fsync is on, and every part that decides an order runs: ledgers, wire,
inventory, orchestrator and watchdog. Carts are filled before the clock starts. Each client places an order
and waits for its outcome, one after the other; `benchmarks/engine_shapes.py` says of what. Afterwards the
logs are read: every order that was answered is there, and took what its basket says. `--role` starts a role
as a process of its own; with the projector the clock runs until every projection has read everything.
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from itertools import count
from typing import Final

import uvloop

from adapters.ids import utc_now
from adapters.retail_result import percentile
from adapters.role_process import RoleProcess
from adapters.roles import GC_THRESHOLDS, SWITCH_INTERVAL_S
from adapters.settings import Settings, child_environment
from adapters.wiring import Plant, add_inventory, add_orchestrator, open_plant
from benchmarks.engine_books import check_books
from benchmarks.engine_shapes import SHAPES, Basket, Shape, basket_of, shape_named
from benchmarks.limit_server import Work, tree_cpu_s
from benchmarks.peers.figures import CLIENTS, SECONDS, Figures
from benchmarks.server import migrated_settings
from benchmarks.settled import EVERYBODY, WATCHDOG, settle
from benchmarks.stocked import batches, stock_up
from domain import streams
from domain.cart import ReplaceCart
from domain.order import Contact
from domain.recorded import Cause
from domain.refusals import StockShort
from domain.saga import Step
from domain.services import GOODS, INVENTORY
from orchestrator.checkout import Placing

CONTACT: Final = Contact("1 High Street, London", "Ann Example", "07700 900000", "leave at the door")
WAIT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class EngineAsked:
    """`roles`: run as a process of their own. `carts`: filled before; 0 for as many as a trial says."""

    shape: str
    clients: int
    seconds: float
    carts: int = 0
    roles: tuple[str, ...] = ()

    @property
    def projects(self) -> bool:
        return "projector" in self.roles


class Engine:
    """The part of the api role that places orders, in the process of the roles that decide them.

    `placed`: the baskets by order id; `refused`: ids of orders that found too little. The warm-up's, too.
    """

    def __init__(self, plant: Plant, shape: Shape) -> None:
        self._plant = plant
        self._orders = plant.order_ledger()
        self._checkout = plant.checkout()
        self._shape = shape
        self._users, self._commands = count(1), count(1)
        self._ready: deque[tuple[int, Basket]] = deque()
        self.placed: dict[str, Basket] = {}
        self.refused: list[str] = []

    async def stock_up(self) -> None:
        shelf, stocks = self._plant.ledger(GOODS), self._plant.ledger(INVENTORY)
        await stock_up(shelf, stocks, self._shape.goods, gone=self._shape.gone)

    async def fill_carts(self, orders: int) -> None:
        """A cart for each of so many customers who have none yet.

        Who has filled a cart last orders first, so the first basket is filled last.
        """
        for some in batches(range(orders)):
            await self._fill([self._shape.basket(orders - 1 - number) for number in some])

    async def warm_up(self) -> None:
        """An order of every goods that is left, so that all are in memory as the limit's are."""
        left = [each.goods_id for each in self._shape.goods if each.goods_id not in self._shape.gone]
        pairs = [basket_of(left[place : place + 2]) for place in range(0, len(left), 2)]
        for some in batches(range(len(pairs))):
            await self._fill(pairs[some.start : some.stop])
            await asyncio.gather(*(self._place_one([]) for _ in some))

    async def carts_for(self, seconds: float, clients: int) -> int:
        """Twice as many as a trial shows to be ordered in that time; fewer at once would be slower."""
        trial = max(self._shape.trial, clients)
        await self.fill_carts(trial)
        begun = time.perf_counter()
        await asyncio.gather(*(self._place_one([]) for _ in range(trial)))
        return int(2 * seconds * trial / (time.perf_counter() - begun)) + clients

    async def place(self, clients: int, seconds: float) -> tuple[list[float], float]:
        """Milliseconds of each order, and how many seconds all of it took."""
        latencies: list[float] = []
        begun = time.perf_counter()
        await asyncio.gather(*(self._call(begun + seconds, latencies) for _ in range(clients)))
        return latencies, time.perf_counter() - begun

    async def _fill(self, baskets: Sequence[Basket]) -> None:
        users = [next(self._users) for _ in baskets]
        filled = list(zip(users, baskets, strict=True))
        await self._orders.submit_all(
            [(ReplaceCart(user, basket), self._cause(user)) for user, basket in filled]
        )
        self._ready += filled

    async def _call(self, until: float, latencies: list[float]) -> None:
        while time.perf_counter() < until:
            await self._place_one(latencies)

    async def _place_one(self, latencies: list[float]) -> None:
        assert self._ready, "every cart has been ordered before the time was up: --carts"
        begun, (user, basket) = time.perf_counter(), self._ready.pop()
        placing = await self._checkout.place(
            user_id=user,
            contact_for=lambda _: CONTACT,
            use=None,
            cause=self._cause(user),
            wait_s=WAIT_S,
        )
        latencies.append((time.perf_counter() - begun) * 1e3)
        self._note(placing, user, basket)

    def _note(self, placing: Placing, user: int, basket: Basket) -> None:
        """Who was refused has the cart still, and asks again when all others have."""
        if placing.order.placed is not None:
            self.placed[placing.order_id] = basket
        else:
            assert (placing.saga.step, placing.saga.reason) == (Step.REFUSED, StockShort.name), placing
            self.refused.append(placing.order_id)
            self._ready.appendleft((user, basket))

    def _cause(self, user: int = 0) -> Cause:
        return Cause(f"bench-{next(self._commands)}", streams.user(user), "", utc_now())


async def engine_round(settings: Settings, asked: EngineAsked, shape: Shape) -> Figures:
    """Raises AssertionError when an order has another outcome than its shape's, or the logs do not agree."""
    dsn = settings.dsn("order")
    assert dsn is not None
    async with open_engine(settings, asked.roles, shape) as engine:
        await engine.stock_up()
        await engine.warm_up()
        assert not engine.refused, f"{len(engine.refused)} orders of the warm-up refused"
        await engine.fill_carts(asked.carts or await engine.carts_for(asked.seconds, asked.clients))
        await asyncio.to_thread(settle, dsn, EVERYBODY if asked.projects else WATCHDOG)
        warm = len(engine.placed)
        measured = await _measured(engine, dsn, asked)
    own = [*engine.placed.values()][warm:]
    assert not (own if shape.gone else engine.refused), f"{len(own)} placed, {len(engine.refused)} refused"
    check_books(dsn, engine.placed, engine.refused, shape.gone)
    return _figures(asked, measured, sum(map(len, own)))


@dataclass(frozen=True, slots=True)
class _Measured:
    """`seconds`: of placing, and of the projections that were behind after it for `behind_s`."""

    times_ms: Sequence[float]
    seconds: float
    behind_s: float
    cpu_s: float
    work: Work


async def _measured(engine: Engine, dsn: str, asked: EngineAsked) -> _Measured:
    before, cpu_s = await asyncio.to_thread(Work.until_now, dsn), tree_cpu_s(os.getpid())
    sys.stderr.write("placing\n")
    times, took = await engine.place(asked.clients, asked.seconds)
    behind_s = await asyncio.to_thread(settle, dsn, EVERYBODY) if asked.projects else 0.0
    cpu_s = tree_cpu_s(os.getpid()) - cpu_s
    work = (await asyncio.to_thread(Work.until_now, dsn)).since(before)
    return _Measured(sorted(times), took + behind_s, behind_s, cpu_s, work)


@asynccontextmanager
async def open_engine(settings: Settings, roles: Sequence[str], shape: Shape) -> AsyncIterator[Engine]:
    """`roles`: in a process of their own."""
    async with AsyncExitStack() as stack:
        plant = await open_plant(settings, stack)
        for role in roles:
            process = RoleProcess(["serve", role], child_environment(settings), settings.data)
            process.start()
            stack.callback(process.stop)
        if "inventory" not in roles:
            add_inventory(plant)
        add_orchestrator(plant)
        engine = Engine(plant, shape)
        tasks = [asyncio.create_task(part) for part in plant.tasks]
        try:
            yield engine
        finally:
            plant.stopping.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _begin_as_a_role() -> None:
    """As every process of the roles that run here begins."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def _figures(asked: EngineAsked, measured: _Measured, lines: int) -> Figures:
    orders, work = len(measured.times_ms), measured.work
    return Figures(
        name="engine",
        shape=asked.shape,
        clients=asked.clients,
        orders=orders,
        seconds=measured.seconds,
        orders_per_s=orders / measured.seconds,
        p50_ms=percentile(measured.times_ms, 50),
        p99_ms=percentile(measured.times_ms, 99),
        cpu_ms_per_order=measured.cpu_s * 1e3 / orders,
        postgres_ms_per_order=work.cpu_s * 1e3 / orders,
        load_ms_per_order=0.0,
        commits_per_order=work.commits / orders,
        wal_bytes_per_order=work.wal_bytes / orders,
        errors=0,
        lines_per_s=lines / measured.seconds,
        behind_s=measured.behind_s,
    )


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
    shape = shape_named(asked.shape)
    _begin_as_a_role()
    with migrated_settings("engine") as settings:
        figures = uvloop.run(engine_round(settings, asked, shape))
    sys.stdout.write(json.dumps(asdict(figures)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
