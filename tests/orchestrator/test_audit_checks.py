"""Clean books stay clean; each planted fault is found, by name and place."""

from datetime import timedelta

import pytest

from domain import streams
from domain.cart import CartLine, CartReplaced, CheckoutBegun
from domain.order import OrderClosed, OrderLine, OrderPaid, OrderPlaced, Payment, Placed
from domain.recorded import Cause
from domain.refusals import Short
from domain.saga import (
    DenySell,
    OrderStarted,
    PaymentTaken,
    PlacementRefused,
    ReturnConfirmed,
    SellConfirmed,
    StartDenied,
)
from domain.saga_acts import RetryOrdered
from domain.sale import Line, Rollback, RollbackBarred, RolledBack, Sell, SellRefused, Sold
from domain.services import INVENTORY, ORDER
from domain.stock import AdjustStock, StockAdjusted, StockReturned, StockSet, StockSold
from orchestrator.audit import Finding, walk
from orchestrator.audit_orders import OrdersAddUp
from orchestrator.audit_pairs import Books, compare, unfinished
from orchestrator.audit_sagas import SagasMoveLegally
from orchestrator.audit_sales import SalesMoveTheirStock
from orchestrator.audit_stock import StockAddsUp
from orchestrator.audit_streams import LogIsWhole
from tests.shop_history import CONTACT, PAYMENT_WINDOW, SELL_DEADLINE, START, ShopHistory


def audited(shop: ShopHistory, moving: tuple[str, ...] = ()) -> list[Finding]:
    orders, sales = OrdersAddUp(), SalesMoveTheirStock()
    sagas = SagasMoveLegally(orders.facts)
    found = list(walk(shop.logs["order"], [LogIsWhole("order"), orders, sagas]))
    found += walk(shop.logs["inventory"], [LogIsWhole("inventory"), StockAddsUp(), sales])
    found += walk(shop.logs["goods"], [LogIsWhole("goods")])
    return found + list(compare(Books(orders.facts, sagas.facts, sales.facts, moving)))


def told(findings: list[Finding]) -> list[tuple[str, str, int]]:
    return [(finding.check, finding.subject, finding.position) for finding in findings]


@pytest.fixture
def shop() -> ShopHistory:
    """Every way an order can end: 1 paid, 2 refused, 3 lapsed, 4 cancelled while selling, 5 to pay."""
    shop = ShopHistory()
    shop.stocked(12, 10)
    shop.stocked(13, 10, price=99)
    shop.tell(INVENTORY, AdjustStock(12, -2, "broken", goods_exist=True))
    shop.placed("1", [(12, 3), (13, 1)])
    shop.paid("1")
    shop.placed("2", [(12, 30)])
    shop.placed("3", [(13, 4), (12, 1)])
    shop.now += PAYMENT_WINDOW
    shop.lapsed("3")
    shop.rolled_back("3")
    shop.started("4", [(12, 1)])
    shop.cancelled("4")
    shop.rolled_back("4")
    shop.placed("5", [(13, 2)])
    return shop


def last_position(shop: ShopHistory, log: str) -> int:
    return shop.logs[log][-1].position


def position_of(shop: ShopHistory, log: str, kind: type[object]) -> int:
    return next(recorded.position for recorded in shop.logs[log] if isinstance(recorded.event, kind))


def test_clean_books_have_no_findings(shop: ShopHistory) -> None:
    assert audited(shop) == []


def test_a_sale_by_hand_has_no_order_and_is_clean(shop: ShopHistory) -> None:
    shop.tell(INVENTORY, Sell("900", (Line(12, 1), Line(12, 1))), "user-3")
    assert audited(shop) == []


def test_an_order_that_still_owes_something_is_unfinished_and_no_finding(shop: ShopHistory) -> None:
    shop.started("6", [(12, 1)])
    since = shop.now - timedelta(seconds=1)
    shop.tell(INVENTORY, Sell("6", (Line(12, 1),)), "order-saga")
    orders = OrdersAddUp()
    sagas = SagasMoveLegally(orders.facts)
    list(walk(shop.logs["order"], [orders, sagas]))
    assert audited(shop) == []
    (open_order,) = unfinished(Books(orders.facts, sagas.facts, {}))
    assert (open_order.order_id, open_order.step, open_order.since) == ("6", "SELLING", since)


