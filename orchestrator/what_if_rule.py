"""A purchase rule that is tried out: a plain function of one order that may give a reason to refuse it.

def limit(order: Purchase) -> str | None:
    for line in order.lines:
        if order.units_before(line.goods_id) + line.nums > 10:
            return "ten of each for a customer"
    return None
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from domain import streams
from domain.order import OrderLine
from domain.saga import MOVES, Begun, OrderStarted, Step


@dataclass(frozen=True, slots=True)
class Purchase:
    """An order that is about to be started. Amounts and prices in minor units; `at` in UTC.

    `lines`: goods_id, name, price, nums. `orders_before`, `units`: of the same user's earlier orders in the
    simulated world; those that were refused or closed count no more.
    """

    order_id: str
    user_id: int
    at: datetime
    amount: int
    lines: tuple[OrderLine, ...]
    orders_before: int
    units: Mapping[int, int]

    def units_before(self, goods_id: int) -> int:
        """Units of these goods in the user's earlier orders."""
        return self.units.get(goods_id, 0)


Rule = Callable[[Purchase], str | None]


class RuleFailed(Exception):
    """The rule gave nothing that can be used, or broke; the text says for which order and how."""


def reason_of(rule: Rule, purchase: Purchase) -> str | None:
    """Why the rule refuses an order; None when it does not. Raises RuleFailed."""
    try:
        reason: Any = rule(purchase)
    except Exception as error:
        # It is somebody else's code: whatever it raises, the operator is told for which order.
        what = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise RuleFailed(f"the rule broke at order {purchase.order_id}: {what}") from error
    if reason is None or (isinstance(reason, str) and reason.strip()):
        return reason
    got = repr(reason)[:40]
    raise RuleFailed(f"the rule gave {got} for order {purchase.order_id}: expected a reason, or None")


class Customers:
    """What every user has ordered that was neither refused nor closed. Memory: one number for each user and
    goods, and the lines of orders that are not ended.
    """

    def __init__(self) -> None:
        self._orders: Counter[int] = Counter()
        self._units: defaultdict[int, Counter[int]] = defaultdict(Counter)
        self._open: dict[str, tuple[Step, OrderStarted]] = {}

    def purchase(self, started: Begun) -> Purchase:
        """That order, before it counts."""
        user_id = started.user_id
        return Purchase(
            started.order_id,
            user_id,
            started.at,
            started.amount,
            started.lines,
            self._orders[user_id],
            MappingProxyType(self._units[user_id]),
        )

    def see(self, stream: str, event: Any) -> None:
        if streams.category(stream) != "saga":
            return
        order_id = streams.key_of(stream)
        if isinstance(event, OrderStarted):
            self._open[order_id] = (Step.SELLING, event)
            self._count(event, 1)
        elif order_id in self._open:
            self._move(order_id, event)

    def _move(self, order_id: str, event: Any) -> None:
        step, started = self._open[order_id]
        step = MOVES.get((step, type(event)), step)
        self._open[order_id] = (step, started)
        if step in (Step.REFUSED, Step.ROLLING_BACK):
            self._count(started, -1)
        if step not in (Step.SELLING, Step.AWAITING_PAYMENT):
            del self._open[order_id]

    def _count(self, started: OrderStarted, sign: int) -> None:
        self._orders[started.user_id] += sign
        for line in started.lines:
            self._units[started.user_id][line.goods_id] += sign * line.nums
