"""The order saga: two tables, no I/O.

    NEW --OrderStarted--> SELLING --SellConfirmed--> AWAITING_PAYMENT --PaymentTaken--> PAID
     |                       |                              |
     '-StartDenied--> REFUSED <--SellDenied                 |-PaymentLapsed, OrderCancelled,
                             |                              |  CompensationOrdered
                             |                              v
                             '-PlacementRefused, -----> ROLLING_BACK --ReturnConfirmed--> CLOSED
                               SellUnanswered, OrderCancelled, CompensationOrdered

MOVES says which step an event leads to; OWES says what a step owes until an event moves the saga on.
So there is no outbox: after any crash or loss the step is read again and its command is sent again.
A (step, event) pair that is not in MOVES changes nothing, so a repeated or late reply is harmless.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from domain.goods import Offer
from domain.order import Contact, OrderLine
from domain.refusals import Short, StockShort
from domain.saga_acts import CompensationOrdered, RetryOrdered
from domain.sale import Rollback, Sell
from domain.stock import Level
from domain.values import dataclass

# state


class Step(StrEnum):
    NEW = "NEW"
    SELLING = "SELLING"
    AWAITING_PAYMENT = "AWAITING_PAYMENT"
    PAID = "PAID"
    REFUSED = "REFUSED"
    ROLLING_BACK = "ROLLING_BACK"
    CLOSED = "CLOSED"


TERMINAL = frozenset({Step.PAID, Step.REFUSED, Step.CLOSED})


class Saga(NamedTuple):
    """A tuple with names: it is made anew for every event, in half the time of a frozen dataclass.

    `tries`: how often the owed command was sent again since the step began, or an operator's retry."""

    step: Step = Step.NEW
    order_id: str = ""
    user_id: int = 0
    lines: tuple[OrderLine, ...] = ()
    amount: int = 0
    contact: Contact | None = None
    started_at: datetime | None = None
    sell_before: datetime | None = None
    pay_before: datetime | None = None
    reason: str | None = None
    short: tuple[Short, ...] = ()
    tries: int = 0
    next_try_at: datetime | None = None


NEW = Saga()


# commands


@dataclass(frozen=True, slots=True)
class StartOrder:
    """`offers`: every checked goods of the cart, read just before; `sell_before`: inventory's deadline.

    `levels`: what inventory's books said just before, of goods that it has lately been short of.
    """

    order_id: str
    user_id: int
    offers: tuple[Offer, ...]
    contact: Contact
    at: datetime
    sell_before: datetime
    levels: tuple[Level, ...] = ()


@dataclass(frozen=True, slots=True)
class ConfirmSell:
    """Inventory sold every line."""

    order_id: str
    at: datetime
    pay_before: datetime


@dataclass(frozen=True, slots=True)
class DenySell:
    """Inventory refused: short of stock, or the order id was rolled back before."""

    order_id: str
    reason: str
    short: tuple[Short, ...]


@dataclass(frozen=True, slots=True)
class GiveUpSelling:
    """The deadline passed and inventory has not answered."""

    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class LapsePayment:
    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CancelOrder:
    order_id: str


@dataclass(frozen=True, slots=True)
class ConfirmReturn:
    """Inventory gave the stock back, or had nothing to give back and barred the order id."""

    order_id: str
    returned: bool


@dataclass(frozen=True, slots=True)
class NoteResend:
    """The owed command goes out again."""

    order_id: str
    at: datetime
    error: str


# events


@dataclass(frozen=True, slots=True)
class OrderStarted:
    order_id: str
    user_id: int
    lines: tuple[OrderLine, ...]
    amount: int
    contact: Contact
    at: datetime
    sell_before: datetime


@dataclass(frozen=True, slots=True)
class StartDenied:
    """Inventory's books showed too little, so it was not even asked to sell: nothing is owed, now or ever."""

    order_id: str
    user_id: int
    lines: tuple[OrderLine, ...]
    amount: int
    at: datetime
    short: tuple[Short, ...]


@dataclass(frozen=True, slots=True)
class SellConfirmed:
    pay_before: datetime


@dataclass(frozen=True, slots=True)
class SellDenied:
    reason: str
    short: tuple[Short, ...]


@dataclass(frozen=True, slots=True)
class PlacementRefused:
    """Inventory sold, but the order cannot be placed any more. `reason`: the name of the refusal."""

    reason: str