def test_what_an_operator_did_and_a_closed_account_leave_clean_books(shop: ShopHistory) -> None:
    shop.placed("6", [(12, 1)])
    shop.compensated("6")
    shop.retried("6")
    shop.rolled_back("6")
    shop.started("7", [(12, 1)])
    shop.retried("7")
    shop.compensated("7")
    shop.started("8", [(12, 1)], user_id=8)
    shop.account_closed(8)
    shop.sold("8")
    assert audited(shop) == []
    shop.rolled_back("7")
    shop.rolled_back("8")
    assert audited(shop) == []


def test_a_retry_of_a_saga_that_owes_nothing_is_found(shop: ShopHistory) -> None:
    place = shop.plant(ORDER, "saga-5", RetryOrdered("why not", shop.now))
    (finding,) = audited(shop)
    assert told([finding]) == [("sagas", "order 5", place)]
    assert finding.what == "RetryOrdered is no move from AWAITING_PAYMENT"


def test_an_order_refused_after_a_sale_that_never_was_is_found(shop: ShopHistory) -> None:
    shop.started("6", [(12, 1)])
    place = shop.plant(ORDER, "saga-6", PlacementRefused("account-closed"))
    shop.rolled_back("6")
    (finding,) = audited(shop)
    assert told([finding]) == [("orders and sales", "order 6", place)]
    assert finding.what == "refused after its sale, but nothing was sold for it"


def test_an_order_refused_after_its_sale_whose_stock_never_came_back_is_found(shop: ShopHistory) -> None:
    shop.started("6", [(12, 1)])
    shop.tell(INVENTORY, Sell("6", (Line(12, 1),)), "order-saga")
    shop.plant(ORDER, "saga-6", PlacementRefused("account-closed"))
    place = shop.plant(ORDER, "saga-6", ReturnConfirmed(returned=True))
    (finding,) = audited(shop)
    assert told([finding]) == [("orders and sales", "order 6", place)]
    assert finding.what == "the saga is at CLOSED, but its units are sold and were not given back"


# stock


def test_an_invented_unit_is_found_where_it_was_given_back(shop: ShopHistory) -> None:
    level = shop.state(INVENTORY, "stock-12").on_hand
    place = shop.plant(INVENTORY, "stock-12", StockReturned("1", 1, level + 1))
    assert told(audited(shop)) == [("sales", "order 1", place)]


def test_a_wrong_level_is_found_at_the_first_position_only(shop: ShopHistory) -> None:
    level = shop.state(INVENTORY, "stock-12").on_hand
    place = shop.plant(INVENTORY, "stock-12", StockAdjusted(1, "found", level + 2))
    shop.plant(INVENTORY, "stock-12", StockAdjusted(1, "found", level + 3))
    (finding,) = audited(shop)
    assert told([finding]) == [("stock", "goods 12", place)]
    assert finding.what == (
        f"{level + 2} units on hand, it says, but it must be {level + 1}:"
        " set 10, adjusted -1, returned 1, sold 4"
    )


def test_a_setting_that_hides_units_is_found(shop: ShopHistory) -> None:
    place = shop.plant(INVENTORY, "stock-12", StockSet(on_hand=20, before=1))
    assert told(audited(shop)) == [("stock", "goods 12", place)]


def test_stock_below_zero_is_found(shop: ShopHistory) -> None:
    level = shop.state(INVENTORY, "stock-12").on_hand
    place = shop.plant(INVENTORY, "stock-12", StockAdjusted(-level - 1, "gone", -1))
    assert told(audited(shop)) == [("stock", "goods 12", place)]


