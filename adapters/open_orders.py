"""How many unpaid orders a customer may have: a quota against floods, not a rule of the shop.

What is left of it is counted down in memory, per process, from a count of the read models that is at most
a minute old. So it costs next to nothing, and a site of several processes lets a few more through.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

from adapters.gathered import Gathered
from domain.refusals import Busy

COUNT_IS_GOOD_FOR_S: Final = 60.0

MAX_CUSTOMERS: Final = 100_000
"""Remembered; the one that ordered longest ago is forgotten first."""


class TooManyOpenOrders(Busy):
    """This customer has too many orders to pay; pay or cancel some before the next one."""

    name = "too-many-open-orders"


@dataclass(slots=True)
class _Budget:
    """`left`: orders that may still be placed; means nothing from `ends_at` on, in seconds of the clock."""

    left: int = 0
    ends_at: float = -inf
    counting: asyncio.Lock = field(default_factory=asyncio.Lock)


class OpenOrders:
    """`count(user_ids, limit)`: how many orders to pay these customers have, each counted up to `limit`.

    `clock`: monotonic, in seconds. Belongs to one event loop.
    """

    def __init__(
        self,
        count: Callable[[Collection[int], int], Awaitable[Mapping[int, int]]],
        clock: Callable[[], float],
        limit: int,
    ) -> None:
        self._counted = Gathered[int, int](lambda user_ids: count(user_ids, limit))
        self._clock = clock
        self._limit = limit
        self._budgets: OrderedDict[int, _Budget] = OrderedDict()

    async def admit(self, user_id: int) -> None:
        """Takes one of what is left. Raises TooManyOpenOrders, and what `count` raises."""
        budget = self._budget(user_id)
        if not self._is_known(budget):
            await self._count_again(user_id, budget)
        if budget.left <= 0:
            raise TooManyOpenOrders(limit=self._limit, open=self._limit)
        budget.left -= 1

    def refunded(self, user_id: int) -> None:
        """The order that was let in was not placed."""
        budget = self._budgets.get(user_id)
        if budget is not None:
            budget.left += 1

    def _budget(self, user_id: int) -> _Budget:
        budget = self._budgets.setdefault(user_id, _Budget())
        self._budgets.move_to_end(user_id)
        if len(self._budgets) > MAX_CUSTOMERS:
            self._budgets.popitem(last=False)
        return budget

    def _is_known(self, budget: _Budget) -> bool:
        """When nothing is left it is not: what was paid since may make room."""
        return budget.left > 0 and self._clock() < budget.ends_at

    async def _count_again(self, user_id: int, budget: _Budget) -> None:
        """Once for all orders that wait for it, as long as it finds room for them."""
        async with budget.counting:
            if not self._is_known(budget):
                budget.left = self._limit - (await self._counted.of(user_id) or 0)
                budget.ends_at = self._clock() + COUNT_IS_GOOD_FOR_S
