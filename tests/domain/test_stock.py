"""Stock: set only for goods that exist, adjusted within its bounds, its level the sum of its events."""

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.limits import MAX_STOCK
from domain.refusals import NoSuchGoods, Short, StockShort, StockTooLarge
from domain.stock import (
    NONE,
    AdjustStock,
    SetInv,
    Stock,
    StockAdjusted,
    StockEvent,
    StockReturned,
    StockSet,
    StockSold,
    decide_adjust,
    decide_set,
    evolve,
    from_last,
)

TEN = Stock(on_hand=10, version=3)


def test_stock_is_set_to_what_was_counted() -> None:
    assert decide_set(TEN, SetInv(12, 4, goods_exist=True)) == (StockSet(on_hand=4, before=10),)


def test_stock_is_set_to_zero() -> None:
    assert decide_set(TEN, SetInv(12, 0, goods_exist=True)) == (StockSet(on_hand=0, before=10),)


def test_setting_the_level_it_has_is_recorded_as_a_count() -> None:
    assert decide_set(TEN, SetInv(12, 10, goods_exist=True)) == (StockSet(on_hand=10, before=10),)


def test_stock_of_goods_that_do_not_exist_is_not_set() -> None:
    with pytest.raises(NoSuchGoods) as refusal:
        decide_set(NONE, SetInv(12, 4, goods_exist=False))
    assert refusal.value.facts == {"goods_id": 12}


def test_stock_of_goods_that_do_not_exist_is_not_adjusted() -> None:
    with pytest.raises(NoSuchGoods) as refusal:
        decide_adjust(TEN, AdjustStock(12, -1, "broken", goods_exist=False))
    assert refusal.value.facts == {"goods_id": 12}


@pytest.mark.parametrize(("delta", "level"), [(5, 15), (-4, 6), (-10, 0), (MAX_STOCK - 10, MAX_STOCK)])
def test_an_adjustment_says_the_level_after_it(delta: int, level: int) -> None:
    events = decide_adjust(TEN, AdjustStock(12, delta, "count", goods_exist=True))

    assert events == (StockAdjusted(delta, "count", level),)


def test_an_adjustment_below_zero_is_refused_and_names_the_short() -> None:
    with pytest.raises(StockShort) as refusal:
        decide_adjust(TEN, AdjustStock(12, -11, "broken", goods_exist=True))
    assert refusal.value.facts == {"short": (Short(goods_id=12, wanted=11, available=10),)}


def test_an_adjustment_past_the_limit_is_refused() -> None:
    with pytest.raises(StockTooLarge):
        decide_adjust(TEN, AdjustStock(12, MAX_STOCK - 9, "delivery", goods_exist=True))


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (StockSet(4, before=10), 4),
        (StockAdjusted(-3, "broken", 7), 7),
        (StockSold("1", 2, 8), 8),
        (StockReturned("1", 2, 12), 12),
    ],
)
def test_every_event_moves_the_level_and_counts_one_version(event: StockEvent, level: int) -> None:
    assert evolve(TEN, event) == Stock(on_hand=level, version=4)


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (StockAdjusted(-3, "broken", 99), 7),
        (StockSold("1", 2, 99), 8),
        (StockReturned("1", 2, 99), 12),
    ],
)
def test_the_level_follows_the_quantity_not_what_the_event_claims(event: StockEvent, level: int) -> None:
    assert evolve(TEN, event).on_hand == level


@given(
    st.lists(st.tuples(st.sampled_from(["set", "adjust", "sell", "return"]), st.integers(0, 30)), min_size=1)
)
def test_the_last_event_alone_tells_the_stock(history: list[tuple[str, int]]) -> None:
    """Of any history whose events say the level that was right when they were recorded."""
    events: list[StockEvent] = []
    level = 0
    for kind, number in history:
        before, level = level, {"set": number, "sell": level - number}.get(kind, level + number)
        match kind:
            case "set":
                events.append(StockSet(level, before))
            case "adjust":
                events.append(StockAdjusted(number, "count", level))
            case "sell":
                events.append(StockSold("1", number, level))
            case _:
                events.append(StockReturned("1", number, level))
    assert from_last(len(events), events[-1]) == reduce(evolve, events, NONE)