def test_a_negative_sale_is_found(shop: ShopHistory) -> None:
    level = shop.state(INVENTORY, "stock-12").on_hand
    place = shop.plant(INVENTORY, "stock-12", StockSold("1", -5, level + 5))
    assert ("stock", "goods 12", place) in told(audited(shop))


# sales


def test_a_double_return_is_found(shop: ShopHistory) -> None:
    lines = (Line(13, 4), Line(12, 1))
    cause = Cause("planted", "somebody", "3", shop.now)
    place = shop.plant(INVENTORY, "sale-3", RolledBack(lines), cause)
    for line in lines:
        name = streams.stock(line.goods_id)
        level = shop.state(INVENTORY, name).on_hand + line.nums
        shop.plant(INVENTORY, name, StockReturned("3", line.nums, level), cause)
    (finding,) = audited(shop)
    assert told([finding]) == [("sales", "order 3", place)]
    assert finding.what == "RolledBack for an order that was returned already"


def test_a_return_of_other_lines_than_were_sold_is_found(shop: ShopHistory) -> None:
    shop.started("6", [(12, 1)])
    shop.sold("6")
    shop.cancelled("6")
    place = shop.plant(INVENTORY, "sale-6", RolledBack((Line(12, 2),)))
    found = told(audited(shop))
    assert found == [("sales", "order 6", place), ("sales", "order 6", place)], "other lines; none came back"


def test_units_that_were_sold_but_not_taken_are_found(shop: ShopHistory) -> None:
    place = shop.plant(
        INVENTORY, "sale-900", Sold((Line(12, 1),)), Cause("by hand", "user-3", "900", shop.now)
    )
    (finding,) = audited(shop)
    assert told([finding]) == [("sales", "order 900", place)]
    assert finding.what == "StockSold is missing: 1 of goods 12"


def test_a_refusal_after_a_sale_is_found(shop: ShopHistory) -> None:
    place = shop.plant(INVENTORY, "sale-1", SellRefused((Line(12, 1),), ()))
    assert told(audited(shop)) == [("sales", "order 1", place)]


@pytest.mark.parametrize("order_id", ["2", "6"], ids=["ended", "given up"])
def test_a_refused_sale_that_is_barred_afterwards_is_clean(shop: ShopHistory, order_id: str) -> None:
    shop.started("6", [(12, 30)])
    shop.tell(INVENTORY, Sell("6", (Line(12, 30),)), "order-saga")
    shop.now += SELL_DEADLINE
    shop.given_up("6")
    shop.rolled_back("6")
    shop.tell(INVENTORY, Rollback(order_id), "user-3")
    assert audited(shop) == []


@pytest.mark.parametrize("order_id", ["1", "3", "4"], ids=["sold", "returned", "barred"])
def test_a_bar_where_no_refusal_was_is_found(shop: ShopHistory, order_id: str) -> None:
    place = shop.plant(INVENTORY, f"sale-{order_id}", RollbackBarred())
    assert ("sales", f"order {order_id}", place) in told(audited(shop))


def test_a_sale_after_a_refusal_was_barred_is_found(shop: ShopHistory) -> None:
    shop.tell(INVENTORY, Rollback("2"), "user-3")
    place = shop.plant(INVENTORY, "sale-2", Sold(()))
    assert ("sales", "order 2", place) in told(audited(shop))


def test_a_checkout_in_the_stream_of_an_order_is_found(shop: ShopHistory) -> None:
    place = shop.plant(ORDER, "cart-8", CheckoutBegun("5", (Line(13, 2),)))
    planted = shop.logs["order"].pop()
    shop.logs["order"].append(planted._replace(originator_id="order-8"))
    assert told(audited(shop)) == [("log order", "order-8", place)]


# orders


def plant_placed(shop: ShopHistory, order_id: str, lines: tuple[OrderLine, ...], amount: int) -> int:
    """An order as the saga would have placed it, but nothing was ever asked of inventory."""
    started = OrderStarted(order_id, 7, lines, amount, CONTACT, START, START)
    pay_before = START + PAYMENT_WINDOW
    shop.plant(ORDER, f"saga-{order_id}", started)
    shop.plant(ORDER, f"saga-{order_id}", SellConfirmed(pay_before))
    placed = Placed(order_id, 7, lines, amount, CONTACT, START, pay_before)
    return shop.plant(ORDER, f"order-{order_id}", OrderPlaced(placed))


