"""What happened to one order: one causal story over two logs, oldest first, in words of the shop.

Two services have two clocks, so time alone could show an effect before its cause. What a service did because
it heard of the other is told after that, whatever the clocks say.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from domain import cart, order, saga, sale, streams
from domain.events import NAMES
from domain.recorded import Recorded
from domain.refusals import Short
from domain.saga_timing import wakes_at
from domain.stock import StockReturned, StockSold

MAX_CART_ENTRIES: Final = 20
"""Changes of the cart told one by one; what was done to it before those is told as a number."""

MAX_DETAILS: Final = 4
"""Goods named one by one in a detail."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of the story. `since_before_s`: seconds since the step before it, 0 for the first.

    `command_id` caused it; it stands in `log` at `position`. `detail`: stock levels and the like, or empty.
    """

    at: datetime
    since_before_s: float
    who: str
    what: str
    detail: str
    event: str
    command_id: str
    log: str
    position: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """What an order that is not finished waits for. `tries`: how often it was asked for again."""

    what: str
    since: datetime
    next_try_at: datetime | None
    tries: int
    last_error: str | None


HEARD: Final[Mapping[type[Any], tuple[type[Any], ...]]] = {
    sale.Sold: (saga.OrderStarted,),
    sale.SellRefused: (saga.OrderStarted,),
    saga.SellConfirmed: (sale.Sold,),
    saga.SellDenied: (sale.SellRefused, sale.RollbackBarred),
    sale.RolledBack: (saga.SellUnanswered, saga.PaymentLapsed, saga.OrderCancelled),
    sale.RollbackBarred: (saga.SellUnanswered, saga.OrderCancelled),
    saga.ReturnConfirmed: (sale.RolledBack, sale.RollbackBarred),
}
"""What one service does because of what it heard of the other: it is told after the first of that."""

SHOPPING: Final = cart.CartReplaced | cart.CartLinePut | cart.CartLineRemoved
CHECKOUT: Final = cart.CheckoutBegun | cart.CheckoutDropped | cart.CheckedOut
"""What a user does to a cart, and what an order does to it."""

BY_HAND: Final = "user-"
"""How a caller's name begins who is a person: what a person does waits for no message."""


def timeline(order_id: str, events: Iterable[Recorded]) -> tuple[Entry, ...]:
    """The story of one order; empty when none of the events is about it.

    `events`: the order's saga, order and sale streams, its owner's cart stream, and the stock events of its
    sale; any order, and more than that does no harm.
    """
    known = list(events)
    own = [event for event in known if _is_own(event, order_id)]
    moves = [event for event in known if _moves_stock(event, order_id)]
    shopping, skipped = _shopping(order_id, own, known)
    told = _by_cause([*shopping, *own])
    owner = _owner(own)
    entries: list[Entry] = []
    for recorded in told:
        before = entries[-1].at if entries else recorded.cause.at
        seconds = max(0.0, (recorded.cause.at - before).total_seconds())
        detail = _detail(recorded, moves) or _after(skipped)
        skipped = 0
        entries.append(_entry(recorded, owner, seconds, detail))
    return tuple(entries)


def waiting_for(saga_events: Iterable[Recorded]) -> Waiting | None:
    """What a saga waits for, from the events of its stream; None once it has ended, or before it began."""
    state, began, error = saga.NEW, None, None
    for recorded in saga_events:
        before, state = state.step, saga.evolve(state, recorded.event)
        if isinstance(recorded.event, saga.Resent):
            error = recorded.event.error
        if state.step is not before:
            began, error = recorded.cause.at, None
    if began is None or state.step in saga.TERMINAL:
        return None
    return Waiting(WAITS[state.step](state), began, wakes_at(state, began), state.tries, error)


WAITS: Final[Mapping[saga.Step, Callable[[saga.Saga], str]]] = {
    saga.Step.SELLING: lambda state: f"inventory's answer whether it sold {_count(state.lines)}",
    saga.Step.AWAITING_PAYMENT: lambda state: f"payment of {state.amount} before {_clock(state.pay_before)}",
    saga.Step.ROLLING_BACK: lambda state: f"inventory to give {_count(state.lines)} back",
}


