"""What can be bought, and for how much? Read model `goods`; deleted goods keep their row and name."""

from datetime import datetime
from typing import NamedTuple, assert_never, get_args

from domain.goods import GoodsChanged, GoodsCreated, GoodsDeleted, GoodsEvent
from domain.recorded import Recorded
from projections.projection import Projection, Table


class GoodsRow(NamedTuple):
    id: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    name: str
    price: int


def evolve(rows: tuple[GoodsRow, ...], recorded: Recorded) -> tuple[GoodsRow, ...]:
    event: GoodsEvent = recorded.event
    at = recorded.cause.at
    if isinstance(event, GoodsCreated):
        return (GoodsRow(event.goods_id, at, at, None, event.name, event.price),)
    (row,) = rows
    match event:
        case GoodsChanged(name, price):
            return (row._replace(name=name, price=price, updated_at=at),)
        case GoodsDeleted():
            return (row._replace(deleted_at=at, updated_at=at),)
        case _:
            assert_never(event)


TABLE = Table(
    name="goods",
    row=GoodsRow,
    primary_key=("id",),
    events=frozenset(get_args(GoodsEvent)),
    evolve=evolve,
)

GOODS = Projection(name="goods", log="goods", tables=(TABLE,))
