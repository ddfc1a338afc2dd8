"""What happened to one order: one causal story over two logs, oldest first, in words of the shop.

Two services have two clocks, so time alone could show an effect before its cause. What a service did because
it heard of the other is told after that, whatever the clocks say.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from domain import cart, saga, sale, streams
from domain.events import NAMES
from domain.recorded import Recorded
from domain.saga_acts import CompensationOrdered
from domain.saga_timing import wakes_at
from domain.stock import StockReturned, StockSold
from orchestrator.timeline_words import WAITS, Money, in_words, some

MAX_CART_ENTRIES: Final = 20
"""Changes of the cart told one by one; what was done to it before those is told as a number."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of the story. `since_before_s`: seconds since the step before it, 0 for the first.

    `command_id` caused it; it stands in `log` at `position`. `detail`: stock levels and the like, or empty.
    `caused_by`: where that stands which it was done because of, such as `inventory=3`; empty for what a
    person or a clock began.
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
    caused_by: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What an order that is not finished waits for. `tries`: how often it was asked for again."""

    what: str
    since: datetime
    next_try_at: datetime | None
    tries: int
    last_error: str | None


GIVEN_UP: Final = (
    saga.PlacementRefused,
    saga.SellUnanswered,
    saga.PaymentLapsed,
    saga.OrderCancelled,
    CompensationOrdered,
)
"""What makes a saga owe the Rollback."""

HEARD: Final[Mapping[type[Any], tuple[type[Any], ...]]] = {
    sale.Sold: (saga.OrderStarted,),
    sale.SellRefused: (saga.OrderStarted,),
    saga.SellConfirmed: (sale.Sold,),
    saga.SellDenied: (sale.SellRefused, sale.RollbackBarred),
    saga.PlacementRefused: (sale.Sold,),
    sale.RolledBack: GIVEN_UP,
    sale.RollbackBarred: GIVEN_UP,
    saga.ReturnConfirmed: (sale.RolledBack, sale.RollbackBarred),
}
"""What one service does because of what it heard of the other: it is told after the first of that."""

SHOPPING: Final = cart.CartReplaced | cart.CartLinePut | cart.CartLineRemoved
CHECKOUT: Final = cart.CheckoutBegun | cart.CheckoutDropped | cart.CheckedOut
"""What a user does to a cart, and what an order does to it."""

OPERATOR: Final = "operator-"
"""How the name of a caller begins who works on the command line; the rest is who that is."""

BY_HAND: Final = ("user-", OPERATOR)
"""How a caller's name begins who is a person: what a person does waits for no message."""


def timeline(order_id: str, events: Iterable[Recorded], money: Money = str) -> tuple[Entry, ...]:
    """The story of one order; empty when none of the events is about it. `money` words its amounts.

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
    for number, recorded in enumerate(told):
        before = entries[-1].at if entries else recorded.cause.at
        seconds = max(0.0, (recorded.cause.at - before).total_seconds())
        detail = _detail(recorded, moves) or _after(skipped)
        skipped = 0
        entry = _entry(recorded, owner, seconds, detail)
        words, cause = in_words(recorded.event, money), _caused_by(recorded, told[:number])
        entries.append(replace(entry, what=words, caused_by=cause))
    return tuple(entries)


def waiting_for(saga_events: Iterable[Recorded], money: Money = str) -> Waiting | None:
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
    return Waiting(WAITS[state.step](state, money), began, wakes_at(state, began), state.tries, error)


# which events are told, and in what order


def _is_own(recorded: Recorded, order_id: str) -> bool:
    return recorded.originator_id in (streams.saga(order_id), streams.order(order_id), streams.sale(order_id))


def _moves_stock(recorded: Recorded, order_id: str) -> bool:
    return isinstance(recorded.event, StockSold | StockReturned) and recorded.event.order_id == order_id


def _shopping(order_id: str, own: list[Recorded], known: list[Recorded]) -> tuple[list[Recorded], int]:
    """The changes of the owner's cart that led to this order, and how many before those are left out."""
    begun = next((event for event in own if isinstance(event.event, saga.Begun)), None)
    started = 0 if begun is None else begun.position
    history = [event for event in known if event.originator_id == streams.cart(_owner(own))]
    before = [event for event in history if event.position < started]
    emptied = max((e.position for e in before if isinstance(e.event, cart.CheckedOut)), default=0)
    changes = [e for e in before if e.position > emptied and isinstance(e.event, SHOPPING)]
    own_steps = [e for e in history if isinstance(e.event, CHECKOUT) and e.event.order_id == order_id]
    if begun is not None and isinstance(begun.event, saga.StartDenied):
        own_steps = []  # It took nothing from the cart; that is only where its user's orders are found.
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
        what="",
        detail=detail,
        event=NAMES[type(event)],
        command_id=cause.command_id,
        log=_log(recorded),
        position=recorded.position,
    )


def _log(recorded: Recorded) -> str:
    return "inventory" if _is_sale(recorded) else "order"


def _caused_by(recorded: Recorded, told: list[Recorded]) -> str:
    """Of one commit, its first event; else the last that was heard of the other service."""
    together = [e for e in told if e.cause.command_id == recorded.cause.command_id]
    by_hand = recorded.cause.caller.startswith(BY_HAND)
    heard = [] if by_hand else [e for e in told if isinstance(e.event, HEARD.get(type(recorded.event), ()))]
    for cause in (*together[:1], *heard[-1:]):
        return f"{_log(cause)}={cause.position}"
    return ""


def _owner(events: list[Recorded]) -> int:
    return next((e.event.user_id for e in events if isinstance(e.event, saga.Begun)), 0)


def _who(caller: str, owner: int) -> str:
    if caller == streams.user(owner):
        return f"customer {owner}"
    if caller.startswith(OPERATOR):
        return f"operator {caller.removeprefix(OPERATOR)}"
    return caller.replace("-", " ")


def _detail(recorded: Recorded, moves: list[Recorded]) -> str:
    """The levels that a sale or a return left, from the stock events of its command."""
    own = [
        f"goods {streams.key_of(move.originator_id)}: {move.event.nums}, now {move.event.on_hand} on hand"
        for move in moves
        if move.cause.command_id == recorded.cause.command_id
    ]
    return some(own) if isinstance(recorded.event, sale.Sold | sale.RolledBack) else ""


def _after(skipped: int) -> str:
    changes = "1 change" if skipped == 1 else f"{skipped} changes"
    return f"after {changes} before" if skipped else ""
