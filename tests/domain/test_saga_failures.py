"""Whole stories of orders that go wrong, over both services: where the stock is in the end."""

from contextlib import nullcontext
from datetime import timedelta

import pytest

from domain.order import Order, OrderStatus, Payment, PayOrder
from domain.refusals import AlreadyPaid, AlreadyReturned, NoSuchOrder, NothingOwed, OrderAlreadyClosed
from domain.saga import ConfirmSell, Saga, Step
from domain.saga_owed import owed
from domain.saga_timing import wake, wakes_at
from domain.sale import Line, Rollback, SaleStatus, Sell
from domain.services import INVENTORY, ORDER
from tests.shop_history import PAYMENT_WINDOW, SELL_DEADLINE, START, ShopHistory

ACTS = ("cancelled", "compensated", "account_closed")
SELL = Sell("1", (Line(12, 3),))


@pytest.fixture
def shop() -> ShopHistory:
    """Ten units of goods 12; order 1 wants three of them and was started at START."""
    shop = ShopHistory()
    shop.stocked(12, 10)
    shop.now = START - timedelta(seconds=1)
    shop.started("1", [(12, 3)])
    return shop


def on_hand(shop: ShopHistory) -> int:
    level: int = shop.state(INVENTORY, "stock-12").on_hand
    return level


def saga_of(shop: ShopHistory) -> Saga:
    saga: Saga = shop.state(ORDER, "saga-1")
    return saga


def order_of(shop: ShopHistory) -> Order:
    order: Order = shop.state(ORDER, "order-1")
    return order


def pay(shop: ShopHistory, trade_id: str = "T-1") -> None:
    shop.tell(ORDER, PayOrder("1", Payment("alipay", trade_id, 750, shop.now)), "user-3")


# the limit in time of a Sell


def test_a_sell_is_sent_again_with_growing_pauses_and_given_up_at_its_deadline(shop: ShopHistory) -> None:
    done: list[tuple[float, str]] = []
    while saga_of(shop).step is Step.SELLING:
        at = wakes_at(saga_of(shop), START)
        assert at is not None
        command = wake(saga_of(shop), at)
        shop.now = at
        shop.tell(ORDER, command, "watchdog")
        done.append(((at - START).total_seconds(), type(command).__name__))

    resends = [(seconds, "NoteResend") for seconds in (1, 3, 7, 15)]
    assert done == [*resends, (30, "GiveUpSelling")]


def test_a_rollback_has_no_deadline_and_is_sent_until_it_is_answered(shop: ShopHistory) -> None:
    shop.cancelled("1")
    for _ in range(200):
        at = wakes_at(saga_of(shop), shop.now)
        assert at is not None
        shop.now = at
        shop.tell(ORDER, wake(saga_of(shop), at), "watchdog")

    assert (saga_of(shop).tries, owed(saga_of(shop))) == (200, Rollback("1"))
    shop.rolled_back("1")
    assert saga_of(shop).step is Step.CLOSED


def test_a_sold_that_is_heard_at_the_very_deadline_still_places_the_order(shop: ShopHistory) -> None:
    shop.tell(INVENTORY, SELL, "order-saga")
    shop.now = START + SELL_DEADLINE
    shop.heard("1")
    command = wake(saga_of(shop), START + SELL_DEADLINE)

    assert (order_of(shop).status, command) == (OrderStatus.TO_PAY, None)


def test_a_sold_that_is_heard_after_the_deadline_was_kept_changes_nothing(shop: ShopHistory) -> None:
    shop.tell(INVENTORY, SELL, "order-saga")
    shop.now = START + SELL_DEADLINE
    shop.given_up("1")
    assert shop.tell(ORDER, ConfirmSell("1", shop.now, shop.now + PAYMENT_WINDOW)) == ()
    shop.rolled_back("1")

    assert (saga_of(shop).step, order_of(shop).status, on_hand(shop)) == (Step.CLOSED, OrderStatus.NONE, 10)


# a Sell behind its Rollback


def test_a_sell_that_comes_after_its_rollback_sells_nothing(shop: ShopHistory) -> None:
    shop.cancelled("1")
    shop.rolled_back("1")
    with pytest.raises(AlreadyReturned):
        shop.tell(INVENTORY, SELL, "order-saga")

    assert (on_hand(shop), saga_of(shop).step) == (10, Step.CLOSED)
    assert shop.state(INVENTORY, "sale-1").status is SaleStatus.BARRED


# cancelling, compensating and closing the account, at every step


def bring_to(shop: ShopHistory, step: Step) -> None:
    if step in (Step.AWAITING_PAYMENT, Step.PAID):
        shop.sold("1")
    if step is Step.PAID:
        shop.paid("1")
    if step is Step.REFUSED:
        shop.stocked(12, 2)
        shop.sold("1")
        shop.stocked(12, 10)
    if step in (Step.ROLLING_BACK, Step.CLOSED):
        shop.now = START + SELL_DEADLINE
        shop.given_up("1")
    if step is Step.CLOSED:
        shop.rolled_back("1")
    assert saga_of(shop).step is step


