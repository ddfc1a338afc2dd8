"""What became of every order and every goods, told of a recorded world and of a simulated one alike."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domain import stock, streams
from domain.order import OrderPaid, OrderPlaced, RefundDue
from domain.refusals import Short, StockShort
from domain.saga import MOVES, REASONS, OrderStarted, PlacementRefused, SellDenied, StartDenied, Step
from domain.stock import StockReturned, StockSold

WORDS: Mapping[Step, str] = {
    Step.NEW: "not started",
    Step.SELLING: "undecided",
    Step.AWAITING_PAYMENT: "to pay",
    Step.PAID: "paid",
    Step.REFUSED: "refused",
    Step.ROLLING_BACK: "closed",
    Step.CLOSED: "closed",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """`what`: one of WORDS. `why`: it was refused, closed or not started. Money in minor units."""

    what: str
    why: str = ""
    refund_due: int = 0
    short: tuple[Short, ...] = ()


@dataclass(slots=True)
class OrderSoFar:
    """What is kept of one order of one world."""

    user_id: int = 0
    amount: int = 0
    started_at: datetime | None = None
    step: Step = Step.NEW
    why: str = ""
    short: tuple[Short, ...] = ()
    refund_due: int = 0

    @property
    def outcome(self) -> Outcome:
        return Outcome(WORDS[self.step], self.why, self.refund_due, self.short)


@dataclass(frozen=True, slots=True)
class Totals:
    """`orders`: how many, by outcome. Amounts in minor units; units of all goods together."""

    orders: Mapping[str, int]
    revenue_paid: int
    refunds_due: int
    units_sold: int
    units_returned: int


@dataclass(slots=True)
class Outcomes:
    """One world: fed with every event of the order and the inventory log."""

    orders: dict[str, OrderSoFar] = field(default_factory=dict)
    levels: dict[int, stock.Stock] = field(default_factory=dict)
    units_sold: int = 0
    units_returned: int = 0

    def see(self, stream: str, event: Any) -> None:
        category, key = streams.category(stream), streams.key_of(stream)
        match category:
            case "stock":
                self._stock(int(key), event)
            case "saga":
                self._saga(self.orders.setdefault(key, OrderSoFar()), event)
            case "order":
                self._order(self.orders.setdefault(key, OrderSoFar()), event)
            case _:
                pass

    def not_started(self, order_id: str, order: OrderSoFar) -> None:
        """An order that this world refuses to start. `order.why`: the reason."""
        self.orders[order_id] = order

    def on_hand(self, goods_id: int) -> int:
        """Units, by now."""
        return self.levels.get(goods_id, stock.NONE).on_hand

    def totals(self) -> Totals:
        orders = self.orders.values()
        return Totals(
            orders=dict(sorted(Counter(WORDS[order.step] for order in orders).items())),
            revenue_paid=sum(order.amount for order in orders if order.step is Step.PAID),
            refunds_due=sum(order.refund_due for order in orders),
            units_sold=self.units_sold,
            units_returned=self.units_returned,
        )

    def _stock(self, goods_id: int, event: stock.StockEvent) -> None:
        self.levels[goods_id] = stock.evolve(self.levels.get(goods_id, stock.NONE), event)
        if isinstance(event, StockSold):
            self.units_sold += event.nums
        elif isinstance(event, StockReturned):
            self.units_returned += event.nums

    def _saga(self, order: OrderSoFar, event: Any) -> None:
        step = MOVES.get((order.step, type(event)))
        if step is None:
            return
        order.step = step
        match event:
            case OrderStarted():
                order.user_id, order.amount, order.started_at = event.user_id, event.amount, event.at
            case StartDenied():
                order.user_id, order.amount, order.started_at = event.user_id, event.amount, event.at
                order.why, order.short = StockShort.name, event.short
            case SellDenied(reason, short):
                order.why, order.short = reason, short
            case PlacementRefused(reason):
                order.why = reason
            case _:
                order.why = REASONS.get(type(event), order.why)

    def _order(self, order: OrderSoFar, event: Any) -> None:
        match event:
            case OrderPlaced(placed):
                order.amount = placed.amount
            case OrderPaid(payment):
                order.amount = payment.amount
            case RefundDue(payment):
                order.refund_due += payment.amount
            case _:
                pass


# the difference between two worlds


@dataclass(frozen=True, slots=True)
class OrderChange:
    order_id: str
    user_id: int
    started_at: datetime | None
    amount: int
    before: Outcome
    after: Outcome


@dataclass(frozen=True, slots=True)
class GoodsChange:
    """Units on hand at the end."""

    goods_id: int
    before: int
    after: int


def order_changes(before: Outcomes, after: Outcomes) -> Iterator[OrderChange]:
    """Orders of the first world whose outcome is another in the second, in the order they were started."""
    nothing = OrderSoFar()
    for order_id, was in before.orders.items():
        is_now = after.orders.get(order_id, nothing)
        if was.outcome != is_now.outcome:
            facts = (order_id, was.user_id, was.started_at, was.amount)
            yield OrderChange(*facts, was.outcome, is_now.outcome)


def goods_changes(before: Outcomes, after: Outcomes) -> Iterator[GoodsChange]:
    for goods_id in sorted(before.levels.keys() | after.levels.keys()):
        was = before.levels.get(goods_id, stock.NONE).on_hand
        is_now = after.levels.get(goods_id, stock.NONE).on_hand
        if was != is_now:
            yield GoodsChange(goods_id, was, is_now)
