"""Sagas for tests: how each step is reached, and one event of every kind."""

from datetime import UTC, datetime, timedelta

from domain.cart import Cart, CartLine
from domain.order import Contact, OrderLine
from domain.refusals import Short
from domain.saga import (
    NEW,
    OWES,
    OrderCancelled,
    OrderStarted,
    PaymentLapsed,
    PaymentTaken,
    PlacementRefused,
    Resent,
    ReturnConfirmed,
    Saga,
    SagaEvent,
    SellConfirmed,
    SellDenied,
    SellUnanswered,
    StartDenied,
    Step,
    evolve,
)
from domain.saga_acts import CompensationOrdered, RetryOrdered
from domain.sale import Line

AT = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
SELL_BEFORE = AT + timedelta(seconds=30)
PAY_BEFORE = AT + timedelta(minutes=30)
CONTACT = Contact("1 High Street", "Ann", "07700 900000", "N1")
LINES = (OrderLine(12, "mug", 250, 2), OrderLine(13, "cup", 100, 1))
SECOND = timedelta(seconds=1)
UNITS = (Line(12, 2), Line(13, 1))
STARTED = OrderStarted("7", 3, LINES, 600, CONTACT, AT, SELL_BEFORE)
CART = Cart((CartLine(12, 2, checked=True), CartLine(13, 1, checked=True), CartLine(14, 5, checked=False)))
SHORT = (Short(13, 1, 0),)

EVENTS: dict[type[SagaEvent], SagaEvent] = {
    OrderStarted: OrderStarted("8", 4, LINES[:1], 500, CONTACT, AT, SELL_BEFORE),
    StartDenied: StartDenied("8", 4, LINES, 600, AT, SHORT),
    SellConfirmed: SellConfirmed(PAY_BEFORE + timedelta(hours=1)),
    SellDenied: SellDenied("stock-short", SHORT),
    SellUnanswered: SellUnanswered(),
    PaymentTaken: PaymentTaken(),
    PaymentLapsed: PaymentLapsed(),
    OrderCancelled: OrderCancelled(),
    ReturnConfirmed: ReturnConfirmed(returned=True),
    Resent: Resent(9, AT + timedelta(minutes=9), "no answer"),
    RetryOrdered: RetryOrdered("the broker is back", AT + timedelta(minutes=8)),
    PlacementRefused: PlacementRefused("account-closed"),
    CompensationOrdered: CompensationOrdered("the customer called"),
}

HISTORIES: dict[Step, tuple[SagaEvent, ...]] = {
    Step.NEW: (),
    Step.SELLING: (STARTED,),
    Step.AWAITING_PAYMENT: (STARTED, SellConfirmed(PAY_BEFORE)),
    Step.PAID: (STARTED, SellConfirmed(PAY_BEFORE), PaymentTaken()),
    Step.REFUSED: (STARTED, SellDenied("stock-short", (Short(12, 2, 1),))),
    Step.ROLLING_BACK: (STARTED, SellUnanswered()),
    Step.CLOSED: (STARTED, SellUnanswered(), ReturnConfirmed(returned=False)),
}


def told(*events: SagaEvent) -> Saga:
    saga = NEW
    for event in events:
        saga = evolve(saga, event)
    return saga


def saga_in(step: Step) -> Saga:
    """A saga in this step; where something is owed it was sent again twice already."""
    saga = told(*HISTORIES[step])
    assert saga.step is step
    return evolve(saga, Resent(2, AT + timedelta(seconds=7), "no answer")) if step in OWES else saga


def name_of_pair(pair: tuple[Step, type[SagaEvent]]) -> str:
    return f"{pair[0]}-{pair[1].__name__}"
