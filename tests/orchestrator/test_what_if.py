"""Where nothing is different the simulated world is the recorded one; where something is, what follows."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import streams
from domain.cart import CartLine, PutCartLine
from domain.goods import Offer
from domain.order import OrderPlaced
from domain.recorded import Cause, Recorded
from domain.refusals import Short
from domain.saga import DenySell, OrderStarted, StartOrder
from domain.sale import Line, Rollback, Sell
from domain.services import INVENTORY, ORDER
from domain.stock import AdjustStock
from orchestrator.audit import walk
from orchestrator.audit_orders import OrdersAddUp
from orchestrator.audit_pairs import Books, compare
from orchestrator.audit_sagas import SagasMoveLegally
from orchestrator.audit_sales import SalesMoveTheirStock
from orchestrator.audit_stock import StockAddsUp
from orchestrator.commands_recorded import NOWHERE
from orchestrator.what_if import Worlds, simulate
from orchestrator.what_if_outcomes import GoodsChange, Outcome, goods_changes, order_changes
from orchestrator.what_if_rule import Purchase, Rule, RuleFailed
from orchestrator.what_if_saga import Changes
from tests.orchestrator.test_audit_histories import MAX_STEPS, shop_of, steps
from tests.orchestrator.test_redecide import EVERYTHING
from tests.shop_history import CONTACT, PAYMENT_WINDOW, SELL_DEADLINE, START, ShopHistory

NOTHING = Changes()
MINUTE = timedelta(minutes=1)
Steps = list[tuple[str, str, tuple[tuple[int, int], ...]]]


def run(shop: ShopHistory, changes: Changes = NOTHING) -> Worlds:
    return simulate(shop.logs["order"], shop.logs["inventory"], changes)


def simulated(shop: ShopHistory, changes: Changes = NOTHING) -> dict[str, list[tuple[str, Any]]]:
    """What each of the two logs would hold."""
    logs: dict[str, list[tuple[str, Any]]] = {"order": [], "inventory": []}

    def hear(stream: str, event: Any) -> None:
        is_stock = streams.category(stream) in INVENTORY.categories and streams.category(stream) != "key"
        logs["inventory" if is_stock else "order"].append((stream, event))

    simulate(shop.logs["order"], shop.logs["inventory"], changes, hear)
    return logs


def recorded(shop: ShopHistory) -> dict[str, list[tuple[str, Any]]]:
    """The same of what was recorded, without addresses and keys."""
    return {
        log: [
            (one.originator_id, _without_address(one.event))
            for one in shop.logs[log]
            if streams.category(one.originator_id) != "key"
        ]
        for log in ("order", "inventory")
    }


def _without_address(event: Any) -> Any:
    if isinstance(event, OrderStarted):
        return replace(event, contact=NOWHERE)
    if isinstance(event, OrderPlaced):
        return OrderPlaced(replace(event.placed, contact=NOWHERE))
    return event


def changed(worlds: Worlds) -> dict[str, tuple[Outcome, Outcome]]:
    return {one.order_id: (one.before, one.after) for one in order_changes(worlds.recorded, worlds.simulated)}


def stocked(units: int = 5) -> ShopHistory:
    shop = ShopHistory()
    shop.stocked(11, units)
    return shop


# nothing is different


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, min_size=MAX_STEPS // 4, max_size=MAX_STEPS))
def test_with_nothing_changed_the_same_events_are_recorded(history: Steps) -> None:
    shop = shop_of(history)
    assert simulated(shop) == recorded(shop)


@settings(max_examples=50, deadline=None)
@given(st.lists(steps, min_size=MAX_STEPS // 4, max_size=MAX_STEPS))
def test_the_settings_that_there_were_change_nothing(history: Steps) -> None:
    shop = shop_of(history)
    same = Changes(PAYMENT_WINDOW, SELL_DEADLINE, rule=lambda _: None)
    assert simulated(shop, same) == recorded(shop)


def test_a_history_of_everything_is_the_same_again() -> None:
    assert simulated(EVERYTHING) == recorded(EVERYTHING)
    worlds = run(EVERYTHING)
    assert worlds.recorded.totals() == worlds.simulated.totals()
    assert not changed(worlds)
    assert not list(goods_changes(worlds.recorded, worlds.simulated))


def test_clocks_that_disagree_change_nothing() -> None:
    for seconds in (-40, 40):
        inventory = [
            one._replace(cause=one.cause._replace(at=one.cause.at + timedelta(seconds=seconds)))
            for one in EVERYTHING.logs["inventory"]
        ]
        worlds = simulate(EVERYTHING.logs["order"], inventory, NOTHING)
        assert not changed(worlds)
        assert worlds.recorded.totals() == worlds.simulated.totals()


def test_an_answer_that_is_heard_after_somebody_barred_the_order_is_the_one_that_was_given() -> None:
    shop = stocked()
    shop.started("1", [(11, 9)])
    shop.tell(INVENTORY, Sell("1", (Line(11, 9),)), "order-saga")
    shop.tell(INVENTORY, Rollback("1"), "user-3")
    shop.tell(ORDER, DenySell("1", "stock-short", (Short(11, 9, 5),)), "inventory")

    assert simulated(shop) == recorded(shop)


# whatever is different


@settings(max_examples=100, deadline=None)
@given(
    st.lists(steps, min_size=MAX_STEPS // 4, max_size=MAX_STEPS),
    st.integers(1, 7200),
    st.integers(1, 7200),
    st.integers(1, 12),
)
def test_whatever_is_changed_the_books_of_the_simulated_world_balance(
    history: Steps, window: int, deadline: int, most: int
) -> None:
    changes = Changes(timedelta(seconds=window), timedelta(seconds=deadline), at_most(most))
    logs = {log: versioned(written) for log, written in simulated(shop_of(history), changes).items()}
    orders, sales = OrdersAddUp(), SalesMoveTheirStock()
    sagas = SagasMoveLegally(orders.facts)
    assert [
        *walk(logs["order"], [orders, sagas]),
        *walk(logs["inventory"], [StockAddsUp(), sales]),
        *compare(Books(orders.facts, sagas.facts, sales.facts)),
    ] == []


def versioned(written: list[tuple[str, Any]]) -> list[Recorded]:
    versions = Counter[str]()
    log = []
    for position, (stream, event) in enumerate(written, 1):
        versions[stream] += 1
        order_id = getattr(event, "order_id", streams.key_of(stream))
        cause = Cause(f"of order {order_id}", "somebody", order_id, START)
        log.append(Recorded(stream, versions[stream], event, cause, position))
    return log


def at_most(units: int) -> Rule:
    def limit(order: Purchase) -> str | None:
        over = [x for x in order.lines if order.units_before(x.goods_id) + x.nums > units]
        return f"at most {units} of goods {over[0].goods_id}" if over else None

    return limit


# another payment window


def test_a_payment_after_the_shorter_window_is_a_refund_due() -> None:
    shop = stocked()
    shop.placed("1", [(11, 2)])
    shop.now += 10 * MINUTE
    shop.paid("1")

    worlds = run(shop, Changes(payment_window=5 * MINUTE))

    assert changed(worlds) == {"1": (Outcome("paid"), Outcome("closed", "payment-lapsed", 500))}
    assert list(goods_changes(worlds.recorded, worlds.simulated)) == [GoodsChange(11, 3, 5)]
    before, after = worlds.recorded.totals(), worlds.simulated.totals()
    assert (before.revenue_paid, before.refunds_due, before.units_returned) == (500, 0, 0)
    assert (after.revenue_paid, after.refunds_due, after.units_returned) == (0, 500, 2)
    assert (before.orders, after.orders) == ({"paid": 1}, {"closed": 1})


def lapsed_then_paid() -> ShopHistory:
    shop = stocked()
    shop.placed("1", [(11, 2)])
    shop.now += 31 * MINUTE
    shop.lapsed("1")
    shop.rolled_back("1")
    shop.now += 9 * MINUTE
    shop.paid("1")
    return shop


def test_a_payment_that_was_late_is_in_time_with_a_longer_window() -> None:
    worlds = run(lapsed_then_paid(), Changes(payment_window=60 * MINUTE))
    assert changed(worlds) == {"1": (Outcome("closed", "payment-lapsed", 500), Outcome("paid"))}


def test_a_payment_that_is_late_all_the_same_stays_a_refund_due() -> None:
    assert changed(run(lapsed_then_paid(), Changes(payment_window=35 * MINUTE))) == {}


def test_units_that_come_back_earlier_serve_another_order() -> None:
    shop = stocked()
    shop.placed("1", [(11, 5)])
    shop.now += 20 * MINUTE
    shop.placed("2", [(11, 3)], user_id=8)
    shop.now += 11 * MINUTE
    shop.lapsed("1")
    shop.rolled_back("1")

    worlds = run(shop, Changes(payment_window=15 * MINUTE))

    before = Outcome("refused", "stock-short", short=(Short(11, 3, 0),))
    assert changed(worlds) == {"2": (before, Outcome("to pay"))}
    assert list(goods_changes(worlds.recorded, worlds.simulated)) == [GoodsChange(11, 5, 2)]


def test_orders_before_since_keep_the_window_they_had() -> None:
    shop = stocked(9)
    for order_id in ("1", "2"):
        shop.placed(order_id, [(11, 2)])
        shop.now += 10 * MINUTE
        shop.paid(order_id)

    worlds = run(shop, Changes(payment_window=5 * MINUTE, since=START + 10 * MINUTE))

    assert changed(worlds) == {"2": (Outcome("paid"), Outcome("closed", "payment-lapsed", 500))}


def test_an_order_refused_from_inventorys_books_is_placed_where_they_would_have_shown_enough() -> None:
    shop = stocked()
    shop.placed("1", [(11, 4)])
    shop.now += 20 * MINUTE
    shop.started("2", [(11, 3)], looked=True)

    worlds = run(shop, Changes(payment_window=15 * MINUTE))

    before = Outcome("refused", "stock-short", short=(Short(11, 3, 1),))
    assert changed(worlds)["2"] == (before, Outcome("to pay"))
    assert list(goods_changes(worlds.recorded, worlds.simulated)) == [GoodsChange(11, 1, 2)]


def test_an_order_refused_from_inventorys_books_that_have_changed_since_is_refused_again() -> None:
    """They were read before the delivery, and the refusal was recorded after it."""
    shop = stocked()
    shop.started("1", [(11, 9)], looked=True)
    denied = shop.logs["order"][-2:]
    shop.logs["order"][-2:] = [one._replace(cause=one.cause._replace(at=shop.now + MINUTE)) for one in denied]
    shop.tell(INVENTORY, AdjustStock(11, 20, "delivery", goods_exist=True))

    assert simulated(shop) == recorded(shop)
    assert changed(run(shop)) == {}


# another deadline of inventory


def test_an_answer_after_the_shorter_deadline_comes_too_late() -> None:
    shop = stocked()
    shop.started("1", [(11, 2)])
    shop.now += timedelta(seconds=10)
    shop.sold("1")
    shop.paid("1")

    worlds = run(shop, Changes(sell_deadline=timedelta(seconds=5)))

    assert changed(worlds) == {"1": (Outcome("paid"), Outcome("closed", "sell-unanswered"))}
    assert list(goods_changes(worlds.recorded, worlds.simulated)) == [GoodsChange(11, 3, 5)]


def test_with_a_longer_deadline_an_order_waits_until_inventory_answers() -> None:
    shop = stocked()
    shop.started("1", [(11, 2)])
    shop.now += timedelta(seconds=31)
    shop.given_up("1")
    shop.now += timedelta(seconds=60)
    shop.rolled_back("1")

    waited = changed(run(shop, Changes(sell_deadline=timedelta(seconds=120))))
    not_long_enough = changed(run(shop, Changes(sell_deadline=timedelta(seconds=60))))

    assert waited == {"1": (Outcome("closed", "sell-unanswered"), Outcome("to pay"))}
    assert not_long_enough == {}


# a rule


def test_a_limit_for_each_customer_refuses_what_is_over_it_and_frees_the_units() -> None:
    shop = stocked(5)
    shop.placed("1", [(11, 3)])
    shop.paid("1")
    shop.placed("2", [(11, 2)])
    shop.paid("2")
    shop.placed("3", [(11, 1)], user_id=8)

    worlds = run(shop, Changes(rule=at_most(4)))

    assert changed(worlds) == {
        "2": (Outcome("paid"), Outcome("not started", "at most 4 of goods 11")),
        "3": (Outcome("refused", "stock-short", short=(Short(11, 1, 0),)), Outcome("to pay")),
    }
    assert worlds.simulated.totals().revenue_paid == 750


def test_what_was_closed_counts_no_more_against_the_limit() -> None:
    shop = stocked(9)
    shop.placed("1", [(11, 3)])
    shop.cancelled("1")
    shop.rolled_back("1")
    shop.placed("2", [(11, 3)])

    assert changed(run(shop, Changes(rule=at_most(4)))) == {}


def test_a_customer_whose_order_was_refused_orders_the_next_lines_all_the_same() -> None:
    """The refused lines are still in the cart, but they are not what the next order was meant for."""
    shop = stocked(9)
    shop.stocked(12, 9)
    shop.placed("1", [(11, 5)])
    shop.tell(ORDER, PutCartLine(7, CartLine(12, 1, checked=True)))
    offers = (Offer(12, "goods 12", 250, for_sale=True),)
    shop.tell(ORDER, StartOrder("2", 7, offers, CONTACT, shop.now, shop.now + SELL_DEADLINE))
    shop.sold("2")

    assert changed(run(shop, Changes(rule=at_most(4)))) == {
        "1": (Outcome("to pay"), Outcome("not started", "at most 4 of goods 11"))
    }


@pytest.mark.parametrize(
    ("answer", "told"),
    [(True, "gave True for order 1"), ("", "gave '' for order 1"), (7, "gave 7 for order 1")],
)
def test_a_rule_that_gives_nonsense_is_told_with_its_order(answer: Any, told: str) -> None:
    shop = stocked()
    shop.placed("1", [(11, 2)])
    with pytest.raises(RuleFailed, match=told):
        run(shop, Changes(rule=lambda _: answer))


def test_a_rule_that_breaks_is_told_with_its_order() -> None:
    def broken(order: Purchase) -> str | None:
        return str(order.amount // order.orders_before)

    shop = stocked()
    shop.placed("1", [(11, 2)])
    with pytest.raises(RuleFailed, match="broke at order 1: ZeroDivisionError"):
        run(shop, Changes(rule=broken))
