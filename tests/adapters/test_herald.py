"""Who follows a log is told after the commit, soon and not too often, whatever breaks in between."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from adapters.herald import CHANNEL, TELL_EVERY_S, Herald
from adapters.ids import utc_now
from adapters.postgres_log import PostgresLog
from adapters.postgres_migrate import migrate_log
from adapters.settings import load_settings, only_embedded
from adapters.wiring import open_plant
from domain.goods import CreateGoods
from domain.recorded import Cause
from domain.services import GOODS
from orchestrator.log import Stored

SOON_S = 5.0
A_WHILE_S = 0.3
MANY = 300


class Follower:
    """Moments at which it was told."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection
        self.told: list[float] = []

    async def listen(self, until: float) -> None:
        left_s = max(0.001, until - time.monotonic())
        async for _ in self._connection.notifies(timeout=left_s):
            self.told.append(time.monotonic())

    async def hears(self) -> None:
        """Raises TimeoutError."""
        async with asyncio.timeout(SOON_S):
            async for _ in self._connection.notifies(stop_after=1):
                self.told.append(time.monotonic())


@asynccontextmanager
async def following(dsn: str) -> AsyncIterator[Follower]:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(f"LISTEN {CHANNEL}")
        yield Follower(connection)


@asynccontextmanager
async def running(herald: Herald) -> AsyncIterator[Herald]:
    task = asyncio.create_task(herald.run())
    try:
        yield herald
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_comes_close_together_is_told_together_and_the_last_of_it_is_told(
    fresh_database: str,
) -> None:
    async with following(fresh_database) as follower, running(Herald(fresh_database)) as herald:
        listening = asyncio.create_task(follower.listen(time.monotonic() + 1.0))
        began = time.monotonic()
        for _ in range(MANY):
            herald.tell()
            await asyncio.sleep(0.001)
        last = time.monotonic()
        await listening
    assert 2 <= len(follower.told) <= (last - began) / TELL_EVERY_S + 3, follower.told
    assert follower.told[-1] >= last - 0.001


async def test_what_a_broken_connection_could_not_tell_is_told_on_the_next_one(fresh_database: str) -> None:
    async with following(fresh_database) as follower, running(Herald(fresh_database)) as herald:
        herald.tell()
        await follower.hears()
        with psycopg.connect(fresh_database, autocommit=True) as connection:
            ended = connection.execute(
                "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query = 'NOTIFY events') AS each"
            ).fetchone()
        assert ended == (1,)
        herald.tell()
        await follower.hears()


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("expect", [{}, {"goods-9": 0}])
async def test_a_log_tells_by_itself_unless_it_is_told_not_to(
    fresh_database: str, tells: bool, expect: dict[str, int]
) -> None:
    migrate_log(fresh_database, GOODS.log)
    log = PostgresLog(fresh_database, GOODS.log, tells=tells)
    try:
        async with following(fresh_database) as follower:
            await asyncio.to_thread(log.append, [Stored("goods-1", 1, "GoodsDeleted", b"{}")], expect)
            await follower.listen(time.monotonic() + A_WHILE_S)
    finally:
        log.close()
    assert len(follower.told) == tells


async def test_the_ledgers_of_a_process_tell_of_what_they_commit(
    fresh_database: str, nats_url: str, tmp_path: Path
) -> None:
    migrate_log(fresh_database, GOODS.log)
    addresses = {"shared_dsn": fresh_database, "nats_url": nats_url}
    settings = only_embedded(load_settings(), tmp_path).model_copy(update=addresses)
    async with AsyncExitStack() as stack:
        plant = await open_plant(settings, stack)
        goods = plant.ledger(GOODS)
        tasks = [asyncio.create_task(task) for task in plant.tasks]
        async with following(fresh_database) as follower:
            cause = Cause("create", "test", "", utc_now())
            done = await goods.submit(CreateGoods(1, "mug", 100), cause)
            assert done.position == 1
            await follower.hears()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
