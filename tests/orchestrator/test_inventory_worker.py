"""Inventory's side of the wire: every command is answered, and a repeat gets the same answer."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pytest

from domain.recorded import Cause
from domain.refusals import Overloaded, Short, Unavailable
from domain.sale import Line, Rollback, Sell
from domain.stock import SetInv, Stock
from orchestrator.inventory_worker import COMMAND_OUTCOMES, InventoryWorker
from orchestrator.ledger import Ledger
from orchestrator.log import Log
from orchestrator.messages import Command, Reply, RolledBackReply, SellRefusedReply, SoldReply, Undelivered

LedgerOver = Callable[..., Ledger]
OpenLog = Callable[[], Log]

SELL = Sell("7", (Line(1, 2), Line(2, 1)))


class MemoryWire:
    """A wire that keeps what it is given."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.is_down = False

    async def send_commands(self, commands: Sequence[Command]) -> None:
        raise Undelivered("nobody takes commands here")

    async def send_replies(self, replies: Sequence[Reply]) -> None:
        if self.is_down:
            raise Undelivered("the wire is down")
        self.replies += replies

    async def announce(self, order_ids: Sequence[str]) -> None:
        raise Undelivered("nobody listens here")


@pytest.fixture
def wire() -> MemoryWire:
    return MemoryWire()


@pytest.fixture
async def ledger(open_memory_log: OpenLog, ledger_over: LedgerOver, new_cause: Callable[[], Cause]) -> Ledger:
    ledger = ledger_over(open_memory_log())
    await ledger.submit(SetInv(1, 5, goods_exist=True), new_cause())
    await ledger.submit(SetInv(2, 1, goods_exist=True), new_cause())
    return ledger


@pytest.fixture
def worker(ledger: Ledger, wire: MemoryWire, at: datetime) -> InventoryWorker:
    return InventoryWorker(ledger, wire, lambda: at)


async def levels(ledger: Ledger) -> list[int]:
    states: dict[str, Stock] = dict(await ledger.read("stock-1", "stock-2"))
    return [states["stock-1"].on_hand, states["stock-2"].on_hand]


async def test_a_sell_and_its_rollback_are_answered(
    worker: InventoryWorker, wire: MemoryWire, ledger: Ledger
) -> None:
    await worker.handle([SELL])
    assert await levels(ledger) == [3, 0]
    await worker.handle([Rollback("7")])

    assert wire.replies == [SoldReply("7"), RolledBackReply("7", returned=True)]
    assert await levels(ledger) == [5, 1]


async def test_a_repeat_gets_the_same_answer_and_has_no_effect(
    worker: InventoryWorker, wire: MemoryWire, ledger: Ledger
) -> None:
    short = Sell("8", (Line(2, 3),))
    await worker.handle([SELL, short, SELL, short])
    await worker.handle([SELL, short])

    refused = SellRefusedReply("8", "stock-short", (Short(2, 3, 0),))
    assert wire.replies == [SoldReply("7"), refused] * 3
    assert await levels(ledger) == [3, 0]


async def test_a_repeated_rollback_gives_back_once_and_says_the_same(
    worker: InventoryWorker, wire: MemoryWire, ledger: Ledger
) -> None:
    await worker.handle([SELL])
    await worker.handle([Rollback("7"), Rollback("7")])
    await worker.handle([Rollback("7")])

    assert wire.replies[1:] == [RolledBackReply("7", returned=True)] * 3
    assert await levels(ledger) == [5, 1]


async def test_a_rollback_that_overtakes_its_sell_bars_it(
    worker: InventoryWorker, wire: MemoryWire, ledger: Ledger
) -> None:
    await worker.handle([Rollback("7")])
    await worker.handle([SELL])

    assert wire.replies == [
        RolledBackReply("7", returned=False),
        SellRefusedReply("7", "already-returned", ()),
    ]
    assert await levels(ledger) == [5, 1]


async def test_sell_and_rollback_in_one_message_both_count(
    worker: InventoryWorker, wire: MemoryWire, ledger: Ledger
) -> None:
    await worker.handle([SELL, Rollback("7"), SELL])

    assert wire.replies == [
        SoldReply("7"),
        RolledBackReply("7", returned=True),
        SellRefusedReply("7", "already-returned", ()),
    ]
    assert await levels(ledger) == [5, 1]


async def test_a_repeat_with_other_lines_is_refused_and_says_why(
    worker: InventoryWorker, wire: MemoryWire, ledger: Ledger
) -> None:
    await worker.handle([SELL, Sell("7", (Line(1, 1),))])

    assert wire.replies == [SoldReply("7"), SellRefusedReply("7", "sale-differs", ())]
    assert await levels(ledger) == [3, 0]


async def test_quantities_come_from_the_recorded_sell_whatever_comes_later(
    worker: InventoryWorker, ledger: Ledger
) -> None:
    await worker.handle([SELL, Sell("7", (Line(1, 5),)), Rollback("7")])

    assert await levels(ledger) == [5, 1]


async def test_a_reply_that_did_not_go_out_makes_the_commands_come_again(
    worker: InventoryWorker, wire: MemoryWire, ledger: Ledger
) -> None:
    wire.is_down = True
    with pytest.raises(Undelivered):
        await worker.handle([SELL])
    wire.is_down = False
    await worker.handle([SELL])

    assert wire.replies == [SoldReply("7")]
    assert await levels(ledger) == [3, 0]


async def test_what_the_log_could_not_take_comes_again(
    open_memory_log: OpenLog, ledger_over: LedgerOver, wire: MemoryWire, at: datetime
) -> None:
    worker = InventoryWorker(ledger_over(open_memory_log(), max_waiting=0), wire, lambda: at)
    with pytest.raises(Overloaded):
        await worker.handle([Rollback("7"), Rollback("8")])

    assert wire.replies == []


async def test_a_command_that_cannot_be_decided_comes_again_and_the_rest_is_answered(
    worker: InventoryWorker, wire: MemoryWire
) -> None:
    nonsense: Any = "three"
    with pytest.raises(TypeError):
        await worker.handle([Rollback("7"), Sell("8", (Line(1, nonsense),))])

    assert wire.replies == [RolledBackReply("7", returned=False)]


async def test_a_closed_ledger_makes_the_commands_come_again(
    worker: InventoryWorker, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.ledger.CLOSE_TIMEOUT_S", 0.1)
    await ledger.close()

    with pytest.raises(Unavailable):
        await worker.handle([SELL])


async def test_every_command_is_counted_by_what_it_changed(
    ledger: Ledger, wire: MemoryWire, at: datetime
) -> None:
    counted: Counter[str] = Counter()
    worker = InventoryWorker(ledger, wire, lambda: at, count=lambda word: counted.update([word]))
    await worker.handle([SELL, Sell("8", (Line(2, 3),))])
    await worker.handle([SELL, Sell("7", (Line(1, 5),)), Rollback("7"), Rollback("7"), SELL])

    assert counted == {"decided": 3, "repeated": 2, "refused": 2}
    assert set(counted) == set(COMMAND_OUTCOMES)
