"""Sale: whatever comes twice, late or out of turn, an order takes stock once and gives it back once."""

import pytest

from domain.refusals import AlreadyReturned, NoUnits, SaleDiffers, Short
from domain.sale import (
    NONE,
    Line,
    Rollback,
    RollbackBarred,
    RolledBack,
    Sale,
    SaleEvent,
    SaleStatus,
    Sell,
    SellRefused,
    Sold,
    decide_rollback,
    decide_sell,
    evolve,
    fold,
)
from domain.stock import Stock, StockReturned, StockSold

LINES = (Line(12, 2), Line(13, 1))
STOCKS = {12: Stock(5, 1), 13: Stock(1, 1)}
SOLD = Sale(SaleStatus.SOLD, LINES)
RETURNED = Sale(SaleStatus.RETURNED, LINES)
REFUSED = Sale(SaleStatus.REFUSED, LINES, (Short(13, 1, 0),))
BARRED = Sale(SaleStatus.BARRED)


def test_a_sell_takes_every_line_and_says_each_level_after_it() -> None:
    assert decide_sell(NONE, STOCKS, Sell("7", LINES)) == (
        ("sale-7", Sold(LINES)),
        ("stock-12", StockSold("7", 2, 3)),
        ("stock-13", StockSold("7", 1, 0)),
    )


def test_lines_of_equal_goods_are_folded_before_the_check() -> None:
    twice = Sell("7", (Line(12, 2), Line(13, 1), Line(12, 3)))

    assert decide_sell(NONE, STOCKS, twice) == (
        ("sale-7", Sold((Line(12, 5), Line(13, 1)))),
        ("stock-12", StockSold("7", 5, 0)),
        ("stock-13", StockSold("7", 1, 0)),
    )


def test_folded_lines_that_only_fit_one_by_one_are_refused() -> None:
    lines = (Line(12, 3), Line(12, 3))

    assert decide_sell(NONE, STOCKS, Sell("7", lines)) == (
        ("sale-7", SellRefused((Line(12, 6),), (Short(12, 6, 5),))),
    )


def test_one_short_line_and_nothing_is_sold() -> None:
    assert decide_sell(NONE, STOCKS, Sell("7", (Line(12, 2), Line(13, 2)))) == (
        ("sale-7", SellRefused((Line(12, 2), Line(13, 2)), (Short(13, 2, 1),))),
    )


def test_every_short_line_is_named() -> None:
    lines = (Line(12, 6), Line(13, 9), Line(14, 1))
    short = (Short(12, 6, 5), Short(13, 9, 1), Short(14, 1, 0))

    assert decide_sell(NONE, {**STOCKS, 14: Stock()}, Sell("7", lines)) == (
        ("sale-7", SellRefused(lines, short)),
    )


@pytest.mark.parametrize("sale", [SOLD, REFUSED])
def test_a_repeated_sell_records_nothing(sale: Sale) -> None:
    assert decide_sell(sale, STOCKS, Sell("7", LINES)) == ()


def test_a_repeated_sell_is_the_same_however_its_lines_are_split() -> None:
    split = Sell("7", (Line(12, 1), Line(13, 1), Line(12, 1)))

    assert decide_sell(SOLD, STOCKS, split) == ()


@pytest.mark.parametrize("sale", [SOLD, REFUSED])
def test_a_repeated_sell_is_the_same_in_whatever_order_its_lines_come(sale: Sale) -> None:
    assert decide_sell(sale, STOCKS, Sell("7", LINES[::-1])) == ()


@pytest.mark.parametrize("sale", [NONE, SOLD, REFUSED, RETURNED, BARRED])
@pytest.mark.parametrize("nums", [0, -1, -(2**31)])
def test_less_than_one_unit_is_refused_whatever_was_decided_before(sale: Sale, nums: int) -> None:
    with pytest.raises(NoUnits):
        decide_sell(sale, STOCKS, Sell("7", (Line(12, 2), Line(13, nums))))


def test_less_than_one_unit_is_refused_even_where_its_goods_come_to_more() -> None:
    with pytest.raises(NoUnits):
        decide_sell(NONE, STOCKS, Sell("7", (Line(12, 4), Line(12, -1))))


def test_a_refused_sell_stays_refused_when_stock_has_come() -> None:
    assert decide_sell(REFUSED, {12: Stock(99, 1), 13: Stock(99, 1)}, Sell("7", LINES)) == ()


@pytest.mark.parametrize("sale", [SOLD, REFUSED])
@pytest.mark.parametrize("lines", [(Line(12, 2),), (Line(12, 2), Line(13, 2)), (*LINES, Line(14, 1)), ()])
def test_a_repeat_with_other_lines_is_refused(sale: Sale, lines: tuple[Line, ...]) -> None:
    with pytest.raises(SaleDiffers):
        decide_sell(sale, {**STOCKS, 14: Stock(9, 1)}, Sell("7", lines))


@pytest.mark.parametrize("sale", [RETURNED, BARRED])
def test_a_sell_after_its_rollback_is_refused(sale: Sale) -> None:
    with pytest.raises(AlreadyReturned):
        decide_sell(sale, STOCKS, Sell("7", LINES))


def test_a_rollback_gives_back_what_the_recorded_sell_took() -> None:
    assert decide_rollback(SOLD, {12: Stock(0, 5), 13: Stock(4, 2)}, Rollback("7")) == (
        ("sale-7", RolledBack(LINES)),
        ("stock-12", StockReturned("7", 2, 2)),
        ("stock-13", StockReturned("7", 1, 5)),
    )


@pytest.mark.parametrize("sale", [RETURNED, BARRED])
def test_nothing_is_given_back_that_was_not_taken_or_is_back_already(sale: Sale) -> None:
    assert decide_rollback(sale, STOCKS, Rollback("7")) == ()


def test_a_rollback_after_a_refusal_gives_nothing_back_and_bars_the_order_id() -> None:
    assert decide_rollback(REFUSED, STOCKS, Rollback("7")) == (("sale-7", RollbackBarred()),)

    barred = evolve(REFUSED, RollbackBarred())
    assert barred == BARRED
    with pytest.raises(AlreadyReturned):
        decide_sell(barred, {12: Stock(99, 1), 13: Stock(99, 1)}, Sell("7", LINES))


def test_a_rollback_before_its_sell_leaves_a_tombstone_that_refuses_the_late_sell() -> None:
    written = decide_rollback(NONE, {}, Rollback("7"))
    assert written == (("sale-7", RollbackBarred()),)

    barred = evolve(NONE, RollbackBarred())
    with pytest.raises(AlreadyReturned):
        decide_sell(barred, STOCKS, Sell("7", LINES))


def test_an_empty_order_is_sold_and_takes_nothing() -> None:
    assert decide_sell(NONE, {}, Sell("7", ())) == (("sale-7", Sold(())),)


@pytest.mark.parametrize(
    ("before", "event", "after"),
    [
        (NONE, Sold(LINES), SOLD),
        (NONE, SellRefused(LINES, (Short(13, 1, 0),)), REFUSED),
        (SOLD, RolledBack(LINES), RETURNED),
        (NONE, RollbackBarred(), BARRED),
        (REFUSED, RollbackBarred(), BARRED),
    ],
)
def test_each_event_leads_to_its_status(before: Sale, event: SaleEvent, after: Sale) -> None:
    assert evolve(before, event) == after


def test_folding_keeps_the_order_of_first_appearance() -> None:
    assert fold([Line(3, 1), Line(1, 2), Line(3, 4)]) == (Line(3, 5), Line(1, 2))
