"""Sale: the barrier that makes the Sell and the Rollback of one order count once each.

One stream per order, written in the same commit as every stock stream the order touches:

    (nothing) --Sell, enough--> SOLD --Rollback--> RETURNED
        |------Sell, short----> REFUSED --Rollback--> BARRED
        '------Rollback-------> BARRED       the tombstone: a Sell that arrives late is refused

Empty compensation, a Sell that hangs behind its Rollback, and both twice are all decided here
(the barrier of DTM, https://en.dtm.pub/practice/barrier.html, as one stream instead of a table).
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import NamedTuple, assert_never

from domain import streams
from domain.refusals import AlreadyReturned, NoUnits, SaleDiffers, Short
from domain.stock import Stock, StockReturned, StockSold
from domain.values import dataclass

# state


class SaleStatus(IntEnum):
    NONE = 0
    SOLD = 1
    RETURNED = 2
    REFUSED = 3
    BARRED = 4


@dataclass(frozen=True, slots=True)
class Line:
    goods_id: int
    nums: int


class Sale(NamedTuple):
    status: SaleStatus = SaleStatus.NONE
    lines: tuple[Line, ...] = ()
    short: tuple[Short, ...] = ()


NONE = Sale()


# commands


@dataclass(frozen=True, slots=True)
class Sell:
    """`lines` may name goods twice: they are folded before anything is checked."""

    order_id: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Rollback:
    """Gives back what the order took. It carries no quantities: they come from the recorded sale."""

    order_id: str


# events


@dataclass(frozen=True, slots=True)
class Sold:
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class SellRefused:
    lines: tuple[Line, ...]
    short: tuple[Short, ...]


@dataclass(frozen=True, slots=True)
class RolledBack:
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class RollbackBarred:
    """A Rollback came before anything was sold; the order id is barred from now on."""


SaleEvent = Sold | SellRefused | RolledBack | RollbackBarred
Written = tuple[tuple[str, SaleEvent | StockSold | StockReturned], ...]


def evolve(sale: Sale, event: SaleEvent) -> Sale:
    match event:
        case Sold(lines):
            return Sale(SaleStatus.SOLD, lines)
        case SellRefused(lines, short):
            return Sale(SaleStatus.REFUSED, lines, short)
        case RolledBack(lines):
            return Sale(SaleStatus.RETURNED, lines)
        case RollbackBarred():
            return Sale(SaleStatus.BARRED)
        case _:
            assert_never(event)


def fold(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Lines of the same goods become one; order of first appearance."""
    lines = tuple(lines)
    if len({line.goods_id for line in lines}) == len(lines):
        return lines
    nums: dict[int, int] = {}
    for line in lines:
        nums[line.goods_id] = nums.get(line.goods_id, 0) + line.nums
    return tuple([Line(goods_id, n) for goods_id, n in nums.items()])


def decide_sell(sale: Sale, stocks: Mapping[int, Stock], command: Sell) -> Written:
    """Every line or none; every short line is named in SellRefused.

    A repeat of a decided Sell gives no events: its outcome stands in the sale. Raises AlreadyReturned
    after a Rollback, SaleDiffers when the repeat has other lines, NoUnits for a line of less than one.
    """
    for line in command.lines:
        if line.nums < 1:
            raise NoUnits
    lines = fold(command.lines)
    if sale.status in (SaleStatus.RETURNED, SaleStatus.BARRED):
        raise AlreadyReturned
    if sale.status is not SaleStatus.NONE:
        if set(sale.lines) != set(lines):
            raise SaleDiffers
        return ()
    short: list[Short] = []
    taken: list[tuple[str, StockSold]] = []
    for line in lines:
        goods_id, nums = line.goods_id, line.nums
        on_hand = stocks[goods_id].on_hand
        if on_hand < nums:
            short.append(Short(goods_id, nums, on_hand))
        taken.append((streams.stock(goods_id), StockSold(command.order_id, nums, on_hand - nums)))
    name = streams.sale(command.order_id)
    return ((name, SellRefused(lines, tuple(short))),) if short else ((name, Sold(lines)), *taken)


def decide_rollback(sale: Sale, stocks: Mapping[int, Stock], command: Rollback) -> Written:
    """Gives back at most once, and only what the recorded sale took; bars the id where nothing was sold."""
    name = streams.sale(command.order_id)
    match sale.status:
        case SaleStatus.NONE | SaleStatus.REFUSED:
            return ((name, RollbackBarred()),)
        case SaleStatus.SOLD:
            given = tuple(
                (
                    streams.stock(line.goods_id),
                    StockReturned(command.order_id, line.nums, stocks[line.goods_id].on_hand + line.nums),
                )
                for line in sale.lines
            )
            return ((name, RolledBack(sale.lines)), *given)
        case SaleStatus.RETURNED | SaleStatus.BARRED:
            return ()
        case _:
            assert_never(sale.status)
