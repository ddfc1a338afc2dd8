"""Erasure: what is owed to a user who asked to be forgotten, until it is done.

The user log says `UserErased`; from then on nobody is shown anything personal of that user. What follows is
derived from that event, so a crash in between costs seconds:

1. the cart is closed, in the order log: no order of theirs can be started or placed any more;
2. of orders that are placed and not ended, the key of that order alone is kept, for their delivery;
3. the user's key is destroyed, in the same commit;
4. as each of those orders ends, its key is destroyed too.

Every step is safe to run twice and by several processes at once: each finds nothing left to do.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

import psycopg

from adapters.error_text import first_line
from adapters.personal_data import PersonalData
from adapters.postgres_queries import ReadsUnavailable
from adapters.sealing import CannotUnseal
from domain import streams
from domain.cart import CloseCart
from domain.order import Order, OrderStatus
from domain.recorded import Cause
from domain.refusals import Busy
from orchestrator.ledger import Ledger
from orchestrator.loops import wanted

logger = logging.getLogger(__name__)

SWEEP_EVERY_S: Final = 5.0
READS_WAIT_S: Final = 2.0
CALLER: Final = "erasure"

TROUBLE: Final = (psycopg.Error, ReadsUnavailable, Busy, OSError)
"""What passes: the sweep comes again."""


class Erasures(Protocol):
    """The next erased users in the order of the log, and up to which position these are all."""

    @property
    def user_ids(self) -> Sequence[int]: ...
    @property
    def until(self) -> int: ...
    @property
    def more(self) -> bool: ...


class ErasureStore(Protocol):
    """Raises psycopg.Error."""

    async def next_erasures(self) -> Erasures: ...
    async def erased_until(self, position: int) -> None: ...
    async def kept_page(self, after: str) -> Sequence[str]: ...
    async def let_go(self, order_ids: Collection[str]) -> None: ...


class Deliveries(Protocol):
    """What of the read models is needed: adapters.postgres_queries. Raises ReadsUnavailable."""

    async def wait_for(self, positions: Mapping[str, int], timeout_s: float) -> bool: ...
    async def deliverable(self, user_id: int, paid_after: datetime) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class EraserParts:
    """`order_head`: the order log's last position. `delivery_window_s`: how long after it was paid the
    delivery data of an order is kept, in seconds.
    """

    orders: Ledger
    personal: PersonalData
    store: ErasureStore
    deliveries: Deliveries
    order_head: Callable[[], Awaitable[int]]
    delivery_window_s: int
    clock: Callable[[], datetime]
    new_command_id: Callable[[], str]


class Eraser:
    def __init__(self, parts: EraserParts) -> None:
        self._parts = parts
        self._window = timedelta(seconds=parts.delivery_window_s)

    async def run(self) -> None:
        while wanted():
            await asyncio.sleep(SWEEP_EVERY_S)
            try:
                await self.sweep()
            except TROUBLE as error:
                logger.warning("erasure waits: %s", first_line(error) or type(error).__name__)

    async def finish(self, user_id: int) -> bool:
        """Carries out an erasure that is recorded; False when the sweep has to, a little later."""
        try:
            return await self._finish(user_id)
        except TROUBLE as error:
            logger.warning("erasure of user %d goes on later: %s", user_id, type(error).__name__)
            return False

    async def sweep(self) -> None:
        """Whatever is owed. Raises those of TROUBLE."""
        more = True
        while more:
            found = await self._parts.store.next_erasures()
            for user_id in found.user_ids:
                if not await self._swept(user_id):
                    return
            await self._parts.store.erased_until(found.until)
            more = found.more
        await self._let_go()

    async def _swept(self, user_id: int) -> bool:
        """A key that cannot be read opens nothing, so it goes as well, and stands in nobody's way."""
        try:
            return await self._finish(user_id)
        except CannotUnseal:
            logger.exception("the key of erased user %d cannot be read and is deleted as it is", user_id)
            await self._parts.personal.unmake_key(user_id)
            return True

    async def _finish(self, user_id: int) -> bool:
        parts = self._parts
        now = parts.clock()
        await parts.orders.submit(CloseCart(user_id), Cause(parts.new_command_id(), CALLER, "", now))
        # After this position no order of theirs is placed, so the read model then shows all there are.
        closed_at = await parts.order_head()
        if not await parts.deliveries.wait_for({"order": closed_at}, READS_WAIT_S):
            return False
        deliverable = await parts.deliveries.deliverable(user_id, now - self._window)
        await parts.personal.destroy(user_id, deliverable)
        return True

    async def _let_go(self) -> None:
        page = await self._parts.store.kept_page("0")
        while page:
            names = [streams.order(order_id) for order_id in page]
            states = await self._parts.orders.read(*names)
            ended = [n for n, name in zip(page, names, strict=True) if self._is_ended(states[name])]
            if ended:
                await self._parts.store.let_go(ended)
            page = await self._parts.store.kept_page(page[-1])

    def _is_ended(self, order: Order) -> bool:
        if order.status is OrderStatus.PAID:
            assert order.payment is not None, "a paid order has a payment"
            return order.payment.at + self._window <= self._parts.clock()
        return order.status is not OrderStatus.TO_PAY
