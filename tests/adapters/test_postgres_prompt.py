"""A quick answer is waited for where it was asked; a slow one leaves the event loop free."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import psycopg
import pytest
from psycopg.waiting import WAIT_R, WAIT_RW

from adapters.postgres_prompt import PromptConnection, _resumed

LARGE = 4_000_000
"""Characters: more than the buffers of a socket hold."""


@pytest.fixture
async def connection(fresh_database: str) -> AsyncIterator[PromptConnection]:
    async with await PromptConnection.connect(fresh_database, autocommit=True) as connection:
        yield connection


async def turns_during(job: Awaitable[Any]) -> int:
    """How often the loop came round while `job` was waited for."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    await asyncio.sleep(0)
    before = turns
    await job
    counting.cancel()
    return turns - before


async def answer(connection: PromptConnection, query: str, *params: Any) -> Any:
    row = await (await connection.execute(query, params)).fetchone()
    assert row is not None
    return row[0]


async def test_the_loop_stands_still_for_a_quick_answer(
    connection: PromptConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.postgres_prompt.WAIT_MS", 10_000)
    assert await turns_during(connection.execute("SELECT 1")) == 0


async def test_the_loop_goes_on_while_an_answer_takes_long(connection: PromptConnection) -> None:
    assert await turns_during(connection.execute("SELECT pg_sleep(0.3)")) > 20


@pytest.mark.parametrize("wait_ms", [0, 1, 10_000])
async def test_whatever_is_sent_and_answered_arrives(
    connection: PromptConnection, monkeypatch: pytest.MonkeyPatch, wait_ms: int
) -> None:
    monkeypatch.setattr("adapters.postgres_prompt.WAIT_MS", wait_ms)
    begun = time.monotonic()
    assert await answer(connection, "SELECT %s::text", "x" * LARGE) == "x" * LARGE
    assert await answer(connection, "SELECT length(%s::text) FROM pg_sleep(0.05)", "x" * LARGE) == LARGE
    with pytest.raises(psycopg.errors.DivisionByZero):
        await connection.execute("SELECT 1 / 0")
    assert await answer(connection, "SELECT 7") == 7
    assert time.monotonic() - begun < 8, "waited for an answer to what was not sent yet"


@pytest.mark.parametrize(("parts", "left"), [(1_000, WAIT_R), (0, WAIT_RW)])
async def test_what_does_not_fit_into_the_socket_is_handed_over_at_once(
    connection: PromptConnection, monkeypatch: pytest.MonkeyPatch, parts: int, left: Any
) -> None:
    """The loop then waits for the answer alone; of too much it hands over the rest."""
    monkeypatch.setattr("adapters.postgres_prompt.WAIT_MS", 10_000)
    monkeypatch.setattr("adapters.postgres_prompt.MOST_PARTS", parts)
    seen: list[Any] = []
    wait = psycopg.AsyncConnection.wait

    async def watched(self: PromptConnection, gen: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(wants := next(gen))
        return await wait(self, _resumed(gen, wants), *args, **kwargs)

    monkeypatch.setattr(psycopg.AsyncConnection, "wait", watched)
    assert await answer(connection, "SELECT length(%s::text)", "x" * LARGE) == LARGE
    assert seen[0] == left


async def test_a_connection_that_is_cut_while_it_is_handed_a_large_commit_says_so(
    connection: PromptConnection, fresh_database: str
) -> None:
    async with await psycopg.AsyncConnection.connect(fresh_database, autocommit=True) as owner:
        await owner.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
    with pytest.raises(psycopg.OperationalError):
        await asyncio.wait_for(connection.execute("SELECT %s::text", ("x" * LARGE,)), 10)


async def test_a_wait_that_is_cancelled_ends_at_once(connection: PromptConnection) -> None:
    waiting = asyncio.create_task(connection.execute("SELECT pg_sleep(30)"))
    await asyncio.sleep(0.1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 10)


async def test_a_connection_that_is_cut_while_it_waits_says_so(
    connection: PromptConnection, fresh_database: str
) -> None:
    waiting = asyncio.create_task(connection.execute("SELECT pg_sleep(30)"))
    await asyncio.sleep(0.1)
    async with await psycopg.AsyncConnection.connect(fresh_database, autocommit=True) as owner:
        await owner.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
    with pytest.raises(psycopg.OperationalError):
        await asyncio.wait_for(waiting, 10)
