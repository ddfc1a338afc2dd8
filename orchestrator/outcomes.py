"""Who waits in this process for an order to be decided, and what woke them."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from domain.recorded import Recorded
from domain.saga import OrderCancelled, PlacementRefused, SellConfirmed, SellDenied, SellUnanswered
from domain.saga_acts import CompensationOrdered
from domain.streams import key_of

DECISIVE: Final[frozenset[type[Any]]] = frozenset(
    {SellConfirmed, SellDenied, PlacementRefused, SellUnanswered, OrderCancelled, CompensationOrdered}
)
"""Events that end the wait of whoever placed the order. They stand in streams of sagas only."""

Waiter = asyncio.Future[tuple[Recorded, ...]]


class Outcomes:
    """Futures by order id. Woken with the deciding events, or with none when another process decided."""

    def __init__(self) -> None:
        self._waiters: dict[str, list[Waiter]] = {}

    def wait_for(self, order_id: str) -> Waiter:
        """Register before the order starts, so that its end cannot be missed."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(order_id, []).append(waiter)
        return waiter

    def drop(self, order_id: str, waiter: Waiter) -> None:
        waiters = self._waiters.get(order_id, [])
        if waiter in waiters:
            waiters.remove(waiter)
        if not waiters:
            self._waiters.pop(order_id, None)

    def on_recorded(self, events: Sequence[Recorded]) -> None:
        """Listener of the order ledger. A waiter gets all events of its order in the deciding commit."""
        awaited = [order_id for order_id in decided_orders(events) if order_id in self._waiters]
        by_order: dict[str, list[Recorded]] = {order_id: [] for order_id in awaited}
        for recorded in events if awaited else ():
            if recorded.cause.correlation in by_order:
                by_order[recorded.cause.correlation].append(recorded)
        for order_id, its_own in by_order.items():
            self.wake(order_id, tuple(its_own))

    def wake(self, order_id: str, events: tuple[Recorded, ...] = ()) -> None:
        for waiter in self._waiters.pop(order_id, ()):
            if not waiter.done():
                waiter.set_result(events)


def decided_orders(events: Sequence[Recorded]) -> list[str]:
    return [key_of(recorded.originator_id) for recorded in events if type(recorded.event) in DECISIVE]
