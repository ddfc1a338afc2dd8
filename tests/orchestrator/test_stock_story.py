"""The ledger of one goods: what its lines say, and what it says of a log that somebody wrote into."""

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce

from domain.recorded import Recorded
from domain.sale import Rollback
from domain.services import INVENTORY
from domain.stock import AdjustStock, StockSet, StockSold
from orchestrator.stock_story import LedgerLine, Totals, ledger
from tests.shop_history import ShopHistory


def history() -> list[Recorded]:
    """Ten on hand, three sold, two broken, the three brought back, counted again: seven."""
    shop = ShopHistory()
    shop.stocked(12, 10)
    shop.placed("1", [(12, 3)])
    shop.tell(INVENTORY, AdjustStock(12, -2, "broken", goods_exist=True), "operator-ann")
    shop.tell(INVENTORY, Rollback("1"), "order-saga")
    shop.stocked(12, 7)
    return [recorded for recorded in shop.logs["inventory"] if recorded.originator_id == "stock-12"]


def totals(lines: Iterable[LedgerLine]) -> Totals:
    return reduce(Totals.plus, lines, Totals())


def with_event(events: list[Recorded], index: int, **changes: int) -> list[Recorded]:
    changed = events[index]._replace(event=replace(events[index].event, **changes))
    return [*events[:index], changed, *events[index + 1 :]]


def test_each_event_is_a_line_with_its_change_and_the_level_after_it() -> None:
    lines = list(ledger(history()))
    assert [(line.kind, line.change, line.balance) for line in lines] == [
        ("set", 10, 10),
        ("sold", -3, 7),
        ("adjusted", -2, 5),
        ("returned", 3, 8),
        ("set", -1, 7),
    ]


def test_a_line_says_who_why_and_for_which_order() -> None:
    lines = list(ledger(history()))
    assert [line.who for line in lines] == ["user 1", "order saga", "operator ann", "order saga", "user 1"]
    assert [line.order_id for line in lines] == ["", "1", "", "1", ""]
    assert [line.reason for line in lines] == ["", "", "broken", "", ""]


def test_totals_add_up_to_what_is_on_hand() -> None:
    found = totals(ledger(history()))
    assert (found.counted, found.adjusted, found.sold, found.returned) == (9, -2, 3, 3)
    assert found.on_hand == found.counted + found.adjusted - found.sold + found.returned == 7
    assert (found.events, found.wrong, found.first_wrong) == (5, 0, None)


def test_the_last_unit_went_with_the_line_that_took_it_until_there_is_stock_again() -> None:
    shop = ShopHistory()
    shop.stocked(12, 3)
    shop.placed("1", [(12, 3)])
    shop.stocked(12, 0)
    events = [event for event in shop.logs["inventory"] if event.originator_id == "stock-12"]
    sold = list(ledger(events))[1]
    assert [totals(ledger(events[:n])).last_unit for n in (1, 2, 3)] == [None, sold, sold]
    shop.tell(INVENTORY, Rollback("1"), "order-saga")
    events = [event for event in shop.logs["inventory"] if event.originator_id == "stock-12"]
    assert totals(ledger(events)).last_unit is None


def test_no_events_make_no_lines_and_totals_of_nothing() -> None:
    assert list(ledger([])) == []
    assert totals(ledger([])) == Totals()


def test_a_level_that_does_not_follow_is_told_with_both_numbers() -> None:
    lines = list(ledger(with_event(history(), 1, on_hand=9)))
    assert [line.wrong for line in lines] == ["", "says 9, 7 follows", "", "", ""]


def test_a_changed_quantity_shows_in_every_line_until_the_goods_are_counted_again() -> None:
    found = totals(lines := list(ledger(with_event(history(), 1, nums=2))))
    assert [line.wrong for line in lines] == [
        "",
        "says 7, 8 follows",
        "says 5, 6 follows",
        "says 8, 9 follows",
        "says 8 before, 9 follows",
    ]
    assert found.first_wrong == lines[1]
    assert found.wrong == 4


def test_a_missing_event_is_told_even_where_the_levels_happen_to_follow() -> None:
    events = history()
    lines = list(ledger([*events[:2], *events[4:]]))
    assert lines[2].wrong == "2 events before it are missing; says 8 before, 7 follows"
    sold_nothing = events[0]._replace(originator_version=3, event=StockSold("1", 0, 10))
    assert next(iter(ledger([events[0]._replace(originator_version=2)]))).wrong == "event 1 is missing"
    assert [line.wrong for line in ledger([events[0], sold_nothing])] == ["", "event 2 is missing"]


def test_the_first_setting_says_nothing_before_it() -> None:
    first = history()[0]
    planted = first._replace(event=StockSet(on_hand=10, before=4))
    assert [line.wrong for line in ledger([planted])] == ["says 4 before, 0 follows"]
