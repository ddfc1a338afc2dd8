"""Two projectors at work on one shop, killed one after the other: nothing is lost, nothing comes twice.

    python -m tests.adapters.kill_projectors --kills 200 [--seed N]

A writer goes on recording what a shop does; at random moments one of the two projectors is killed and started
again. At the end the live tables must be, byte for byte, what a fold of the log from its first event makes.
"""

import argparse
import asyncio
import ctypes
import hashlib
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from adapters import postgres_projection
from adapters.child_launcher import PR_SET_PDEATHSIG
from adapters.embedded_servers import EmbeddedServers
from adapters.postgres_projector import Projector
from adapters.postgres_read_schema import create_read_tables
from domain.cart import CartLine, PutCartLine
from domain.goods import ChangeGoods
from domain.order import Payment, PayOrder
from domain.refusals import Refusal
from domain.services import GOODS, ORDER, USER
from domain.user import RegisterUser, Role
from projections import PROJECTIONS
from projections.projection import Table
from tests.adapters.read_side import LOGS, create_logs, finish, live, store
from tests.shop_history import ShopHistory

AT_WORK = 2
ROOT = Path(__file__).parents[2]
GOODS_IDS = range(11, 31)
ORDERS_A_CHUNK = 3
PAUSE_S = 0.02
LIVES_S = (0.02, 0.25)
"""Between two kills, so that a projector dies at any moment of its start, of a batch, and between two."""

BATCH_EVENTS = 20
"""Few, so that there are many commits to die in, and many for two projectors to get in each other's way."""

CATCH_UP_S = 60.0
REBUILT = "rebuilt"


@dataclass(frozen=True, slots=True)
class Result:
    """`differing`: tables that are not what the log says; `lagging`: positions that were never reached."""

    kills: int
    events: int
    seconds: float
    differing: tuple[str, ...]
    lagging: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        return not (self.differing or self.lagging)

    def __str__(self) -> str:
        wrong = [f"{table} differs" for table in self.differing] + [f"{one} lags" for one in self.lagging]
        return f"{self.kills} projectors killed in {self.seconds:.0f} s over {self.events:,} events: " + (
            ", ".join(wrong) or "live tables equal a fold of the log"
        )


def kill_projectors(dsn: str, kills: int, seed: int) -> Result:
    """On a database that is empty."""
    create_logs(dsn)
    create_read_tables(dsn)
    began = time.monotonic()
    chance = random.Random(seed)
    with starting(dsn) as start:
        with writing(dsn, seed) as shop:
            at_work = [start() for _ in range(AT_WORK)]
            for _ in range(kills):
                time.sleep(chance.uniform(*LIVES_S))
                victim = chance.randrange(AT_WORK)
                os.kill(at_work[victim], signal.SIGKILL)
                at_work[victim] = start()
        lagging = await_heads(dsn, shop)
    events = sum(map(len, shop.logs.values()))
    return Result(kills, events, time.monotonic() - began, differing(dsn), lagging)


# projectors