def test_an_order_without_a_sale_is_found(shop: ShopHistory) -> None:
    place = plant_placed(shop, "6", (OrderLine(12, "goods 12", 250, 1),), 250)
    assert told(audited(shop)) == [("orders and sales", "order 6", place)]


def test_a_sale_without_an_order_is_found(shop: ShopHistory) -> None:
    place = last_position(shop, "inventory") + 1
    shop.tell(INVENTORY, Sell("6", (Line(12, 1),)), "order-saga")
    assert told(audited(shop)) == [("orders and sales", "order 6", place)]


def test_a_refusal_before_the_order_began_needs_no_sale(shop: ShopHistory) -> None:
    shop.started("6", [(12, 900)], looked=True)
    assert audited(shop) == []


@pytest.mark.parametrize("seller", ["order-saga", "user-3"])
def test_a_sale_for_an_order_that_never_asked_for_it_is_found(shop: ShopHistory, seller: str) -> None:
    shop.started("6", [(12, 3), (13, 900)], looked=True)
    denied = last_position(shop, "order") - 1
    shop.tell(INVENTORY, Sell("6", (Line(12, 3),)), seller)
    assert told(audited(shop)) == [("orders and sales", "order 6", denied)]


def test_what_somebody_tries_by_hand_with_the_id_of_a_refused_order_is_clean(shop: ShopHistory) -> None:
    for order_id, command in (("6", Rollback("6")), ("7", Sell("7", (Line(12, 900),)))):
        shop.started(order_id, [(12, 900)], looked=True)
        shop.tell(INVENTORY, command, "user-3")
    assert audited(shop) == []


@pytest.mark.parametrize(
    "short",
    [(), (Short(12, 900, 900),), (Short(12, 900, -1),), (Short(12, 899, 0),), (Short(13, 900, 0),)],
)
def test_a_refusal_that_its_own_lines_contradict_is_found(
    shop: ShopHistory, short: tuple[Short, ...]
) -> None:
    lines = (OrderLine(12, "goods 12", 250, 900),)
    place = shop.plant(ORDER, "saga-6", StartDenied("6", 7, lines, 225_000, START, short))
    assert told(audited(shop)) == [("orders", "order 6", place)]


def test_a_refusal_with_a_wrong_amount_is_found(shop: ShopHistory) -> None:
    lines = (OrderLine(12, "goods 12", 250, 900),)
    denied = StartDenied("6", 7, lines, 1, START, (Short(12, 900, 10),))
    place = shop.plant(ORDER, "saga-6", denied)
    assert told(audited(shop)) == [("orders", "order 6", place)]


def test_a_sale_for_a_refused_order_is_found(shop: ShopHistory) -> None:
    shop.tell(INVENTORY, Sell("6", (Line(12, 1),)), "order-saga")
    shop.started("6", [(12, 1)])
    denied = last_position(shop, "order") + 1
    shop.tell(ORDER, DenySell("6", "stock-short", ()), "inventory")
    assert told(audited(shop)) == [("orders and sales", "order 6", denied)]


def test_an_order_that_was_refused_because_of_a_sale_by_hand_is_clean(shop: ShopHistory) -> None:
    shop.tell(INVENTORY, Sell("6", (Line(13, 1),)), "user-3")
    shop.started("6", [(12, 1)])
    shop.tell(ORDER, DenySell("6", "sale-differs", ()), "inventory")
    assert audited(shop) == []


def test_an_order_that_moved_while_we_read_is_left_to_the_next_audit(shop: ShopHistory) -> None:
    plant_placed(shop, "6", (OrderLine(12, "goods 12", 250, 1),), 250)
    assert audited(shop, moving=("6",)) == []


