"""The words in which an order's story is told: one sentence for each event, and for each step that waits."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from domain import cart, order, saga, saga_acts, sale
from domain.refusals import Short

Money = Callable[[int], str]
"""Minor units as a reader is to see them; plain digits where a program reads on."""

MAX_DETAILS: Final = 4
"""Goods named one by one in a detail."""


def some(parts: list[str]) -> str:
    more = len(parts) - MAX_DETAILS
    return "; ".join([*parts[:MAX_DETAILS], *([f"and {more} more"] if more > 0 else [])])


def count(lines: Iterable[sale.Line | order.OrderLine | cart.CartLine]) -> str:
    nums: dict[int, int] = {}
    for line in lines:
        nums[line.goods_id] = nums.get(line.goods_id, 0) + line.nums
    return f"{len(nums)} goods, {units(sum(nums.values()))}"


def units(nums: int) -> str:
    return "1 unit" if nums == 1 else f"{nums} units"


def clock(at: datetime | None) -> str:
    return "any time" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _short(short: tuple[Short, ...]) -> str:
    return some([f"goods {s.goods_id}: {s.wanted} wanted, {s.available} on hand" for s in short])


def _filled(event: cart.CartReplaced) -> str:
    return f"Cart filled with {count(event.lines)}" if event.lines else "Cart emptied"


def _checked_out(event: cart.CheckedOut) -> str:
    """Lines that the user changed meanwhile stay, and that may be all of them."""
    if not event.lines:
        return "The cart was changed meanwhile: nothing of it left"
    return f"What was ordered left the cart: {count(event.lines)}"


def _denied(event: saga.SellDenied) -> str:
    return f"Order refused: {event.reason}" + (f" ({_short(event.short)})" if event.short else "")


def _not_begun(event: saga.StartDenied) -> str:
    """Whoever reads this wants to know that there is no sale to look for, and nothing to undo."""
    why = _short(event.short)
    return f"Order of {count(event.lines)} refused before it began, inventory not asked: {why}"


def _given_back(event: saga.ReturnConfirmed) -> str:
    stock = "The stock is back" if event.returned else "There was no stock to give back"
    return f"{stock}; the end: closed"


def _resent(event: saga.Resent) -> str:
    return f"Inventory asked again (try {event.tries}), next at {clock(event.next_try_at)}: {event.error}"


WORDS: Final[Mapping[type[Any], Callable[[Any], str]]] = {
    cart.CartReplaced: _filled,
    cart.CartLinePut: lambda e: (
        f"Cart: {units(e.nums)} of goods {e.goods_id}" + ("" if e.checked else ", not checked")
    ),
    cart.CartLineRemoved: lambda e: f"Cart: goods {e.goods_id} taken out",
    cart.CheckoutBegun: lambda e: f"Checkout begun: {count(e.lines)}",
    cart.CheckoutDropped: lambda _: "The cart's lines can be ordered again",
    cart.CheckedOut: _checked_out,
    saga.SellConfirmed: lambda e: f"The stock is sold; payment awaited until {clock(e.pay_before)}",
    saga.StartDenied: _not_begun,
    saga.SellDenied: _denied,
    saga.PlacementRefused: lambda e: f"Order refused although it was sold: {e.reason}; stock owed back",
    saga.SellUnanswered: lambda _: "No answer from inventory in time; stock owed back",
    saga.PaymentTaken: lambda _: "The end: paid",
    saga.PaymentLapsed: lambda _: "Payment window closed; stock owed back",
    saga.OrderCancelled: lambda _: "Cancelled; stock owed back",
    saga.ReturnConfirmed: _given_back,
    saga.Resent: _resent,
    saga_acts.RetryOrdered: lambda e: f"Retry ordered: {e.reason}",
    saga_acts.CompensationOrdered: lambda e: f"Compensation ordered; stock owed back: {e.reason}",
    order.OrderClosed: lambda e: f"Order closed: {e.reason}",
    sale.Sold: lambda e: f"Inventory sold {count(e.lines)}",
    sale.SellRefused: lambda e: f"Inventory refused to sell: {_short(e.short)}",
    sale.RolledBack: lambda e: f"Inventory took {count(e.lines)} back",
    sale.RollbackBarred: lambda _: "Inventory had sold nothing, and never will for this order id",
}

PRICED: Final[Mapping[type[Any], Callable[[Any, Money], str]]] = {
    saga.OrderStarted: lambda e, money: (
        f"Order started: {count(e.lines)}, amount {money(e.amount)}; inventory to sell them"
    ),
    order.OrderPlaced: lambda e, money: (
        f"Order placed: {count(e.placed.lines)}, amount {money(e.placed.amount)}"
    ),
    order.OrderPaid: lambda e, money: (
        f"Paid {money(e.payment.amount)} by {e.payment.pay_type}, trade {e.payment.trade_id}"
    ),
    order.RefundDue: lambda e, money: (
        f"Paid {money(e.payment.amount)} after the close, trade {e.payment.trade_id}; refund due"
    ),
}
"""Events whose words name money."""

WAITS: Final[Mapping[saga.Step, Callable[[saga.Saga, Money], str]]] = {
    saga.Step.SELLING: lambda state, _: f"inventory's answer whether it sold {count(state.lines)}",
    saga.Step.AWAITING_PAYMENT: lambda state, money: (
        f"payment of {money(state.amount)} before {clock(state.pay_before)}"
    ),
    saga.Step.ROLLING_BACK: lambda state, _: f"inventory to give {count(state.lines)} back",
}


def in_words(event: Any, money: Money) -> str:
    """One sentence for an event of an order's story."""
    priced = PRICED.get(type(event))
    return WORDS[type(event)](event) if priced is None else priced(event, money)