@dataclass(frozen=True, slots=True)
class SellUnanswered:
    """Silence past the deadline is an event, never a guess."""


@dataclass(frozen=True, slots=True)
class PaymentTaken:
    pass


@dataclass(frozen=True, slots=True)
class PaymentLapsed:
    pass


@dataclass(frozen=True, slots=True)
class OrderCancelled:
    pass


@dataclass(frozen=True, slots=True)
class ReturnConfirmed:
    returned: bool


@dataclass(frozen=True, slots=True)
class Resent:
    """Moves nothing: it keeps the growing pause, and shows an operator that the saga is waiting."""

    tries: int
    next_try_at: datetime
    error: str


Begun = OrderStarted | StartDenied
SagaEvent = (
    Begun
    | SellConfirmed
    | SellDenied
    | PlacementRefused
    | SellUnanswered
    | PaymentTaken
    | PaymentLapsed
    | OrderCancelled
    | ReturnConfirmed
    | Resent
    | RetryOrdered
    | CompensationOrdered
)

MOVES: Mapping[tuple[Step, type[SagaEvent]], Step] = {
    (Step.NEW, OrderStarted): Step.SELLING,
    (Step.NEW, StartDenied): Step.REFUSED,
    (Step.SELLING, SellConfirmed): Step.AWAITING_PAYMENT,
    (Step.SELLING, SellDenied): Step.REFUSED,
    (Step.SELLING, PlacementRefused): Step.ROLLING_BACK,
    (Step.SELLING, SellUnanswered): Step.ROLLING_BACK,
    (Step.SELLING, OrderCancelled): Step.ROLLING_BACK,
    (Step.SELLING, CompensationOrdered): Step.ROLLING_BACK,
    (Step.AWAITING_PAYMENT, PaymentTaken): Step.PAID,
    (Step.AWAITING_PAYMENT, PaymentLapsed): Step.ROLLING_BACK,
    (Step.AWAITING_PAYMENT, OrderCancelled): Step.ROLLING_BACK,
    (Step.AWAITING_PAYMENT, CompensationOrdered): Step.ROLLING_BACK,
    (Step.ROLLING_BACK, ReturnConfirmed): Step.CLOSED,
}

OWES: Mapping[Step, type[Sell] | type[Rollback]] = {
    Step.SELLING: Sell,
    Step.ROLLING_BACK: Rollback,
}

REASONS: Mapping[type[SagaEvent], str] = {
    SellUnanswered: "sell-unanswered",
    PaymentLapsed: "payment-lapsed",
    OrderCancelled: "cancelled",
    CompensationOrdered: "compensated",
}


def evolve(saga: Saga, event: SagaEvent) -> Saga:
    """What MOVES does not list changes nothing: the log may hold it, but the saga is past it."""
    if isinstance(event, (Resent, RetryOrdered)):
        return _tried(saga, event)
    step = MOVES.get((saga.step, type(event)))
    if step is None:
        return saga
    match event:
        case OrderStarted(order_id, user_id, lines, amount, contact, at, sell_before):
            return Saga(step, order_id, user_id, lines, amount, contact, at, sell_before)
        case StartDenied(order_id, user_id, lines, amount, at, short):
            return Saga(step, order_id, user_id, lines, amount, None, at, None, None, StockShort.name, short)
        case SellConfirmed(pay_before):
            return _moved(saga, step, pay_before, saga.reason, saga.short)
        case SellDenied(reason, short):
            return _moved(saga, step, saga.pay_before, reason, short)
        case PlacementRefused(reason):
            return _moved(saga, step, saga.pay_before, reason, saga.short)
        case _:
            return _moved(saga, step, saga.pay_before, REASONS.get(type(event)) or saga.reason, saga.short)


def _moved(
    saga: Saga, step: Step, pay_before: datetime | None, reason: str | None, short: tuple[Short, ...]
) -> Saga:
    """At another step, where trying begins anew. With a slice: `_replace` takes three times as long."""
    return Saga(step, *saga[1:8], pay_before, reason, short)


def _tried(saga: Saga, event: Resent | RetryOrdered) -> Saga:
    """Counting begins anew when an operator orders the next try."""
    if saga.step not in OWES:
        return saga
    tries = event.tries if isinstance(event, Resent) else 0
    return saga._replace(tries=tries, next_try_at=event.next_try_at)
