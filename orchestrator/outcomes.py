"""Who waits in this process for an order to be decided, and what woke them."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from domain.recorded import Cause, Recorded
from domain.saga import OrderCancelled, PlacementRefused, SellConfirmed, SellDenied, SellUnanswered
from domain.saga_acts import CompensationOrdered
from domain.streams import key_of

DECISIVE: Final[frozenset[type[Any]]] = frozenset(
    {SellConfirmed, SellDenied, PlacementRefused, SellUnanswered, OrderCancelled, CompensationOrdered}
)
"""Events that end the wait of whoever placed the order. They stand in streams of sagas only."""

LOOK_INTO_LOG_EVERY_S: Final = 1.0
"""The fallback of a wait that nobody ends: the news was lost, or another process died with it."""

TICK_S: Final = 0.02
"""How late a wait that nobody ends may end."""

Waiter = asyncio.Future[int | None]
"""The position of the last event that its order got in the deciding commit; None: nobody has told."""


class Outcomes:
    """Futures by order id. Woken when this process decided the order, with None when another one did.

    One timer for all who wait: to start and stop one for each costs more than the two wake-ups of its wait.
    """

    def __init__(self) -> None:
        self._waiters: dict[str, list[Waiter]] = {}
        self._until: dict[int, list[Waiter]] = {}
        self._clock: asyncio.TimerHandle | None = None

    def wait_for(self, order_id: str) -> Waiter:
        """Register before the order starts, so that its end cannot be missed."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(order_id, []).append(waiter)
        return waiter

    def look_within(self, waiter: Waiter, seconds: float) -> None:
        """Wakes it with None then, or earlier to look into the log; in 0 seconds is at once."""
        loop = asyncio.get_running_loop()
        if seconds <= 0:
            loop.call_soon(_wake, waiter)
            return
        look_at = loop.time() + min(seconds, LOOK_INTO_LOG_EVERY_S)
        self._until.setdefault(int(look_at / TICK_S) + 1, []).append(waiter)
        if self._clock is None:
            self._clock = loop.call_later(TICK_S, self._tick, loop)

    def drop(self, order_id: str, waiter: Waiter) -> None:
        waiters = self._waiters.get(order_id)
        if waiters is None:
            return
        if waiter in waiters:
            waiters.remove(waiter)
        if not waiters:
            del self._waiters[order_id]

    def on_recorded(self, events: Sequence[Recorded]) -> None:
        """Listener of the order ledger. What one command recorded stands together, under one cause."""
        cause: Cause | None = None
        decided, last = "", 0
        for recorded in events:
            if recorded.cause is not cause:
                if decided:
                    self.wake(decided, last)
                cause, decided = recorded.cause, ""
            if type(recorded.event) in DECISIVE:
                decided = key_of(recorded.originator_id)
            last = recorded.position
        if decided:
            self.wake(decided, last)

    def wake(self, order_id: str, position: int | None = None) -> None:
        for waiter in self._waiters.pop(order_id, ()):
            _wake(waiter, position)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = int(loop.time() / TICK_S)
        for tick in [tick for tick in self._until if tick <= now]:
            for waiter in self._until.pop(tick):
                _wake(waiter)
        self._clock = loop.call_later(TICK_S, self._tick, loop) if self._until else None


def _wake(waiter: Waiter, position: int | None = None) -> None:
    if not waiter.done():
        waiter.set_result(position)


def decided_orders(events: Sequence[Recorded]) -> list[str]:
    return [key_of(recorded.originator_id) for recorded in events if type(recorded.event) in DECISIVE]
