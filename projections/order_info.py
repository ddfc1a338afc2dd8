"""Which orders were placed, of what, and how do they stand? Read models `order_info` and `order_goods`.

One projection, so an order and its goods become visible together. An order that was refused was never
placed: it has a saga and no row here.
"""

from datetime import datetime
from typing import NamedTuple, assert_never, get_args

from domain.limits import MAX_AMOUNT
from domain.order import OrderClosed, OrderEvent, OrderPaid, OrderPlaced, OrderStatus, Placed, RefundDue
from domain.recorded import Recorded
from projections.projection import Projection, Table


class OrderInfoRow(NamedTuple):
    """`order_mount` and `refund_due`: minor units."""

    order_id: int
    user_id: int
    pay_type: str | None
    status: int
    trade_id: str | None
    order_mount: int
    pay_time: datetime | None
    address: str
    signer_name: str
    signer_mobile: str
    post: str
    close_reason: str | None
    refund_due: int
    pay_before: datetime
    created_at: datetime
    updated_at: datetime


class OrderGoodsRow(NamedTuple):
    """`place`: the line's place in the order; our addition to the original's columns."""

    order_id: int
    goods_id: int
    goods_name: str
    goods_price: int
    nums: int
    place: int


def evolve_info(rows: tuple[OrderInfoRow, ...], recorded: Recorded) -> tuple[OrderInfoRow, ...]:
    event: OrderEvent = recorded.event
    if isinstance(event, OrderPlaced):
        return (_placed(event.placed),)
    (row,) = rows
    at = recorded.cause.at
    match event:
        case OrderPaid(paid):
            row = row._replace(pay_type=paid.pay_type, trade_id=paid.trade_id, pay_time=paid.at)
            return (row._replace(status=int(OrderStatus.PAID), updated_at=at),)
        case OrderClosed(reason):
            return (row._replace(status=int(OrderStatus.CLOSED), close_reason=reason, updated_at=at),)
        case RefundDue(payment):
            # Payments for a closed order have any amount; their sum must not stop the projection.
            due = min(row.refund_due + payment.amount, MAX_AMOUNT)
            return (row._replace(refund_due=due, updated_at=at),)
        case _:
            assert_never(event)


def _placed(placed: Placed) -> OrderInfoRow:
    return OrderInfoRow(
        order_id=int(placed.order_id),
        user_id=placed.user_id,
        pay_type=None,
        status=int(OrderStatus.TO_PAY),
        trade_id=None,
        order_mount=placed.amount,
        pay_time=None,
        address=placed.contact.address,
        signer_name=placed.contact.signer_name,
        signer_mobile=placed.contact.signer_mobile,
        post=placed.contact.post,
        close_reason=None,
        refund_due=0,
        pay_before=placed.pay_before,
        created_at=placed.at,
        updated_at=placed.at,
    )


def evolve_goods(_rows: tuple[OrderGoodsRow, ...], recorded: Recorded) -> tuple[OrderGoodsRow, ...]:
    """What was ordered, and for how much, never changes."""
    event: OrderPlaced = recorded.event
    order_id = int(event.placed.order_id)
    return tuple(
        OrderGoodsRow(order_id, line.goods_id, line.name, line.price, line.nums, place)
        for place, line in enumerate(event.placed.lines)
    )


INFO = Table(
    name="order_info",
    row=OrderInfoRow,
    primary_key=("order_id",),
    events=frozenset(get_args(OrderEvent)),
    evolve=evolve_info,
)

ORDERED = Table(
    name="order_goods",
    row=OrderGoodsRow,
    primary_key=("order_id", "goods_id"),
    events=frozenset({OrderPlaced}),
    evolve=evolve_goods,
    forgets=True,
)

ORDER_INFO = Projection(name="order_info", log="order", tables=(INFO, ORDERED))
