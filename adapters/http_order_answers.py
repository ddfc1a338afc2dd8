"""What callers are told of an order, from the domain's values."""

import re
from collections.abc import Iterable
from typing import Any, Final

from adapters.http_errors import BadHeader
from domain.limits import MAX_AMOUNT
from domain.order import Contact, Order, OrderLine, OrderStatus, Placed
from domain.refusals import AlreadyReturned, OrderAlreadyClosed, Refusal, SaleDiffers, StockShort
from domain.saga import Saga

DEFAULT_WAIT_S: Final = 5.0
MAX_WAIT_S: Final = 30

_WAIT = re.compile(r"(?:^|,)[ \t]*wait[ \t]*=[ \t]*([^;,]*)", re.IGNORECASE)


def order_as_placed(placed: Placed) -> dict[str, Any]:
    """The order as it was when it was placed, whatever became of it: a replay gives the same bytes."""
    return order_now(Order(OrderStatus.TO_PAY, placed))


def order_now(order: Order) -> dict[str, Any]:
    """Raises nothing; the order must have been placed."""
    placed, payment = order.placed, order.payment
    assert placed is not None, "an order that was not placed has no such answer"
    return {
        "order_id": placed.order_id,
        "user_id": placed.user_id,
        "status": int(order.status),
        "close_reason": order.close_reason,
        "amount": placed.amount,
        "pay_type": payment and payment.pay_type,
        "trade_id": payment and payment.trade_id,
        "pay_time": payment and payment.at,
        "pay_before": placed.pay_before,
        # The read model has the same bound: its column holds no more.
        "refund_due": min(MAX_AMOUNT, sum(refund.amount for refund in order.refunds)),
        **contact_fields(placed.contact),
        "goods": _goods(placed.lines),
        "created_at": placed.at,
    }


def order_never_placed(saga: Saga) -> dict[str, Any]:
    """An order that was cancelled while its stock was being sold: closed, as far as it got."""
    assert saga.contact is not None, "a started order has a contact"
    return {
        "order_id": saga.order_id,
        "user_id": saga.user_id,
        "status": int(OrderStatus.CLOSED),
        "close_reason": saga.reason,
        "amount": saga.amount,
        "pay_type": None,
        "trade_id": None,
        "pay_time": None,
        "pay_before": None,
        "refund_due": 0,
        **contact_fields(saga.contact),
        "goods": _goods(saga.lines),
        "created_at": saga.started_at,
    }


def why_refused(saga: Saga) -> Refusal:
    """Why a refused order was refused."""
    for kind in (AlreadyReturned, SaleDiffers):
        if saga.reason == kind.name:
            return kind(order_id=saga.order_id)
    return StockShort(short=saga.short, order_id=saga.order_id)


def why_closed(saga: Saga) -> Refusal:
    """Why an order that was given up before it was placed cannot be had any more."""
    return OrderAlreadyClosed(order_id=saga.order_id, close_reason=saga.reason)


def contact_fields(contact: Contact) -> dict[str, str]:
    """As they stand in an order's answer; sealed or not, as they are given."""
    return {
        "address": contact.address,
        "signer_name": contact.signer_name,
        "signer_mobile": contact.signer_mobile,
        "post": contact.post,
    }


def _goods(lines: Iterable[OrderLine]) -> list[dict[str, Any]]:
    return [
        {"goods_id": line.goods_id, "goods_name": line.name, "goods_price": line.price, "nums": line.nums}
        for line in lines
    ]


def preferred_wait_s(prefer: str | None) -> float:
    """Seconds of `Prefer: wait=N`; other preferences are ignored (RFC 7240, 2). Raises BadHeader."""
    found = _WAIT.search(prefer or "")
    if found is None:
        return DEFAULT_WAIT_S
    wait = found[1].rstrip(" \t")
    if not re.fullmatch(r"[0-9]{1,2}", wait) or int(wait) > MAX_WAIT_S:
        raise BadHeader(header="Prefer", expected=f"wait=N, N from 0 to {MAX_WAIT_S} seconds")
    return float(wait)
