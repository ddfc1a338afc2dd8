"""What inventory has lately been short of: an order for it is refused before it starts.

A refusal by way of inventory is as much work as a sale. Goods that an order was refused for are remembered,
and before the next order for them starts, inventory's own books are read, in one look for all who order at
that moment. A look begins after its customers have asked, so no refusal is older than its question; what it
saw goes into the command as evidence. Nothing depends on what is remembered: an order whose goods are not, or
cannot be looked up, asks inventory.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from domain import streams
from domain.recorded import Recorded
from domain.refusals import Busy, Short
from domain.saga import Saga
from domain.saga_owed import GIVES_BACK
from domain.stock import Level
from orchestrator.ledger import Ledger

logger = logging.getLogger(__name__)

MAX_KEPT: Final = 10_000
"""Goods remembered; those that were short first are forgotten first."""

LOOK_FOR_S: Final = 0.5
"""How long orders wait for inventory's books before they start without."""

Looked = asyncio.Future[tuple[Level, ...]]


class Shortages:
    """One for each process that starts orders. `orders`, `inventory`: its ledgers."""

    def __init__(self, orders: Ledger, inventory: Ledger) -> None:
        self._orders = orders
        self._inventory = inventory
        # By goods, how many units were too many.
        self._kept: dict[int, int] = {}
        # By goods, when units of them were last owed back; and when it is not known of which.
        self._owed_back_at: dict[int, float] = {}
        self._all_owed_back_at = float("-inf")
        self._waiting: list[tuple[Sequence[int], Looked]] = []
        self._looks: asyncio.Task[None] | None = None
        orders.listeners.append(self.on_recorded)

    def note(self, short: Iterable[Short], begun_at: float) -> None:
        """An order was refused for these. `begun_at`: on the loop's clock, before it was looked for any.

        What has been owed back since then is not short for whoever comes next.
        """
        for one in short:
            if max(self._owed_back_at.get(one.goods_id, begun_at), self._all_owed_back_at) <= begun_at:
                self._kept[one.goods_id] = min(one.wanted, self._kept.get(one.goods_id, one.wanted))
        _forget_the_first(self._kept)

    def look(self, goods_ids: Sequence[int]) -> Looked | None:
        """How much there is of all of them, from a look that begins now; nothing when inventory's books
        cannot be read in time. None where no look is needed: inventory was short of none of them.
        """
        if not self._kept or not any(goods_id in self._kept for goods_id in goods_ids):
            return None
        # A future each, so that one who gives up does not end the look for all.
        looked: Looked = asyncio.get_running_loop().create_future()
        self._waiting.append((goods_ids, looked))
        if self._looks is None or self._looks.done():
            self._looks = asyncio.create_task(self._look_until_told(), name="shortages")
        return looked

    def on_recorded(self, events: Sequence[Recorded]) -> None:
        """Listener of the order ledger. What is owed back is on its way to inventory, and not in its books:
        who has just cancelled may order at once what that gives back, so his order has to go the same way.
        """
        for recorded in events:
            if type(recorded.event) in GIVES_BACK:
                self._forget(self._orders.peek(recorded.originator_id))

    def _forget(self, saga: Saga | None) -> None:
        """What this order had, if that is known."""
        now = asyncio.get_running_loop().time()
        if saga is None:
            self._kept.clear()
            self._all_owed_back_at = now
            return
        for line in saga.lines:
            self._kept.pop(line.goods_id, None)
            self._owed_back_at.pop(line.goods_id, None)
            self._owed_back_at[line.goods_id] = now
        _forget_the_first(self._owed_back_at)

    async def _look_until_told(self) -> None:
        """Whoever asks during a look is told by the next one; after one that failed, all go on without."""
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                found: Mapping[int, Level] = {}
                try:
                    found = await self._read(dict.fromkeys(chain.from_iterable([ids for ids, _ in waiting])))
                finally:
                    _tell(waiting, found)
                if not found:
                    break
        except Exception:
            logger.exception("inventory's books could not be read, so inventory is asked")
        finally:
            waiting, self._waiting = self._waiting, []
            _tell(waiting, {})

    async def _read(self, goods_ids: Iterable[int]) -> Mapping[int, Level]:
        """As fresh as inventory's log. What is there again is forgotten."""
        names = {streams.stock(goods_id): goods_id for goods_id in goods_ids}
        try:
            async with asyncio.timeout(LOOK_FOR_S):
                stocks = await self._inventory.read(*names)
        except (Busy, TimeoutError) as error:
            logger.debug("inventory's books cannot be read, so inventory is asked: %r", error)
            return {}
        found = {goods_id: Level(goods_id, stocks[name].on_hand) for name, goods_id in names.items()}
        for goods_id, level in found.items():
            if level.on_hand >= self._kept.get(goods_id, 0):
                self._kept.pop(goods_id, None)
        return found


def _tell(waiting: Iterable[tuple[Sequence[int], Looked]], found: Mapping[int, Level]) -> None:
    for goods_ids, looked in waiting:
        if not looked.done():
            looked.set_result(tuple([found[each] for each in goods_ids]) if found else ())


def _forget_the_first(kept: dict[int, Any]) -> None:
    while len(kept) > MAX_KEPT:
        del kept[next(iter(kept))]
