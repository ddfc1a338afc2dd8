"""The ledger: one commit for many, and every answer true of the log at one point, whoever else writes."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

import pytest

from domain.key import Keyed, KeyUse
from domain.recorded import Recorded
from domain.refusals import KeyReused, Overloaded, StockShort, Unavailable
from domain.sale import Line, Sale, SaleStatus, Sell
from domain.service import Rule, States, Written
from domain.services import INVENTORY
from domain.stock import AdjustStock, SetInv, Stock, StockReturned, StockSet, StockSold
from orchestrator.ledger import Done, LedgerBroken
from orchestrator.log import LogConflict, LogUnavailable
from tests.orchestrator.stock_ledger import (
    LedgerOver,
    NewCause,
    OpenLog,
    WrappedLog,
    adjust,
    history,
    on_hand,
    one_of,
    sell,
    set_to,
)

PATIENCE_S = 30.0


class Gate:
    """A hook that stops the log's thread until the test lets it go on."""

    def __init__(self) -> None:
        self.reached = Event()
        self.opened = Event()

    def __call__(self) -> None:
        self.reached.set()
        self.opened.wait(PATIENCE_S)


def unavailable() -> None:
    raise LogUnavailable("the connection is gone")


async def test_a_long_stock_stream_is_known_by_its_last_event(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledger = ledger_over(open_log())
    for level in range(7):
        await ledger.submit(set_to(1, level), new_cause())
    log = WrappedLog(open_log())
    other = ledger_over(log)

    done = await other.submit(adjust(1, -1), new_cause())
    assert (done.states["stock-1"], log.loaded) == (Stock(5, 8), 1)
    await ledger.submit(set_to(1, 20), new_cause())
    await ledger.submit(set_to(1, 30), new_cause())
    assert await on_hand(other) == 30


# one commit for many


async def test_a_command_waits_for_nobody(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledger = ledger_over(open_log())
    for level in range(10):
        await ledger.submit(set_to(1, level), new_cause())

    assert (ledger.commands, ledger.commits) == (10, 10)


async def test_commands_that_wait_share_a_commit(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledger = ledger_over(open_log())
    await asyncio.gather(*(ledger.submit(set_to(n, n), new_cause()) for n in range(1, 501)))

    assert ledger.commands == 500
    assert ledger.commits <= 5
    assert await on_hand(ledger, 500) == 500


async def test_commands_of_many_lines_do_not_all_share_one_commit(
    open_memory_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.ledger_queue.MAX_STREAMS", 10)
    ledger = ledger_over(open_memory_log())
    lines = tuple(Line(goods_id, 1) for goods_id in range(1, 8))
    await asyncio.gather(*(ledger.submit(set_to(line.goods_id, 100), new_cause()) for line in lines))
    before = ledger.commits
    orders = [Sell(str(order), lines) for order in range(10)]
    assert set(await asyncio.gather(*(sell(ledger, each, new_cause()) for each in orders))) == {
        SaleStatus.SOLD
    }

    assert ledger.commits - before >= 5, "two orders read 16 streams: no more than that in one"


async def test_positions_are_those_of_the_log_and_listeners_hear_first(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledger = ledger_over(open_log())
    heard: list[Recorded] = []
    ledger.listeners.append(heard.extend)

    first = await ledger.submit(set_to(1, 5), new_cause())
    assert [event.position for event in heard] == [first.position]
    done = await asyncio.gather(
        *(ledger.submit(Sell(str(n), (Line(1, 1),)), new_cause()) for n in range(1, 4))
    )

    positions = [event.position for event in heard]
    assert positions == list(range(positions[0], positions[0] + 7))
    assert [one.position for one in done] == [positions[2], positions[4], positions[6]]
    assert [event.event for event in heard] == [
        event.event
        for event in sorted(
            history(open_log(), "stock-1", "sale-1", "sale-2", "sale-3"), key=heard_at(heard).__getitem__
        )
    ]


def heard_at(heard: Sequence[Recorded]) -> dict[Recorded, int]:
    return {event._replace(position=0): event.position for event in heard}


async def test_a_command_that_does_nothing_has_no_position(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledger = ledger_over(open_log())
    await ledger.submit(set_to(1, 5), new_cause())
    await ledger.submit(one_of(7), new_cause())
    again = await ledger.submit(one_of(7), new_cause())

    assert (again.written, again.position) == ((), None)
    assert again.states["sale-7"].status is SaleStatus.SOLD


async def test_a_refused_command_affects_nobody_else_in_its_batch(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledger = ledger_over(open_log())
    outcomes = await asyncio.gather(
        ledger.submit(set_to(1, 5), new_cause()),
        ledger.submit(adjust(1, -6), new_cause()),
        ledger.submit(SetInv(2, 5, goods_exist=False), new_cause()),
        ledger.submit(one_of(7), new_cause()),
        return_exceptions=True,
    )

    assert [type(outcome).__name__ for outcome in outcomes] == ["Done", "StockShort", "NoSuchGoods", "Done"]
    assert ledger.commits == 1
    assert await on_hand(ledger) == 4
    assert history(open_log(), "stock-2") == []


# many callers


async def test_fifty_sells_for_one_unit_sell_it_once(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledger = ledger_over(open_log())
    await ledger.submit(set_to(1, 1), new_cause())
    outcomes = await asyncio.gather(*(sell(ledger, one_of(n), new_cause()) for n in range(50)))

    assert Counter(outcomes) == {SaleStatus.SOLD: 1, SaleStatus.REFUSED: 49}
    assert await on_hand(ledger) == 0


async def test_two_ledgers_never_sell_the_same_unit(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledgers = [ledger_over(open_log()), ledger_over(open_log())]
    await ledgers[0].submit(set_to(1, 10), new_cause())
    outcomes = await asyncio.gather(
        *(sell(ledgers[n % 2], one_of(n), new_cause()) for n in range(20)),
    )

    assert Counter(outcomes) == {SaleStatus.SOLD: 10, SaleStatus.REFUSED: 10}
    assert [await on_hand(ledger) for ledger in ledgers] == [0, 0]


async def test_setting_and_selling_in_two_ledgers_keep_the_count_right(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    counting, selling = ledger_over(open_log()), ledger_over(open_log())
    await counting.submit(set_to(1, 10), new_cause())

    async def count_often() -> None:
        for _ in range(15):
            await counting.submit(set_to(1, 10), new_cause())

    async def sell_often() -> None:
        for n in range(30):
            await sell(selling, one_of(n), new_cause())

    await asyncio.gather(count_often(), sell_often())

    level = 0
    for recorded in history(open_log(), "stock-1"):
        match recorded.event:
            case StockSet(on_hand=now, before=before):
                assert before == level
            case StockSold(nums=nums, on_hand=now):
                assert now == level - nums >= 0
        level = now
    assert await on_hand(counting) == await on_hand(selling) == level


async def test_one_order_sold_in_two_ledgers_takes_its_stock_once(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledgers = [ledger_over(open_log()), ledger_over(open_log())]
    await ledgers[0].submit(set_to(1, 100), new_cause())
    for n in range(20):
        outcomes = await asyncio.gather(*(sell(ledger, one_of(n), new_cause()) for ledger in ledgers))
        assert outcomes == [SaleStatus.SOLD, SaleStatus.SOLD]

    assert await on_hand(ledgers[0]) == 80


async def test_orders_over_the_same_goods_in_opposite_order_never_wait_for_ever_nor_half_sell(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledgers = [ledger_over(open_log()), ledger_over(open_log())]
    await ledgers[0].submit(set_to(1, 15), new_cause())
    await ledgers[0].submit(set_to(2, 20), new_cause())
    lines = [(Line(1, 1), Line(2, 1)), (Line(2, 1), Line(1, 1))]
    async with asyncio.timeout(PATIENCE_S):
        outcomes = await asyncio.gather(
            *(sell(ledgers[n % 2], Sell(str(n), lines[n // 2 % 2]), new_cause()) for n in range(40))
        )

    assert Counter(outcomes) == {SaleStatus.SOLD: 15, SaleStatus.REFUSED: 25}
    sold = {str(n) for n, outcome in enumerate(outcomes) if outcome is SaleStatus.SOLD}
    for goods_id, left in ((1, 0), (2, 5)):
        events = [recorded.event for recorded in history(open_log(), f"stock-{goods_id}")]
        assert {event.order_id for event in events if isinstance(event, StockSold)} == sold
        assert await on_hand(ledgers[0], goods_id) == left


# cached states are only a guess


async def test_a_refusal_based_on_an_outdated_state_is_decided_again(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    stale, other = ledger_over(open_log()), ledger_over(open_log())
    await stale.submit(set_to(1, 0), new_cause())
    await other.submit(set_to(1, 5), new_cause())

    done = await stale.submit(adjust(1, -5), new_cause())
    assert done.states["stock-1"].on_hand == 0


async def test_a_short_sell_based_on_an_outdated_state_is_decided_again(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    """SellRefused writes the sale and only reads the stock, so the commit must check what it read."""
    stale, other = ledger_over(open_log()), ledger_over(open_log())
    await stale.submit(set_to(1, 0), new_cause())
    await other.submit(set_to(1, 1), new_cause())

    assert await sell(stale, one_of(7), new_cause()) is SaleStatus.SOLD


async def test_a_refusal_among_commands_that_write_is_decided_again_too(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    stale, other = ledger_over(open_log()), ledger_over(open_log())
    await stale.submit(set_to(1, 0), new_cause())
    await other.submit(set_to(1, 5), new_cause())

    refused, written = await asyncio.gather(
        stale.submit(adjust(1, -5), new_cause()), stale.submit(set_to(2, 9), new_cause())
    )
    assert refused.states["stock-1"].on_hand == 0
    assert written.states["stock-2"].on_hand == 9
    assert len(history(open_log(), "stock-2")) == 1


async def test_a_refusal_that_is_true_stays_one(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    stale, other = ledger_over(open_log()), ledger_over(open_log())
    await stale.submit(set_to(1, 9), new_cause())
    await other.submit(set_to(1, 3), new_cause())

    with pytest.raises(StockShort) as refusal:
        await stale.submit(adjust(1, -5), new_cause())
    assert refusal.value.facts["short"][0].available == 3


async def test_a_read_is_as_fresh_as_the_log(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    reader, writer = ledger_over(open_log()), ledger_over(open_log())
    assert await reader.read("stock-1", "sale-9") == {"stock-1": Stock(), "sale-9": Sale()}
    for level in (3, 7, 1):
        await writer.submit(set_to(1, level), new_cause())
        assert await on_hand(reader) == level


async def test_a_read_shows_what_was_asked_for_before_it_and_nothing_later(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledger = ledger_over(open_log())
    _, seen, _ = await asyncio.gather(
        ledger.submit(set_to(1, 5), new_cause()),
        ledger.read("stock-1"),
        ledger.submit(set_to(1, 9), new_cause()),
    )
    assert seen["stock-1"] == Stock(5, 1)
    assert ledger.commits == 1, "they were not one batch, so this shows nothing"


async def test_a_small_cache_costs_queries_but_changes_no_answer(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.bookkeeper.MAX_STATES", 3)
    ledger = ledger_over(open_log())
    await asyncio.gather(*(ledger.submit(set_to(n, n), new_cause()) for n in range(1, 21)))
    outcomes = [await sell(ledger, Sell(str(n), (Line(n, n),)), new_cause()) for n in range(1, 21)]

    assert set(outcomes) == {SaleStatus.SOLD}
    assert [await on_hand(ledger, n) for n in range(1, 21)] == [0] * 20


async def test_what_was_written_last_is_kept_longest(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.bookkeeper.MAX_STATES", 3)
    monkeypatch.setattr("orchestrator.bookkeeper.FORGOTTEN_AT_ONCE", 1)
    ledger = ledger_over(open_log())
    for goods_id in (1, 2, 3, 1, 4, 5):
        await ledger.submit(set_to(goods_id, 10), new_cause())
        await ledger.submit(adjust(goods_id, 1), new_cause())

    forgotten = [n for n in range(1, 6) if ledger.peek(f"stock-{n}") is None]
    assert forgotten == [2, 3], "not 1, which was written once more"


async def test_sales_do_not_push_the_stocks_they_took_out_of_memory(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.bookkeeper.MAX_BRIEF_STATES", 3)
    ledger = ledger_over(open_log())
    await ledger.submit(set_to(1, 20), new_cause())
    for order in range(1, 10):
        await sell(ledger, one_of(order), new_cause())

    assert (ledger.peek("stock-1"), ledger.peek("sale-1")) == (Stock(11, 10), None)
    assert ledger.peek("sale-9") is not None
    assert await sell(ledger, one_of(1), new_cause()) is SaleStatus.SOLD
    assert await on_hand(ledger) == 11


async def test_what_is_forgotten_while_it_is_read_is_answered(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under load every batch forgets hundreds of orders, and somebody asks for one of them just then."""
    monkeypatch.setattr("orchestrator.bookkeeper.MAX_BRIEF_STATES", 3)
    ledger = ledger_over(open_log())
    await ledger.submit(set_to(1, 20), new_cause())
    for order in range(1, 6):
        await sell(ledger, one_of(order), new_cause())
    oldest = "sale-2"
    assert ledger.peek(oldest) is not None

    assert (await ledger.read(oldest))[oldest].status is SaleStatus.SOLD
    assert ledger.peek(oldest) is None, "it was not forgotten meanwhile, so this shows nothing"


# too busy, or away


async def test_a_full_queue_refuses_at_once(
    open_memory_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    gate, log = Gate(), WrappedLog(open_memory_log())
    log.before = [gate]
    ledger = ledger_over(log, max_waiting=2)

    being_written = asyncio.create_task(ledger.submit(set_to(1, 1), new_cause()))
    await asyncio.to_thread(gate.reached.wait, PATIENCE_S)
    waiting = [asyncio.create_task(ledger.submit(set_to(1, n), new_cause())) for n in (2, 3)]
    await asyncio.sleep(0)

    with pytest.raises(Overloaded):
        await asyncio.wait_for(ledger.submit(set_to(1, 4), new_cause()), timeout=0.5)
    gate.opened.set()
    await asyncio.gather(being_written, *waiting)
    assert await on_hand(ledger) == 3


async def test_a_log_that_stays_away_refuses_after_a_few_tries(
    open_memory_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause, short_pauses: int
) -> None:
    log = WrappedLog(open_memory_log())
    log.before = [unavailable] * 1_000
    ledger = ledger_over(log)

    with pytest.raises(Unavailable):
        await ledger.submit(set_to(1, 1), new_cause())
    assert log.appends == short_pauses
    log.before = []
    assert await on_hand(ledger) == 0
    await ledger.submit(set_to(1, 2), new_cause())
    assert await on_hand(ledger) == 2


async def test_a_log_that_cannot_be_read_refuses_reads_and_commands(
    open_memory_log: OpenLog,
    ledger_over: LedgerOver,
    new_cause: NewCause,
    short_pauses: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = open_memory_log()
    ledger = ledger_over(log)
    with monkeypatch.context() as away:
        away.setattr(log, "load", lambda _since: unavailable())
        with pytest.raises(Unavailable):
            await ledger.read("stock-1")
        with pytest.raises(Unavailable):
            await ledger.submit(set_to(1, 1), new_cause())
    assert short_pauses
    assert await on_hand(ledger) == 0


async def test_a_log_that_comes_back_in_time_is_noticed_by_nobody(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause, short_pauses: int
) -> None:
    log = WrappedLog(open_log())
    log.before = [unavailable] * (short_pauses - 1)
    ledger = ledger_over(log)

    done = await ledger.submit(set_to(1, 5), new_cause())
    assert done.position is not None
    assert len(history(log, "stock-1")) == 1


async def test_endless_conflicts_end_with_a_refusal(
    open_memory_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.bookkeeper.MAX_CONFLICTS", 4)

    def conflict() -> None:
        raise LogConflict

    log = WrappedLog(open_memory_log())
    log.before = [conflict] * 100
    ledger = ledger_over(log)

    with pytest.raises(Unavailable):
        await ledger.submit(set_to(1, 5), new_cause())
    assert log.appends == 4


# a lost answer to a COMMIT


async def test_a_commit_whose_answer_was_lost_has_one_effect_and_a_good_answer(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause, short_pauses: int
) -> None:
    log = WrappedLog(open_log())
    ledger = ledger_over(log)
    heard: list[Recorded] = []
    ledger.listeners.append(heard.extend)
    first = await ledger.submit(set_to(1, 5), new_cause())
    log.after = [unavailable]

    done = await asyncio.gather(*(ledger.submit(one_of(n), new_cause()) for n in range(3)))

    assert short_pauses
    assert first.position is not None
    assert [one.position for one in done] == [first.position + 2, first.position + 4, first.position + 6]
    assert [event.position for event in heard] == [first.position + n for n in range(7)]
    assert [type(recorded.event) for recorded in history(log, "stock-1")] == [StockSet, *[StockSold] * 3]
    assert await on_hand(ledger) == 2


async def test_a_lost_answer_is_found_although_somebody_else_wrote_after_it(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause, short_pauses: int
) -> None:
    log, others = WrappedLog(open_log()), open_log()
    ledger, other = ledger_over(log), ledger_over(others)
    first = await other.submit(set_to(1, 5), new_cause())
    assert await on_hand(ledger) == 5
    loop = asyncio.get_running_loop()

    def other_writes_and_answer_is_lost() -> None:
        asyncio.run_coroutine_threadsafe(other.submit(adjust(1, 10), new_cause()), loop).result(PATIENCE_S)
        unavailable()

    log.after = [other_writes_and_answer_is_lost]
    done = await ledger.submit(adjust(1, -1), new_cause())

    assert short_pauses
    assert first.position is not None
    assert done.position == first.position + 1
    assert len(history(log, "stock-1")) == 3
    assert await on_hand(ledger) == 14


async def test_a_commit_that_never_arrived_and_was_overtaken_is_decided_again(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause, short_pauses: int
) -> None:
    log = WrappedLog(open_log())
    ledger, other = ledger_over(log), ledger_over(open_log())
    await ledger.submit(set_to(1, 1), new_cause())
    loop = asyncio.get_running_loop()

    def other_sells_and_connection_is_lost() -> None:
        asyncio.run_coroutine_threadsafe(sell(other, one_of(8), new_cause()), loop).result(PATIENCE_S)
        unavailable()

    log.before = [other_sells_and_connection_is_lost]
    assert await sell(ledger, one_of(7), new_cause()) is SaleStatus.REFUSED
    assert short_pauses
    assert await on_hand(ledger) == 0


# bugs


@dataclass(frozen=True, slots=True)
class Boom:
    """A command whose rule has a bug."""

    written: Written


def _decide_boom(command: Boom, _states: States) -> Written:
    if command.written:
        return command.written
    raise RuntimeError("a bug")


BUGGY = replace(INVENTORY, rules={**INVENTORY.rules, Boom: Rule(lambda _command: ("stock-1",), _decide_boom)})


async def test_a_bug_in_one_decision_is_its_callers_alone(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledger = ledger_over(open_log(), BUGGY)
    outcomes = await asyncio.gather(
        ledger.submit(set_to(1, 5), new_cause()),
        ledger.submit(Boom(()), new_cause()),
        ledger.submit(one_of(7), new_cause()),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes] == [Done, RuntimeError, Done]
    assert (ledger.commits, await on_hand(ledger)) == (1, 4)


async def test_a_command_that_breaks_half_way_records_nothing(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    """Its first event folds, its second does not: none of them may be in the commit."""
    ledger = ledger_over(open_log(), BUGGY)
    half = Boom((("stock-1", StockReturned("7", 3, 3)), ("stock-1", "no event")))
    outcomes = await asyncio.gather(
        ledger.submit(half, new_cause()), ledger.submit(set_to(2, 5), new_cause()), return_exceptions=True
    )

    assert [type(outcome) for outcome in outcomes] == [AssertionError, Done]
    assert history(open_log(), "stock-1") == []
    assert await on_hand(ledger) == 0


async def test_an_event_that_cannot_be_written_is_its_callers_alone(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledger = ledger_over(open_log())
    unwritable = AdjustStock(1, 1, "half a surrogate \ud800", goods_exist=True)
    outcomes = await asyncio.gather(
        ledger.submit(unwritable, new_cause()),
        ledger.submit(set_to(2, 5), new_cause()),
        return_exceptions=True,
    )

    assert [isinstance(outcome, Exception) for outcome in outcomes] == [True, False]
    assert (await on_hand(ledger), await on_hand(ledger, 2)) == (0, 5)


async def test_a_commit_that_broke_leaves_no_trace_in_the_cache(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    def bug() -> None:
        raise RuntimeError("a bug")

    log = WrappedLog(open_log())
    ledger = ledger_over(log)
    await ledger.submit(set_to(1, 1), new_cause())
    log.before = [bug]

    with pytest.raises(LedgerBroken):
        await ledger.submit(one_of(7), new_cause())
    assert await sell(ledger, one_of(8), new_cause()) is SaleStatus.SOLD
    assert await on_hand(ledger) == 0


async def test_nothing_can_be_seen_before_it_is_committed(
    open_memory_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause, short_pauses: int
) -> None:
    log = WrappedLog(open_memory_log())
    ledger = ledger_over(log)
    heard: list[Recorded] = []
    ledger.listeners.append(heard.extend)
    log.before = [unavailable] * short_pauses

    with pytest.raises(Unavailable):
        await ledger.submit(set_to(1, 5), new_cause())
    assert heard == []
    assert await on_hand(ledger) == 0


async def test_a_caller_that_gives_up_affects_nobody_else(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledger = ledger_over(open_log())
    impatient = asyncio.create_task(ledger.submit(set_to(1, 5), new_cause()))
    patient = asyncio.create_task(ledger.submit(set_to(2, 6), new_cause()))
    await asyncio.sleep(0)
    impatient.cancel()

    assert (await patient).states["stock-2"].on_hand == 6
    with pytest.raises(asyncio.CancelledError):
        await impatient
    assert await on_hand(ledger, 2) == 6


# closing


async def test_closing_answers_those_who_wait_and_takes_nobody_new(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledger = ledger_over(open_log())
    waiting = [asyncio.create_task(ledger.submit(set_to(n, n), new_cause())) for n in range(1, 6)]
    await asyncio.sleep(0)
    await ledger.close()

    assert [(await done).states[f"stock-{n}"].on_hand for n, done in enumerate(waiting, 1)] == [1, 2, 3, 4, 5]
    with pytest.raises(Unavailable):
        await ledger.submit(set_to(1, 1), new_cause())
    with pytest.raises(Unavailable):
        await ledger.read("stock-1")


async def test_closing_twice_is_closing_once(
    open_memory_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledger = ledger_over(open_memory_log())
    await ledger.submit(set_to(1, 1), new_cause())
    await ledger.close()
    async with asyncio.timeout(2.0):
        await ledger.close()


async def test_closing_while_the_log_hangs_refuses_those_who_wait_in_the_end(
    open_memory_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.ledger.CLOSE_TIMEOUT_S", 0.1)
    gate, log = Gate(), WrappedLog(open_memory_log())
    log.before = [gate]
    ledger = ledger_over(log)
    waiting = [asyncio.create_task(ledger.submit(set_to(1, 1), new_cause()))]
    await asyncio.to_thread(gate.reached.wait, PATIENCE_S)
    waiting += [asyncio.create_task(ledger.submit(set_to(1, n), new_cause())) for n in (2, 3)]
    await asyncio.sleep(0)
    await ledger.close()
    gate.opened.set()

    done, still_waiting = await asyncio.wait(waiting, timeout=1.0)
    for task in still_waiting:
        task.cancel()
    assert len(still_waiting) == 0
    assert {type(task.exception()) for task in done} == {Unavailable}


# idempotency keys


def keyed(command: Any, fingerprint: str = "print-1") -> Keyed:
    return Keyed(command, KeyUse("key-abc", fingerprint))


async def test_a_repeated_key_has_no_second_effect(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledger = ledger_over(open_log())
    first = await ledger.submit(keyed(adjust(1, 5)), new_cause())
    again = await ledger.submit(keyed(adjust(1, 5)), new_cause())

    assert len(first.written) == 2
    assert (again.written, again.position) == ((), None)
    assert again.states["key-abc"].about == "5,1"
    assert await on_hand(ledger) == 5


async def test_a_key_used_with_another_request_is_refused(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledger = ledger_over(open_log())
    await ledger.submit(keyed(adjust(1, 5)), new_cause())

    with pytest.raises(KeyReused):
        await ledger.submit(keyed(adjust(1, 6), "print-2"), new_cause())
    assert await on_hand(ledger) == 5


async def test_a_hundred_uses_of_one_key_at_once_have_one_effect(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledgers = [ledger_over(open_log()), ledger_over(open_log())]
    done = await asyncio.gather(
        *(ledgers[n % 2].submit(keyed(adjust(1, 5)), new_cause()) for n in range(100))
    )

    assert Counter(bool(one.written) for one in done) == {False: 99, True: 1}
    assert {one.states["key-abc"].about for one in done} == {"5,1"}
    assert len(history(open_log(), "stock-1", "key-abc")) == 2
    assert await on_hand(ledgers[0]) == await on_hand(ledgers[1]) == 5
