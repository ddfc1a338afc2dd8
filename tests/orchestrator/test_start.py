"""Who starts an order is woken once: by its outcome, or by an answer after which none will come."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from domain import streams
from domain.refusals import CartEmpty, Refusal, Unavailable
from domain.saga import Saga, SellConfirmed, Step
from orchestrator.bookkeeper import Done
from orchestrator.outcomes import Outcomes
from orchestrator.start import Start

ORDER = "77"
SOON_S = 0.05


def recorded(step: Step) -> Done:
    name = streams.saga(ORDER)
    return Done(((name, SellConfirmed),), {name: Saga(step)}, 5)


REPEATED = Done((), {streams.saga(ORDER): Saga(Step.SELLING)}, None)


@pytest.fixture
def outcomes() -> Outcomes:
    return Outcomes()


async def begun(waiting: Coroutine[Any, Any, Done]) -> asyncio.Task[Done]:
    task = asyncio.create_task(waiting)
    await asyncio.sleep(0)
    return task


async def test_a_start_that_was_recorded_wakes_nobody(outcomes: Outcomes) -> None:
    start = Start(ORDER, outcomes, 30.0)
    waiting = await begun(start.done_and_decided())

    start.set_result([recorded(Step.SELLING)])
    await asyncio.sleep(SOON_S)
    assert not waiting.done()

    outcomes.wake(ORDER, 9)
    assert await waiting == recorded(Step.SELLING)
    assert await start.waiter == 9


@pytest.mark.parametrize("answer", [recorded(Step.REFUSED), REPEATED], ids=["refused", "a repeat"])
async def test_one_after_which_nothing_comes_wakes_at_once(outcomes: Outcomes, answer: Done) -> None:
    start = Start(ORDER, outcomes, 30.0)
    waiting = await begun(start.done_and_decided())

    start.set_result([answer])

    assert await asyncio.wait_for(waiting, SOON_S) == answer


@pytest.mark.parametrize("error", [CartEmpty(), Unavailable()], ids=["refused", "no log"])
async def test_so_does_a_refusal(outcomes: Outcomes, error: Refusal) -> None:
    start = Start(ORDER, outcomes, 30.0)
    waiting = await begun(start.done_and_decided())

    start.set_result([error])

    with pytest.raises(type(error)):
        await asyncio.wait_for(waiting, SOON_S)


@pytest.mark.parametrize("woken", [False, True], ids=["who waits", "who was woken before"])
async def test_a_ledger_that_cannot_answer_is_heard(outcomes: Outcomes, woken: bool) -> None:
    start = Start(ORDER, outcomes, 30.0)
    waiting = await begun(start.done_and_decided())
    if woken:
        outcomes.wake(ORDER)
        await asyncio.sleep(0)

    start.set_exception(Unavailable())

    with pytest.raises(Unavailable):
        await asyncio.wait_for(waiting, SOON_S)


async def test_an_outcome_that_comes_before_the_answer_waits_for_it(outcomes: Outcomes) -> None:
    """Another process may be told of our commit, and decide, before our ledger tells us."""
    start = Start(ORDER, outcomes, 30.0)
    waiting = await begun(start.done_and_decided())

    outcomes.wake(ORDER)
    await asyncio.sleep(SOON_S)
    assert not waiting.done()
    assert not start.done(), "it still wants to hear it"

    start.set_result([recorded(Step.SELLING)])
    assert await asyncio.wait_for(waiting, SOON_S) == recorded(Step.SELLING)


async def test_its_time_begins_with_the_answer(outcomes: Outcomes) -> None:
    start = Start(ORDER, outcomes, SOON_S)
    waiting = await begun(start.done_and_decided())
    await asyncio.sleep(2 * SOON_S)
    assert not waiting.done(), "the log was slow, which is not the order's time"

    start.set_result([recorded(Step.SELLING)])

    await asyncio.wait_for(waiting, 10 * SOON_S)
    assert await start.waiter is None
    assert start.ends_at <= asyncio.get_running_loop().time()


async def test_long_waits_are_interrupted_for_a_look_into_the_log(
    outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.outcomes.LOOK_INTO_LOG_EVERY_S", SOON_S)
    start = Start(ORDER, outcomes, 30.0)
    waiting = await begun(start.done_and_decided())

    start.set_result([recorded(Step.SELLING)])

    await asyncio.wait_for(waiting, 10 * SOON_S)
    assert start.ends_at > asyncio.get_running_loop().time() + 20


@pytest.mark.parametrize("woken", [False, True], ids=["before any news", "before the answer"])
async def test_who_has_gone_away_is_told_nothing(outcomes: Outcomes, woken: bool) -> None:
    start = Start(ORDER, outcomes, 30.0)
    waiting = await begun(start.done_and_decided())
    if woken:
        outcomes.wake(ORDER)
        await asyncio.sleep(0)

    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert start.done()


async def test_dropped_it_is_not_waited_for(outcomes: Outcomes) -> None:
    start = Start(ORDER, outcomes, 30.0)
    start.drop()
    outcomes.wake(ORDER, 9)
    assert not start.waiter.done()
