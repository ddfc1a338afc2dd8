"""Cart: one line per goods, never more than 2,000 of them, and only what was ordered leaves it."""

from typing import assert_never

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.cart import (
    EMPTY,
    Cart,
    CartClosed,
    CartCommand,
    CartEvent,
    CartLine,
    CartLinePut,
    CartLineRemoved,
    CartReplaced,
    ChangeCartLine,
    CheckedOut,
    CheckoutBegun,
    CheckoutDropped,
    CloseCart,
    PutCartLine,
    RemoveCartLine,
    ReplaceCart,
    begin_checkout,
    decide,
    evolve,
    finish_checkout,
)
from domain.limits import MAX_LINES
from domain.refusals import AccountClosed, NoSuchCartLine, OrderUnderWay, TooManyLines
from domain.sale import Line

MUGS = CartLine(12, 2, checked=True)
CUPS = CartLine(13, 1, checked=False)
CART = Cart((MUGS, CUPS))
FULL = Cart(tuple(CartLine(goods_id, 1, checked=True) for goods_id in range(1, MAX_LINES + 1)))


def test_a_new_line_goes_to_the_end() -> None:
    events = decide(CART, PutCartLine(7, CartLine(14, 3, checked=True)))

    assert events == (CartLinePut(14, 3, checked=True),)
    assert evolve(CART, events[0]).lines == (MUGS, CUPS, CartLine(14, 3, checked=True))


def test_a_line_of_known_goods_is_replaced_where_it_stands() -> None:
    events = decide(CART, PutCartLine(7, CartLine(12, 9, checked=False)))

    assert evolve(CART, events[0]).lines == (CartLine(12, 9, checked=False), CUPS)


@pytest.mark.parametrize(
    "command",
    [
        PutCartLine(7, MUGS),
        ChangeCartLine(7, 12),
        ChangeCartLine(7, 12, nums=2),
        ChangeCartLine(7, 13, checked=False),
        ReplaceCart(7, (MUGS, CUPS)),
    ],
)
def test_what_changes_nothing_records_nothing(command: CartCommand) -> None:
    assert decide(CART, command) == ()


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (ChangeCartLine(7, 13, checked=True), CartLinePut(13, 1, checked=True)),
        (ChangeCartLine(7, 13, nums=4), CartLinePut(13, 4, checked=False)),
        (ChangeCartLine(7, 12, nums=4, checked=False), CartLinePut(12, 4, checked=False)),
    ],
)
def test_a_change_leaves_what_it_does_not_name(command: ChangeCartLine, event: CartLinePut) -> None:
    assert decide(CART, command) == (event,)


def test_a_removed_line_is_gone() -> None:
    assert decide(CART, RemoveCartLine(7, 12)) == (CartLineRemoved(12),)
    assert evolve(CART, CartLineRemoved(12)) == Cart((CUPS,))


@pytest.mark.parametrize("command", [ChangeCartLine(7, 99, nums=1), RemoveCartLine(7, 99)])
def test_goods_that_are_not_in_the_cart_are_named(command: CartCommand) -> None:
    with pytest.raises(NoSuchCartLine) as refusal:
        decide(CART, command)
    assert refusal.value.facts == {"goods_id": 99}


def test_a_new_cart_folds_lines_of_equal_goods_and_is_checked_if_one_of_them_is() -> None:
    lines = (CartLine(12, 2, checked=False), CUPS, CartLine(12, 3, checked=True))

    assert decide(EMPTY, ReplaceCart(7, lines)) == (CartReplaced((CartLine(12, 5, checked=True), CUPS)),)


def test_a_cart_is_emptied() -> None:
    assert decide(CART, ReplaceCart(7, ())) == (CartReplaced(()),)


def test_two_thousand_lines_are_accepted() -> None:
    assert decide(EMPTY, ReplaceCart(7, FULL.lines)) == (CartReplaced(FULL.lines),)


def test_one_line_more_is_refused() -> None:
    more = CartLine(MAX_LINES + 1, 1, checked=True)

    with pytest.raises(TooManyLines):
        decide(EMPTY, ReplaceCart(7, (*FULL.lines, more)))
    with pytest.raises(TooManyLines):
        decide(FULL, PutCartLine(7, more))


def test_a_full_cart_can_still_change() -> None:
    assert decide(FULL, PutCartLine(7, CartLine(5, 8, checked=True))) == (CartLinePut(5, 8, checked=True),)


def test_lines_count_after_they_are_folded() -> None:
    assert decide(EMPTY, ReplaceCart(7, (*FULL.lines, *FULL.lines)))


