"""What did each order take from stock, and is it back? Read model `stock_sell_detail`, one row an order."""

from typing import NamedTuple, get_args

from domain import sale
from domain.recorded import Recorded
from domain.sale import SaleEvent
from projections.projection import Projection, Table, key_of


class StockSellDetailRow(NamedTuple):
    """`detail`: what was sold, returned or refused; empty once a Rollback has barred the order id."""

    order_id: int
    status: int
    detail: list[dict[str, int]]


def evolve(_rows: tuple[StockSellDetailRow, ...], recorded: Recorded) -> tuple[StockSellDetailRow, ...]:
    """Every sale event says the whole sale, so nothing of the row before is needed."""
    after = sale.evolve(sale.NONE, recorded.event)
    detail = [{"goods_id": line.goods_id, "nums": line.nums} for line in after.lines]
    return (StockSellDetailRow(key_of(recorded), int(after.status), detail),)


TABLE = Table(
    name="stock_sell_detail",
    row=StockSellDetailRow,
    primary_key=("order_id",),
    events=frozenset(get_args(SaleEvent)),
    evolve=evolve,
    forgets=True,
)

STOCK_SELL_DETAIL = Projection(name="stock_sell_detail", log="inventory", tables=(TABLE,))