def heal(shop: ShopHistory) -> None:
    """Inventory answers everything that is owed."""
    if saga_of(shop).step is Step.SELLING:
        shop.sold("1")
    if saga_of(shop).step is Step.ROLLING_BACK:
        shop.rolled_back("1")


REFUSED = {
    ("cancelled", Step.PAID): AlreadyPaid,
    ("cancelled", Step.REFUSED): NoSuchOrder,
    ("cancelled", Step.ROLLING_BACK): OrderAlreadyClosed,
    ("cancelled", Step.CLOSED): OrderAlreadyClosed,
    ("compensated", Step.PAID): AlreadyPaid,
    ("compensated", Step.REFUSED): NothingOwed,
    ("compensated", Step.CLOSED): OrderAlreadyClosed,
}
"""What is refused; all else is done, or was done before."""

ENDS = {
    ("account_closed", Step.AWAITING_PAYMENT): (Step.AWAITING_PAYMENT, OrderStatus.TO_PAY, 7),
    **{(act, Step.PAID): (Step.PAID, OrderStatus.PAID, 7) for act in ACTS},
    **{(act, Step.REFUSED): (Step.REFUSED, OrderStatus.NONE, 10) for act in ACTS},
    **{(act, Step.AWAITING_PAYMENT): (Step.CLOSED, OrderStatus.CLOSED, 10) for act in ACTS[:2]},
}
"""Saga, order and stock in the end; where nothing is said: closed, never placed, and all stock back."""


@pytest.mark.parametrize("step", [step for step in Step if step is not Step.NEW])
@pytest.mark.parametrize("act", ACTS)
def test_whatever_is_done_at_whatever_step_the_stock_is_where_it_belongs(
    shop: ShopHistory, act: str, step: Step
) -> None:
    bring_to(shop, step)
    refusal = REFUSED.get((act, step))
    with pytest.raises(refusal) if refusal else nullcontext():
        shop.account_closed() if act == "account_closed" else getattr(shop, act)("1")
    heal(shop)

    end = (saga_of(shop).step, order_of(shop).status, on_hand(shop))
    assert end == ENDS.get((act, step), (Step.CLOSED, OrderStatus.NONE, 10))


@pytest.mark.parametrize("act", ["cancelled", "compensated"])
def test_a_sold_on_its_way_when_the_order_is_given_up_changes_nothing_and_goes_back(
    shop: ShopHistory, act: str
) -> None:
    shop.tell(INVENTORY, SELL, "order-saga")
    getattr(shop, act)("1")
    before = saga_of(shop)
    shop.heard("1")

    assert (saga_of(shop), on_hand(shop)) == (before, 7)
    shop.rolled_back("1")
    assert (saga_of(shop).step, order_of(shop).status, on_hand(shop)) == (Step.CLOSED, OrderStatus.NONE, 10)


# payment meets the close, at the very moment at which the window ends


def close_by(shop: ShopHistory, how: str) -> None:
    {"lapsed": shop.lapsed, "cancelled": shop.cancelled, "compensated": shop.compensated}[how]("1")


@pytest.fixture
def at_the_end(shop: ShopHistory) -> ShopHistory:
    """The payment window of order 1 ends now."""
    shop.sold("1")
    pay_before = saga_of(shop).pay_before
    assert pay_before is not None
    shop.now = pay_before
    return shop


@pytest.mark.parametrize("how", ["cancelled", "compensated"])
def test_a_payment_that_comes_first_is_kept_and_the_close_is_told_so(
    at_the_end: ShopHistory, how: str
) -> None:
    pay(at_the_end)
    with pytest.raises(AlreadyPaid):
        close_by(at_the_end, how)

    assert (saga_of(at_the_end).step, order_of(at_the_end).status) == (Step.PAID, OrderStatus.PAID)


def test_a_payment_in_the_last_moment_that_comes_first_is_kept_and_nothing_lapses(
    at_the_end: ShopHistory,
) -> None:
    end = at_the_end.now
    pay(at_the_end)
    at_the_end.now = end
    close_by(at_the_end, "lapsed")

    assert (saga_of(at_the_end).step, on_hand(at_the_end)) == (Step.PAID, 7)


@pytest.mark.parametrize("how", ["lapsed", "cancelled", "compensated"])
def test_a_close_that_comes_first_makes_the_payment_a_refund_due(at_the_end: ShopHistory, how: str) -> None:
    end = at_the_end.now
    close_by(at_the_end, how)
    at_the_end.now = end
    pay(at_the_end)
    pay(at_the_end)

    order = order_of(at_the_end)
    assert (order.status, [refund.amount for refund in order.refunds]) == (OrderStatus.CLOSED, [750])
    at_the_end.rolled_back("1")
    assert (saga_of(at_the_end).step, on_hand(at_the_end)) == (Step.CLOSED, 10)


def test_a_payment_window_ends_at_its_end_and_not_before(at_the_end: ShopHistory) -> None:
    end = at_the_end.now
    at_the_end.now = end - timedelta(microseconds=1)
    close_by(at_the_end, "lapsed")
    assert saga_of(at_the_end).step is Step.AWAITING_PAYMENT
    at_the_end.now = end
    close_by(at_the_end, "lapsed")
    assert saga_of(at_the_end).step is Step.ROLLING_BACK