@contextmanager
def starting(dsn: str) -> Iterator[Callable[[], int]]:
    """A process that has everything imported and forks a projector for each line it reads."""
    arguments = [sys.executable, "-m", "tests.adapters.kill_projectors", "--launch", dsn]
    with subprocess.Popen(
        arguments, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as launcher:
        orders, pids = launcher.stdin, launcher.stdout
        assert orders is not None
        assert pids is not None

        def start() -> int:
            print(file=orders, flush=True)
            return int(pids.readline())

        try:
            yield start
        finally:
            orders.close()


def launch(dsn: str) -> None:
    # Children are never waited for; the kernel buries them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    logging.disable(logging.ERROR)
    # Whoever is left when the lines end is killed with us.
    for _ in sys.stdin:
        pid = os.fork()
        if not pid:
            project(dsn)
        print(pid, flush=True)


def project(dsn: str) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    postgres_projection.BATCH_EVENTS = BATCH_EVENTS  # type: ignore[misc]
    try:
        asyncio.run(Projector(dict.fromkeys(LOGS, dsn), dsn).run(asyncio.Event()))
    finally:
        os._exit(1)


# what the shop does


class Shop(ShopHistory):
    """Goes on until it is told to stop; what it recorded is in the database."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.is_open = True
        self._chance = random.Random(seed)
        self._orders = 0
        for user_id in range(1, 8):
            email = f"sealed-{user_id}"
            self.tell(USER, RegisterUser(user_id, email, email, "sealed-name", None, Role.CUSTOMER, "hash"))
        for goods_id in GOODS_IDS:
            self.stocked(goods_id, units=40)

    def run(self, dsn: str) -> None:
        while self.is_open:
            for _ in range(ORDERS_A_CHUNK):
                self.ordered()
            store(dsn, self, notify=True)
            time.sleep(PAUSE_S)

    def ordered(self) -> None:
        """An order with any end it can have, and what else goes on beside it."""
        self._orders += 1
        order_id, user_id = str(1000 + self._orders), 1 + self._orders % 7
        wanted = self._chance.sample(GOODS_IDS, 2)
        self.started(order_id, [(goods_id, self._chance.randint(1, 4)) for goods_id in wanted], user_id)
        self.retried(order_id)
        with suppress(Refusal):
            self.sold(order_id)
            self._chance.choice((self._paid, self._given_back, self._left))(order_id, user_id)
        self.tell(ORDER, PutCartLine(user_id, CartLine(wanted[0], 2, checked=False)))
        if self._orders % 5 == 0:
            self.tell(GOODS, ChangeGoods(wanted[0], f"goods, order {order_id}", 100 + self._orders))
            self.stocked(wanted[1], units=40)

    def _paid(self, order_id: str, _user_id: int) -> None:
        self.paid(order_id)

    def _given_back(self, order_id: str, user_id: int) -> None:
        self.cancelled(order_id, user_id)
        self.rolled_back(order_id)
        self.tell(ORDER, PayOrder(order_id, Payment("wechat", f"late-{order_id}", 5, self.now)))

    def _left(self, order_id: str, _user_id: int) -> None:
        """Nobody pays, and nobody says so."""


@contextmanager
def writing(dsn: str, seed: int) -> Iterator[Shop]:
    shop = Shop(seed)
    with ThreadPoolExecutor(1) as thread:
        writer = thread.submit(shop.run, dsn)
        try:
            yield shop
        finally:
            shop.is_open = False
        writer.result()


# the end


def await_heads(dsn: str, shop: Shop) -> tuple[str, ...]:
    """Projections that do not get to the end of their log, although nothing disturbs them any more."""
    ends_at = time.monotonic() + CATCH_UP_S
    with psycopg.connect(dsn, autocommit=True) as connection:
        while True:
            rows = connection.execute("SELECT projection, log, position FROM read.position").fetchall()
            lagging = tuple(name for name, log, position in rows if position < len(shop.logs[log]))
            if not lagging or time.monotonic() > ends_at:
                return lagging
            time.sleep(0.05)


def differing(dsn: str) -> tuple[str, ...]:
    """Tables that are not what the log makes, applied by nobody else and without a break."""
    create_read_tables(dsn, REBUILT)
    for projection in PROJECTIONS:
        with live(projection, dsn, REBUILT) as running:
            finish(running)
    tables = [table for projection in PROJECTIONS for table in projection.tables]
    with psycopg.connect(dsn) as connection:
        return tuple(
            table.name
            for table in tables
            if digest(connection, "read", table) != digest(connection, REBUILT, table)
        )


def digest(connection: psycopg.Connection, schema: str, table: Table) -> str:
    """Of every byte of the table, in the order of its primary key."""
    text = SQL("COPY (SELECT * FROM {} ORDER BY {}) TO STDOUT").format(
        Identifier(schema, table.name), SQL(", ").join(map(Identifier, table.primary_key))
    )
    found = hashlib.sha256()
    with connection.cursor() as cursor, cursor.copy(text) as rows:
        for row in rows:
            found.update(row)
    return found.hexdigest()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, help="of the history and the moments; made up when left out")
    parser.add_argument("--launch", metavar="DSN", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.launch is not None:
        launch(options.launch)
        return 0
    seed = random.randrange(10**6) if options.seed is None else options.seed
    folder = Path(tempfile.mkdtemp(prefix="tillroll-kills-"))
    try:
        with EmbeddedServers(folder / "data", nats=False, fsync=False) as servers:
            result = kill_projectors(servers.postgres.dsn, options.kills, seed)
    finally:
        shutil.rmtree(folder)
    print(f"seed {seed}: {result}")
    return 0 if result.is_clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
