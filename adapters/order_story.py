"""Reads what happened to one order from the logs, and how it stands."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from typing import Any, Final

from adapters.postgres_log_reader import LogReader
from adapters.story_outlook import Outlook, outlook
from adapters.story_reader import ParkedAbout, StoryReader
from domain import cart, order, saga, saga_acts, sale, streams
from domain.recorded import Recorded
from orchestrator.timeline import Entry, Waiting, timeline, waiting_for
from orchestrator.timeline_words import Money

BESIDE_THE_CART: Final = (
    saga.Begun
    | saga.SellDenied
    | saga.PlacementRefused
    | saga.SellUnanswered
    | saga.OrderCancelled
    | saga_acts.CompensationOrdered
    | order.OrderPlaced
)
"""What the order does to its cart is the next event of the same commit as one of these, if it does any."""


HTTP_FIELDS: Final = (
    "at",
    "since_before_s",
    "who",
    "what",
    "detail",
    "event",
    "command_id",
    "log",
    "position",
)
"""Of an entry, what the API shows: its shape is a contract."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of an order. `at`: as of then, None for now; `now`: the clock; `money` words amounts."""

    now: datetime
    at: datetime | None = None
    money: Money = str


@dataclass(frozen=True, slots=True)
class Story:
    """One order. `status`: of the order, NONE before it was placed; `step`: of its saga; minor units.

    `as_of`: the moment asked about, None for now. `lines`: what was ordered; `cart`: of the owner, at that
    moment. `parked`: messages about it that were taken off the wire, None where they cannot be looked at.
    """

    order_id: str
    user_id: int
    amount: int
    status: str
    step: str
    waiting: Waiting | None
    entries: tuple[Entry, ...]
    as_of: datetime | None
    lines: tuple[order.OrderLine, ...]
    cart: tuple[cart.CartLine, ...]
    outlook: Outlook
    parked: tuple[ParkedAbout, ...] | None


def read_story(dsns: Mapping[str, str], order_id: str, ask: Ask | None = None) -> Story | None:
    """None for an order id that neither log knows by then. `dsns`: addresses of order and inventory.

    Raises LogUnreadable.
    """
    asked = ask or Ask(datetime.now(UTC))
    orders, inventory = StoryReader(dsns["order"], "order"), StoryReader(dsns["inventory"], "inventory")
    saga_events = orders.read_stream(streams.saga(order_id), at=asked.at)
    order_events = orders.read_stream(streams.order(order_id), at=asked.at)
    sale_events = inventory.read_stream(streams.sale(order_id), at=asked.at)
    if not saga_events and not sale_events:
        return None
    state: saga.Saga = reduce(lambda known, event: saga.evolve(known, event.event), saga_events, saga.NEW)
    placed: order.Order = reduce(lambda known, e: order.evolve(known, e.event), order_events, order.NONE)
    shopping = _shopping(orders, state.user_id, [*saga_events, *order_events])
    moves = _stock_moves(inventory, sale_events)
    waiting = waiting_for(saga_events, asked.money)
    own = [*saga_events, *order_events, *sale_events]
    return Story(
        order_id=order_id,
        user_id=state.user_id,
        amount=state.amount,
        status=placed.status.name,
        step=state.step.value,
        waiting=waiting,
        entries=timeline(order_id, [*own, *shopping, *moves], asked.money),
        as_of=asked.at,
        lines=state.lines,
        cart=_cart(orders, state.user_id, asked.at) if asked.at else (),
        outlook=outlook(state, placed, waiting, asked.at or asked.now),
        parked=_parked((inventory, orders), order_id, asked.at),
    )


def _cart(orders: StoryReader, user_id: int, at: datetime) -> tuple[cart.CartLine, ...]:
    events = orders.read_stream(streams.cart(user_id), at=at)
    state: cart.Cart = reduce(lambda known, event: cart.evolve(known, event.event), events, cart.EMPTY)
    return state.lines


def _parked(
    readers: tuple[StoryReader, ...], order_id: str, at: datetime | None
) -> tuple[ParkedAbout, ...] | None:
    """Those parked by then; None when none of the logs can be asked."""
    found = [reader.parked_about(order_id) for reader in readers]
    known = [messages for messages in found if messages is not None]
    by_then = (m for messages in known for m in messages if at is None or m.at <= at)
    return tuple(by_then) if known else None


async def timeline_of(dsns: Mapping[str, str], order_id: str) -> list[dict[str, Any]] | None:
    """The timeline's entries as plain values, oldest first, times as datetime; None for an unknown order.

    Raises LogUnreadable. The blocking reads have a thread of their own.
    """
    story = await asyncio.to_thread(read_story, dsns, order_id)
    return None if story is None else list(map(_for_http, story.entries))


def _for_http(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in HTTP_FIELDS}


def _shopping(orders: LogReader, user_id: int, events: list[Recorded]) -> Iterator[Recorded]:
    """What was put in the owner's cart for this order. A cart lives as long as its user, so not all of it."""
    name = streams.cart(user_id)
    for recorded in events:
        if isinstance(recorded.event, saga.Begun):
            yield from orders.read_stream_since(name, cart.CheckedOut, before=recorded.position)
        if isinstance(recorded.event, BESIDE_THE_CART):
            beside = orders.read_all(after=recorded.position, until=recorded.position + 1)
            yield from (event for event in beside if event.originator_id == name)


def _stock_moves(inventory: LogReader, sale_events: list[Recorded]) -> Iterator[Recorded]:
    """A sale and the movements it makes are one commit, so they stand one behind the other in the log."""
    for recorded in sale_events:
        if isinstance(recorded.event, sale.Sold | sale.RolledBack):
            first = recorded.position
            yield from inventory.read_all(after=first, until=first + len(recorded.event.lines))
