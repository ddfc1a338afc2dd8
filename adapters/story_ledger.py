"""The stock of one goods as a book: every setting, adjustment, sale and return, with the level after it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from adapters.postgres_log_reader import LogReader
from domain import stock, streams
from domain.recorded import Recorded
from domain.services import GOODS, INVENTORY
from domain.stock import StockAdjusted, StockEvent, StockReturned, StockSet, StockSold

KINDS: Final[Mapping[type[StockEvent], str]] = {
    StockSet: "set",
    StockAdjusted: "adjusted",
    StockSold: "sold",
    StockReturned: "returned",
}


@dataclass(frozen=True, slots=True)
class Move:
    """One line of the book. `change`: units, down is negative; `balance`: the level after it, added up.

    `on_hand`: the level that the event itself claims; other than the balance, it is a finding of the audit.
    """

    position: int
    version: int
    at: datetime
    kind: str
    change: int
    balance: int
    on_hand: int
    order_id: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class StockLedger:
    """`name`: of the goods then; empty when the goods log does not know them. `balance`: at the end."""

    goods_id: int
    name: str
    as_of: datetime | None
    balance: int
    moves: tuple[Move, ...]

    @property
    def empty_since(self) -> Move | None:
        """The move that took the last unit, while there is none on hand."""
        return self.moves[-1] if self.moves and not self.balance and self.moves[-1].change < 0 else None


def read_ledger(dsns: Mapping[str, str], goods_id: int, at: datetime | None) -> StockLedger | None:
    """None for goods whose stock was never set by then. Raises LogUnreadable."""
    inventory = LogReader(dsns["inventory"], INVENTORY.log)
    moves = tuple(moves_of(inventory.read_stream(streams.stock(goods_id), at=at)))
    if not moves:
        return None
    goods = LogReader(dsns["goods"], GOODS.log).read_stream(streams.goods(goods_id), at=at)
    names = [event.event.name for event in goods if getattr(event.event, "name", None)]
    return StockLedger(goods_id, names[-1] if names else "", at, moves[-1].balance, moves)


def moves_of(events: Iterable[Recorded]) -> Iterable[Move]:
    """The lines of the book, from the events of one stock stream, oldest first."""
    state = stock.NONE
    for recorded in events:
        before, state = state.on_hand, stock.evolve(state, recorded.event)
        event, cause = recorded.event, recorded.cause
        yield Move(
            position=recorded.position,
            version=recorded.originator_version,
            at=cause.at,
            kind=KINDS[type(event)],
            change=state.on_hand - before,
            balance=state.on_hand,
            on_hand=event.on_hand,
            order_id=getattr(event, "order_id", ""),
            by=cause.caller,
            reason=getattr(event, "reason", ""),
        )
