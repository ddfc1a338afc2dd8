"""The story of an order in golden texts: when, since the step before, who, what."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from domain import streams
from domain.cart import CartLine, PutCartLine, RemoveCartLine, ReplaceCart
from domain.order import Payment, PayOrder
from domain.recorded import Recorded
from domain.saga import NoteResend
from domain.saga_acts import CompensateSaga
from domain.sale import Line, Rollback, Sell
from domain.services import INVENTORY, ORDER
from orchestrator.timeline import MAX_CART_ENTRIES, Waiting, timeline, waiting_for
from tests.shop_history import PAYMENT_WINDOW, SELL_DEADLINE, START, ShopHistory


def stocked() -> ShopHistory:
    shop = ShopHistory()
    shop.stocked(12, 10)
    shop.stocked(13, 10, price=99)
    return shop


def events(shop: ShopHistory) -> list[Recorded]:
    return [recorded for log in shop.logs.values() for recorded in log]


def story(shop: ShopHistory, order_id: str = "1") -> list[str]:
    return [
        f"{entry.at - START} +{entry.since_before_s:g} {entry.who}: {entry.what}"
        for entry in timeline(order_id, events(shop))
    ]


def waiting(shop: ShopHistory, order_id: str = "1") -> Waiting | None:
    stream = streams.saga(order_id)
    return waiting_for(event for event in events(shop) if event.originator_id == stream)


def test_a_paid_order() -> None:
    shop = stocked()
    shop.placed("1", [(12, 3), (13, 1)])
    shop.paid("1")
    assert story(shop) == [
        "0:00:04 +0 customer 7: Cart filled with 2 goods, 4 units",
        "0:00:05 +1 customer 7: Order started: 2 goods, 4 units, amount 849; inventory to sell them",
        "0:00:05 +0 customer 7: Checkout begun: 2 goods, 4 units",
        "0:00:06 +1 order saga: Inventory sold 2 goods, 4 units",
        "0:00:07 +1 inventory: The stock is sold; payment awaited until 2026-11-23 14:30:07 UTC",
        "0:00:07 +0 inventory: Order placed: 2 goods, 4 units, amount 849",
        "0:00:07 +0 inventory: What was ordered left the cart: 2 goods, 4 units",
        "0:00:08 +1 user 3: Paid 849 by alipay, trade T-1",
        "0:00:08 +0 user 3: The end: paid",
    ]
    assert waiting(shop) is None


def test_a_refused_order() -> None:
    shop = stocked()
    shop.placed("1", [(12, 30), (13, 1)])
    assert story(shop)[3:] == [
        "0:00:06 +1 order saga: Inventory refused to sell: goods 12: 30 wanted, 10 on hand",
        "0:00:07 +1 inventory: Order refused: stock-short (goods 12: 30 wanted, 10 on hand)",
        "0:00:07 +0 inventory: The cart's lines can be ordered again",
    ]
    assert waiting(shop) is None


def test_an_order_that_was_refused_before_it_began() -> None:
    shop = stocked()
    shop.started("1", [(12, 30), (13, 1)], looked=True)
    assert story(shop) == [
        "0:00:04 +0 customer 7: Cart filled with 2 goods, 31 units",
        "0:00:05 +1 customer 7: Order of 2 goods, 31 units refused before it began, inventory not asked:"
        " goods 12: 30 wanted, 10 on hand",
    ]
    assert waiting(shop) is None


def test_a_refused_order_whose_id_is_barred_by_hand_days_later() -> None:
    shop = stocked()
    shop.placed("1", [(12, 30)])
    shop.now += timedelta(days=3)
    shop.tell(INVENTORY, Rollback("1"), "user-3")
    assert [line.partition(" +")[2] for line in story(shop)[3:]] == [
        "1 order saga: Inventory refused to sell: goods 12: 30 wanted, 10 on hand",
        "1 inventory: Order refused: stock-short (goods 12: 30 wanted, 10 on hand)",
        "0 inventory: The cart's lines can be ordered again",
        "259201 user 3: Inventory had sold nothing, and never will for this order id",
    ]


def test_an_order_that_was_given_up_before_its_refusal_was_heard() -> None:
    shop = stocked()
    shop.started("1", [(12, 30)])
    shop.tell(INVENTORY, Sell("1", (Line(12, 30),)), "order-saga")
    shop.now += SELL_DEADLINE
    shop.given_up("1")
    shop.rolled_back("1")
    assert story(shop)[3:] == [
        "0:00:06 +1 order saga: Inventory refused to sell: goods 12: 30 wanted, 10 on hand",
        "0:00:37 +31 watchdog: No answer from inventory in time; stock owed back",
        "0:00:37 +0 watchdog: The cart's lines can be ordered again",
        "0:00:38 +1 order saga: Inventory had sold nothing, and never will for this order id",
        "0:00:39 +1 inventory: There was no stock to give back; the end: closed",
    ]


def test_an_order_whose_payment_lapsed_and_that_is_paid_too_late() -> None:
    shop = stocked()
    shop.placed("1", [(12, 3)])
    shop.now = START + PAYMENT_WINDOW + timedelta(minutes=1)
    shop.lapsed("1")
    shop.rolled_back("1")
    shop.tell(ORDER, PayOrder("1", Payment("alipay", "T-9", 750, shop.now)), "user-3")
    assert story(shop)[7:] == [
        "0:31:00 +1853 watchdog: Payment window closed; stock owed back",
        "0:31:00 +0 watchdog: Order closed: payment-lapsed",
        "0:31:01 +1 order saga: Inventory took 1 goods, 3 units back",
        "0:31:02 +1 inventory: The stock is back; the end: closed",
        "0:31:03 +1 user 3: Paid 750 after the close, trade T-9; refund due",
    ]
    assert waiting(shop) is None


def test_an_order_cancelled_while_selling() -> None:
    shop = stocked()
    shop.started("1", [(12, 3)])
    shop.cancelled("1")
    shop.tell(INVENTORY, Sell("1", (Line(12, 3),)), "order-saga")
    shop.rolled_back("1")
    assert story(shop)[2:] == [
        "0:00:05 +0 customer 7: Checkout begun: 1 goods, 3 units",
        "0:00:06 +1 customer 7: Cancelled; stock owed back",
        "0:00:06 +0 customer 7: The cart's lines can be ordered again",
        "0:00:07 +1 order saga: Inventory sold 1 goods, 3 units",
        "0:00:08 +1 order saga: Inventory took 1 goods, 3 units back",
        "0:00:09 +1 inventory: The stock is back; the end: closed",
    ]


def test_an_order_that_inventory_never_answered() -> None:
    shop = stocked()
    shop.started("1", [(12, 3)])
    shop.tell(ORDER, NoteResend("1", shop.now, "no answer from inventory yet"), "watchdog")
    shop.now = START + SELL_DEADLINE + timedelta(minutes=1)
    shop.given_up("1")
    shop.rolled_back("1")
    assert story(shop)[3:] == [
        "0:00:06 +1 watchdog: Inventory asked again (try 1), next at 2026-11-23 14:00:08 UTC:"
        " no answer from inventory yet",
        "0:01:30 +84 watchdog: No answer from inventory in time; stock owed back",
        "0:01:30 +0 watchdog: The cart's lines can be ordered again",
        "0:01:31 +1 order saga: Inventory had sold nothing, and never will for this order id",
        "0:01:32 +1 inventory: There was no stock to give back; the end: closed",
    ]


def test_an_order_that_was_sold_for_an_account_that_was_closed_meanwhile() -> None:
    shop = stocked()
    shop.started("1", [(12, 3)])
    shop.account_closed()
    shop.sold("1")
    shop.rolled_back("1")
    assert story(shop)[3:] == [
        "0:00:07 +2 order saga: Inventory sold 1 goods, 3 units",
        "0:00:08 +1 inventory: Order refused although it was sold: account-closed; stock owed back",
        "0:00:09 +1 order saga: Inventory took 1 goods, 3 units back",
        "0:00:10 +1 inventory: The stock is back; the end: closed",
    ]


def test_what_an_operator_did_is_told_with_who_and_why() -> None:
    shop = stocked()
    shop.started("1", [(12, 3)])
    shop.retried("1", "the broker is back")
    shop.tell(ORDER, CompensateSaga("1", shop.now, "the customer called"), "operator-mary-jane")
    shop.rolled_back("1")
    assert story(shop)[3:] == [
        "0:00:06 +1 operator ann: Retry ordered: the broker is back",
        "0:00:07 +1 operator mary-jane: Compensation ordered; stock owed back: the customer called",
        "0:00:07 +0 operator mary-jane: The cart's lines can be ordered again",
        "0:00:08 +1 order saga: Inventory had sold nothing, and never will for this order id",
        "0:00:09 +1 inventory: There was no stock to give back; the end: closed",
    ]


def cancelled_when_placed(shop: ShopHistory) -> None:
    shop.placed("1", [(12, 3)])
    shop.cancelled("1")
    shop.rolled_back("1")


def sold_for_a_closed_account(shop: ShopHistory) -> None:
    shop.started("1", [(12, 3)])
    shop.account_closed()
    shop.sold("1")
    shop.rolled_back("1")


def compensated_when_placed(shop: ShopHistory) -> None:
    shop.placed("1", [(12, 3)])
    shop.compensated("1")
    shop.rolled_back("1")


@pytest.mark.parametrize(
    "happen", [cancelled_when_placed, sold_for_a_closed_account, compensated_when_placed]
)
@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_an_effect_is_never_told_before_its_cause_whatever_the_clocks_say(
    happen: Callable[[ShopHistory], None], seconds: int
) -> None:
    shop = stocked()
    happen(shop)
    right = [line.partition(": ")[2] for line in story(shop)]
    shop.logs["inventory"] = [
        recorded._replace(cause=recorded.cause._replace(at=recorded.cause.at + timedelta(seconds=seconds)))
        for recorded in shop.logs["inventory"]
    ]
    assert [line.partition(": ")[2] for line in story(shop)] == right


def test_each_entry_says_where_it_stands_and_what_caused_it() -> None:
    shop = stocked()
    shop.placed("1", [(12, 3), (13, 1)])
    sold = next(entry for entry in timeline("1", events(shop)) if entry.event == "Sold")
    assert (sold.log, sold.position, sold.command_id) == ("inventory", 3, "cmd-7")
    assert sold.detail == "goods 12: 3, now 7 on hand; goods 13: 1, now 9 on hand"


def test_only_what_was_put_in_the_cart_since_the_last_order_is_told() -> None:
    shop = stocked()
    shop.placed("1", [(12, 1)])
    shop.tell(ORDER, PutCartLine(7, CartLine(13, 5, checked=False)), "user-7")
    shop.tell(ORDER, RemoveCartLine(7, 13), "user-7")
    shop.placed("2", [(12, 2)])
    shop.placed("3", [(12, 3)], user_id=8)
    assert [line.partition(": ")[2] for line in story(shop, "2")][:4] == [
        "Cart: 5 units of goods 13, not checked",
        "Cart: goods 13 taken out",
        "Cart filled with 1 goods, 2 units",
        "Order started: 1 goods, 2 units, amount 500; inventory to sell them",
    ]


def test_what_other_orders_did_to_the_cart_is_not_told() -> None:
    shop = stocked()
    shop.placed("1", [(12, 30)])
    shop.placed("2", [(12, 1)])
    assert [line.partition(": ")[2] for line in story(shop, "2")][:4] == [
        "Cart filled with 1 goods, 30 units",
        "Cart filled with 1 goods, 1 unit",
        "Order started: 1 goods, 1 unit, amount 250; inventory to sell them",
        "Checkout begun: 1 goods, 1 unit",
    ]


def test_a_cart_that_was_emptied_is_told_as_that() -> None:
    shop = stocked()
    shop.tell(ORDER, PutCartLine(7, CartLine(13, 5, checked=True)), "user-7")
    shop.tell(ORDER, ReplaceCart(7, ()), "user-7")
    shop.started("1", [(12, 1)])
    assert [line.partition(": ")[2] for line in story(shop)][:3] == [
        "Cart: 5 units of goods 13",
        "Cart emptied",
        "Cart filled with 1 goods, 1 unit",
    ]


def test_a_cart_that_was_changed_while_its_order_was_under_way_loses_nothing() -> None:
    shop = stocked()
    shop.started("1", [(12, 1)])
    shop.tell(ORDER, ReplaceCart(7, (CartLine(12, 2, checked=True),)), "user-7")
    shop.sold("1")
    assert story(shop)[-1].partition(": ")[2] == "The cart was changed meanwhile: nothing of it left"


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        (MAX_CART_ENTRIES - 1, ""),
        (MAX_CART_ENTRIES, "after 1 change before"),
        (MAX_CART_ENTRIES + 1, "after 2 changes before"),
    ],
)
def test_changes_that_are_left_out_are_counted(changes: int, detail: str) -> None:
    shop = stocked()
    for nums in range(1, changes + 1):
        shop.tell(ORDER, PutCartLine(7, CartLine(13, nums, checked=True)), "user-7")
    shop.started("1", [(12, 1)])
    assert timeline("1", events(shop))[0].detail == detail


def test_a_cart_that_was_changed_very_often_is_told_in_short() -> None:
    shop = stocked()
    for nums in range(1, 101):
        shop.tell(ORDER, PutCartLine(7, CartLine(13, nums, checked=True)), "user-7")
    shop.placed("1", [(12, 1)])
    entries = timeline("1", events(shop))
    assert len([entry for entry in entries if entry.event.startswith("Cart")]) == MAX_CART_ENTRIES
    assert entries[0].detail == "after 81 changes before"


def test_an_unknown_order_has_no_story() -> None:
    shop = stocked()
    shop.placed("1", [(12, 1)])
    assert timeline("2", events(shop)) == ()


def test_a_sale_by_hand_is_told_without_an_order() -> None:
    shop = stocked()
    shop.tell(INVENTORY, Sell("900", (Line(12, 1),)), "user-3")
    shop.tell(INVENTORY, Rollback("900"), "user-3")
    assert story(shop, "900") == [
        "0:00:04 +0 user 3: Inventory sold 1 goods, 1 unit",
        "0:00:05 +1 user 3: Inventory took 1 goods, 1 unit back",
    ]


# what an unfinished order waits for


def test_a_selling_order_waits_for_inventory_and_says_how_often_it_was_asked() -> None:
    shop = stocked()
    shop.started("1", [(12, 3)])
    began = shop.now - timedelta(seconds=1)
    what = "inventory's answer whether it sold 1 goods, 3 units"
    assert waiting(shop) == Waiting(what, began, began + timedelta(seconds=1), 0, None)
    asked = shop.now
    shop.tell(ORDER, NoteResend("1", asked, "no answer from inventory yet"), "watchdog")
    again = Waiting(what, began, asked + timedelta(seconds=2), 1, "no answer from inventory yet")
    assert waiting(shop) == again


def test_a_placed_order_waits_for_its_payment() -> None:
    shop = stocked()
    shop.placed("1", [(12, 3)])
    began = shop.now - timedelta(seconds=1)
    what = "payment of 750 before 2026-11-23 14:30:07 UTC"
    assert waiting(shop) == Waiting(what, began, began + PAYMENT_WINDOW, 0, None)


def test_a_cancelled_order_waits_for_its_stock_to_be_given_back() -> None:
    shop = stocked()
    shop.placed("1", [(12, 3)])
    shop.cancelled("1")
    began = shop.now - timedelta(seconds=1)
    what = "inventory to give 1 goods, 3 units back"
    assert waiting(shop) == Waiting(what, began, began + timedelta(seconds=1), 0, None)
