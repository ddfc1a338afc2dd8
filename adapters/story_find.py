"""What is meant by an ID that somebody typed: an order, a trade, a user, or goods."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any, Final

from adapters.cli_reading import MAX_NUMBER, BadArgument, is_number
from adapters.story_reader import StoryReader
from domain import cart, order, saga, streams
from domain.order import RefundDue
from domain.recorded import Recorded
from domain.saga_timing import STUCK_AFTER_TRIES
from domain.user import UNKNOWN
from domain.user import evolve as evolve_user

EXPLICIT: Final = re.compile(r"(order|goods|user)-([0-9]+)")
TRADE: Final = "trade:"
MAX_TRADE_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """`kind`: order, goods, user, email, trade, or number where only the logs can say which."""

    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class OrderLine:
    """One of a user's orders in one line. `unusual`: what to look at."""

    order_id: str
    started_at: datetime
    status: str
    step: str
    amount: int
    unusual: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UserOrders:
    """`orders`: the newest first, at most as many as asked for of `total`."""

    user_id: int
    is_erased: bool
    total: int
    orders: tuple[OrderLine, ...]


@dataclass(frozen=True, slots=True)
class RefundOwed:
    """Money to give back. `amount`: minor units; `position`: in the order log."""

    order_id: str
    user_id: int
    amount: int
    trade_id: str
    pay_type: str
    at: datetime
    position: int


def parse(text: str) -> Asked:
    """Raises BadArgument."""
    explicit = EXPLICIT.fullmatch(text)
    if explicit and is_number(explicit[2]):
        return Asked(explicit[1], str(int(explicit[2])))
    if is_number(text):
        return Asked("number", str(int(text)))
    trade = text.removeprefix(TRADE)
    if not trade or len(trade) > MAX_TRADE_CHARS or not trade.isprintable() or explicit:
        raise BadArgument(
            f"order id {text[:40]!r}: expected a whole number from 1 to {MAX_NUMBER}, or a trade id, an email"
            " address, goods-N, user-N, order-N or trade:X"
        )
    is_email = "@" in text and not text.startswith(TRADE)
    return Asked("email" if is_email else "trade", trade)


def order_exists(dsns: Mapping[str, str], order_id: str) -> bool:
    """Raises LogUnreadable."""
    return bool(
        StoryReader(dsns["order"], "order").read_stream(streams.saga(order_id), version=1)
        or StoryReader(dsns["inventory"], "inventory").read_stream(streams.sale(order_id), version=1)
    )


def goods_exist(dsns: Mapping[str, str], goods_id: str) -> bool:
    """Whether they have, or had, a stock. Raises LogUnreadable."""
    inventory = StoryReader(dsns["inventory"], "inventory")
    return bool(inventory.read_stream(streams.stock(int(goods_id)), version=1))


def refunds_due(dsns: Mapping[str, str], limit: int) -> tuple[RefundOwed, ...]:
    """The newest first. Raises LogUnreadable."""
    reader = StoryReader(dsns["order"], "order")
    found = reader.refunds(limit)
    sagas = reader.streams([streams.saga(streams.key_of(event.originator_id)) for event in found])
    started = (event.event for event in sagas if isinstance(event.event, saga.OrderStarted))
    users = {event.order_id: event.user_id for event in started}
    return tuple(_owed(event, users) for event in found)


def _owed(recorded: Recorded, users: Mapping[str, int]) -> RefundOwed:
    order_id, paid = streams.key_of(recorded.originator_id), recorded.event.payment
    user_id = users.get(order_id, 0)
    return RefundOwed(
        order_id, user_id, paid.amount, paid.trade_id, paid.pay_type, paid.at, recorded.position
    )


def orders_of_user(dsns: Mapping[str, str], user_id: int, limit: int) -> UserOrders | None:
    """Found by the user's cart, which every order leaves a trace in; None for an unknown user.

    Raises LogUnreadable.
    """
    orders = StoryReader(dsns["order"], "order")
    user = StoryReader(dsns["user"], "user").read_stream(streams.user(user_id))
    begun = orders.read_stream(streams.cart(user_id))
    if not user and not begun:
        return None
    kinds = cart.CheckoutBegun | cart.CheckedOut | cart.CheckoutDropped
    ids = list(dict.fromkeys(event.event.order_id for event in begun if isinstance(event.event, kinds)))
    shown = ids[::-1][:limit]
    events = orders.streams([name(order_id) for order_id in shown for name in (streams.saga, streams.order)])
    state = reduce(lambda known, event: evolve_user(known, event.event), user, UNKNOWN)
    lines = tuple(_line(order_id, events) for order_id in shown)
    return UserOrders(user_id, state.is_erased, len(ids), lines)


def _line(order_id: str, events: list[Recorded]) -> OrderLine:
    own = [e for e in events if e.originator_id in (streams.saga(order_id), streams.order(order_id))]
    state: Any = saga.NEW
    placed: Any = order.NONE
    for recorded in own:
        if streams.category(recorded.originator_id) == "saga":
            state = saga.evolve(state, recorded.event)
        else:
            placed = order.evolve(placed, recorded.event)
    unusual = _unusual(state, own)
    return OrderLine(order_id, own[0].cause.at, placed.status.name, state.step.value, state.amount, unusual)


def _unusual(state: saga.Saga, own: list[Recorded]) -> tuple[str, ...]:
    refund = any(isinstance(event.event, RefundDue) for event in own)
    acts = any(event.cause.caller.startswith("operator-") for event in own)
    found = (
        (refund, "refund due"),
        (state.step in saga.OWES and state.tries >= STUCK_AFTER_TRIES, f"stuck, {state.tries} tries"),
        (acts, "an operator acted"),
        (state.reason is not None, state.reason or ""),
    )
    return tuple(words for is_so, words in found if is_so)
