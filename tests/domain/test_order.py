"""Order: paid once, closed once, and money that comes too late is a refund due."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.order import (
    NONE,
    Contact,
    Order,
    OrderClosed,
    OrderLine,
    OrderPaid,
    OrderPlaced,
    OrderStatus,
    Payment,
    PayOrder,
    Placed,
    RefundDue,
    decide_pay,
    evolve,
)
from domain.refusals import AlreadyPaid, NoSuchOrder, WrongAmount

AT = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
PLACED = Placed(
    order_id="7",
    user_id=3,
    lines=(OrderLine(12, "mug", 250, 2),),
    amount=500,
    contact=Contact("1 High Street", "Ann", "07700 900000", "N1"),
    at=AT,
    pay_before=AT + timedelta(minutes=30),
)
PAYMENT = Payment("alipay", "T-1", 500, AT)
OTHER = replace(PAYMENT, trade_id="T-2")
TO_PAY = Order(OrderStatus.TO_PAY, PLACED)
PAID = Order(OrderStatus.PAID, PLACED, PAYMENT)
CLOSED = Order(OrderStatus.CLOSED, PLACED, close_reason="payment-lapsed")


def test_a_placed_order_waits_for_its_payment() -> None:
    assert evolve(NONE, OrderPlaced(PLACED)) == TO_PAY


def test_the_right_amount_pays_the_order() -> None:
    assert decide_pay(TO_PAY, PayOrder("7", PAYMENT)) == (OrderPaid(PAYMENT),)
    assert evolve(TO_PAY, OrderPaid(PAYMENT)) == PAID


@pytest.mark.parametrize("amount", [0, 499, 501, -500])
def test_a_wrong_amount_is_refused_and_both_amounts_named(amount: int) -> None:
    with pytest.raises(WrongAmount) as refusal:
        decide_pay(TO_PAY, PayOrder("7", replace(PAYMENT, amount=amount)))
    assert refusal.value.facts == {"expected": 500, "got": amount}


def test_the_same_trade_again_records_nothing() -> None:
    assert decide_pay(PAID, PayOrder("7", PAYMENT)) == ()


def test_the_same_trade_again_records_nothing_whatever_else_it_says() -> None:
    assert decide_pay(PAID, PayOrder("7", replace(PAYMENT, amount=1, pay_type="wechat"))) == ()


def test_a_second_trade_for_a_paid_order_is_refused() -> None:
    with pytest.raises(AlreadyPaid):
        decide_pay(PAID, PayOrder("7", OTHER))


@pytest.mark.parametrize("amount", [500, 1])
def test_a_payment_after_the_close_is_a_refund_due_and_the_order_stays_closed(amount: int) -> None:
    late = replace(PAYMENT, amount=amount)
    events = decide_pay(CLOSED, PayOrder("7", late))

    assert events == (RefundDue(late),)
    assert evolve(CLOSED, events[0]) == CLOSED._replace(refunds=(late,))


def test_the_same_late_trade_again_is_one_refund() -> None:
    owed = evolve(CLOSED, RefundDue(PAYMENT))

    assert decide_pay(owed, PayOrder("7", PAYMENT)) == ()


def test_two_late_trades_are_two_refunds() -> None:
    owed = evolve(CLOSED, RefundDue(PAYMENT))

    assert decide_pay(owed, PayOrder("7", OTHER)) == (RefundDue(OTHER),)
    assert evolve(owed, RefundDue(OTHER)).refunds == (PAYMENT, OTHER)


def test_an_order_that_was_never_placed_cannot_be_paid() -> None:
    with pytest.raises(NoSuchOrder):
        decide_pay(NONE, PayOrder("7", PAYMENT))


def test_a_close_says_why() -> None:
    assert evolve(TO_PAY, OrderClosed("payment-lapsed")) == CLOSED