def test_a_checkout_takes_the_ordered_units_and_leaves_what_was_put_in_meanwhile() -> None:
    cart = Cart((CartLine(12, 5, checked=True), CUPS, CartLine(14, 1, checked=True)))

    assert evolve(cart, CheckedOut("7", (Line(12, 2), Line(14, 1), Line(99, 4)))) == Cart(
        (CartLine(12, 3, checked=True), CUPS)
    )


def test_a_checkout_of_more_than_is_left_leaves_nothing() -> None:
    assert evolve(CART, CheckedOut("7", (Line(12, 9),))) == Cart((CUPS,))


# an order under way

UNITS = (Line(12, 2),)
UNDER_WAY = evolve(CART, CheckoutBegun("7", UNITS))


def changed(cart: Cart, *commands: CartCommand) -> Cart:
    for command in commands:
        for event in decide(cart, command):
            cart = evolve(cart, event)
    return cart


def test_lines_that_are_being_ordered_stay_in_the_cart() -> None:
    assert Cart(CART.lines, "7", UNITS) == UNDER_WAY


def test_lines_that_are_being_ordered_cannot_be_ordered_twice_and_the_order_is_named() -> None:
    with pytest.raises(OrderUnderWay) as refusal:
        begin_checkout(UNDER_WAY, "8", (*UNITS, Line(13, 1)))
    assert refusal.value.facts == {"order_id": "7"}
    assert refusal.value.name == "order-under-way"


def test_other_lines_can_be_ordered_meanwhile() -> None:
    assert begin_checkout(UNDER_WAY, "8", (Line(13, 1),)) == CheckoutBegun("8", (Line(13, 1),))


@pytest.mark.parametrize(
    ("commands", "left"),
    [
        ((), (CUPS,)),
        ((PutCartLine(7, CartLine(14, 1, checked=True)),), (CUPS, CartLine(14, 1, checked=True))),
        ((ChangeCartLine(7, 12, nums=5),), (CartLine(12, 5, checked=True), CUPS)),
        ((ChangeCartLine(7, 12, checked=False),), (CartLine(12, 2, checked=False), CUPS)),
        ((ChangeCartLine(7, 12, nums=5), ChangeCartLine(7, 12, nums=2)), (MUGS, CUPS)),
        ((RemoveCartLine(7, 12),), (CUPS,)),
        ((RemoveCartLine(7, 12), PutCartLine(7, MUGS)), (CUPS, MUGS)),
        ((ReplaceCart(7, (CartLine(12, 9, checked=True),)),), (CartLine(12, 9, checked=True),)),
        ((ReplaceCart(7, ()), ReplaceCart(7, (MUGS,))), (MUGS,)),
        ((ReplaceCart(7, ()),), ()),
    ],
    ids=[
        "untouched",
        "put",
        "more",
        "unchecked",
        "there and back",
        "removed",
        "again",
        "new",
        "same",
        "none",
    ],
)
def test_only_what_the_user_left_alone_leaves_the_cart(
    commands: tuple[CartCommand, ...], left: tuple[CartLine, ...]
) -> None:
    cart = changed(UNDER_WAY, *commands)

    assert evolve(cart, finish_checkout(cart, "7")) == Cart(left)


@pytest.mark.parametrize(
    "command", [PutCartLine(7, MUGS), ChangeCartLine(7, 12, nums=2), ReplaceCart(7, CART.lines)]
)
def test_saying_again_what_is_under_way_makes_it_the_users_again(command: CartCommand) -> None:
    """Who says during an order what the cart shall hold must find it there afterwards."""
    cart = changed(UNDER_WAY, command)

    assert len(decide(UNDER_WAY, command)) == 1
    assert MUGS in evolve(cart, finish_checkout(cart, "7")).lines


@pytest.mark.parametrize(
    "command",
    [ChangeCartLine(7, 12, nums=3), RemoveCartLine(7, 12), ReplaceCart(7, (MUGS,))],
)
def test_changed_lines_can_be_ordered_before_the_first_order_is_decided(command: CartCommand) -> None:
    cart = changed(UNDER_WAY, command)

    assert begin_checkout(cart, "8", UNITS) == CheckoutBegun("8", UNITS)


def test_an_order_that_is_not_placed_gives_its_lines_free() -> None:
    cart = evolve(UNDER_WAY, CheckoutDropped("7"))

    assert cart == CART
    assert begin_checkout(cart, "8", UNITS) == CheckoutBegun("8", UNITS)


