"""Read models `inventory` and `stock_sell_detail`: each event gives its row."""

from datetime import timedelta

import pytest

from domain.sale import Line, Rollback, Sell
from domain.services import INVENTORY
from domain.stock import AdjustStock, SetInv
from projections.inventory import INVENTORY as LEVELS
from projections.inventory import InventoryRow
from projections.projection import fold_log
from projections.stock_sell_detail import STOCK_SELL_DETAIL, StockSellDetailRow
from tests.shop_history import START, ShopHistory

SELL = Sell("90", (Line(11, 2), Line(12, 1)))
DETAIL = [{"goods_id": 11, "nums": 2}, {"goods_id": 12, "nums": 1}]


def after(*commands: object) -> ShopHistory:
    shop = ShopHistory()
    for command in (SetInv(11, 10, goods_exist=True), SetInv(12, 5, goods_exist=True), *commands):
        shop.tell(INVENTORY, command)
    return shop


def level(shop: ShopHistory) -> InventoryRow:
    (row,) = fold_log(LEVELS, shop.logs["inventory"])["inventory"][11]
    assert isinstance(row, InventoryRow)
    return row


def detail(shop: ShopHistory) -> StockSellDetailRow:
    ((row,),) = fold_log(STOCK_SELL_DETAIL, shop.logs["inventory"])["stock_sell_detail"].values()
    assert isinstance(row, StockSellDetailRow)
    return row


def test_set_stock_has_a_row_with_the_version_of_its_stream() -> None:
    assert level(after()) == InventoryRow(11, START, START, None, sticks=10, version=1)


@pytest.mark.parametrize(
    ("commands", "sticks", "version"),
    [
        ((SetInv(11, 4, goods_exist=True),), 4, 2),
        ((AdjustStock(11, -3, "broken", goods_exist=True),), 7, 2),
        ((SELL,), 8, 2),
        ((SELL, Rollback("90")), 10, 3),
        ((Sell("90", (Line(11, 11),)),), 10, 1),
    ],
    ids=["set again", "adjusted", "sold", "returned", "short"],
)
def test_the_level_follows(commands: tuple[object, ...], sticks: int, version: int) -> None:
    row = level(after(*commands))
    assert (row.sticks, row.version) == (sticks, version)
    assert row.created_at == START
    assert row.updated_at == (START if version == 1 else START + timedelta(seconds=1 + len(commands)))


@pytest.mark.parametrize(
    ("commands", "row"),
    [
        ((SELL,), StockSellDetailRow(90, 1, DETAIL)),
        ((SELL, Rollback("90")), StockSellDetailRow(90, 2, DETAIL)),
        ((Sell("90", (Line(11, 99),)),), StockSellDetailRow(90, 3, [{"goods_id": 11, "nums": 99}])),
        ((Rollback("90"),), StockSellDetailRow(90, 4, [])),
        ((Sell("90", (Line(11, 99),)), Rollback("90")), StockSellDetailRow(90, 4, [])),
    ],
    ids=["sold", "returned", "refused", "barred", "refused, then barred"],
)
def test_a_sale_has_one_row_with_its_outcome(commands: tuple[object, ...], row: StockSellDetailRow) -> None:
    assert detail(after(*commands)) == row
