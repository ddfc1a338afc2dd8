"""Any commands in any order conserve stock at every step, against a model that shares no code with it."""

from collections import Counter
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from domain.refusals import AlreadyReturned, NoSuchGoods, NoUnits, SaleDiffers, StockShort
from domain.sale import Line, Rollback, RollbackBarred, RolledBack, Sell, SellRefused, Sold
from domain.services import INVENTORY
from domain.stock import AdjustStock, SetInv, StockAdjusted, StockReturned, StockSet, StockSold
from tests.shop_history import ShopHistory

GOODS = (1, 2, 3)
goods_ids = st.sampled_from(GOODS)
order_ids = st.sampled_from(["100", "101", "102", "103"])
some_lines = st.lists(st.builds(Line, goods_ids, st.integers(1, 4)), max_size=4).map(tuple)


class StockAndSales(RuleBasedStateMachine):
    """Model: a counter of units on hand, and what each order came to."""

    def __init__(self) -> None:
        super().__init__()
        self.shop = ShopHistory()
        self.on_hand: Counter[int] = Counter()
        self.orders: dict[str, tuple[str, Counter[int]]] = {}
        self.came, self.went, self.levels = Counter[int](), Counter[int](), Counter[int]()
        self.looked_at = 0

    def tell(self, command: Any) -> list[type[Any]]:
        """Kinds of the events recorded. The states it was decided on must look the same afterwards."""
        states = [self.shop.state(INVENTORY, name) for name in INVENTORY.rules[type(command)].reads(command)]
        before = repr(states)
        try:
            return [type(event) for _, event in self.shop.tell(INVENTORY, command)]
        finally:
            assert repr(states) == before

    @rule(goods_id=goods_ids, level=st.integers(0, 12))
    def set_inv(self, goods_id: int, level: int) -> None:
        assert self.tell(SetInv(goods_id, level, goods_exist=True)) == [StockSet]
        self.on_hand[goods_id] = level

    @rule(goods_id=goods_ids)
    def set_inv_of_unknown_goods(self, goods_id: int) -> None:
        with pytest.raises(NoSuchGoods):
            self.tell(SetInv(goods_id, 5, goods_exist=False))

    @rule(goods_id=goods_ids, delta=st.integers(-8, 8))
    def adjust(self, goods_id: int, delta: int) -> None:
        command = AdjustStock(goods_id, delta, "count", goods_exist=True)
        if self.on_hand[goods_id] + delta < 0:
            with pytest.raises(StockShort):
                self.tell(command)
        else:
            assert self.tell(command) == [StockAdjusted]
            self.on_hand[goods_id] += delta

    @rule(order_id=order_ids, lines=some_lines)
    def sell(self, order_id: str, lines: tuple[Line, ...]) -> None:
        wanted: Counter[int] = Counter()
        for line in lines:
            wanted[line.goods_id] += line.nums
        outcome, before = self.orders.get(order_id, ("new", Counter()))
        if outcome in ("returned", "barred"):
            with pytest.raises(AlreadyReturned):
                self.tell(Sell(order_id, lines))
        elif outcome != "new" and before != wanted:
            with pytest.raises(SaleDiffers):
                self.tell(Sell(order_id, lines))
        elif outcome != "new":
            assert self.tell(Sell(order_id, lines)) == []
        elif all(self.on_hand[goods_id] >= nums for goods_id, nums in wanted.items()):
            assert self.tell(Sell(order_id, lines)) == [Sold, *[StockSold] * len(wanted)]
            self.on_hand.subtract(wanted)
            self.orders[order_id] = ("sold", wanted)
        else:
            assert self.tell(Sell(order_id, lines)) == [SellRefused]
            self.orders[order_id] = ("refused", wanted)

    @rule(order_id=order_ids, line=st.builds(Line, goods_ids, st.integers(-3, 0)), lines=some_lines)
    def sell_less_than_one(self, order_id: str, line: Line, lines: tuple[Line, ...]) -> None:
        with pytest.raises(NoUnits):
            self.tell(Sell(order_id, (*lines, line)))

    @rule(order_id=order_ids)
    def roll_back(self, order_id: str) -> None:
        outcome, taken = self.orders.get(order_id, ("new", Counter()))
        if outcome in ("new", "refused"):
            assert self.tell(Rollback(order_id)) == [RollbackBarred]
            self.orders[order_id] = ("barred", Counter())
        elif outcome == "sold":
            assert self.tell(Rollback(order_id)) == [RolledBack, *[StockReturned] * len(taken)]
            self.on_hand.update(taken)
            self.orders[order_id] = ("returned", taken)
        else:
            assert self.tell(Rollback(order_id)) == []

    @invariant()
    def levels_are_the_models_and_never_negative(self) -> None:
        levels = {goods_id: self.shop.state(INVENTORY, f"stock-{goods_id}").on_hand for goods_id in GOODS}

        assert levels == {goods_id: self.on_hand[goods_id] for goods_id in GOODS}
        assert min(levels.values()) >= 0

    @invariant()
    def units_are_conserved(self) -> None:
        """Set deltas + adjusted + returned = on hand + sold, and each event claims the level after it."""
        news = self.shop.logs["inventory"][self.looked_at :]
        self.looked_at += len(news)
        for recorded in news:
            goods_id = int(recorded.originator_id.partition("-")[2])
            match recorded.event:
                case StockSet(on_hand, before):
                    self.came[goods_id] += on_hand - before
                case StockAdjusted(delta, _, on_hand):
                    self.came[goods_id] += delta
                case StockReturned(_, nums, on_hand):
                    self.came[goods_id] += nums
                case StockSold(_, nums, on_hand):
                    self.went[goods_id] += nums
                case _:
                    continue
            self.levels[goods_id] = on_hand
            assert self.came[goods_id] - self.went[goods_id] == on_hand
        assert all(self.levels[goods_id] == self.on_hand[goods_id] for goods_id in GOODS)


# Making a failing history shorter takes minutes; one of 40 steps can be read as it is.
StockAndSales.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
TestStockAndSales = StockAndSales.TestCase
