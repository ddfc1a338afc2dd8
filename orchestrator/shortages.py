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
from typing import Final

from domain import streams
from domain.recorded import Recorded
from domain.refusals import Busy, Short
from domain.saga_owed import GIVES_BACK
from domain.stock import Level
from orchestrator.ledger import Ledger

logger = logging.getLogger(__name__)

MAX_KEPT: Final = 10_000
"""Goods remembered; those that were short first are forgotten first."""

LOOK_FOR_S: Final = 1.0
"""How long orders wait for inventory's books before they start without."""

Looked = asyncio.Future[tuple[Level, ...]]


class Shortages:
    """One for each process that starts orders. `orders`, `inventory`: its ledgers."""

    def __init__(self, orders: Ledger, inventory: Ledger) -> None:
        self._inventory = inventory
        # By goods, how many units were too many.
        self._kept: dict[int, int] = {}
        self._waiting: list[tuple[Sequence[int], Looked]] = []
        self._looks: asyncio.Task[None] | None = None
        orders.listeners.append(self.on_recorded)

    def note(self, short: Iterable[Short]) -> None:
        """An order was refused for these."""
        for one in short:
            self._kept[one.goods_id] = min(one.wanted, self._kept.get(one.goods_id, one.wanted))
        while len(self._kept) > MAX_KEPT:
            del self._kept[next(iter(self._kept))]

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
        if self._kept and any(type(recorded.event) in GIVES_BACK for recorded in events):
            self._kept.clear()

    async def _look_until_told(self) -> None:
        """Whoever asks during a look is told by the next one."""
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            found: Mapping[int, Level] = {}
            try:
                found = await self._read(dict.fromkeys(chain.from_iterable([ids for ids, _ in waiting])))
            finally:
                for goods_ids, looked in waiting:
                    if not looked.done():
                        looked.set_result(tuple([found[each] for each in goods_ids]) if found else ())

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
