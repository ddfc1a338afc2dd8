"""Starting an order: what is checked is ordered at the prices of now, or a named refusal."""

from dataclasses import replace

import pytest

from domain.cart import Cart, CartLine, CheckoutBegun, CheckoutDropped
from domain.cart import evolve as evolve_cart
from domain.goods import Offer
from domain.limits import MAX_AMOUNT, MAX_LINES, MAX_NUMS, MAX_PRICE
from domain.refusals import (
    AccountClosed,
    AmountTooLarge,
    CartChanged,
    CartEmpty,
    GoodsUnavailable,
    IdTaken,
    OrderUnderWay,
    Short,
)
from domain.saga import NEW, StartDenied, StartOrder, Step
from domain.saga_decisions import decide_start
from domain.sale import Line
from domain.stock import Level
from tests.saga_histories import AT, CART, CONTACT, LINES, SELL_BEFORE, STARTED, UNITS, saga_in

OFFERS = (Offer(12, "mug", 250, for_sale=True), Offer(13, "cup", 100, for_sale=True))


def start(offers: tuple[Offer, ...] = OFFERS) -> StartOrder:
    return StartOrder("7", 3, offers, CONTACT, AT, SELL_BEFORE)


def one_line(nums: int, price: int) -> tuple[Cart, StartOrder]:
    return Cart((CartLine(12, nums, checked=True),)), start((Offer(12, "mug", price, for_sale=True),))


def test_an_order_starts_with_the_checked_lines_at_the_prices_of_now() -> None:
    assert decide_start(NEW, CART, start()) == (STARTED, CheckoutBegun("7", UNITS))


def test_offers_of_goods_that_are_not_checked_are_left_out() -> None:
    started = decide_start(NEW, CART, start((*OFFERS, Offer(14, "pot", 1, for_sale=True))))

    assert started == (STARTED, CheckoutBegun("7", UNITS))


def test_what_inventory_has_too_little_of_is_denied_and_leaves_a_trace_in_the_cart_alone() -> None:
    low = replace(start(), levels=(Level(12, 1), Level(13, 1)))

    denied, dropped = decide_start(NEW, CART, low)

    assert denied == StartDenied("7", 3, LINES, 600, AT, (Short(12, 2, 1),))
    assert dropped == CheckoutDropped("7")
    assert evolve_cart(CART, dropped) == CART


def test_everything_that_is_short_is_named() -> None:
    denied, _ = decide_start(NEW, CART, replace(start(), levels=(Level(13, 0), Level(12, 0))))

    assert isinstance(denied, StartDenied)
    assert denied.short == (Short(12, 2, 0), Short(13, 1, 0))


@pytest.mark.parametrize("levels", [(Level(12, 2),), (Level(12, 2), Level(13, 1)), (Level(14, 0),)])
def test_levels_that_suffice_or_of_other_goods_change_nothing(levels: tuple[Level, ...]) -> None:
    assert decide_start(NEW, CART, replace(start(), levels=levels)) == (STARTED, CheckoutBegun("7", UNITS))


def test_what_is_wrong_with_the_selection_comes_before_what_is_short() -> None:
    low = replace(start(), levels=(Level(12, 0),))

    with pytest.raises(OrderUnderWay):
        decide_start(NEW, CART._replace(order_id="6", under_way=UNITS[1:]), low)
    with pytest.raises(GoodsUnavailable):
        decide_start(NEW, CART, replace(low, offers=(OFFERS[0], replace(OFFERS[1], for_sale=False))))


def test_lines_that_another_order_has_under_way_are_refused_and_it_is_named() -> None:
    with pytest.raises(OrderUnderWay) as refusal:
        decide_start(NEW, CART._replace(order_id="6", under_way=UNITS[1:]), start())
    assert refusal.value.facts == {"order_id": "6"}


def test_lines_that_the_user_changed_since_another_order_began_are_ordered() -> None:
    cart = CART._replace(order_id="6", under_way=(Line(14, 5),))

    assert decide_start(NEW, cart, start()) == (STARTED, CheckoutBegun("7", UNITS))


@pytest.mark.parametrize("cart", [Cart(), Cart((CartLine(12, 2, checked=False),))])
def test_an_empty_selection_is_refused(cart: Cart) -> None:
    with pytest.raises(CartEmpty):
        decide_start(NEW, cart, start())


def test_a_cart_that_got_more_goods_meanwhile_is_refused() -> None:
    with pytest.raises(CartChanged):
        decide_start(NEW, CART, start(OFFERS[:1]))


def test_goods_that_are_gone_are_all_named() -> None:
    gone = tuple(replace(offer, for_sale=False) for offer in OFFERS)

    with pytest.raises(GoodsUnavailable) as refusal:
        decide_start(NEW, CART, start(gone))
    assert refusal.value.facts == {"missing": (12, 13)}


@pytest.mark.parametrize("step", sorted(set(Step) - {Step.NEW}))
def test_an_order_id_starts_once(step: Step) -> None:
    with pytest.raises(IdTaken):
        decide_start(saga_in(step), CART, start())


@pytest.mark.parametrize(("nums", "price"), [(1, MAX_AMOUNT), (MAX_AMOUNT, 1), (7, MAX_AMOUNT // 7)])
def test_an_amount_up_to_63_bits_is_accepted(nums: int, price: int) -> None:
    cart, command = one_line(nums, price)

    started, begun = decide_start(NEW, cart, command)

    assert started.amount == nums * price
    assert begun == CheckoutBegun("7", (Line(12, nums),))


@pytest.mark.parametrize(
    ("nums", "price"), [(1, MAX_AMOUNT + 1), (2, 2**62), (2**31, 2**32), (MAX_NUMS, MAX_PRICE)]
)
def test_an_amount_past_63_bits_is_refused(nums: int, price: int) -> None:
    cart, command = one_line(nums, price)

    with pytest.raises(AmountTooLarge):
        decide_start(NEW, cart, command)


def test_an_amount_past_63_bits_by_many_lines_is_refused() -> None:
    lines = range(1, MAX_LINES + 1)
    cart = Cart(tuple(CartLine(goods_id, MAX_NUMS, checked=True) for goods_id in lines))
    offers = tuple(Offer(goods_id, "x", MAX_AMOUNT // MAX_NUMS // 1_000, for_sale=True) for goods_id in lines)

    with pytest.raises(AmountTooLarge):
        decide_start(NEW, cart, start(offers))


def test_a_closed_account_starts_no_order() -> None:
    with pytest.raises(AccountClosed):
        decide_start(NEW, Cart(is_closed=True), start())