# which events are told, and in what order


def _is_own(recorded: Recorded, order_id: str) -> bool:
    return recorded.originator_id in (streams.saga(order_id), streams.order(order_id), streams.sale(order_id))


def _moves_stock(recorded: Recorded, order_id: str) -> bool:
    return isinstance(recorded.event, StockSold | StockReturned) and recorded.event.order_id == order_id


def _shopping(order_id: str, own: list[Recorded], known: list[Recorded]) -> tuple[list[Recorded], int]:
    """The changes of the owner's cart that led to this order, and how many before those are left out."""
    started = next((e.position for e in own if isinstance(e.event, saga.OrderStarted)), 0)
    history = [event for event in known if event.originator_id == streams.cart(_owner(own))]
    before = [event for event in history if event.position < started]
    emptied = max((e.position for e in before if isinstance(e.event, cart.CheckedOut)), default=0)
    changes = [e for e in before if e.position > emptied and isinstance(e.event, SHOPPING)]
    own_steps = [e for e in history if isinstance(e.event, CHECKOUT) and e.event.order_id == order_id]
    return [*changes[-MAX_CART_ENTRIES:], *own_steps], max(0, len(changes) - MAX_CART_ENTRIES)


def _by_cause(events: list[Recorded]) -> list[Recorded]:
    """Each log in its own order; between the two, causes before effects, else the earlier first."""
    orders, sales = _log_of(events, sold=False), _log_of(events, sold=True)
    told: list[Recorded] = []
    while orders and sales:
        waits = (_must_wait(orders[0], told, sales), _must_wait(sales[0], told, orders))
        earlier = orders[0].cause.at <= sales[0].cause.at
        orders_next = not waits[0] if waits[0] != waits[1] else earlier
        told += _commit(orders if orders_next else sales)
    return [*told, *orders, *sales]


def _commit(log: deque[Recorded]) -> list[Recorded]:
    """The next events of one command: they were recorded together, so nothing came in between."""
    together = [log.popleft()]
    while log and log[0].cause.command_id == together[0].cause.command_id:
        together.append(log.popleft())
    return together


def _log_of(events: list[Recorded], *, sold: bool) -> deque[Recorded]:
    own = (event for event in events if _is_sale(event) == sold)
    return deque(sorted(own, key=lambda event: event.position))


def _must_wait(recorded: Recorded, told: Iterable[Recorded], others: Iterable[Recorded]) -> bool:
    """Whether it was caused by something that is not told yet: of all that it could be, the first."""
    if recorded.cause.caller.startswith(BY_HAND):
        return False
    causes = HEARD.get(type(recorded.event), ())
    heard = any(type(other.event) in causes for other in told)
    return not heard and any(type(other.event) in causes for other in others)


def _is_sale(recorded: Recorded) -> bool:
    return streams.category(recorded.originator_id) == "sale"


# words


def _entry(recorded: Recorded, owner: int, seconds: float, detail: str) -> Entry:
    cause, event = recorded.cause, recorded.event
    return Entry(
        at=cause.at,
        since_before_s=round(seconds, 6),
        who=_who(cause.caller, owner),
        what=WORDS[type(event)](event),
        detail=detail,
        event=NAMES[type(event)],
        command_id=cause.command_id,
        log="inventory" if _is_sale(recorded) else "order",
        position=recorded.position,
    )


def _owner(events: list[Recorded]) -> int:
    return next((e.event.user_id for e in events if isinstance(e.event, saga.OrderStarted)), 0)


def _who(caller: str, owner: int) -> str:
    if caller == streams.user(owner):
        return f"customer {owner}"
    return caller.replace("-", " ")


def _detail(recorded: Recorded, moves: list[Recorded]) -> str:
    """The levels that a sale or a return left, from the stock events of its command."""
    own = [
        f"goods {streams.key_of(move.originator_id)}: {move.event.nums}, now {move.event.on_hand} on hand"
        for move in moves
        if move.cause.command_id == recorded.cause.command_id
    ]
    return _some(own) if isinstance(recorded.event, sale.Sold | sale.RolledBack) else ""


