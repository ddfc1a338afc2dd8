"""Failed log-ins in a real Postgres: shared by processes, counted one by one, forgotten after a day."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from adapters.postgres_attempts import BELIEVED_FOR, FORGET_AT_ONCE, PostgresAttempts
from adapters.postgres_migrate import migrate_log
from adapters.postgres_queries import read_pool
from adapters.user_attempts import MemoryAttempts, Subject, TooManyAttempts
from domain.refusals import Unavailable

AT = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
DAY = timedelta(days=1)

ANN = Subject("account", "a" * 64)
BOB = Subject("account", "b" * 64)
HOME = Subject("address", "a" * 64)


class Clock:
    def __init__(self) -> None:
        self.now = AT

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dsn(fresh_database: str) -> str:
    migrate_log(fresh_database, "user")
    return fresh_database


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Any]:
    async with read_pool(dsn, max_size=4) as opened:
        yield opened


@pytest.fixture
def attempts(pool: Any, clock: Clock) -> PostgresAttempts:
    return PostgresAttempts(pool, clock)


async def wait_of(attempts: PostgresAttempts | MemoryAttempts, *subjects: Subject) -> int:
    try:
        await attempts.check(subjects)
    except TooManyAttempts as refusal:
        return int(refusal.facts["retry_after_s"])
    return 0


async def rows(pool: Any) -> list[tuple[Any, ...]]:
    async with pool.connection() as conn:
        found = await conn.execute(
            'SELECT kind, digest, failures, last_at FROM "user".attempts ORDER BY 1, 2'
        )
        return [tuple(row) for row in await found.fetchall()]


async def test_it_answers_as_the_one_in_memory_does(attempts: PostgresAttempts, clock: Clock) -> None:
    memory = MemoryAttempts(clock)
    for n in range(200):
        who = [(ANN, HOME), (BOB, HOME), (ANN,)][n % 3]
        assert await wait_of(attempts, *who) == await wait_of(memory, *who)
        for each in (attempts, memory):
            await each.failed(who)
            if n % 61 == 0:
                await each.succeeded(BOB)
        assert await wait_of(attempts, *who) == await wait_of(memory, *who)
        clock.now += timedelta(hours=25) if n % 50 == 49 else timedelta(seconds=7 * n)


async def test_processes_share_what_failed_also_after_a_restart(
    attempts: PostgresAttempts, pool: Any, clock: Clock
) -> None:
    for _ in range(7):
        await attempts.failed([ANN, HOME])
    assert await wait_of(PostgresAttempts(pool, clock), ANN, HOME) == 4
    assert await wait_of(PostgresAttempts(pool, clock), BOB, HOME) == 0


async def test_failures_counted_at_once_are_all_counted(
    attempts: PostgresAttempts, pool: Any, clock: Clock
) -> None:
    other = PostgresAttempts(pool, clock)
    await asyncio.gather(
        *(each.failed(who) for each in (attempts, other) for who in [(ANN, HOME), (HOME, ANN)] * 25)
    )
    assert await rows(pool) == [("account", ANN.digest, 100, AT), ("address", HOME.digest, 100, AT)]


LOCK = 'SELECT FROM "user".attempts WHERE kind = %s AND digest = %s FOR UPDATE NOWAIT'
WAITS = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.mark.parametrize("who", [(ANN, HOME), (HOME, ANN)])
async def test_whoever_waits_for_the_first_row_holds_no_other_so_nobody_waits_in_a_circle(
    attempts: PostgresAttempts, dsn: str, who: tuple[Subject, ...]
) -> None:
    await attempts.failed(who)
    async with await psycopg.AsyncConnection.connect(dsn) as other:
        await other.execute(LOCK, (ANN.kind, ANN.digest))
        counting = asyncio.create_task(attempts.failed(who))
        while (await other.execute(WAITS)).rowcount < 1:
            await asyncio.sleep(0.01)
        await other.execute(LOCK, (HOME.kind, HOME.digest))
    await counting


async def test_a_success_forgives_the_account_and_not_the_address(
    attempts: PostgresAttempts, pool: Any
) -> None:
    for _ in range(31):
        await attempts.failed([ANN, HOME])
    await attempts.succeeded(ANN)
    assert await wait_of(attempts, ANN) == 0
    assert await wait_of(attempts, HOME) == 2
    assert [row[0] for row in await rows(pool)] == ["address"]


async def test_whoever_waits_is_refused_without_a_query_for_a_moment(
    attempts: PostgresAttempts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    run = attempts._run

    async def watch(name: str, params: Any) -> Any:
        asked.append(name)
        return await run(name, params)

    for _ in range(9):
        await attempts.failed([ANN])
    monkeypatch.setattr(attempts, "_run", watch)
    for _ in range(100):
        assert await wait_of(attempts, BOB, ANN) == 16
    assert asked == []
    clock.now += BELIEVED_FOR
    assert await wait_of(attempts, ANN) == 11
    assert asked == ["known"]


async def test_whoever_another_process_forgave_is_let_in_after_that_moment(
    attempts: PostgresAttempts, pool: Any, clock: Clock
) -> None:
    for _ in range(20):
        await attempts.failed([ANN])
    await PostgresAttempts(pool, clock).succeeded(ANN)
    assert await wait_of(attempts, ANN) == 900
    clock.now += BELIEVED_FOR
    assert await wait_of(attempts, ANN) == 0


async def test_rows_that_are_idle_for_a_day_go_a_few_at_a_time(
    attempts: PostgresAttempts, pool: Any, clock: Clock
) -> None:
    for n in range(FORGET_AT_ONCE + 5):
        await attempts.failed([Subject("account", f"{n:064}")])
        clock.now += timedelta(seconds=1)
    await attempts.failed([HOME])
    assert len(await rows(pool)) == FORGET_AT_ONCE + 6
    clock.now += DAY
    await attempts.failed([BOB])
    assert [row[1] for row in await rows(pool)][:-1] == [
        *(f"{n:064}" for n in range(FORGET_AT_ONCE, FORGET_AT_ONCE + 5)),
        BOB.digest,
    ]
    await attempts.failed([BOB])
    assert [row[:3] for row in await rows(pool)] == [
        ("account", BOB.digest, 2),
        ("address", HOME.digest, 1),
    ]


async def test_nothing_but_keyed_hashes_and_numbers_is_kept(attempts: PostgresAttempts, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        columns = connection.execute(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = 'user' AND table_name = 'attempts' ORDER BY ordinal_position"
        ).fetchall()
    assert columns == [("kind",), ("digest",), ("failures",), ("last_at",)]


async def test_when_the_database_does_not_answer_nobody_is_let_in(clock: Clock) -> None:
    pool = read_pool("postgresql://nobody@127.0.0.1:1/none")
    pool.timeout = 0.2
    async with pool:
        attempts = PostgresAttempts(pool, clock)
        for call in (attempts.check([ANN]), attempts.failed([ANN]), attempts.succeeded(ANN)):
            with pytest.raises(Unavailable):
                await call


@pytest.mark.parametrize("subjects", [(), (ANN, ANN)])
async def test_none_and_the_same_twice_are_fine(
    attempts: PostgresAttempts, pool: Any, subjects: tuple[Subject, ...]
) -> None:
    await attempts.check(subjects)
    await attempts.failed(subjects)
    assert [row[2] for row in await rows(pool)] == [1] * len(set(subjects))
