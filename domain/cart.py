"""Cart: what one user means to buy. Checked lines go into the next order.

From the start of an order until it is decided, its lines are under way: a second order cannot take the
same lines, and lines that the user changes meanwhile are theirs again and stay. A closed cart is the end:
it is empty, refuses everything, and no order is placed from it, not even one that is under way.
"""

from collections.abc import Iterable
from typing import NamedTuple, assert_never

from domain.limits import MAX_LINES
from domain.refusals import AccountClosed, NoSuchCartLine, OrderUnderWay, TooManyLines
from domain.sale import Line
from domain.values import dataclass

# state


@dataclass(frozen=True, slots=True)
class CartLine:
    goods_id: int
    nums: int
    checked: bool


class Cart(NamedTuple):
    """`order_id`: the order that is under way with lines of this cart; `under_way`: which lines."""

    lines: tuple[CartLine, ...] = ()
    order_id: str = ""
    under_way: tuple[Line, ...] = ()
    is_closed: bool = False

    def line(self, goods_id: int) -> CartLine | None:
        return next((line for line in self.lines if line.goods_id == goods_id), None)

    def checked(self) -> tuple[CartLine, ...]:
        return tuple([line for line in self.lines if line.checked])


EMPTY = Cart()


# commands


@dataclass(frozen=True, slots=True)
class ReplaceCart:
    """Lines of the same goods are folded; checked if one of them is."""

    user_id: int
    lines: tuple[CartLine, ...]


@dataclass(frozen=True, slots=True)
class PutCartLine:
    user_id: int
    line: CartLine


@dataclass(frozen=True, slots=True)
class ChangeCartLine:
    """None leaves a field as it is."""

    user_id: int
    goods_id: int
    nums: int | None = None
    checked: bool | None = None


@dataclass(frozen=True, slots=True)
class RemoveCartLine:
    user_id: int
    goods_id: int


@dataclass(frozen=True, slots=True)
class CloseCart:
    """The account ends, and its cart with it."""

    user_id: int


CartCommand = ReplaceCart | PutCartLine | ChangeCartLine | RemoveCartLine | CloseCart


# events


@dataclass(frozen=True, slots=True)
class CartReplaced:
    lines: tuple[CartLine, ...]


@dataclass(frozen=True, slots=True)
class CartLinePut:
    goods_id: int
    nums: int
    checked: bool


@dataclass(frozen=True, slots=True)
class CartLineRemoved:
    goods_id: int


@dataclass(frozen=True, slots=True)
class CheckoutBegun:
    """An order of these lines was started; they are under way until it is decided or they are changed."""

    order_id: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class CheckoutDropped:
    """The order was not placed, so its lines can be ordered again."""

    order_id: str


@dataclass(frozen=True, slots=True)
class CheckedOut:
    """These units were ordered, so they leave the cart."""

    order_id: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class CartClosed:
    pass


CartEvent = (
    CartReplaced | CartLinePut | CartLineRemoved | CheckoutBegun | CheckoutDropped | CheckedOut | CartClosed
)


def evolve(cart: Cart, event: CartEvent) -> Cart:
    if cart.is_closed:
        return cart
    match event:
        case CartReplaced(lines):
            return Cart(lines)
        case CartLinePut(goods_id, nums, checked):
            return _touched(cart, _put(cart.lines, CartLine(goods_id, nums, checked)), goods_id)
        case CartLineRemoved(goods_id):
            left = tuple(line for line in cart.lines if line.goods_id != goods_id)
            return _touched(cart, left, goods_id)
        case CheckoutBegun(order_id, lines):
            return Cart(cart.lines, order_id, lines)
        case CheckoutDropped(order_id):
            return Cart(cart.lines) if cart.order_id == order_id else cart
        case CheckedOut(order_id, lines):
            left = _less(cart.lines, {line.goods_id: line.nums for line in lines})
            return Cart(left) if cart.order_id == order_id else Cart(left, cart.order_id, cart.under_way)
        case CartClosed():
            return Cart(is_closed=True)
        case _:
            assert_never(event)


def _touched(cart: Cart, lines: tuple[CartLine, ...], goods_id: int) -> Cart:
    """A line that the user has changed is no longer the one that is being ordered."""
    under_way = tuple(line for line in cart.under_way if line.goods_id != goods_id)
    return Cart(lines, cart.order_id, under_way)


def _put(lines: tuple[CartLine, ...], new: CartLine) -> tuple[CartLine, ...]:
    if any(line.goods_id == new.goods_id for line in lines):
        return tuple(new if line.goods_id == new.goods_id else line for line in lines)
    return (*lines, new)


def _less(lines: tuple[CartLine, ...], ordered: dict[int, int]) -> tuple[CartLine, ...]:
    left: list[CartLine] = []
    for line in lines:
        nums = line.nums - ordered.get(line.goods_id, 0)
        if nums > 0:
            left.append(CartLine(line.goods_id, nums, line.checked))
    return tuple(left)


def decide(cart: Cart, command: CartCommand) -> tuple[CartEvent, ...]:
    """What changes nothing gives no events. Raises NoSuchCartLine, TooManyLines, AccountClosed."""
    if isinstance(command, CloseCart):
        return () if cart.is_closed else (CartClosed(),)
    must_be_open(cart)
    match command:
        case ReplaceCart(_, lines):
            return _unless_same(cart, CartReplaced(_fold(lines)))
        case PutCartLine(_, line):
            return _unless_same(cart, CartLinePut(line.goods_id, line.nums, line.checked))
        case ChangeCartLine():
            return _change(cart, command)
        case RemoveCartLine(_, goods_id):
            _must_hold(cart, goods_id)
            return (CartLineRemoved(goods_id),)
        case _:
            assert_never(command)


def _unless_same(cart: Cart, event: CartEvent) -> tuple[CartEvent, ...]:
    after = evolve(cart, event)
    if len(after.lines) > MAX_LINES:
        raise TooManyLines
    return () if after == cart else (event,)


def must_be_open(cart: Cart) -> None:
    """Raises AccountClosed."""
    if cart.is_closed:
        raise AccountClosed


def begin_checkout(cart: Cart, order_id: str, lines: tuple[Line, ...]) -> CheckoutBegun:
    """Raises OrderUnderWay when one of the lines is being ordered already."""
    if cart.under_way:
        wanted = {line.goods_id for line in lines}
        if any(line.goods_id in wanted for line in cart.under_way):
            raise OrderUnderWay(order_id=cart.order_id)
    return CheckoutBegun(order_id, lines)


def finish_checkout(cart: Cart, order_id: str) -> CheckedOut:
    """Only lines that the user has not changed since leave the cart."""
    return CheckedOut(order_id, cart.under_way if cart.order_id == order_id else ())


def _change(cart: Cart, command: ChangeCartLine) -> tuple[CartEvent, ...]:
    line = _must_hold(cart, command.goods_id)
    nums = line.nums if command.nums is None else command.nums
    checked = line.checked if command.checked is None else command.checked
    return _unless_same(cart, CartLinePut(command.goods_id, nums, checked))


def _must_hold(cart: Cart, goods_id: int) -> CartLine:
    line = cart.line(goods_id)
    if line is None:
        raise NoSuchCartLine(goods_id=goods_id)
    return line


def _fold(lines: Iterable[CartLine]) -> tuple[CartLine, ...]:
    folded: dict[int, CartLine] = {}
    for line in lines:
        seen = folded.get(line.goods_id, CartLine(line.goods_id, 0, checked=False))
        folded[line.goods_id] = CartLine(line.goods_id, seen.nums + line.nums, seen.checked or line.checked)
    return tuple(folded.values())
