"""Commits made in the event loop: whatever becomes of one, it counts once, and its caller hears the truth."""

from collections.abc import Mapping, Sequence

import pytest

from domain.recorded import Recorded
from domain.refusals import StockShort
from domain.sale import Sale, SaleStatus
from domain.stock import Stock, StockAdjusted, StockSet, StockSold
from orchestrator.ledger import Ledger
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


class DirectLog(WrappedLog):
    """A log whose tries end as `ends` says, the next one first; all others work.

    `tries`, `appends`: how often it was asked,
    without a thread and in one.
    """

    def __init__(self, log: Log, *ends: str) -> None:
        super().__init__(log)
        self.ends = [*ends]
        self.tries = 0

    async def try_append(self, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int] | None:
        self.tries += 1
        return self.tried(self.ends.pop(0) if self.ends else "works", events, expect)


def kinds(log: Log, stream: str) -> list[type]:
    return [type(recorded.event) for recorded in history(log, stream)]


@pytest.fixture
async def stocked(
    open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> tuple[Ledger, DirectLog]:
    """Five units, known to the ledger; its one commit was made in the thread, which had to read first."""
    log = DirectLog(open_log())
    ledger = ledger_over(log)
    await ledger.submit(set_to(1, 5), new_cause())
    assert (log.tries, log.appends) == (0, 1)
    return ledger, log


async def test_what_is_in_memory_needs_no_thread(
    stocked: tuple[Ledger, DirectLog], new_cause: NewCause
) -> None:
    ledger, log = stocked

    done = await ledger.submit(adjust(1, 2), new_cause())

    assert (done.position, done.states["stock-1"]) == (2, Stock(7, 2))
    assert (log.tries, log.appends, ledger.commits) == (1, 1, 2)


@pytest.mark.parametrize("end", ["lost", "nothing"])
async def test_a_try_of_which_nothing_was_heard_counts_once(
    stocked: tuple[Ledger, DirectLog], new_cause: NewCause, end: str
) -> None:
    ledger, log = stocked
    heard: list[Recorded] = []
    ledger.listeners.append(heard.extend)
    log.ends = [end]

    done = await ledger.submit(adjust(1, 2), new_cause())

    assert (done.position, done.states["stock-1"]) == (2, Stock(7, 2))
    assert [recorded.position for recorded in heard] == [2]
    assert kinds(log, "stock-1") == [StockSet, StockAdjusted]
    assert (log.tries, log.appends) == (1, 2)
    assert (await ledger.submit(adjust(1, 1), new_cause())).states["stock-1"] == Stock(8, 3)


async def test_what_somebody_else_was_first_with_is_decided_again(
    stocked: tuple[Ledger, DirectLog], open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledger, log = stocked
    await ledger_over(open_log()).submit(adjust(1, -5), new_cause())

    done = await ledger.submit(one_of(7), new_cause())

    sale: Sale = done.states["sale-7"]
    assert sale.status is SaleStatus.REFUSED
    assert StockSold not in kinds(log, "stock-1")


async def test_a_sale_refused_on_an_outdated_count_is_decided_again(
    stocked: tuple[Ledger, DirectLog], open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    """It writes the sale alone, so the count that it has read is checked in the same commit."""
    ledger, log = stocked
    await ledger.submit(adjust(1, -5), new_cause())
    await ledger_over(open_log()).submit(adjust(1, 1), new_cause())
    tries = log.tries

    done = await ledger.submit(one_of(7), new_cause())

    assert done.states["sale-7"].status is SaleStatus.SOLD
    assert log.tries == tries + 1


async def test_a_lost_answer_and_a_newer_event_of_somebody_else_make_one_effect(
    stocked: tuple[Ledger, DirectLog], open_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    ledger, log = stocked
    log.ends = ["lost"]
    await ledger.submit(adjust(1, -4), new_cause())
    await ledger_over(open_log()).submit(adjust(1, -1), new_cause())

    with pytest.raises(StockShort):
        await ledger.submit(adjust(1, -1), new_cause())
    assert kinds(log, "stock-1") == [StockSet, StockAdjusted, StockAdjusted]
