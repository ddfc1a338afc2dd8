"""Two processes run one projector: when the one at work stops or dies, the other is at work within 5 s."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from adapters.postgres_projection import PostgresProjection
from adapters.postgres_projector import Projector
from adapters.postgres_read_schema import create_read_tables
from adapters.postgres_read_tables import table_rows
from domain.goods import CreateGoods
from domain.services import GOODS as GOODS_SERVICE
from projections.goods import GOODS
from tests.adapters.read_side import create_logs, folded, live, store
from tests.adapters.stopping_projector import SLOW
from tests.shop_history import ShopHistory

TAKEOVER_S = 5.0
NOTHING_LEFT = "0"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def shop() -> ShopHistory:
    shop = ShopHistory()
    for goods_id in range(1, 30):
        shop.tell(GOODS_SERVICE, CreateGoods(goods_id, "mug", 250))
    return shop


@pytest.fixture
def logs(fresh_database: str, shop: ShopHistory) -> str:
    """A database with a log of goods that nobody has applied."""
    create_logs(fresh_database)
    create_read_tables(fresh_database)
    store(fresh_database, shop)
    return fresh_database


@contextmanager
def going(dsn: str, how: str, moment: str) -> Iterator[subprocess.Popen[str]]:
    """A projector in a process of its own; it is gone afterwards, stopped or not."""
    arguments = [sys.executable, "-m", "tests.adapters.stopping_projector", dsn, how, moment]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def taken_over(dsn: str, gone_at: float) -> float:
    """Seconds from that moment until another projector has applied events."""
    projector = Projector({"goods": dsn}, dsn, projections=[GOODS])
    stop = asyncio.Event()
    running = asyncio.create_task(projector.run(stop))
    try:
        while await asyncio.to_thread(position, dsn) == 0:
            assert time.monotonic() - gone_at < 3 * TAKEOVER_S
            await asyncio.sleep(0.02)
        return time.monotonic() - gone_at
    finally:
        stop.set()
        await running


def position(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT position FROM read.position WHERE projection = 'goods'").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("moment", ["folding", "working", "reading"])
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_another_projector_is_at_work_within_five_seconds(
    logs: str, shop: ShopHistory, how: str, moment: str, figure: Callable[[str], None]
) -> None:
    with psycopg.connect(logs, autocommit=True) as connection:
        connection.execute(SLOW)
    with going(logs, how, moment) as process:
        gone_at = float(await asyncio.to_thread(line_of, process))
        took_s = await taken_over(logs, gone_at)
        figure(f"projector: {how} while {moment}: another one was at work {took_s:.1f} s later")
        assert took_s < TAKEOVER_S
        if how == "stop":
            await continued(process)
    assert position(logs) == len(shop.logs["goods"])
    assert list(table_rows(logs, "read", GOODS)) == folded(GOODS, shop)


async def continued(process: subprocess.Popen[str]) -> None:
    """It goes on in the middle of a batch that has been ended, and must change nothing."""
    os.kill(process.pid, signal.SIGCONT)
    assert await asyncio.to_thread(line_of, process) == NOTHING_LEFT
    assert process.wait(TAKEOVER_S) == 0


def test_a_projector_at_work_is_left_at_work(logs: str) -> None:
    """Only what is past its end is ended: whoever finds the position taken does not take it away."""
    with live(GOODS, logs) as working, live(GOODS, logs) as waiting:
        store_of = working._store
        with store_of.transaction():
            store_of.take_position()
            for _ in range(3):
                assert waiting.advance() == 0
                time.sleep(0.3)
            store_of.save_position(1)
    assert position(logs) == 1


def test_a_batch_ends_also_where_nobody_waits_for_its_position(logs: str) -> None:
    def slow_batch(stuck: PostgresProjection, owner: psycopg.Connection) -> None:
        with stuck._store.transaction():
            stuck._store.take_position()
            assert owner.execute(FREE).fetchall() == []
            time.sleep(3.5)
            assert owner.execute(FREE).fetchall() == [(0,)]
            stuck._store.save_position(1)

    with (
        live(GOODS, logs) as stuck,
        psycopg.connect(logs, autocommit=True) as owner,
        pytest.raises(psycopg.errors.TransactionTimeout),
    ):
        slow_batch(stuck, owner)
    assert position(logs) == 0


FREE = "SELECT position FROM read.position WHERE projection = 'goods' FOR UPDATE SKIP LOCKED"


def test_who_holds_positions_but_is_no_projector_is_left_alone(logs: str) -> None:
    """A swap of rebuilt tables may take longer than a batch."""
    with psycopg.connect(logs) as swap, live(GOODS, logs) as waiting:
        swap.execute("SELECT FROM read.position WHERE projection = 'goods' FOR UPDATE")
        ends_at = time.monotonic() + 4.0
        while time.monotonic() < ends_at:
            assert waiting.advance() == 0
            time.sleep(0.25)
        swap.execute("UPDATE read.position SET position = 7 WHERE projection = 'goods'")
    assert position(logs) == 7
