"""While many wait, the next batch is decided during a commit: it rests on the log, and on nothing else."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pytest

from domain.recorded import Recorded
from domain.refusals import StockShort, Unavailable
from domain.sale import SaleStatus
from domain.stock import Stock, StockAdjusted
from orchestrator.batch import Batch, Draft
from orchestrator.bookkeeper import Bookkeeper, Request
from orchestrator.ledger import Done, Ledger, LedgerBroken
from orchestrator.log import Log, Stored
from tests.orchestrator.stock_ledger import (
    LedgerOver,
    NewCause,
    OpenLog,
    WrappedLog,
    adjust,
    history,
    one_of,
    set_to,
)

Put = asyncio.Task[Done]


class HeldLog(WrappedLog):
    """A log whose tries wait until the test lets them go.

    `ends`: how the next ones end then; all others work.
    """

    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self.held: asyncio.Queue[tuple[str, asyncio.Event]] = asyncio.Queue()
        self.ends: list[str] = []
        self._under_way = False

    async def try_append(self, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int] | None:
        assert not self._under_way, "one commit at a time"
        self._under_way = True
        try:
            go = asyncio.Event()
            self.held.put_nowait((events[0].originator_id, go))
            await go.wait()
            return self.tried(self.ends.pop(0) if self.ends else "works", events, expect)
        finally:
            self._under_way = False

    async def let_go(self) -> str:
        """The stream of the first event of the commit that went."""
        stream, go = await asyncio.wait_for(self.held.get(), 10)
        go.set()
        return stream


class Shop:
    """A ledger with eight goods of ten units in memory, that takes one command for a batch, and its log."""

    def __init__(self, ledger: Ledger, log: HeldLog, new_cause: NewCause) -> None:
        self.ledger, self.log, self.new_cause = ledger, log, new_cause
        self.decided: list[Any] = []

    async def put(self, command: Any) -> Put:
        task = asyncio.create_task(self.ledger.submit(command, self.new_cause()))
        for _ in range(5):
            await asyncio.sleep(0)
        return task

    async def put_behind_a_commit(self, *commands: Any) -> tuple[Put, list[Put]]:
        """The first of them is being committed then, and whoever was before it has been told."""
        before = await self.put(adjust(8, 1))
        put = [await self.put(command) for command in commands]
        await self.log.let_go()
        await asyncio.wait_for(before, 10)
        return before, put


@pytest.fixture
async def shop(
    open_log: OpenLog,
    ledger_over: LedgerOver,
    new_cause: NewCause,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Shop:
    """One command that waits is many here, unless the parameter says otherwise."""
    monkeypatch.setattr("orchestrator.ledger_queue.MAX_BATCH", 1)
    log = HeldLog(open_log())
    shop = Shop(ledger_over(log, many=getattr(request, "param", 1)), log, new_cause)
    for goods in range(1, 9):
        await shop.ledger.submit(set_to(goods, 10), new_cause())
    decide = Batch.decide

    def watched(self: Batch, rule: Any, command: Any, *rest: Any) -> Any:
        shop.decided.append(command)
        return decide(self, rule, command, *rest)

    monkeypatch.setattr(Batch, "decide", watched)
    return shop


async def test_during_a_commit_the_one_before_is_told_and_the_next_is_decided(shop: Shop) -> None:
    heard: list[Recorded] = []
    shop.ledger.listeners.append(heard.extend)
    before, (held, ahead, later) = await shop.put_behind_a_commit(adjust(1, 1), adjust(2, 1), adjust(3, 1))

    assert before.result().position == heard[0].position == 9
    assert not held.done()
    assert shop.decided == [adjust(8, 1), adjust(1, 1), adjust(2, 1)]

    assert [await shop.log.let_go() for _ in range(3)] == ["stock-1", "stock-2", "stock-3"]
    assert [(await put).position for put in (held, ahead, later)] == [10, 11, 12]
    assert [recorded.position for recorded in heard] == [9, 10, 11, 12]


async def test_what_would_read_what_is_being_written_is_not_decided_before(shop: Shop) -> None:
    _, (held, same, other) = await shop.put_behind_a_commit(adjust(1, -9), adjust(1, -9), adjust(2, 1))

    assert shop.decided == [adjust(8, 1), adjust(1, -9)]

    await shop.log.let_go()
    assert (await held).states["stock-1"] == Stock(1, 2)
    with pytest.raises(StockShort):
        await asyncio.wait_for(same, 10)
    assert await shop.log.let_go() == "stock-2"
    assert (await other).states["stock-2"] == Stock(11, 2)


@pytest.mark.parametrize("shop", [3], indirect=True)
async def test_few_are_left_to_gather(shop: Shop) -> None:
    """Three wait at first, so the one before is told late; of the two that are left none is decided."""
    _, put = await shop.put_behind_a_commit(adjust(1, 1), adjust(2, 1), adjust(3, 1))

    assert shop.decided == [adjust(8, 1), adjust(1, 1)]
    for _ in put:
        await shop.log.let_go()
    assert [(await each).position for each in put] == [10, 11, 12]


@pytest.mark.parametrize("end", ["lost", "nothing"])
@pytest.mark.parametrize("held_or_ahead", [0, 1])
async def test_of_a_commit_of_which_nothing_was_heard_each_counts_once(
    shop: Shop, end: str, held_or_ahead: int
) -> None:
    _, (held, ahead) = await shop.put_behind_a_commit(adjust(1, 1), adjust(2, 1))
    shop.log.ends = ["works"] * held_or_ahead + [end]

    await shop.log.let_go()
    await shop.log.let_go()

    assert (await held).states["stock-1"] == Stock(11, 2)
    assert (await ahead).states["stock-2"] == Stock(11, 2)
    assert [recorded.originator_version for recorded in history(shop.log, "stock-1", "stock-2")] == [1, 2] * 2


@pytest.mark.parametrize("goods", [1, 2])
async def test_whoever_was_overtaken_is_decided_again(
    shop: Shop, open_log: OpenLog, ledger_over: LedgerOver, goods: int
) -> None:
    """The one that is being committed, or the one ahead."""
    _, (held, ahead) = await shop.put_behind_a_commit(adjust(1, -1), adjust(2, -1))
    await ledger_over(open_log()).submit(adjust(goods, -5), shop.new_cause())

    await shop.log.let_go()
    await shop.log.let_go()

    left = {1: (await held).states["stock-1"], 2: (await ahead).states["stock-2"]}
    assert left.pop(goods) == Stock(4, 3)
    assert [*left.values()] == [Stock(9, 2)]


async def test_a_refusal_ahead_is_checked_against_what_it_was_decided_on(
    shop: Shop, open_log: OpenLog, ledger_over: LedgerOver
) -> None:
    """Both want a unit of goods 1, and there is none. Some come while the first is being committed.

    So that is decided again and sells one, and what the second was refused for is true no more. The memory
    knows better by then, and must not vouch for it.
    """
    await emptied(shop)
    _, (held, ahead) = await shop.put_behind_a_commit(one_of(5), one_of(6))
    assert shop.decided[-1] == one_of(6)
    await ledger_over(open_log()).submit(adjust(1, 5), shop.new_cause())

    await shop.log.let_go()
    await shop.log.let_go()

    assert (await held).states["sale-5"].status is SaleStatus.SOLD
    assert (await ahead).states["sale-6"].status is SaleStatus.SOLD


async def emptied(shop: Shop) -> None:
    put = await shop.put(adjust(1, -10))
    await shop.log.let_go()
    await put


async def test_a_listener_with_a_bug_breaks_its_own_batch_alone(shop: Shop) -> None:
    def buggy(recorded: Sequence[Recorded]) -> None:
        if recorded[0].originator_id == "stock-1":
            raise RuntimeError("a bug")

    shop.ledger.listeners.append(buggy)
    _, (held, ahead, later) = await shop.put_behind_a_commit(adjust(1, 1), adjust(2, 1), adjust(3, 1))
    for _ in range(3):
        await shop.log.let_go()

    with pytest.raises(LedgerBroken):
        await held
    assert [(await put).position for put in (ahead, later)] == [11, 12]


async def test_a_bug_met_ahead_is_told_when_it_is_its_turn(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = Bookkeeper.draft

    def buggy(self: Bookkeeper, requests: Sequence[Request], under_way: Draft | None = None) -> Draft | None:
        if requests[0].command == adjust(2, 1):
            raise RuntimeError("a bug")
        return draft(self, requests, under_way)

    monkeypatch.setattr(Bookkeeper, "draft", buggy)
    _, (held, broken, later) = await shop.put_behind_a_commit(adjust(1, 1), adjust(2, 1), adjust(3, 1))
    await shop.log.let_go()
    assert await shop.log.let_go() == "stock-3"

    with pytest.raises(LedgerBroken):
        await broken
    assert [(await put).position for put in (held, later)] == [10, 11]


async def test_closing_answers_everybody_wherever_his_batch_is(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.ledger.CLOSE_TIMEOUT_S", 0.05)
    _, put = await shop.put_behind_a_commit(adjust(1, 1), adjust(2, 1), adjust(3, 1))
    await shop.ledger.close()

    answers = await asyncio.wait_for(asyncio.gather(*put, return_exceptions=True), 10)
    assert [type(answer) for answer in answers] == [Unavailable] * 3


async def test_whoever_gave_up_ahead_affects_nobody_else(shop: Shop) -> None:
    _, (held, gone, later) = await shop.put_behind_a_commit(adjust(1, 1), adjust(2, 1), adjust(3, 1))
    gone.cancel()
    for _ in range(3):
        await shop.log.let_go()

    assert [(await put).position for put in (held, later)] == [10, 12]
    assert len(history(shop.log, "stock-2")) == 2


class RestlessLog(WrappedLog):
    """Tries take a moment, and a third of them are lost, or come to nothing."""

    def __init__(self, log: Log, chance: random.Random) -> None:
        super().__init__(log)
        self._chance = chance

    async def try_append(self, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int] | None:
        for _ in range(self._chance.randrange(6)):
            await asyncio.sleep(0)
        return self.tried(self._chance.choice(["works"] * 4 + ["lost", "nothing"]), events, expect)


@pytest.mark.parametrize("seed", range(4))
async def test_two_restless_ledgers_lose_nothing_and_count_nothing_twice(
    open_log: OpenLog,
    ledger_over: LedgerOver,
    new_cause: NewCause,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    """However batches follow each other: what was answered is what the log says, and the sums are right."""
    monkeypatch.setattr("orchestrator.ledger_queue.MAX_BATCH", 4)
    chance = random.Random(seed)
    ledgers = [ledger_over(RestlessLog(open_log(), chance), many=1) for _ in range(2)]
    goods = range(1, 41)
    for each in goods:
        await ledgers[0].submit(set_to(each, 10), new_cause())

    async def customer() -> list[tuple[int, int, Done]]:
        answers = []
        for _ in range(10):
            wanted, delta = chance.choice(goods), chance.choice([-4, -2, 1, 2])
            with suppress(StockShort):
                done = await chance.choice(ledgers).submit(adjust(wanted, delta), new_cause())
                answers.append((wanted, delta, done))
        return answers

    rounds = await asyncio.gather(*[customer() for _ in range(40)])

    answered = [each for round_ in rounds for each in round_]
    names = [f"stock-{each}" for each in goods]
    adjusted = [each for each in history(open_log(), *names) if isinstance(each.event, StockAdjusted)]
    assert len(adjusted) == len(answered) == len({done.position for *_, done in answered})
    left = Counter(dict.fromkeys(goods, 10))
    for wanted, delta, _ in answered:
        left[wanted] += delta
    states = await ledgers[0].read(*names)
    assert {each: states[f"stock-{each}"].on_hand for each in goods} == left
    assert min(left.values()) >= 0
