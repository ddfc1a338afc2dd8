"""Read model `shopping_cart`: each event gives its rows."""

from datetime import timedelta

from domain.cart import (
    CartClosed,
    CartLine,
    CartLinePut,
    CartLineRemoved,
    CartReplaced,
    CheckedOut,
    CheckoutBegun,
    CheckoutDropped,
)
from domain.sale import Line
from domain.services import ORDER
from projections.projection import Rows, fold_log
from projections.shopping_cart import SHOPPING_CART, ShoppingCartRow
from tests.shop_history import START, ShopHistory


def rows_after(*events: object) -> Rows:
    """One event a second, from START."""
    shop = ShopHistory()
    for event in events:
        shop.plant(ORDER, "cart-7", event)
        shop.now += timedelta(seconds=1)
    return fold_log(SHOPPING_CART, shop.logs["order"])["shopping_cart"].get(7, ())


def line(goods_id: int, nums: int, *, place: int, made_s: int = 0, changed_s: int = 0) -> ShoppingCartRow:
    made, changed = START + timedelta(seconds=made_s), START + timedelta(seconds=changed_s)
    return ShoppingCartRow(7, goods_id, nums, True, made, changed, place)


def put(goods_id: int, nums: int) -> CartLinePut:
    return CartLinePut(goods_id, nums, checked=True)


def replaced(*lines: tuple[int, int]) -> CartReplaced:
    return CartReplaced(tuple(CartLine(goods_id, nums, checked=True) for goods_id, nums in lines))


def test_lines_stand_in_the_order_they_were_put() -> None:
    rows = rows_after(put(12, 1), put(11, 2))
    assert rows == (line(12, 1, place=0), line(11, 2, place=1, made_s=1, changed_s=1))


def test_a_line_put_again_keeps_its_place_and_when_it_was_made() -> None:
    rows = rows_after(replaced((11, 1), (12, 1)), put(11, 5))
    assert rows == (line(11, 5, place=0, changed_s=1), line(12, 1, place=1))


def test_a_removed_line_is_gone_and_the_others_are_not_touched() -> None:
    assert rows_after(replaced((11, 1), (12, 1)), CartLineRemoved(11)) == (line(12, 1, place=1),)


def test_a_line_put_after_another_was_removed_comes_last() -> None:
    rows = rows_after(replaced((11, 1), (12, 1)), CartLineRemoved(11), put(11, 3))
    assert rows == (line(12, 1, place=1), line(11, 3, place=2, made_s=2, changed_s=2))


def test_a_replaced_cart_stands_in_its_new_order_with_only_real_changes_dated() -> None:
    rows = rows_after(replaced((11, 1), (12, 1)), replaced((12, 1), (11, 4), (13, 1)))
    assert rows == (
        line(12, 1, place=1),
        line(11, 4, place=2, changed_s=1),
        line(13, 1, place=3, made_s=1, changed_s=1),
    )


def test_checking_out_takes_what_was_ordered_and_leaves_what_came_meanwhile() -> None:
    out = CheckedOut("90", (Line(11, 2), Line(12, 1)))
    assert rows_after(replaced((11, 5), (12, 1)), out) == (line(11, 3, place=0, changed_s=1),)


def test_lines_stay_as_they_are_while_an_order_of_them_is_under_way() -> None:
    filled, begun = replaced((11, 5), (12, 1)), CheckoutBegun("90", (Line(11, 5), Line(12, 1)))
    assert rows_after(filled, begun) == rows_after(filled)
    assert rows_after(filled, begun, CheckoutDropped("90")) == rows_after(filled)


def test_lines_that_were_put_while_an_order_was_under_way_stay() -> None:
    begun = CheckoutBegun("90", (Line(11, 2), Line(12, 1)))
    rows = rows_after(replaced((11, 2), (12, 1)), begun, replaced((11, 3), (13, 4)), CheckedOut("90", ()))
    assert rows == (line(11, 3, place=0, changed_s=2), line(13, 4, place=1, made_s=2, changed_s=2))


def test_an_empty_cart_has_no_rows() -> None:
    assert rows_after(put(11, 2), CheckedOut("90", (Line(11, 2),))) == ()
    assert rows_after(replaced((11, 1)), replaced()) == ()


def test_a_closed_cart_has_no_rows() -> None:
    begun = CheckoutBegun("90", (Line(11, 5),))
    assert rows_after(replaced((11, 5), (12, 1)), begun, CartClosed()) == ()
