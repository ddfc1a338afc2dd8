"""What waits for a ledger is taken in the order in which it came, also after it was put back."""

import asyncio

import pytest

from domain.refusals import Unavailable
from orchestrator.bookkeeper import Request
from orchestrator.ledger_queue import Caller, Queue, Taken


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.ledger_queue.MAX_BATCH", 3)


def caller(*names: str) -> Caller:
    return Caller([Request(command=name) for name in names], asyncio.get_running_loop().create_future())


def commands(taken: Taken) -> list[str]:
    return [request.command for request in taken.requests]


async def queue_of(*callers: Caller) -> Queue:
    queue = Queue()
    for each in callers:
        queue.put(each)
    return queue


async def test_a_caller_is_never_divided_and_batches_are_bounded() -> None:
    queue = await queue_of(caller("a"), caller("b", "c"), caller("d"))
    assert queue.waiting == 4

    assert commands(queue.take()) == ["a", "b", "c"]
    assert queue.waiting == 1


async def test_what_is_put_back_is_the_next_to_be_taken() -> None:
    queue = await queue_of(caller("a"), caller("b", "c"), caller("d"))

    queue.put_back(queue.take())
    queue.put(caller("e"))

    assert queue.waiting == 5
    assert [commands(queue.take()) for _ in range(2)] == [["a", "b", "c"], ["d", "e"]]


async def test_it_is_waited_for_as_long_as_nobody_waits() -> None:
    queue = await queue_of(caller("a"))
    await asyncio.wait_for(queue.wait(), 1)
    taken = queue.take()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.wait(), 0.01)
    queue.put_back(taken)
    await asyncio.wait_for(queue.wait(), 1)


async def test_all_who_wait_can_be_refused() -> None:
    loop = asyncio.get_running_loop()
    waits, heard = loop.create_future(), loop.create_future()
    heard.set_result(())
    queue = await queue_of(Caller([Request(command="a")], waits), Caller([Request(command="b")], heard))

    queue.fail(Unavailable)

    assert isinstance(waits.exception(), Unavailable)
    assert heard.result() == ()
    assert queue.waiting == 0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.wait(), 0.01)
