"""Stock: how many units of one goods are on hand. One stream per goods.

Every event says the level after it, so the running balance can be read, and audited, line by line.
"""

from typing import NamedTuple, assert_never

from domain.limits import MAX_STOCK
from domain.refusals import NoSuchGoods, Short, StockShort, StockTooLarge
from domain.values import dataclass

# state


class Stock(NamedTuple):
    on_hand: int = 0
    version: int = 0


NONE = Stock()


@dataclass(frozen=True, slots=True)
class Level:
    """How many units of one goods were on hand when somebody looked."""

    goods_id: int
    on_hand: int


# commands


@dataclass(frozen=True, slots=True)
class SetInv:
    """`goods_exist`: what the goods service said when the command was made; it is another log."""

    goods_id: int
    stock: int
    goods_exist: bool


@dataclass(frozen=True, slots=True)
class SetInvMany:
    """All or none."""

    items: tuple[SetInv, ...]


@dataclass(frozen=True, slots=True)
class AdjustStock:
    goods_id: int
    delta: int
    reason: str
    goods_exist: bool


# events


@dataclass(frozen=True, slots=True)
class StockSet:
    on_hand: int
    before: int


@dataclass(frozen=True, slots=True)
class StockAdjusted:
    delta: int
    reason: str
    on_hand: int


@dataclass(frozen=True, slots=True)
class StockSold:
    order_id: str
    nums: int
    on_hand: int


@dataclass(frozen=True, slots=True)
class StockReturned:
    order_id: str
    nums: int
    on_hand: int


StockEvent = StockSet | StockAdjusted | StockSold | StockReturned


def evolve(stock: Stock, event: StockEvent) -> Stock:
    """The level follows from the quantity; the level an event claims is for readers and the audit."""
    match event:
        case StockSold(_, nums, _):
            level = stock.on_hand - nums
        case StockReturned(_, nums, _):
            level = stock.on_hand + nums
        case StockSet(on_hand, _):
            level = on_hand
        case StockAdjusted(delta, _, _):
            level = stock.on_hand + delta
        case _:
            assert_never(event)
    return Stock(on_hand=level, version=stock.version + 1)


def from_last(version: int, event: StockEvent) -> Stock:
    """What `evolve` makes of a whole stream, from its last event: who wrote it had folded the ones before."""
    return Stock(event.on_hand, version)


def decide_set(stock: Stock, command: SetInv) -> tuple[StockEvent, ...]:
    """Sets the level to what was counted. Raises NoSuchGoods."""
    if not command.goods_exist:
        raise NoSuchGoods(goods_id=command.goods_id)
    return (StockSet(on_hand=command.stock, before=stock.on_hand),)


def decide_adjust(stock: Stock, command: AdjustStock) -> tuple[StockEvent, ...]:
    """Adds or takes away. Raises NoSuchGoods, StockShort below 0, StockTooLarge past the limit."""
    if not command.goods_exist:
        raise NoSuchGoods(goods_id=command.goods_id)
    level = stock.on_hand + command.delta
    if level < 0:
        raise StockShort(short=(Short(command.goods_id, -command.delta, stock.on_hand),))
    if level > MAX_STOCK:
        raise StockTooLarge
    return (StockAdjusted(command.delta, command.reason, level),)
