"""The services: what each command reads and what one commit holds; no commit spans two logs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain import saga, sale, user
from domain.cart import CheckedOut
from domain.order import Contact, OrderClosed, OrderLine, OrderPaid, OrderPlaced, Payment, PayOrder, RefundDue
from domain.refusals import NoSuchGoods
from domain.saga import (
    CancelOrder,
    ConfirmSell,
    LapsePayment,
    OrderCancelled,
    OrderStarted,
    PaymentLapsed,
    PaymentTaken,
    SellConfirmed,
)
from domain.sale import Line, Rollback, Sell
from domain.service import Service, Written
from domain.services import INVENTORY, ORDER, SERVICES, USER
from domain.stock import SetInv, SetInvMany, StockSet
from tests.shop_history import ShopHistory

AT = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
PAY_BEFORE = AT + timedelta(minutes=30)
STARTED = OrderStarted(
    "7", 3, (OrderLine(12, "mug", 250, 2),), 500, Contact("1 High Street", "Ann", "07700", "N1"), AT, AT
)
PAYMENT = Payment("alipay", "T-1", 500, AT)


def decided(service: Service, command: Any, states: dict[str, Any]) -> Written:
    rule = service.rules[type(command)]
    names = list(rule.reads(command))
    known = {name: states.get(name, service.initial(name)) for name in names}
    more = {name: states.get(name, service.initial(name)) for name in rule.reads_then(command, known)}
    return rule.decide(command, known | more)


def folded(service: Service, stream: str, *events: Any) -> Any:
    state = service.initial(stream)
    for event in events:
        state = service.evolve(stream, state, event)
    return state


def order_states(*written: tuple[str, Any]) -> dict[str, Any]:
    states: dict[str, Any] = {}
    for stream, event in (("saga-7", STARTED), *written):
        states[stream] = ORDER.evolve(stream, states.get(stream, ORDER.initial(stream)), event)
    return states


PLACED = decided(ORDER, ConfirmSell("7", AT, PAY_BEFORE), order_states())


def test_sold_writes_saga_order_and_cart_in_one_commit() -> None:
    assert [(stream, type(event)) for stream, event in PLACED] == [
        ("saga-7", SellConfirmed),
        ("order-7", OrderPlaced),
        ("cart-3", CheckedOut),
    ]


def test_a_payment_pays_the_order_and_moves_the_saga_in_one_commit() -> None:
    assert decided(ORDER, PayOrder("7", PAYMENT), order_states(*PLACED)) == (
        ("order-7", OrderPaid(PAYMENT)),
        ("saga-7", PaymentTaken()),
    )


def test_a_late_payment_is_recorded_and_leaves_the_saga_alone() -> None:
    closed = order_states(*PLACED, ("saga-7", PaymentLapsed()), ("order-7", OrderClosed("payment-lapsed")))
    late = replace(PAYMENT, at=PAY_BEFORE)

    assert decided(ORDER, PayOrder("7", late), closed) == (("order-7", RefundDue(late)),)


def test_a_lapse_closes_the_order_and_moves_the_saga_in_one_commit() -> None:
    assert decided(ORDER, LapsePayment("7", PAY_BEFORE), order_states(*PLACED)) == (
        ("saga-7", PaymentLapsed()),
        ("order-7", OrderClosed("payment-lapsed")),
    )


def test_a_cancel_closes_the_order_and_moves_the_saga_in_one_commit() -> None:
    assert decided(ORDER, CancelOrder("7"), order_states(*PLACED)) == (
        ("saga-7", OrderCancelled()),
        ("order-7", OrderClosed("cancelled")),
    )


def test_a_cancel_before_the_sale_is_known_moves_the_saga_only() -> None:
    assert decided(ORDER, CancelOrder("7"), order_states()) == (("saga-7", OrderCancelled()),)


def test_payment_and_close_write_the_same_streams_so_one_of_them_comes_first() -> None:
    states = order_states(*PLACED)
    paid = {stream for stream, _ in decided(ORDER, PayOrder("7", PAYMENT), states)}
    closed = {stream for stream, _ in decided(ORDER, LapsePayment("7", PAY_BEFORE), states)}

    assert paid == closed == {"order-7", "saga-7"}


def test_a_sell_reads_the_sale_and_each_stock_once() -> None:
    command = Sell("7", (Line(12, 1), Line(13, 1), Line(12, 4)))

    assert list(INVENTORY.rules[Sell].reads(command)) == ["sale-7", "stock-12", "stock-13"]


def test_a_rollback_reads_the_stock_that_its_sale_names() -> None:
    sold = {"sale-7": folded(INVENTORY, "sale-7", sale.Sold((Line(12, 2), Line(13, 1))))}

    assert list(INVENTORY.rules[Rollback].reads_then(Rollback("7"), sold)) == ["stock-12", "stock-13"]


def test_setting_many_is_all_or_none() -> None:
    some = SetInvMany((SetInv(12, 5, goods_exist=True), SetInv(13, 6, goods_exist=False)))
    all_known = SetInvMany((SetInv(12, 5, goods_exist=True), SetInv(13, 0, goods_exist=True)))

    with pytest.raises(NoSuchGoods):
        decided(INVENTORY, some, {})
    assert decided(INVENTORY, all_known, {}) == (("stock-12", StockSet(5, 0)), ("stock-13", StockSet(0, 0)))


def test_setting_the_same_goods_twice_at_once_keeps_the_running_balance() -> None:
    twice = SetInvMany((SetInv(12, 5, goods_exist=True), SetInv(12, 7, goods_exist=True)))
    level = 0
    for _, event in decided(INVENTORY, twice, {}):
        assert event.before == level
        level = event.on_hand


def test_two_registrations_of_one_email_meet_in_the_same_stream() -> None:
    ann = user.RegisterUser(1, "ann@example.org", "d1", "ann", None, user.Role.CUSTOMER, "$h")
    bob = replace(ann, user_id=2)

    written = [{stream for stream, _ in decided(USER, command, {})} for command in (ann, bob)]
    assert written[0] & written[1] == {"email-d1"}


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.log)
def test_the_first_states_are_shared_so_they_are_frozen(service: Service) -> None:
    for category in service.categories.values():
        assert type(category.initial).__dataclass_params__.frozen


def test_a_whole_order_in_both_logs() -> None:
    shop = ShopHistory()
    shop.stocked(12, 5)
    shop.placed("7", [(12, 2)])
    shop.paid("7")
    shop.placed("8", [(12, 3)])
    shop.cancelled("8")
    shop.rolled_back("8")
    shop.started("9", [(12, 4)])
    shop.sold("9")

    assert shop.state(INVENTORY, "stock-12").on_hand == 3
    steps = [shop.state(ORDER, f"saga-{order_id}").step for order_id in ("7", "8", "9")]
    assert steps == [saga.Step.PAID, saga.Step.CLOSED, saga.Step.REFUSED]
