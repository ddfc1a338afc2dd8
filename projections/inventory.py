"""How many units of each goods are on hand? Read model `inventory`; `version` is the stock stream's."""

from datetime import datetime
from typing import NamedTuple, get_args

from domain import stock
from domain.recorded import Recorded
from domain.stock import Stock, StockEvent
from projections.projection import Projection, Table, key_of


class InventoryRow(NamedTuple):
    goods_id: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    sticks: int
    version: int


def evolve(rows: tuple[InventoryRow, ...], recorded: Recorded) -> tuple[InventoryRow, ...]:
    at = recorded.cause.at
    created_at, before = (rows[0].created_at, rows[0].sticks) if rows else (at, 0)
    after = stock.evolve(Stock(before), recorded.event)
    return (
        InventoryRow(
            goods_id=key_of(recorded),
            created_at=created_at,
            updated_at=at,
            deleted_at=None,
            sticks=after.on_hand,
            version=recorded.originator_version,
        ),
    )


TABLE = Table(
    name="inventory",
    row=InventoryRow,
    primary_key=("goods_id",),
    events=frozenset(get_args(StockEvent)),
    evolve=evolve,
)

INVENTORY = Projection(name="inventory", log="inventory", tables=(TABLE,))
