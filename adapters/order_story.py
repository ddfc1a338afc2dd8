"""Reads what happened to one order from the logs, and how it stands."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import reduce
from typing import Any, Final

from adapters.postgres_log_reader import LogReader
from domain import cart, order, saga, saga_acts, sale, streams
from domain.recorded import Recorded
from orchestrator.timeline import Entry, Waiting, timeline, waiting_for

BESIDE_THE_CART: Final = (
    saga.OrderStarted
    | saga.SellDenied
    | saga.PlacementRefused
    | saga.SellUnanswered
    | saga.OrderCancelled
    | saga_acts.CompensationOrdered
    | order.OrderPlaced
)
"""What the order does to its cart is the next event of the same commit as one of these, if it does any."""


@dataclass(frozen=True, slots=True)
class Story:
    """One order. `status`: of the order, NONE before it was placed; `step`: of its saga; minor units."""

    order_id: str
    user_id: int
    amount: int
    status: str
    step: str
    waiting: Waiting | None
    entries: tuple[Entry, ...]


def read_story(dsns: Mapping[str, str], order_id: str) -> Story | None:
    """None for an order id that neither log knows. `dsns`: addresses of order and inventory.

    Raises LogUnreadable.
    """
    orders, inventory = LogReader(dsns["order"], "order"), LogReader(dsns["inventory"], "inventory")
    saga_events = orders.read_stream(streams.saga(order_id))
    order_events = orders.read_stream(streams.order(order_id))
    sale_events = inventory.read_stream(streams.sale(order_id))
    if not saga_events and not sale_events:
        return None
    state: saga.Saga = reduce(lambda known, event: saga.evolve(known, event.event), saga_events, saga.NEW)
    placed: order.Order = reduce(lambda known, e: order.evolve(known, e.event), order_events, order.NONE)
    shopping = _shopping(orders, state.user_id, [*saga_events, *order_events])
    moves = _stock_moves(inventory, sale_events)
    return Story(
        order_id=order_id,
        user_id=state.user_id,
        amount=state.amount,
        status=placed.status.name,
        step=state.step.value,
        waiting=waiting_for(saga_events),
        entries=timeline(order_id, [*saga_events, *order_events, *sale_events, *shopping, *moves]),
    )


async def timeline_of(dsns: Mapping[str, str], order_id: str) -> list[dict[str, Any]] | None:
    """The timeline's entries as plain values, oldest first, times as datetime; None for an unknown order.

    Raises LogUnreadable. The blocking reads have a thread of their own.
    """
    story = await asyncio.to_thread(read_story, dsns, order_id)
    return None if story is None else [asdict(entry) for entry in story.entries]


def _shopping(orders: LogReader, user_id: int, events: list[Recorded]) -> Iterator[Recorded]:
    """What was put in the owner's cart for this order. A cart lives as long as its user, so not all of it."""
    name = streams.cart(user_id)
    for recorded in events:
        if isinstance(recorded.event, saga.OrderStarted):
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
