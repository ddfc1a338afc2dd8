"""What does each user mean to buy? Read model `shopping_cart`, one row a line; an empty cart has no rows."""

from datetime import datetime
from typing import Any, Final, NamedTuple

from domain import cart
from domain.cart import Cart, CartClosed, CartLine, CartLinePut, CartLineRemoved, CartReplaced, CheckedOut
from domain.recorded import Recorded
from projections.projection import Projection, Table, key_of

CHANGES: Final[frozenset[type[Any]]] = frozenset(
    {CartReplaced, CartLinePut, CartLineRemoved, CheckedOut, CartClosed}
)
"""What changes a cart's lines. That an order of them is under way, or is no more, leaves them as they are."""


class ShoppingCartRow(NamedTuple):
    """`place`: grows in the order in which the lines were put; our addition to the original's columns."""

    user_id: int
    goods_id: int
    nums: int
    checked: bool
    created_at: datetime
    updated_at: datetime
    place: int


def evolve(rows: tuple[ShoppingCartRow, ...], recorded: Recorded) -> tuple[ShoppingCartRow, ...]:
    standing = sorted(rows, key=lambda row: row.place)
    before = Cart(tuple(CartLine(row.goods_id, row.nums, row.checked) for row in standing))
    after = cart.evolve(before, recorded.event)
    known = {row.goods_id: row for row in standing}
    new: list[ShoppingCartRow] = []
    for line in after.lines:
        least = new[-1].place + 1 if new else 0
        new.append(_line(known.get(line.goods_id), line, least, recorded))
    return tuple(new)


def _line(row: ShoppingCartRow | None, line: CartLine, least: int, recorded: Recorded) -> ShoppingCartRow:
    """A line that stays as it was keeps its place if it can: rows that are equal need no writing."""
    if row is None:
        at = recorded.cause.at
        return ShoppingCartRow(key_of(recorded), line.goods_id, line.nums, line.checked, at, at, least)
    place = max(row.place, least)
    if (row.nums, row.checked) == (line.nums, line.checked):
        return row if place == row.place else row._replace(place=place)
    return row._replace(nums=line.nums, checked=line.checked, updated_at=recorded.cause.at, place=place)


TABLE = Table(
    name="shopping_cart",
    row=ShoppingCartRow,
    primary_key=("user_id", "goods_id"),
    events=CHANGES,
    evolve=evolve,
)

SHOPPING_CART = Projection(name="shopping_cart", log="order", tables=(TABLE,))
