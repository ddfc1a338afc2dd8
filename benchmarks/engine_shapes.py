"""What the customers of the engine want: the goods on its shelf, and what lies in whose cart.

| shape | every order |
|---|---|
| spread | two goods of 10,000 |
| hot | the same two goods |
| retail | the next invoice of the retail slice, round and round: 14 lines at the median, 450 at most |
| sold-out | the same two goods, of which nothing is left: every order is refused |
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.retail_file import read_retail, slice_path
from benchmarks.peers.figures import SHAPES as PEERS_SHAPES
from benchmarks.stocked import GOODS_COUNT, plain_goods
from domain.cart import CartLine
from domain.goods import CreateGoods

RETAIL: Final = "retail"
SOLD_OUT: Final = "sold-out"
SHAPES: Final = (*PEERS_SHAPES, RETAIL, SOLD_OUT)

TRIAL: Final = 2_000
"""Orders of a moment's trial, which shows how many carts are needed."""

RETAIL_TRIAL: Final = 500
"""Of 26 lines on average."""

HOT: Final = (1, 2)

Basket = tuple[CartLine, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """`goods`: with ids from 1 on. `gone`: those of them of which nothing is left.

    `basket`: what customer number 0, 1 and so on orders. `trial`: orders.
    """

    goods: Sequence[CreateGoods]
    basket: Callable[[int], Basket]
    gone: frozenset[int] = frozenset()
    trial: int = TRIAL


def shape_named(name: str) -> Shape:
    """`name`: one of SHAPES. Raises RetailFileError."""
    return _MAKERS[name]()


def basket_of(goods: Iterable[int]) -> Basket:
    """One unit of each."""
    return tuple([CartLine(each, 1, checked=True) for each in goods])


def _spread() -> Shape:
    return Shape(plain_goods(), lambda _: basket_of(random.sample(range(1, GOODS_COUNT + 1), 2)))


def _hot() -> Shape:
    return Shape(plain_goods(), lambda _: basket_of(HOT))


def _sold_out() -> Shape:
    return Shape(plain_goods(), lambda _: basket_of(HOT), gone=frozenset(HOT))


def _retail() -> Shape:
    plan = read_retail(slice_path())
    goods = [CreateGoods(n, each.name, each.unit_price_pence) for n, each in enumerate(plan.goods, start=1)]
    baskets = [
        tuple([CartLine(place + 1, nums, checked=True) for place, nums in order.lines])
        for order in plan.orders
    ]
    return Shape(goods, lambda number: baskets[number % len(baskets)], trial=RETAIL_TRIAL)


_MAKERS: Final[Mapping[str, Callable[[], Shape]]] = {
    "spread": _spread,
    "hot": _hot,
    RETAIL: _retail,
    SOLD_OUT: _sold_out,
}
