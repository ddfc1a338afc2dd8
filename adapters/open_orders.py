"""How many unpaid orders a customer may have: a quota against floods, not a rule of the shop.

What is left of it is counted down in memory, per process, from a count of the read models that is at most
a minute old. So it costs next to nothing, and a site of several processes lets a few more through. While a
customer is being counted, a hundredth of the limit is let in on credit, so that no order waits for it.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

import psycopg

from adapters.error_text import first_line
from adapters.gathered import Gathered
from adapters.postgres_queries import ReadsUnavailable
from domain.refusals import Busy

logger = logging.getLogger(__name__)

COUNT_IS_GOOD_FOR_S: Final = 60.0

CREDIT_SHARE: Final = 100
"""What part of the limit may be let in before it is counted; nothing where there is hardly that much left."""

COUNT_AFTER_S: Final = 0.1
"""How long who is let in on credit waits to be counted with others: a query each would cost more."""

MAX_CUSTOMERS: Final = 100_000
"""Remembered; the one that ordered longest ago is forgotten first."""


class TooManyOpenOrders(Busy):
    """This customer has too many orders to pay; pay or cancel some before the next one."""

    name = "too-many-open-orders"


@dataclass(slots=True)
class _Budget:
    """`left`: orders that may still be placed; means nothing from `ends_at` on, in seconds of the clock.

    `credit`: orders that may be let in without a count; `on_credit`: that were, and no count has seen them.
    """

    credit: int
    left: int = 0
    on_credit: int = 0
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
        self._count = count
        self._counted = Gathered[int, int](lambda user_ids: count(user_ids, limit))
        self._clock = clock
        self._limit = limit
        self._credit = limit // CREDIT_SHARE
        self._uncounted: set[int] = set()
        self._counting: asyncio.Task[None] | None = None
        self._budgets: OrderedDict[int, _Budget] = OrderedDict()

    async def admit(self, user_id: int) -> None:
        """Takes one of what is left. Raises TooManyOpenOrders, and what `count` raises."""
        budget = self._budget(user_id)
        if not self._is_known(budget):
            if budget.on_credit < budget.credit:
                budget.on_credit += 1
                self._count_soon(user_id)
                return
            await self._count_again(user_id, budget)
        if budget.left <= 0:
            raise TooManyOpenOrders(limit=self._limit, open=self._limit)
        budget.left -= 1

    def refunded(self, user_id: int) -> None:
        """The order that was let in was not placed."""
        budget = self._budgets.get(user_id)
        if budget is not None and budget.on_credit:
            budget.on_credit -= 1
        elif budget is not None:
            budget.left += 1

    def _budget(self, user_id: int) -> _Budget:
        budget = self._budgets.get(user_id)
        if budget is None:
            budget = self._budgets[user_id] = _Budget(self._credit)
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
                before = budget.on_credit
                self._counted_now(budget, before, await self._counted.of(user_id) or 0)

    def _count_soon(self, user_id: int) -> None:
        """All who are let in on credit meanwhile are counted by one query."""
        self._uncounted.add(user_id)
        if self._counting is None:
            self._counting = asyncio.create_task(self._count_all(), name="open orders")

    async def _count_all(self) -> None:
        try:
            while self._uncounted:
                await asyncio.sleep(COUNT_AFTER_S)
                user_ids, self._uncounted = self._uncounted, set()
                budgets = {user_id: self._budgets[user_id] for user_id in user_ids & self._budgets.keys()}
                before = {user_id: budget.on_credit for user_id, budget in budgets.items()}
                counts = await self._count(budgets.keys(), self._limit)
                for user_id, budget in budgets.items():
                    self._counted_now(budget, before[user_id], counts.get(user_id, 0))
        except (ReadsUnavailable, psycopg.Error, OSError) as error:
            # Nobody waits for it: these customers go on on their credit, and when it is used up, wait.
            logger.warning("open orders could not be counted: %s", first_line(error))
        finally:
            self._counting = None

    def _counted_now(self, budget: _Budget, before: int, count: int) -> None:
        """`before`: let in on credit before the count. The read model may not have them yet: they count."""
        budget.left = self._limit - count - budget.on_credit
        budget.on_credit = max(0, budget.on_credit - before)
        budget.credit = self._credit if budget.left > self._credit else 0
        budget.ends_at = self._clock() + COUNT_IS_GOOD_FOR_S
