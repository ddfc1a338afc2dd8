"""Order: what was bought, for how much, whether it is paid, and why it was closed.

    (nothing) --OrderPlaced--> TO_PAY --OrderPaid--> PAID
                                 '------OrderClosed-> CLOSED --RefundDue--> CLOSED, with a refund due

Payment and close meet in this stream's version check: one of them comes first and the other gets a
named outcome. A late payment never re-opens the order; it is recorded as a refund due.
"""

from datetime import datetime
from enum import IntEnum
from typing import NamedTuple, assert_never

from domain.refusals import AlreadyPaid, NoSuchOrder, WrongAmount
from domain.values import dataclass

# state


class OrderStatus(IntEnum):
    NONE = 0
    TO_PAY = 1
    PAID = 2
    CLOSED = 3


@dataclass(frozen=True, slots=True)
class OrderLine:
    """Name and price are those of the moment the order was started."""

    goods_id: int
    name: str
    price: int
    nums: int


@dataclass(frozen=True, slots=True)
class Contact:
    """Who gets the parcel, and where: personal data."""

    address: str
    signer_name: str
    signer_mobile: str
    post: str


@dataclass(frozen=True, slots=True)
class Payment:
    """`trade_id` names the payment at whoever took it; the same one never counts twice."""

    pay_type: str
    trade_id: str
    amount: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Placed:
    """The order as it was when it was placed: what its creator was answered, for ever."""

    order_id: str
    user_id: int
    lines: tuple[OrderLine, ...]
    amount: int
    contact: Contact
    at: datetime
    pay_before: datetime


class Order(NamedTuple):
    status: OrderStatus = OrderStatus.NONE
    placed: Placed | None = None
    payment: Payment | None = None
    close_reason: str | None = None
    refunds: tuple[Payment, ...] = ()


NONE = Order()


# commands


@dataclass(frozen=True, slots=True)
class PayOrder:
    order_id: str
    payment: Payment


# events


@dataclass(frozen=True, slots=True)
class OrderPlaced:
    placed: Placed


@dataclass(frozen=True, slots=True)
class OrderPaid:
    payment: Payment


@dataclass(frozen=True, slots=True)
class OrderClosed:
    reason: str


@dataclass(frozen=True, slots=True)
class RefundDue:
    """Money came for an order that was closed."""

    payment: Payment


OrderEvent = OrderPlaced | OrderPaid | OrderClosed | RefundDue


def evolve(order: Order, event: OrderEvent) -> Order:
    match event:
        case OrderPlaced(placed):
            return Order(OrderStatus.TO_PAY, placed)
        case OrderPaid(payment):
            return order._replace(status=OrderStatus.PAID, payment=payment)
        case OrderClosed(reason):
            return order._replace(status=OrderStatus.CLOSED, close_reason=reason)
        case RefundDue(payment):
            return order._replace(refunds=(*order.refunds, payment))
        case _:
            assert_never(event)


def decide_pay(order: Order, command: PayOrder) -> tuple[OrderEvent, ...]:
    """OrderPaid, or RefundDue when the order is closed; nothing for a trade_id that is recorded.

    Raises NoSuchOrder, WrongAmount, AlreadyPaid (by another trade). What came for a closed order is
    recorded whatever its amount: it is somebody's money.
    """
    if order.placed is None:
        raise NoSuchOrder
    if command.payment.trade_id in _known_trades(order):
        return ()
    match order.status:
        case OrderStatus.CLOSED:
            return (RefundDue(command.payment),)
        case OrderStatus.PAID:
            raise AlreadyPaid
        case _:
            if command.payment.amount != order.placed.amount:
                raise WrongAmount(expected=order.placed.amount, got=command.payment.amount)
            return (OrderPaid(command.payment),)


def _known_trades(order: Order) -> set[str]:
    payments = (*order.refunds, *(() if order.payment is None else (order.payment,)))
    return {payment.trade_id for payment in payments}
