"""Did every sale take, and every return give back, exactly its units, once?

    (nothing) --Sold--> SOLD --RolledBack--> RETURNED
        |--SellRefused-----> REFUSED --RollbackBarred--> BARRED
        '--RollbackBarred--> BARRED

Sold comes with one StockSold for each of its lines, RolledBack with one StockReturned, by the same command.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from domain import streams
from domain.recorded import Recorded
from domain.sale import (
    Line,
    RollbackBarred,
    RolledBack,
    SaleEvent,
    SaleStatus,
    SellRefused,
    Sold,
    fold,
)
from domain.stock import StockReturned, StockSold
from orchestrator.audit import Finding, digest

LEGAL: Final[Mapping[tuple[SaleStatus, type[SaleEvent]], SaleStatus]] = {
    (SaleStatus.NONE, Sold): SaleStatus.SOLD,
    (SaleStatus.NONE, SellRefused): SaleStatus.REFUSED,
    (SaleStatus.NONE, RollbackBarred): SaleStatus.BARRED,
    (SaleStatus.SOLD, RolledBack): SaleStatus.RETURNED,
    (SaleStatus.REFUSED, RollbackBarred): SaleStatus.BARRED,
}

SAID: Final[Mapping[SaleStatus, str]] = {
    SaleStatus.NONE: "that never sold anything",
    SaleStatus.SOLD: "that is sold already",
    SaleStatus.RETURNED: "that was returned already",
    SaleStatus.REFUSED: "that was refused",
    SaleStatus.BARRED: "whose id is barred",
}


@dataclass(slots=True)
class SaleFacts:
    """What is kept of one order's sale. `units`: digest of its folded lines; positions: 0 for none."""

    status: SaleStatus = SaleStatus.NONE
    units: bytes = b""
    sold_at: int = 0
    returned_at: int = 0
    sold_by: str = ""


@dataclass(slots=True)
class Movement:
    """Stock movements that a Sold or RolledBack announced and that have not been seen yet, by goods."""

    command_id: str
    position: int
    nums: dict[int, int]


class SalesMoveTheirStock:
    name = "sales"
    question = "Every sale and return moved exactly its units, once"
    unit = "sales"
    events = frozenset({Sold, SellRefused, RolledBack, RollbackBarred, StockSold, StockReturned})

    def __init__(self) -> None:
        self.facts: dict[str, SaleFacts] = {}
        self._to_come: dict[tuple[type[object], str], Movement] = {}

    @property
    def count(self) -> int:
        return len(self.facts)

    def see(self, recorded: Recorded) -> Iterable[Finding]:
        match recorded.event:
            case Sold() | SellRefused() | RolledBack() | RollbackBarred():
                return self._sale(recorded, recorded.event)
            case StockSold() | StockReturned():
                return self._stock(recorded, recorded.event)
            case _:
                return ()

    def recall(self, recorded: Recorded) -> Iterable[Finding]:
        """What a sale of before announced has come: it announces nothing now."""
        event = recorded.event
        if isinstance(event, SaleEvent):
            facts = self.facts.setdefault(streams.key_of(recorded.originator_id), SaleFacts())
            _note(facts, recorded, LEGAL.get((facts.status, type(event)), facts.status))
        return ()

    def end(self) -> Iterator[Finding]:
        """A movement that never came is a sale, or a return, of units that stayed where they were."""
        for (kind, order_id), movement in self._to_come.items():
            missing = ", ".join(f"{nums} of goods {goods_id}" for goods_id, nums in movement.nums.items())
            what = f"{kind.__name__} is missing: {missing}"
            yield self._finding(order_id, movement.position, what)

    def _sale(self, recorded: Recorded, event: SaleEvent) -> Iterator[Finding]:
        order_id = streams.key_of(recorded.originator_id)
        facts = self.facts.setdefault(order_id, SaleFacts())
        after = LEGAL.get((facts.status, type(event)))
        if after is None:
            what = f"{type(event).__name__} for an order {SAID[facts.status]}"
            yield self._finding(order_id, recorded.position, what)
        if isinstance(event, Sold | RolledBack):
            wrong = _wrong_lines(facts, event)
            if wrong:
                yield self._finding(order_id, recorded.position, wrong)
            self._announce(order_id, recorded, event)
        _note(facts, recorded, after or facts.status)

    def _announce(self, order_id: str, recorded: Recorded, event: Sold | RolledBack) -> None:
        nums = {line.goods_id: line.nums for line in event.lines}
        kind = StockSold if isinstance(event, Sold) else StockReturned
        movement = Movement(recorded.cause.command_id, recorded.position, nums)
        if nums:
            self._to_come[kind, order_id] = movement

    def _stock(self, recorded: Recorded, event: StockSold | StockReturned) -> Iterator[Finding]:
        goods_id = streams.key_of(recorded.originator_id)
        movement = self._to_come.get((type(event), event.order_id))
        wrong = _wrong_movement(movement, goods_id, recorded)
        if wrong:
            what = f"{type(event).__name__} of {event.nums} units of goods {goods_id}: {wrong}"
            yield self._finding(event.order_id, recorded.position, what)
        elif movement is not None:
            del movement.nums[int(goods_id)]
            if not movement.nums:
                del self._to_come[type(event), event.order_id]

    def _finding(self, order_id: str, position: int, what: str) -> Finding:
        return Finding(self.name, f"order {order_id}", position, what, log="inventory")


def units_digest(lines: Iterable[Line]) -> bytes:
    """The same for the same units of the same goods, however the lines are split and ordered."""
    return digest(sorted((line.goods_id, line.nums) for line in fold(lines)))


def _wrong_lines(facts: SaleFacts, event: Sold | RolledBack) -> str | None:
    goods_ids = {line.goods_id for line in event.lines}
    if len(goods_ids) != len(event.lines) or any(line.nums <= 0 for line in event.lines):
        return f"{type(event).__name__} has lines that are not one positive quantity for each goods"
    if isinstance(event, RolledBack) and facts.units and units_digest(event.lines) != facts.units:
        return "RolledBack has other lines than what was sold"
    return None


def _note(facts: SaleFacts, recorded: Recorded, status: SaleStatus) -> None:
    facts.status = status
    match recorded.event:
        case Sold(lines) if not facts.sold_at:
            facts.units = units_digest(lines)
            facts.sold_at = recorded.position
            facts.sold_by = recorded.cause.caller
        case RolledBack() if not facts.returned_at:
            facts.returned_at = recorded.position
        case _:
            pass


def _wrong_movement(movement: Movement | None, goods_id: str, recorded: Recorded) -> str | None:
    """Each announced line is taken off when it is seen, so a second one of the same finds nothing."""
    if movement is None or not goods_id.isdecimal() or int(goods_id) not in movement.nums:
        return "no sale says so, or it was counted before"
    if movement.nums[int(goods_id)] != recorded.event.nums:
        return f"the sale says {movement.nums[int(goods_id)]} units"
    if movement.command_id != recorded.cause.command_id:
        return "it comes from another command than the sale"
    return None
