"""Read model `order_saga`: each event gives its row, and every row agrees with the domain's own fold."""

from datetime import timedelta

import pytest

from domain import streams
from domain.refusals import NoSuchOrder
from domain.saga import OWES, Resent, Saga
from domain.saga_timing import wakes_at
from domain.services import ORDER
from projections.order_saga import ORDER_SAGA, OrderSagaRow
from projections.projection import fold_log
from tests.shop_history import PAYMENT_WINDOW, SELL_DEADLINE, START, ShopHistory


def started(units: int = 10) -> ShopHistory:
    """The order is started at START."""
    shop = ShopHistory()
    shop.stocked(11, units)
    shop.now = START - timedelta(seconds=1)
    shop.started("90", [(11, 2)])
    return shop


def resent(shop: ShopHistory, tries: int, after_s: int, error: str) -> None:
    next_try_at = START + timedelta(seconds=after_s)
    shop.plant(ORDER, streams.saga("90"), Resent(tries, next_try_at, error))


def row(shop: ShopHistory) -> OrderSagaRow:
    (found,) = fold_log(ORDER_SAGA, shop.logs["order"])["order_saga"][90]
    assert isinstance(found, OrderSagaRow)
    saga: Saga = shop.state(ORDER, streams.saga("90"))
    owed = OWES.get(saga.step)
    assert (found.step, found.tries) == (saga.step, saga.tries)
    assert found.owes == (owed.__name__ if owed else None)
    assert found.next_try_at == wakes_at(saga, found.since)
    return found


def test_a_started_order_owes_the_sell_and_is_looked_at_soon() -> None:
    assert row(started()) == OrderSagaRow(90, "SELLING", "Sell", START, 0, START + timedelta(seconds=1), None)


def test_what_was_sent_again_says_how_often_when_next_and_why() -> None:
    shop = started()
    resent(shop, 1, 3, "no answer")
    resent(shop, 2, 9, "no answer yet")
    next_try = START + timedelta(seconds=9)
    why = "no answer yet since 2026-11-23 14:00:00 UTC"
    assert row(shop) == OrderSagaRow(90, "SELLING", "Sell", START, 2, next_try, why)


def test_a_retry_counts_anew_is_looked_at_now_and_keeps_the_last_error() -> None:
    shop = started()
    resent(shop, 4, 60, "no answer")
    shop.retried("90")
    at = shop.now - timedelta(seconds=1)
    why = "no answer since 2026-11-23 14:00:00 UTC"
    assert row(shop) == OrderSagaRow(90, "SELLING", "Sell", START, 0, at, why)


def test_an_order_of_an_account_that_was_closed_owes_the_rollback() -> None:
    shop = started()
    shop.account_closed()
    shop.sold("90")
    assert (row(shop).step, row(shop).owes) == ("ROLLING_BACK", "Rollback")


@pytest.mark.parametrize("is_placed", [True, False])
def test_a_compensated_order_owes_the_rollback(is_placed: bool) -> None:
    shop = started()
    if is_placed:
        shop.sold("90")
    shop.compensated("90")
    assert (row(shop).step, row(shop).owes) == ("ROLLING_BACK", "Rollback")


def test_a_sold_order_owes_nothing_and_is_looked_at_when_the_payment_lapses() -> None:
    shop = started()
    resent(shop, 1, 3, "no answer")
    shop.sold("90")
    since = shop.now - timedelta(seconds=1)
    lapses = since + PAYMENT_WINDOW
    assert row(shop) == OrderSagaRow(90, "AWAITING_PAYMENT", None, since, 0, lapses, None)


def test_a_refused_order_has_ended() -> None:
    shop = started(units=1)
    shop.sold("90")
    since = shop.now - timedelta(seconds=1)
    assert row(shop) == OrderSagaRow(90, "REFUSED", None, since, 0, None, None)


def test_an_unanswered_sell_owes_the_rollback() -> None:
    shop = started()
    shop.now += SELL_DEADLINE
    since = shop.now
    shop.given_up("90")
    soon = since + timedelta(seconds=1)
    assert row(shop) == OrderSagaRow(90, "ROLLING_BACK", "Rollback", since, 0, soon, None)


def test_a_paid_order_has_ended() -> None:
    shop = started()
    shop.sold("90")
    shop.paid("90")
    assert (row(shop).step, row(shop).owes, row(shop).next_try_at) == ("PAID", None, None)


def test_a_lapsed_order_owes_the_rollback_until_inventory_answers() -> None:
    shop = started()
    shop.sold("90")
    shop.now += PAYMENT_WINDOW
    shop.lapsed("90")
    assert (row(shop).step, row(shop).owes) == ("ROLLING_BACK", "Rollback")
    resent(shop, 1, 5, "inventory is away")
    assert row(shop).last_error == f"inventory is away since {row(shop).since:%Y-%m-%d %H:%M:%S} UTC"
    shop.rolled_back("90")
    assert row(shop)[1:3] == ("CLOSED", None)
    assert row(shop)[4:] == (0, None, None)


def test_a_cancelled_order_owes_the_rollback() -> None:
    shop = started()
    shop.cancelled("90")
    assert (row(shop).step, row(shop).owes) == ("ROLLING_BACK", "Rollback")


def test_an_order_that_was_never_started_has_no_row() -> None:
    shop = ShopHistory()
    with pytest.raises(NoSuchOrder):
        shop.cancelled("90")
    assert fold_log(ORDER_SAGA, shop.logs["order"]) == {"order_saga": {}}
