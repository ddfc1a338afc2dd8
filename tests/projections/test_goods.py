"""Read model `goods`: each event gives its row."""

from datetime import timedelta

from domain.goods import ChangeGoods, CreateGoods, DeleteGoods
from domain.services import GOODS
from projections.goods import GOODS as QUESTION
from projections.goods import GoodsRow
from projections.projection import fold_log
from tests.shop_history import START, ShopHistory

LATER = START + timedelta(seconds=1)


def row_after(*commands: object) -> GoodsRow:
    shop = ShopHistory()
    for command in (CreateGoods(11, "Red mug", 250), *commands):
        shop.tell(GOODS, command)
    ((row,),) = fold_log(QUESTION, shop.logs["goods"])["goods"].values()
    assert isinstance(row, GoodsRow)
    return row


def test_created_goods_have_a_row() -> None:
    assert row_after() == GoodsRow(11, START, START, None, "Red mug", 250)


def test_changed_goods_keep_when_they_were_created() -> None:
    assert row_after(ChangeGoods(11, price=300)) == GoodsRow(11, START, LATER, None, "Red mug", 300)


def test_deleted_goods_keep_their_row_with_the_time() -> None:
    assert row_after(DeleteGoods(11)) == GoodsRow(11, START, LATER, LATER, "Red mug", 250)
