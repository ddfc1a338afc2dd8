"""The order saga: two tables, no I/O.

    NEW --OrderStarted--> SELLING --SellConfirmed--> AWAITING_PAYMENT --PaymentTaken--> PAID
                             |                              |
                             |-SellDenied--> REFUSED        |-PaymentLapsed, OrderCancelled
                             |                              v
                             '-SellUnanswered, -------> ROLLING_BACK --ReturnConfirmed--> CLOSED
                               OrderCancelled

MOVES says which step an event leads to; OWES says what a step owes until an event moves the saga on.
So there is no outbox: after any crash or loss the step is read again and its command is sent again.
A (step, event) pair that is not in MOVES changes nothing, so a repeated or late reply is harmless.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from domain.cart import Cart, CheckedOut
from domain.limits import MAX_AMOUNT
from domain.order import Contact, Order, OrderClosed, OrderLine, OrderPlaced, OrderStatus, Placed
from domain.refusals import (
    AlreadyPaid,
    AmountTooLarge,
    CartChanged,
    CartEmpty,
    GoodsUnavailable,
    IdTaken,
    NoSuchOrder,
    OrderAlreadyClosed,
    Short,
)
from domain.sale import Line, Rollback, Sell

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


@dataclass(frozen=True, slots=True)
class Saga:
    """`tries`: how often the owed command was sent again since the step began."""

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
class Offer:
    """What the goods service said of one goods when the order was started."""

    goods_id: int
    name: str
    price: int
    for_sale: bool


@dataclass(frozen=True, slots=True)
class StartOrder:
    """`offers`: every checked goods of the cart, read just before; `sell_before`: inventory's deadline."""

    order_id: str
    user_id: int
    offers: tuple[Offer, ...]
    contact: Contact
    at: datetime
    sell_before: datetime


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
class SellConfirmed:
    pay_before: datetime


@dataclass(frozen=True, slots=True)
class SellDenied:
    reason: str
    short: tuple[Short, ...]


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


SagaEvent = (
    OrderStarted
    | SellConfirmed
    | SellDenied
    | SellUnanswered
    | PaymentTaken
    | PaymentLapsed
    | OrderCancelled
    | ReturnConfirmed
    | Resent
)

MOVES: Mapping[tuple[Step, type[SagaEvent]], Step] = {
    (Step.NEW, OrderStarted): Step.SELLING,
    (Step.SELLING, SellConfirmed): Step.AWAITING_PAYMENT,
    (Step.SELLING, SellDenied): Step.REFUSED,
    (Step.SELLING, SellUnanswered): Step.ROLLING_BACK,
    (Step.SELLING, OrderCancelled): Step.ROLLING_BACK,
    (Step.AWAITING_PAYMENT, PaymentTaken): Step.PAID,
    (Step.AWAITING_PAYMENT, PaymentLapsed): Step.ROLLING_BACK,
    (Step.AWAITING_PAYMENT, OrderCancelled): Step.ROLLING_BACK,
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
}

_LEAD_TO_ROLLBACK = frozenset(event for (_, event), step in MOVES.items() if step is Step.ROLLING_BACK)

RESEND_PAUSES_S = (1, 2, 4, 8, 15, 30, 60)
"""Seconds before the owed command is sent again; the last one repeats."""


def owed(saga: Saga) -> Sell | Rollback | None:
    """The command that the saga's step owes, or None: all of it can be told from the saga's own stream."""
    match OWES.get(saga.step):
        case None:
            return None
        case kind if kind is Sell:
            return Sell(saga.order_id, tuple(Line(line.goods_id, line.nums) for line in saga.lines))
        case _:
            return Rollback(saga.order_id)


def resend_at(tries: int, now: datetime) -> datetime:
    """When to send again what was sent `tries` times again already."""
    return now + timedelta(seconds=RESEND_PAUSES_S[min(tries, len(RESEND_PAUSES_S) - 1)])


def wakes_at(saga: Saga, step_began: datetime) -> datetime | None:
    """When the watchdog must look at this saga, or None when it waits for nothing."""
    if saga.step is Step.AWAITING_PAYMENT:
        return saga.pay_before
    if saga.step in OWES:
        return saga.next_try_at or resend_at(0, step_began)
    return None


def wake(saga: Saga, at: datetime) -> GiveUpSelling | LapsePayment | NoteResend | None:
    """What the watchdog does about a saga that should not be waiting any more."""
    if saga.step is Step.AWAITING_PAYMENT:
        late = saga.pay_before is not None and at >= saga.pay_before
        return LapsePayment(saga.order_id, at) if late else None
    if saga.step is Step.SELLING and saga.sell_before is not None and at >= saga.sell_before:
        return GiveUpSelling(saga.order_id, at)
    if saga.step in OWES:
        return NoteResend(saga.order_id, at, "no answer from inventory yet")
    return None


def owed_after(order_id: str, event: SagaEvent) -> Sell | Rollback | None:
    """The command that an event has just made owed, without looking at the saga's other events."""
    if isinstance(event, OrderStarted):
        return owed(_started(event))
    return Rollback(order_id) if type(event) in _LEAD_TO_ROLLBACK else None


def evolve(saga: Saga, event: SagaEvent) -> Saga:
    match event:
        case OrderStarted():
            return _started(event)
        case Resent(tries, next_try_at, _):
            return replace(saga, tries=tries, next_try_at=next_try_at)
        case SellConfirmed(pay_before):
            return replace(_moved(saga, event), pay_before=pay_before)
        case SellDenied(reason, short):
            return replace(_moved(saga, event), reason=reason, short=short)
        case _:
            return _moved(saga, event)