def _after(skipped: int) -> str:
    changes = "1 change" if skipped == 1 else f"{skipped} changes"
    return f"after {changes} before" if skipped else ""


def _some(parts: list[str]) -> str:
    more = len(parts) - MAX_DETAILS
    return "; ".join([*parts[:MAX_DETAILS], *([f"and {more} more"] if more > 0 else [])])


def _count(lines: Iterable[sale.Line | order.OrderLine | cart.CartLine]) -> str:
    nums: dict[int, int] = {}
    for line in lines:
        nums[line.goods_id] = nums.get(line.goods_id, 0) + line.nums
    return f"{len(nums)} goods, {_units(sum(nums.values()))}"


def _units(nums: int) -> str:
    return "1 unit" if nums == 1 else f"{nums} units"


def _clock(at: datetime | None) -> str:
    return "any time" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _short(short: tuple[Short, ...]) -> str:
    return _some([f"goods {s.goods_id}: {s.wanted} wanted, {s.available} on hand" for s in short])


def _filled(event: cart.CartReplaced) -> str:
    return f"Cart filled with {_count(event.lines)}" if event.lines else "Cart emptied"


def _checked_out(event: cart.CheckedOut) -> str:
    """Lines that the user changed meanwhile stay, and that may be all of them."""
    if not event.lines:
        return "The cart was changed meanwhile: nothing of it left"
    return f"What was ordered left the cart: {_count(event.lines)}"


def _denied(event: saga.SellDenied) -> str:
    return f"Order refused: {event.reason}" + (f" ({_short(event.short)})" if event.short else "")


def _given_back(event: saga.ReturnConfirmed) -> str:
    stock = "The stock is back" if event.returned else "There was no stock to give back"
    return f"{stock}; the end: closed"


def _resent(event: saga.Resent) -> str:
    return f"Inventory asked again (try {event.tries}), next at {_clock(event.next_try_at)}: {event.error}"


WORDS: Final[Mapping[type[Any], Callable[[Any], str]]] = {
    cart.CartReplaced: _filled,
    cart.CartLinePut: lambda e: (
        f"Cart: {_units(e.nums)} of goods {e.goods_id}" + ("" if e.checked else ", not checked")
    ),
    cart.CartLineRemoved: lambda e: f"Cart: goods {e.goods_id} taken out",
    cart.CheckoutBegun: lambda e: f"Checkout begun: {_count(e.lines)}",
    cart.CheckoutDropped: lambda _: "The cart's lines can be ordered again",
    cart.CheckedOut: _checked_out,
    saga.OrderStarted: lambda e: (
        f"Order started: {_count(e.lines)}, amount {e.amount}; inventory to sell them"
    ),
    saga.SellConfirmed: lambda e: f"The stock is sold; payment awaited until {_clock(e.pay_before)}",
    saga.SellDenied: _denied,
    saga.SellUnanswered: lambda _: "No answer from inventory in time; stock owed back",
    saga.PaymentTaken: lambda _: "The end: paid",
    saga.PaymentLapsed: lambda _: "Payment window closed; stock owed back",
    saga.OrderCancelled: lambda _: "Cancelled; stock owed back",
    saga.ReturnConfirmed: _given_back,
    saga.Resent: _resent,
    order.OrderPlaced: lambda e: f"Order placed: {_count(e.placed.lines)}, amount {e.placed.amount}",
    order.OrderPaid: lambda e: f"Paid {e.payment.amount} by {e.payment.pay_type}, trade {e.payment.trade_id}",
    order.OrderClosed: lambda e: f"Order closed: {e.reason}",
    order.RefundDue: lambda e: (
        f"Paid {e.payment.amount} after the close, trade {e.payment.trade_id}; refund due"
    ),
    sale.Sold: lambda e: f"Inventory sold {_count(e.lines)}",
    sale.SellRefused: lambda e: f"Inventory refused to sell: {_short(e.short)}",
    sale.RolledBack: lambda e: f"Inventory took {_count(e.lines)} back",
    sale.RollbackBarred: lambda _: "Inventory had sold nothing, and never will for this order id",
}