def test_the_end_of_another_order_leaves_the_one_under_way_alone() -> None:
    assert evolve(UNDER_WAY, CheckoutDropped("6")) == UNDER_WAY
    assert evolve(UNDER_WAY, CheckedOut("6", (Line(13, 1),))) == Cart((MUGS,), "7", UNITS)
    assert finish_checkout(UNDER_WAY, "6") == CheckedOut("6", ())


# a closed account

CLOSED = Cart(is_closed=True)


@pytest.mark.parametrize("cart", [EMPTY, CART, UNDER_WAY, FULL])
def test_a_closed_cart_is_empty_and_forgets_what_is_under_way(cart: Cart) -> None:
    assert decide(cart, CloseCart(7)) == (CartClosed(),)
    assert evolve(cart, CartClosed()) == CLOSED


def test_closing_again_records_nothing() -> None:
    assert decide(CLOSED, CloseCart(7)) == ()


@pytest.mark.parametrize(
    "command",
    [
        ReplaceCart(7, (MUGS,)),
        ReplaceCart(7, ()),
        PutCartLine(7, MUGS),
        ChangeCartLine(7, 12),
        RemoveCartLine(7, 12),
    ],
)
def test_a_closed_cart_refuses_everything(command: CartCommand) -> None:
    with pytest.raises(AccountClosed):
        decide(CLOSED, command)


@pytest.mark.parametrize(
    "event",
    [
        CartReplaced((MUGS,)),
        CartLinePut(12, 2, checked=True),
        CheckoutBegun("8", UNITS),
        CheckoutDropped("7"),
        CheckedOut("7", UNITS),
    ],
)
def test_a_closed_cart_stays_closed_whatever_the_log_holds(event: CartEvent) -> None:
    assert evolve(CLOSED, event) == CLOSED


# against a dict

GOODS = st.integers(1, 4)
NUMS = st.integers(1, 9)
CART_LINES = st.builds(CartLine, GOODS, NUMS, st.booleans())
COMMANDS: st.SearchStrategy[CartCommand | CheckedOut] = st.one_of(
    st.builds(ReplaceCart, st.just(7), st.lists(CART_LINES, max_size=6).map(tuple)),
    st.builds(PutCartLine, st.just(7), CART_LINES),
    st.builds(ChangeCartLine, st.just(7), GOODS, st.none() | NUMS, st.none() | st.booleans()),
    st.builds(RemoveCartLine, st.just(7), GOODS),
    st.builds(
        CheckedOut,
        st.just("1"),
        st.dictionaries(GOODS, NUMS).map(lambda d: tuple(Line(*i) for i in d.items())),
    ),
)
Model = dict[int, tuple[int, bool]]


def apply(model: Model, command: CartCommand | CheckedOut) -> Model | None:
    """What a dict makes of it; None for a refusal."""
    match command:
        case ReplaceCart(_, lines):
            new: Model = {}
            for line in lines:
                nums, checked = new.get(line.goods_id, (0, False))
                new[line.goods_id] = (nums + line.nums, checked or line.checked)
            return new
        case PutCartLine(_, line):
            return model | {line.goods_id: (line.nums, line.checked)}
        case ChangeCartLine(_, goods_id, nums, checked):
            if goods_id not in model:
                return None
            was = model[goods_id]
            return model | {
                goods_id: (was[0] if nums is None else nums, was[1] if checked is None else checked)
            }
        case RemoveCartLine(_, goods_id):
            return (
                {key: value for key, value in model.items() if key != goods_id} if goods_id in model else None
            )
        case CloseCart():
            return {}
        case CheckedOut(_, lines):
            left = dict(model)
            for ordered in lines:
                if ordered.goods_id in left:
                    nums, checked = left[ordered.goods_id]
                    left[ordered.goods_id] = (nums - ordered.nums, checked)
            return {key: value for key, value in left.items() if value[0] > 0}
        case _:
            assert_never(command)


@settings(deadline=None)
@given(st.lists(COMMANDS, max_size=30))
def test_a_cart_is_what_a_dict_would_be(commands: list[CartCommand | CheckedOut]) -> None:
    cart, model = EMPTY, Model()
    for command in commands:
        expected = apply(model, command)
        if isinstance(command, CheckedOut):
            cart = evolve(cart, command)
        elif expected is None:
            with pytest.raises(NoSuchCartLine):
                decide(cart, command)
        else:
            before = repr(cart)
            events = decide(cart, command)
            assert repr(cart) == before
            assert bool(events) == (list(expected.items()) != list(model.items()))
            for event in events:
                cart = evolve(cart, event)
        model = model if expected is None else expected
        assert {line.goods_id: (line.nums, line.checked) for line in cart.lines} == model
        assert len({line.goods_id for line in cart.lines}) == len(cart.lines)
