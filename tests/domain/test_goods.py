"""Goods: created once, changed and deleted only while they are for sale."""

import pytest

from domain.goods import (
    UNKNOWN,
    ChangeGoods,
    CreateGoods,
    DeleteGoods,
    Goods,
    GoodsChanged,
    GoodsCreated,
    GoodsDeleted,
    decide,
    evolve,
)
from domain.refusals import IdTaken, NoSuchGoods

MUG = Goods(goods_id=12, name="mug", price=250, for_sale=True)
GONE = Goods(goods_id=12, name="mug", price=250, for_sale=False)


def test_created_goods_are_for_sale() -> None:
    events = decide(UNKNOWN, CreateGoods(12, "mug", 250))

    assert events == (GoodsCreated(12, "mug", 250),)
    assert evolve(UNKNOWN, events[0]) == MUG


@pytest.mark.parametrize("known", [MUG, GONE])
def test_an_id_is_never_used_again(known: Goods) -> None:
    with pytest.raises(IdTaken):
        decide(known, CreateGoods(12, "other mug", 1))


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (ChangeGoods(12, price=300), GoodsChanged("mug", 300)),
        (ChangeGoods(12, name="cup"), GoodsChanged("cup", 250)),
        (ChangeGoods(12, name="cup", price=300), GoodsChanged("cup", 300)),
        (ChangeGoods(12, price=0), GoodsChanged("mug", 0)),
    ],
)
def test_a_change_leaves_what_it_does_not_name(command: ChangeGoods, event: GoodsChanged) -> None:
    assert decide(MUG, command) == (event,)
    assert evolve(MUG, event) == Goods(12, event.name, event.price, for_sale=True)


@pytest.mark.parametrize("command", [ChangeGoods(12), ChangeGoods(12, "mug", 250)])
def test_a_change_to_what_it_is_already_records_nothing(command: ChangeGoods) -> None:
    assert decide(MUG, command) == ()


def test_deleted_goods_are_not_for_sale_but_keep_their_name() -> None:
    events = decide(MUG, DeleteGoods(12))

    assert events == (GoodsDeleted(),)
    assert evolve(MUG, events[0]) == GONE


@pytest.mark.parametrize("goods", [UNKNOWN, GONE])
@pytest.mark.parametrize("command", [ChangeGoods(12, price=1), DeleteGoods(12)])
def test_what_is_not_for_sale_cannot_be_changed(goods: Goods, command: ChangeGoods | DeleteGoods) -> None:
    with pytest.raises(NoSuchGoods):
        decide(goods, command)
