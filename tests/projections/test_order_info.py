"""Read models `order_info` and `order_goods`: each event gives its rows."""

from datetime import timedelta

from domain.limits import MAX_AMOUNT
from domain.order import Payment, PayOrder
from domain.services import ORDER
from projections.order_info import ORDER_INFO, OrderGoodsRow, OrderInfoRow
from projections.projection import Rows, fold_log
from tests.shop_history import CONTACT, PAYMENT_WINDOW, ShopHistory


def shop_with_order() -> ShopHistory:
    shop = ShopHistory()
    shop.stocked(11, units=10, price=250)
    shop.stocked(12, units=10, price=100)
    shop.placed("90", [(12, 1), (11, 2)])
    return shop


def rows(shop: ShopHistory, table: str) -> Rows:
    return fold_log(ORDER_INFO, shop.logs["order"])[table].get(90, ())


def info(shop: ShopHistory) -> OrderInfoRow:
    (row,) = rows(shop, "order_info")
    assert isinstance(row, OrderInfoRow)
    return row


def test_a_placed_order_is_to_pay() -> None:
    shop = shop_with_order()
    placed_at = shop.now - timedelta(seconds=1)
    assert info(shop) == OrderInfoRow(
        order_id=90,
        user_id=7,
        pay_type=None,
        status=1,
        trade_id=None,
        order_mount=600,
        pay_time=None,
        address=CONTACT.address,
        signer_name=CONTACT.signer_name,
        signer_mobile=CONTACT.signer_mobile,
        post=CONTACT.post,
        close_reason=None,
        refund_due=0,
        pay_before=placed_at + PAYMENT_WINDOW,
        created_at=placed_at,
        updated_at=placed_at,
    )


def test_its_goods_stand_in_the_order_they_were_ordered_at_the_price_of_that_moment() -> None:
    assert rows(shop_with_order(), "order_goods") == (
        OrderGoodsRow(90, 12, "goods 12", 100, 1, place=0),
        OrderGoodsRow(90, 11, "goods 11", 250, 2, place=1),
    )


def test_a_paid_order_says_how_and_when() -> None:
    shop = shop_with_order()
    before, paid_at = info(shop), shop.now
    shop.paid("90")
    assert info(shop) == before._replace(
        pay_type="alipay", trade_id="T-90", status=2, pay_time=paid_at, updated_at=paid_at
    )


def test_a_cancelled_order_is_closed_and_says_why() -> None:
    shop = shop_with_order()
    shop.cancelled("90")
    assert (info(shop).status, info(shop).close_reason) == (3, "cancelled")


def test_a_lapsed_order_is_closed_and_says_why() -> None:
    shop = shop_with_order()
    shop.now += PAYMENT_WINDOW
    shop.lapsed("90")
    assert (info(shop).status, info(shop).close_reason) == (3, "payment-lapsed")


def test_what_is_paid_for_a_closed_order_adds_up_to_the_refund_due() -> None:
    shop = shop_with_order()
    shop.cancelled("90")
    for trade, amount in (("T-1", 600), ("T-2", 5)):
        shop.tell(ORDER, PayOrder("90", Payment("alipay", trade, amount, shop.now)))
    assert (info(shop).status, info(shop).refund_due, info(shop).trade_id) == (3, 605, None)


def test_refunds_beyond_what_a_column_holds_do_not_stop_the_projection() -> None:
    shop = shop_with_order()
    shop.cancelled("90")
    for trade in ("T-1", "T-2"):
        shop.tell(ORDER, PayOrder("90", Payment("alipay", trade, MAX_AMOUNT, shop.now)))
    assert info(shop).refund_due == MAX_AMOUNT


def test_a_refused_order_has_no_rows() -> None:
    shop = ShopHistory()
    shop.stocked(11, units=1)
    shop.started("90", [(11, 2)])
    shop.sold("90")
    assert rows(shop, "order_info") == rows(shop, "order_goods") == ()
