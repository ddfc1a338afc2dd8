"""The watchdog: whatever was lost is sent again, deadlines are kept, and two of them do no harm."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest

from domain.cart import CartLine, CheckoutDropped, ReplaceCart
from domain.goods import Offer
from domain.order import Contact
from domain.recorded import Cause, Recorded
from domain.refusals import Unavailable
from domain.saga import ConfirmSell, GiveUpSelling, Resent, Saga, SellUnanswered, StartOrder, Step
from domain.saga_acts import RetrySaga
from domain.sale import Line, Rollback, Sell
from domain.services import ORDER
from orchestrator.ledger import Ledger
from orchestrator.log import Log
from orchestrator.messages import Command
from orchestrator.watchdog import Watchdog

LedgerOver = Callable[..., Ledger]
OpenLog = Callable[[], Log]
NewCause = Callable[[], Cause]

SELL = Sell("7", (Line(1, 2),))


class Kennel:
    """A watchdog with a list of its own, a clock of its own, and an ear for what it sends."""

    def __init__(self, ledger: Ledger, at: datetime) -> None:
        self.now = at
        self.listed: list[str] = ["7"]
        self.sent: list[Command] = []
        self.ledger = ledger
        self.trouble = ""
        self.dog = Watchdog(
            ledger,
            due=self.due,
            send=self.sent.append,
            clock=lambda: self.now,
            trouble=lambda: self.trouble,
        )

    async def due(self, _now: datetime, limit: int) -> Sequence[str]:
        return self.listed[:limit]

    async def look(self, seconds: float = 0) -> None:
        self.now += timedelta(seconds=seconds)
        assert await self.dog.look() == len(self.listed)

    async def saga(self) -> Saga:
        found: Saga = (await self.ledger.read("saga-7"))["saga-7"]
        return found


@pytest.fixture
async def kennel(
    open_memory_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause, at: datetime
) -> Kennel:
    """Order 7 has been started and inventory has 30 seconds to answer."""
    ledger = ledger_over(open_memory_log(), ORDER)
    contact = Contact("1 High Street", "Ann", "07700 900000", "N1")
    await ledger.submit(ReplaceCart(3, (CartLine(1, 2, checked=True),)), new_cause())
    offers = (Offer(1, "mug", 250, for_sale=True),)
    await ledger.submit(StartOrder("7", 3, offers, contact, at, at + timedelta(seconds=30)), new_cause())
    return Kennel(ledger, at)


async def test_an_unanswered_sell_is_sent_again_with_growing_pauses(kennel: Kennel) -> None:
    await kennel.look(1)
    await kennel.look(1)
    assert kennel.sent == [SELL]
    await kennel.look(1)

    assert kennel.sent == [SELL, SELL]
    assert (await kennel.saga()).tries == 2


async def test_what_an_operator_retries_goes_out_at_the_next_look_and_pauses_grow_anew(
    kennel: Kennel, new_cause: NewCause
) -> None:
    for seconds in (1, 2, 4):
        await kennel.look(seconds)
    await kennel.look()
    assert kennel.sent == [SELL] * 3
    await kennel.ledger.submit(RetrySaga("7", kennel.now, "the broker is back"), new_cause())
    await kennel.look()
    await kennel.look(1)
    assert kennel.sent == [SELL] * 4
    await kennel.look(1)

    assert kennel.sent == [SELL] * 5
    assert (await kennel.saga()).tries == 2


async def test_a_retry_after_the_deadline_gives_up_instead_of_selling_late(
    kennel: Kennel, new_cause: NewCause
) -> None:
    kennel.now += timedelta(seconds=30)
    await kennel.ledger.submit(RetrySaga("7", kennel.now, "the broker is back"), new_cause())
    await kennel.look()

    assert (await kennel.saga()).reason == "sell-unanswered"
    assert kennel.sent == []


async def test_every_wake_up_is_a_command_of_its_own(kennel: Kennel, new_cause: NewCause) -> None:
    heard: list[Recorded] = []
    kennel.ledger.listeners.append(heard.extend)
    await kennel.look(1)
    await kennel.ledger.submit(RetrySaga("7", kennel.now, "again"), new_cause())
    await kennel.look(1)
    await kennel.look(30)
    await kennel.look(1)

    ids = [one.cause.command_id for one in heard if isinstance(one.event, Resent)]
    assert len(set(ids)) == len(ids) == 3


async def test_silence_past_the_deadline_is_given_up(kennel: Kennel) -> None:
    await kennel.look(30)
    saga = await kennel.saga()

    assert (saga.step, saga.reason, kennel.sent) == (Step.ROLLING_BACK, "sell-unanswered", [])
    await kennel.look(1)
    assert kennel.sent == [Rollback("7")]


async def test_a_payment_window_that_closed_is_lapsed_and_one_that_did_not_is_not(
    kennel: Kennel, new_cause: NewCause
) -> None:
    pay_before = kennel.now + timedelta(seconds=1_800)
    await kennel.ledger.submit(ConfirmSell("7", kennel.now, pay_before), new_cause())
    await kennel.look(1_799)
    assert (await kennel.saga()).step is Step.AWAITING_PAYMENT
    await kennel.look(1)

    assert (await kennel.saga()).reason == "payment-lapsed"
    assert (await kennel.ledger.read("order-7"))["order-7"].close_reason == "payment-lapsed"


async def test_a_list_that_is_behind_only_costs_a_look(kennel: Kennel) -> None:
    kennel.listed = ["99", "7", "98"]
    await kennel.look(30)
    await kennel.look()
    heard = (await kennel.saga()).tries

    assert heard == len(kennel.sent)
    assert [command.order_id for command in kennel.sent] == ["7"] * heard


async def test_two_watchdogs_at_once_send_it_once(
    open_memory_log: OpenLog, ledger_over: LedgerOver, kennel: Kennel, at: datetime
) -> None:
    other = Kennel(ledger_over(open_memory_log(), ORDER), at)
    await asyncio.gather(kennel.look(2), other.look(2))

    assert [*kennel.sent, *other.sent] == [SELL]
    assert (await kennel.saga()).tries == 1


async def test_two_watchdogs_at_different_moments_send_it_once(
    open_memory_log: OpenLog, ledger_over: LedgerOver, kennel: Kennel, at: datetime
) -> None:
    other = Kennel(ledger_over(open_memory_log(), ORDER), at)
    await asyncio.gather(kennel.look(2), other.look(2.5))

    assert [*kennel.sent, *other.sent] == [SELL]


async def test_the_round_goes_on_when_list_or_log_cannot_be_reached(
    kennel: Kennel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.watchdog.LOOK_EVERY_S", 0.01)
    failures: list[Exception] = [Unavailable(), OSError("no route"), ConnectionRefusedError()]

    async def due(_now: datetime, _limit: int) -> Sequence[str]:
        if failures:
            raise failures.pop()
        return ["7"]

    kennel.now += timedelta(seconds=1)
    dog = Watchdog(kennel.ledger, due=due, send=kennel.sent.append, clock=lambda: kennel.now)
    task = asyncio.create_task(dog.run())
    async with asyncio.timeout(10):
        while not kennel.sent:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert kennel.sent == [SELL]


async def test_who_was_woken_by_whom_is_recorded(kennel: Kennel) -> None:
    heard: list[Recorded] = []
    kennel.ledger.listeners.append(heard.extend)
    await kennel.look(30)

    assert [type(one.event) for one in heard] == [SellUnanswered, CheckoutDropped]
    (cause,) = {one.cause for one in heard}
    assert (cause.caller, cause.correlation) == ("watchdog", "7")
    assert cause.command_id.startswith(GiveUpSelling.__name__)


async def test_a_broker_that_takes_nothing_is_blamed_and_not_inventory(
    kennel: Kennel,
) -> None:
    heard: list[Recorded] = []
    kennel.ledger.listeners.append(heard.extend)
    kennel.trouble = "nats: timeout"

    await kennel.look(seconds=2)

    errors = [recorded.event.error for recorded in heard if isinstance(recorded.event, Resent)]
    assert errors == [
        "the broker does not take our messages (nats: timeout); inventory has not answered Sell"
    ]
