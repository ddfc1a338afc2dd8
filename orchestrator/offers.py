"""What goods are offered for right now, for everybody who orders at once.

An order takes names and prices along as evidence. To read them stream by stream for every order would be most
of what the goods log does. Here they are kept, and one look at the log for all orders of a moment says which
of them have changed since.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from domain import streams
from domain.goods import Goods, Offer
from domain.recorded import Recorded
from domain.refusals import Unavailable
from orchestrator.ledger import Ledger

MAX_AGE_S: Final = 0.02
"""What another process has changed is seen here after that at the latest, as if the order had been started so
much earlier. What this process changes is seen at once."""

MAX_KEPT: Final = 100_000
"""Goods kept in memory; those that were fetched first go first."""


class Offers:
    def __init__(self, goods: Ledger) -> None:
        self._goods = goods
        self._kept: dict[int, Offer] = {}
        self._position: int | None = None
        self._looked_at: float | None = None
        self._look: asyncio.Task[None] | None = None
        self._waiting: list[asyncio.Future[None]] = []
        # How often anything was dropped: what was read before that may be as old.
        self._drops = 0
        goods.listeners.append(self.on_recorded)

    def known(self, goods_ids: Sequence[int]) -> tuple[Offer, ...] | None:
        """The same at once, where nothing must be asked for; None otherwise."""
        if self._is_old():
            return None
        try:
            return tuple([self._kept[goods_id] for goods_id in goods_ids])
        except KeyError:
            return None

    async def of(self, goods_ids: Sequence[int]) -> tuple[Offer, ...]:
        """As the log had them at most MAX_AGE_S ago. Raises Overloaded, Unavailable."""
        await self._look_if_old()
        kept = self._kept
        missing = [goods_id for goods_id in goods_ids if goods_id not in kept]
        if missing:
            kept = {**{each: kept[each] for each in goods_ids if each in kept}, **await self._fetch(missing)}
        return tuple([kept[goods_id] for goods_id in goods_ids])

    def on_recorded(self, events: Sequence[Recorded]) -> None:
        """Listener of the goods ledger."""
        self._drop(recorded.originator_id for recorded in events)

    async def _look_if_old(self) -> None:
        if not self._is_old():
            return
        loop = asyncio.get_running_loop()
        if self._look is None:
            self._look = asyncio.create_task(self._look_now(loop.time()), name="offers")
            self._look.add_done_callback(self._looked)
        # A future each, so that one who gives up does not end the look for all: a fourth of `asyncio.shield`.
        looked: asyncio.Future[None] = loop.create_future()
        self._waiting.append(looked)
        await looked

    def _is_old(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self._looked_at is None or now - self._looked_at >= MAX_AGE_S

    async def _look_now(self, now: float) -> None:
        position, changed = await self._goods.changed(self._position)
        self._drop(changed)
        self._position, self._looked_at = position, now

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._look = None
        waiting, self._waiting = self._waiting, []
        error = Unavailable() if task.cancelled() else task.exception()
        for looked in waiting:
            if looked.done():
                continue
            if error is None:
                looked.set_result(None)
            else:
                looked.set_exception(error)

    def _drop(self, names: Iterable[str]) -> None:
        for name in names:
            self._drops += 1
            if streams.category(name) == "goods":
                self._kept.pop(int(streams.key_of(name)), None)

    async def _fetch(self, goods_ids: Sequence[int]) -> dict[int, Offer]:
        before = self._drops
        names = [streams.goods(goods_id) for goods_id in goods_ids]
        states = await self._goods.read(*names)
        pairs = zip(goods_ids, names, strict=True)
        fetched = {goods_id: _offer(goods_id, states[name]) for goods_id, name in pairs}
        if self._drops == before:
            self._kept.update(fetched)
            while len(self._kept) > MAX_KEPT:
                del self._kept[next(iter(self._kept))]
        return fetched


def _offer(goods_id: int, goods: Goods) -> Offer:
    return Offer(goods_id, goods.name, goods.price, goods.for_sale)
