"""The saga's runner: what is owed goes out once it is committed, what comes back moves the saga once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from domain.cart import CartLine, ReplaceCart
from domain.goods import Offer
from domain.order import Contact, OrderLine, OrderPlaced, OrderStatus
from domain.recorded import Cause, Recorded
from domain.refusals import Short, Unavailable
from domain.saga import (
    CancelOrder,
    OrderStarted,
    Resent,
    Saga,
    SellConfirmed,
    SellUnanswered,
    StartOrder,
    Step,
)
from domain.sale import Line, Rollback, Sell
from domain.services import ORDER
from orchestrator.ledger import Ledger
from orchestrator.log import Log
from orchestrator.messages import Command, Reply, RolledBackReply, SellRefusedReply, SoldReply, Undelivered
from orchestrator.saga_runner import REPLY_OUTCOMES, ReplyDesk, Sender, Timing

LedgerOver = Callable[..., Ledger]
OpenLog = Callable[[], Log]
NewCause = Callable[[], Cause]

CONTACT = Contact("1 High Street", "Ann", "07700 900000", "N1")
PATIENCE_S = 10.0


class MemoryWire:
    """A wire that keeps what it is given; the first calls fail as often as told."""

    def __init__(self) -> None:
        self.commands: list[list[Command]] = []
        self.announced: list[str] = []
        self.failures = 0

    async def send_commands(self, commands: Sequence[Command]) -> None:
        if self.failures:
            self.failures -= 1
            raise Undelivered("the wire is down")
        self.commands.append(list(commands))

    async def send_replies(self, replies: Sequence[Reply]) -> None:
        raise Undelivered("nobody takes replies here")

    async def announce(self, order_ids: Sequence[str]) -> None:
        if self.failures:
            self.failures -= 1
            raise Undelivered("the wire is down")
        self.announced += order_ids


@asynccontextmanager
async def running(sender: Sender) -> AsyncIterator[None]:
    task = asyncio.create_task(sender.run())
    yield
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.005)


def in_saga(order_id: str, event: Any, at: datetime) -> Recorded:
    return Recorded(f"saga-{order_id}", 1, event, Cause("c", "user-7", order_id, at), 1)


def started(order_id: str, at: datetime) -> Recorded:
    lines = (OrderLine(1, "mug", 250, 2),)
    return in_saga(order_id, OrderStarted(order_id, 7, lines, 500, CONTACT, at, at), at)


# sending


async def test_what_a_commit_made_owed_goes_out_together(at: datetime) -> None:
    wire = MemoryWire()
    sender = Sender(wire)
    sender.on_recorded([started("7", at), in_saga("8", SellUnanswered(), at), started("9", at)])
    async with running(sender):
        await until(lambda: bool(wire.commands))

    assert wire.commands == [[Sell("7", (Line(1, 2),)), Rollback("8"), Sell("9", (Line(1, 2),))]]


async def test_what_owes_nothing_sends_nothing(at: datetime) -> None:
    wire = MemoryWire()
    sender = Sender(wire)
    sender.on_recorded(
        [
            in_saga("7", Resent(1, at, "no answer"), at),
            Recorded("order-7", 1, "not a saga event", Cause("c", "x", "7", at), 2),
            in_saga("7", SellConfirmed(at), at),
        ]
    )
    sender.send(Rollback("8"))
    async with running(sender):
        await until(lambda: bool(wire.commands and wire.announced))

    assert wire.commands == [[Rollback("8")]]
    assert wire.announced == ["7"]


async def test_a_wire_that_is_down_stops_nobody(at: datetime) -> None:
    wire = MemoryWire()
    wire.failures = 2
    sender = Sender(wire)
    async with running(sender):
        sender.on_recorded([started("7", at)])
        sender.on_recorded([in_saga("7", SellConfirmed(at), at)])
        await until(lambda: wire.failures == 0)
        sender.on_recorded([started("8", at)])
        await until(lambda: bool(wire.commands))

    assert wire.commands == [[Sell("8", (Line(1, 2),))]]


async def test_too_much_to_send_is_left_to_the_watchdog(
    at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.saga_runner.MAX_OUTBOUND", 3)
    wire = MemoryWire()
    sender = Sender(wire)
    sender.on_recorded([started(str(n), at) for n in range(10)])
    async with running(sender):
        await until(lambda: bool(wire.commands))

    assert [command.order_id for command in wire.commands[0]] == ["0", "1", "2"]


# hearing


@pytest.fixture
async def orders(
    open_memory_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause, at: datetime
) -> Ledger:
    """Order 7 of user 3 and order 8 of user 4, both started."""
    ledger = ledger_over(open_memory_log(), ORDER)
    offers = (Offer(1, "mug", 250, for_sale=True),)
    for order_id, user_id in (("7", 3), ("8", 4)):
        await ledger.submit(ReplaceCart(user_id, (CartLine(1, 2, checked=True),)), new_cause())
        command = StartOrder(order_id, user_id, offers, CONTACT, at, at + timedelta(seconds=30))
        await ledger.submit(command, new_cause())
    return ledger


@pytest.fixture
def desk(orders: Ledger, at: datetime) -> ReplyDesk:
    return ReplyDesk(orders, Timing(1_800, lambda: at))


async def saga(ledger: Ledger, order_id: str) -> Saga:
    found: Saga = (await ledger.read(f"saga-{order_id}"))[f"saga-{order_id}"]
    return found


async def test_sold_places_the_order_opens_its_payment_window_and_empties_the_cart(
    desk: ReplyDesk, orders: Ledger, at: datetime
) -> None:
    await desk.handle([SoldReply("7")])
    states = await orders.read("saga-7", "order-7", "cart-3")

    assert states["saga-7"].step is Step.AWAITING_PAYMENT
    assert states["order-7"].status is OrderStatus.TO_PAY
    assert states["order-7"].placed.pay_before == at + timedelta(seconds=1_800)
    assert states["cart-3"].lines == ()


async def test_a_refusal_ends_the_saga_with_what_was_short(desk: ReplyDesk, orders: Ledger) -> None:
    await desk.handle([SellRefusedReply("7", "stock-short", (Short(1, 2, 0),))])
    found = await saga(orders, "7")

    assert (found.step, found.reason, found.short) == (Step.REFUSED, "stock-short", (Short(1, 2, 0),))
    assert len((await orders.read("cart-3"))["cart-3"].lines) == 1


async def test_a_reply_that_comes_twice_or_late_moves_nothing(
    desk: ReplyDesk, orders: Ledger, new_cause: NewCause
) -> None:
    heard: list[Recorded] = []
    await desk.handle([SoldReply("7"), SoldReply("7"), RolledBackReply("8", returned=True)])
    await orders.submit(CancelOrder("8"), new_cause())
    orders.listeners.append(heard.extend)
    await desk.handle([SoldReply("7"), SoldReply("8"), SellRefusedReply("8", "stock-short", ())])
    assert heard == []

    await desk.handle([RolledBackReply("8", returned=False), RolledBackReply("8", returned=True)])
    assert len(heard) == 1
    assert (await saga(orders, "7")).step is Step.AWAITING_PAYMENT
    assert (await saga(orders, "8")).step is Step.CLOSED


async def test_many_replies_are_one_commit_and_say_who_caused_what(desk: ReplyDesk, orders: Ledger) -> None:
    heard: list[Recorded] = []
    orders.listeners.append(heard.extend)
    before = orders.commits
    await desk.handle([SoldReply("7"), SellRefusedReply("8", "stock-short", ())])

    assert orders.commits == before + 1
    assert {(one.cause.caller, one.cause.correlation) for one in heard} == {
        ("inventory", "7"),
        ("inventory", "8"),
    }
    assert sum(isinstance(one.event, OrderPlaced) for one in heard) == 1


async def test_a_reply_for_an_order_nobody_knows_is_ignored(desk: ReplyDesk, orders: Ledger) -> None:
    await desk.handle([SoldReply("99"), RolledBackReply("99", returned=True)])

    assert (await saga(orders, "99")).step is Step.NEW


async def test_every_reply_is_counted_by_what_it_changed(orders: Ledger, at: datetime) -> None:
    counted: Counter[str] = Counter()
    desk = ReplyDesk(orders, Timing(1_800, lambda: at), count=lambda word: counted.update([word]))
    await desk.handle([SoldReply("7"), SellRefusedReply("8", "stock-short", ())])
    await desk.handle([SoldReply("7"), SoldReply("8"), RolledBackReply("7", returned=True)])
    await desk.handle([SoldReply("99"), SellRefusedReply("98", "stock-short", ())])

    assert counted == {"applied": 2, "ignored-late-or-repeated": 3, "ignored-unknown-order": 2}
    assert set(counted) == set(REPLY_OUTCOMES)


async def test_replies_come_again_when_the_log_could_not_take_them(desk: ReplyDesk, orders: Ledger) -> None:
    await orders.close()

    with pytest.raises(Unavailable):
        await desk.handle([SoldReply("7")])
