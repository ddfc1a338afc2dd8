"""Who pays, closes and gives up one order at once, in several processes: one comes first, all are told so."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import count

import pytest

from adapters.postgres_log import PostgresLog
from adapters.postgres_migrate import migrate_log
from domain.cart import CartLine, CloseCart, ReplaceCart
from domain.goods import Offer
from domain.order import Contact, OrderStatus, Payment, PayOrder
from domain.recorded import Cause
from domain.refusals import AlreadyPaid, Refusal
from domain.saga import CancelOrder, ConfirmSell, LapsePayment, StartOrder, Step
from domain.saga_acts import CompensateSaga
from domain.services import ORDER
from orchestrator.ledger import Done, Ledger
from orchestrator.log import Log

ORDERS = 12
CONTACT = Contact("1 High Street", "Ann", "07700 900000", "N1")
WINDOW = timedelta(minutes=30)

LedgerOver = Callable[..., Ledger]
OpenLog = Callable[[], Log]
NewCause = Callable[[], Cause]


@pytest.fixture(params=["memory", "postgres"])
def open_order_log(request: pytest.FixtureRequest) -> Iterator[OpenLog]:
    """One more view of the same order log."""
    if request.param == "memory":
        yield request.getfixturevalue("open_memory_log")
        return
    dsn = request.getfixturevalue("fresh_database")
    migrate_log(dsn, ORDER.log)
    opened: list[PostgresLog] = []

    def open_log() -> Log:
        opened.append(PostgresLog(dsn, ORDER.log))
        return opened[-1]

    yield open_log
    for log in opened:
        log.close()


class Office:
    """Three processes with a ledger each, and orders that each other's caches know."""

    def __init__(self, ledgers: list[Ledger], new_cause: NewCause, at: datetime) -> None:
        self.ledgers, self.new_cause, self.at = ledgers, new_cause, at
        self.turns = count()

    async def started(self, order_id: str, user_id: int) -> None:
        ledger = self.ledgers[0]
        await ledger.submit(ReplaceCart(user_id, (CartLine(1, 2, checked=True),)), self.new_cause())
        offers = (Offer(1, "mug", 250, for_sale=True),)
        start = StartOrder(order_id, user_id, offers, CONTACT, self.at, self.at + WINDOW)
        await ledger.submit(start, self.new_cause())

    async def placed(self, order_id: str, user_id: int) -> None:
        await self.started(order_id, user_id)
        await self.ledgers[0].submit(ConfirmSell(order_id, self.at, self.at + WINDOW), self.new_cause())
        for ledger in self.ledgers:
            await ledger.read(f"saga-{order_id}", f"order-{order_id}")

    async def at_once(self, *commands: object) -> list[Done | BaseException]:
        """Each by another process, and which process begins changes from order to order."""
        turn = next(self.turns)
        ledgers = [self.ledgers[(turn + number) % len(self.ledgers)] for number in range(len(commands))]
        pairs = zip(ledgers, commands, strict=True)
        tries = [ledger.submit(command, self.new_cause()) for ledger, command in pairs]
        return await asyncio.gather(*tries, return_exceptions=True)


@pytest.fixture
def office(open_order_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause, at: datetime) -> Office:
    return Office([ledger_over(open_order_log(), ORDER) for _ in range(3)], new_cause, at)


async def test_a_payment_at_the_end_of_its_window_is_kept_or_due_back(office: Office) -> None:
    end = office.at + WINDOW
    for number in range(ORDERS):
        order_id = str(number)
        await office.placed(order_id, user_id=number)
        pay = PayOrder(order_id, Payment("alipay", f"T-{number}", 500, end))
        told = await office.at_once(pay, LapsePayment(order_id, end), pay)
        assert not [answer for answer in told if isinstance(answer, BaseException)]
        states = await office.ledgers[1].read(f"saga-{order_id}", f"order-{order_id}")
        saga, order = states[f"saga-{order_id}"], states[f"order-{order_id}"]
        if order.status is OrderStatus.PAID:
            assert (saga.step, order.refunds) == (Step.PAID, ())
        else:
            assert (order.status, saga.step) == (OrderStatus.CLOSED, Step.ROLLING_BACK)
            assert [refund.amount for refund in order.refunds] == [500]


async def test_of_a_payment_a_cancel_and_a_compensation_one_counts(office: Office) -> None:
    for number in range(ORDERS):
        order_id = str(number)
        await office.placed(order_id, user_id=number)
        pay = PayOrder(order_id, Payment("alipay", f"T-{number}", 500, office.at))
        told = await office.at_once(pay, CancelOrder(order_id), CompensateSaga(order_id, office.at, "stuck"))
        order = (await office.ledgers[2].read(f"order-{order_id}"))[f"order-{order_id}"]
        refusals = [answer for answer in told if isinstance(answer, BaseException)]
        assert all(isinstance(refusal, Refusal) for refusal in refusals), refusals
        if order.status is OrderStatus.PAID:
            assert [type(refusal) for refusal in refusals] == [AlreadyPaid, AlreadyPaid]
        else:
            assert order.close_reason in ("cancelled", "compensated")
            assert [refund.amount for refund in order.refunds] == [500]


async def test_an_order_is_placed_before_its_account_is_closed_or_not_at_all(office: Office) -> None:
    for number in range(ORDERS):
        order_id = str(number)
        await office.started(order_id, user_id=number)
        hear = ConfirmSell(order_id, office.at, office.at + WINDOW)
        told = await office.at_once(hear, CloseCart(number), hear)
        assert not [answer for answer in told if isinstance(answer, BaseException)]
        names = (f"saga-{order_id}", f"order-{order_id}", f"cart-{number}")
        states = await office.ledgers[1].read(*names)
        saga, order, cart = (states[name] for name in names)
        assert cart.is_closed
        placed = order.status is OrderStatus.TO_PAY
        assert (saga.step, saga.reason) == (
            (Step.AWAITING_PAYMENT, None) if placed else (Step.ROLLING_BACK, "account-closed")
        )