def test_an_amount_that_is_not_the_sum_of_its_lines_is_found_twice(shop: ShopHistory) -> None:
    shop.tell(INVENTORY, Sell("6", (Line(12, 1),)), "order-saga")
    place = plant_placed(shop, "6", (OrderLine(12, "goods 12", 250, 1),), 251)
    assert told(audited(shop)) == [("orders", "order 6", place - 2), ("orders", "order 6", place)]


def test_an_order_placed_otherwise_than_started_is_found(shop: ShopHistory) -> None:
    shop.started("6", [(12, 1)])
    shop.tell(INVENTORY, Sell("6", (Line(12, 1),)), "order-saga")
    shop.plant(ORDER, "saga-6", SellConfirmed(START))
    lines = (OrderLine(12, "goods 12", 1, 1),)
    place = shop.plant(ORDER, "order-6", OrderPlaced(Placed("6", 7, lines, 1, CONTACT, START, START)))
    assert told(audited(shop)) == [("orders", "order 6", place)] * 2, "its amount and its lines"


def test_a_payment_of_a_wrong_amount_is_found(shop: ShopHistory) -> None:
    place = shop.plant(ORDER, "order-5", OrderPaid(Payment("alipay", "T", 197, START)))
    shop.plant(ORDER, "saga-5", PaymentTaken())
    (finding,) = audited(shop)
    assert told([finding]) == [("orders", "order 5", place)]
    assert finding.what == "paid 197, but the order's amount is 198"


def test_a_paid_order_that_is_closed_is_found(shop: ShopHistory) -> None:
    place = shop.plant(ORDER, "order-1", OrderClosed("payment-lapsed"))
    (finding,) = audited(shop)
    assert told([finding]) == [("orders", "order 1", place)]
    assert finding.what == "OrderClosed for an order that is paid"


def test_a_second_end_of_a_saga_is_found(shop: ShopHistory) -> None:
    place = shop.plant(ORDER, "saga-2", PaymentTaken())
    (finding,) = audited(shop)
    assert told([finding]) == [("sagas", "order 2", place)]
    assert finding.what == "PaymentTaken is no move from REFUSED, where it had ended"


def test_a_saga_that_is_paid_and_an_order_that_is_not_are_found(shop: ShopHistory) -> None:
    place = shop.plant(ORDER, "saga-5", PaymentTaken())
    (finding,) = audited(shop)
    assert told([finding]) == [("sagas", "order 5", place)]
    assert finding.what == "the saga is at PAID, but the order is TO_PAY"


def test_stock_of_a_paid_order_given_back_is_found(shop: ShopHistory) -> None:
    shop.tell(INVENTORY, Rollback("1"), "user-3")
    assert [finding.check for finding in audited(shop)] == ["orders and sales"]


# the log itself


def test_a_version_gap_is_found(shop: ShopHistory) -> None:
    gone = position_of(shop, "order", CartReplaced)
    shop.logs["order"] = [event for event in shop.logs["order"] if event.position != gone]
    (finding,) = audited(shop)
    assert told([finding])[0][:2] == ("log order", "cart-7")
    assert finding.what == "version 2 comes where version 1 must be"


def test_swapped_events_are_found(shop: ShopHistory) -> None:
    one, two = shop.logs["goods"]
    shop.logs["goods"] = [two, one]
    assert told(audited(shop)) == [("log goods", "goods-12", 1)]


def test_an_event_in_a_strange_stream_is_found(shop: ShopHistory) -> None:
    place = shop.plant(ORDER, "cart-8", CartReplaced((CartLine(12, 1, checked=True),)))
    planted = shop.logs["order"].pop()
    shop.logs["order"].append(planted._replace(originator_id="order-8"))
    assert told(audited(shop)) == [("log order", "order-8", place)]


def test_an_event_without_a_cause_is_found(shop: ShopHistory) -> None:
    place = shop.plant(INVENTORY, "stock-14", StockSet(1, 0), Cause("", "somebody", "", shop.now))
    assert told(audited(shop)) == [("log inventory", "stock-14", place)]