def _started(event: OrderStarted) -> Saga:
    return Saga(
        step=MOVES[Step.NEW, OrderStarted],
        order_id=event.order_id,
        user_id=event.user_id,
        lines=event.lines,
        amount=event.amount,
        contact=event.contact,
        started_at=event.at,
        sell_before=event.sell_before,
    )


def _moved(saga: Saga, event: SagaEvent) -> Saga:
    step = MOVES.get((saga.step, type(event)), saga.step)
    reason = REASONS.get(type(event), saga.reason)
    return replace(saga, step=step, reason=reason, tries=0, next_try_at=None)


def decide_start(saga: Saga, cart: Cart, command: StartOrder) -> OrderStarted:
    """Raises CartEmpty, CartChanged, GoodsUnavailable, AmountTooLarge, IdTaken."""
    if saga.step is not Step.NEW:
        raise IdTaken
    lines = _priced(cart, command.offers)
    amount = sum(line.price * line.nums for line in lines)
    if amount > MAX_AMOUNT:
        raise AmountTooLarge
    return OrderStarted(
        order_id=command.order_id,
        user_id=command.user_id,
        lines=lines,
        amount=amount,
        contact=command.contact,
        at=command.at,
        sell_before=command.sell_before,
    )


def _priced(cart: Cart, offers: tuple[Offer, ...]) -> tuple[OrderLine, ...]:
    checked = cart.checked()
    if not checked:
        raise CartEmpty
    by_id = {offer.goods_id: offer for offer in offers}
    if any(line.goods_id not in by_id for line in checked):
        raise CartChanged
    gone = tuple(line.goods_id for line in checked if not by_id[line.goods_id].for_sale)
    if gone:
        raise GoodsUnavailable(missing=gone)
    found = ((by_id[line.goods_id], line.nums) for line in checked)
    return tuple(OrderLine(offer.goods_id, offer.name, offer.price, nums) for offer, nums in found)


def decide_confirm_sell(
    saga: Saga, command: ConfirmSell
) -> tuple[SellConfirmed, OrderPlaced, CheckedOut] | None:
    """Sold: the order is placed, the cart is checked out and the saga moves on, in one commit."""
    if (saga.step, SellConfirmed) not in MOVES or saga.contact is None:
        return None
    placed = Placed(
        order_id=saga.order_id,
        user_id=saga.user_id,
        lines=saga.lines,
        amount=saga.amount,
        contact=saga.contact,
        at=command.at,
        pay_before=command.pay_before,
    )
    units = tuple(Line(line.goods_id, line.nums) for line in saga.lines)
    return SellConfirmed(command.pay_before), OrderPlaced(placed), CheckedOut(saga.order_id, units)


def decide_deny_sell(saga: Saga, command: DenySell) -> SellDenied | None:
    if (saga.step, SellDenied) not in MOVES:
        return None
    return SellDenied(command.reason, command.short)


def decide_give_up(saga: Saga, command: GiveUpSelling) -> SellUnanswered | None:
    """Only when the deadline really has passed: an early wake-up changes nothing."""
    late = saga.sell_before is not None and command.at >= saga.sell_before
    return SellUnanswered() if late and (saga.step, SellUnanswered) in MOVES else None


def decide_lapse(saga: Saga, command: LapsePayment) -> tuple[PaymentLapsed, OrderClosed] | None:
    """Only when the payment window really has closed."""
    late = saga.pay_before is not None and command.at >= saga.pay_before
    if not late or (saga.step, PaymentLapsed) not in MOVES:
        return None
    return PaymentLapsed(), OrderClosed(REASONS[PaymentLapsed])


def decide_cancel(saga: Saga, order: Order) -> tuple[OrderCancelled, OrderClosed | None] | None:
    """None when the order was cancelled before. Raises NoSuchOrder, AlreadyPaid, OrderAlreadyClosed."""
    match saga.step:
        case Step.NEW | Step.REFUSED:
            raise NoSuchOrder
        case Step.PAID:
            raise AlreadyPaid
        case Step.ROLLING_BACK | Step.CLOSED:
            if saga.reason != REASONS[OrderCancelled]:
                raise OrderAlreadyClosed
            return None
        case Step.SELLING | Step.AWAITING_PAYMENT:
            placed = order.status is OrderStatus.TO_PAY
            return OrderCancelled(), OrderClosed(REASONS[OrderCancelled]) if placed else None
        case _:
            assert_never(saga.step)


def decide_confirm_return(saga: Saga, command: ConfirmReturn) -> ReturnConfirmed | None:
    if (saga.step, ReturnConfirmed) not in MOVES:
        return None
    return ReturnConfirmed(command.returned)


def decide_resend(saga: Saga, command: NoteResend) -> Resent | None:
    """None when nothing is owed, or somebody else has just sent it again."""
    early = saga.next_try_at is not None and command.at < saga.next_try_at
    if saga.step not in OWES or early:
        return None
    next_try_at = resend_at(saga.tries + 1, command.at)
    if saga.step is Step.SELLING and saga.sell_before is not None:
        # The deadline must not be slept through.
        next_try_at = min(next_try_at, max(saga.sell_before, command.at))
    return Resent(saga.tries + 1, next_try_at, command.error)
