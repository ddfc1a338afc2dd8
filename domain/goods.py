"""Goods: what can be bought, and for how much."""

from dataclasses import dataclass, replace
from typing import assert_never

from domain import values
from domain.refusals import IdTaken, NoSuchGoods

# state


@dataclass(frozen=True, slots=True)
class Goods:
    goods_id: int = 0
    name: str = ""
    price: int = 0
    for_sale: bool = False


UNKNOWN = Goods()


@values.dataclass(frozen=True, slots=True)
class Offer:
    """What the goods service said of one goods when an order was about to start."""

    goods_id: int
    name: str
    price: int
    for_sale: bool


# commands


@dataclass(frozen=True, slots=True)
class CreateGoods:
    goods_id: int
    name: str
    price: int


@dataclass(frozen=True, slots=True)
class ChangeGoods:
    """None leaves a field as it is."""

    goods_id: int
    name: str | None = None
    price: int | None = None


@dataclass(frozen=True, slots=True)
class DeleteGoods:
    goods_id: int


GoodsCommand = CreateGoods | ChangeGoods | DeleteGoods


# events


@dataclass(frozen=True, slots=True)
class GoodsCreated:
    goods_id: int
    name: str
    price: int


@dataclass(frozen=True, slots=True)
class GoodsChanged:
    name: str
    price: int


@dataclass(frozen=True, slots=True)
class GoodsDeleted:
    pass


GoodsEvent = GoodsCreated | GoodsChanged | GoodsDeleted


def evolve(goods: Goods, event: GoodsEvent) -> Goods:
    match event:
        case GoodsCreated(goods_id, name, price):
            return Goods(goods_id=goods_id, name=name, price=price, for_sale=True)
        case GoodsChanged(name, price):
            return replace(goods, name=name, price=price)
        case GoodsDeleted():
            return replace(goods, for_sale=False)
        case _:
            assert_never(event)


def decide(goods: Goods, command: GoodsCommand) -> tuple[GoodsEvent, ...]:
    """Raises NoSuchGoods, or IdTaken when the new id was used before (deleted goods keep theirs)."""
    match command:
        case CreateGoods(goods_id, name, price):
            if goods != UNKNOWN:
                raise IdTaken
            return (GoodsCreated(goods_id, name, price),)
        case ChangeGoods():
            return _change(goods, command)
        case DeleteGoods():
            _must_be_for_sale(goods)
            return (GoodsDeleted(),)
        case _:
            assert_never(command)


def _change(goods: Goods, command: ChangeGoods) -> tuple[GoodsEvent, ...]:
    _must_be_for_sale(goods)
    name = goods.name if command.name is None else command.name
    price = goods.price if command.price is None else command.price
    if (name, price) == (goods.name, goods.price):
        return ()
    return (GoodsChanged(name, price),)


def _must_be_for_sale(goods: Goods) -> None:
    if not goods.for_sale:
        raise NoSuchGoods
