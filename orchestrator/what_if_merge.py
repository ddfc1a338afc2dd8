"""The commands of two logs in one order: that of time, and never an effect before its cause.

Within a log the order is that of its positions, whatever the clocks said. Between the two, times decide,
but what inventory did for an order comes after the event that asked for it, and before the reply about it.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from domain import streams
from domain.recorded import Recorded
from domain.saga import (
    OrderStarted,
    PlacementRefused,
    ReturnConfirmed,
    SellConfirmed,
    SellDenied,
)
from domain.saga_owed import owed_after
from domain.sale import RollbackBarred, RolledBack, SellRefused, Sold
from domain.services import INVENTORY, ORDER
from orchestrator.commands_recorded import grouped

SAGA_CALLER: Final = "order-saga"
"""Who asks inventory in the name of an order (inventory_worker); all others sell and give back by hand."""

_ASKED: Final = 1
_SOLD_OR_NOT: Final = 2
_OWED_BACK: Final = 4
_GIVEN_BACK: Final = 8


class Slot(NamedTuple):
    """One recorded command: in which log, when, and what it wrote."""

    log: str
    at: datetime
    events: tuple[Recorded, ...]


def merged(orders: Iterable[Recorded], inventory: Iterable[Recorded]) -> Iterator[Slot]:
    """`at` never goes back."""
    order, stock = _Side(ORDER.log, orders), _Side(INVENTORY.log, inventory)
    seen = _Seen()
    now: datetime | None = None
    while order.next or stock.next:
        side = _chosen(order, stock, seen)
        events = side.take()
        seen.add(events)
        now = events[0].cause.at if now is None else max(now, events[0].cause.at)
        yield Slot(side.log, now, events)


class _Side:
    """One log, command by command. `next`: what comes, empty at the end."""

    def __init__(self, log: str, events: Iterable[Recorded]) -> None:
        self.log = log
        self._commands = grouped(events)
        self.next: tuple[Recorded, ...] = next(self._commands, ())

    def take(self) -> tuple[Recorded, ...]:
        taken, self.next = self.next, next(self._commands, ())
        return taken

    @property
    def at(self) -> datetime:
        return self.next[0].cause.at


def _chosen(order: _Side, stock: _Side, seen: "_Seen") -> _Side:
    if not (order.next and stock.next):
        return order if order.next else stock
    first, other = (order, stock) if order.at <= stock.at else (stock, order)
    # A cause that never comes holds nothing up: the log is as it is.
    return other if seen.is_early(first.next) and not seen.is_early(other.next) else first


class _Seen:
    """How far each order has come in both logs: one small number for each."""

    def __init__(self) -> None:
        self._by_order: dict[str, int] = {}

    def add(self, events: Sequence[Recorded]) -> None:
        for recorded in events:
            mark = _mark(recorded)
            if mark:
                order_id = streams.key_of(recorded.originator_id)
                self._by_order[order_id] = self._by_order.get(order_id, 0) | mark

    def is_early(self, events: Sequence[Recorded]) -> bool:
        needed = _needed(events[0])
        return bool(needed and not self._by_order.get(streams.key_of(events[0].originator_id), 0) & needed)


def _mark(recorded: Recorded) -> int:
    """What this event is the cause of."""
    event = recorded.event
    match event:
        case OrderStarted():
            return _ASKED
        case Sold() | SellRefused():
            return _SOLD_OR_NOT
        case RolledBack() | RollbackBarred():
            # A Sell that comes after it is answered as well.
            return _GIVEN_BACK | _SOLD_OR_NOT
        case _:
            is_saga = streams.category(recorded.originator_id) == "saga"
            return _OWED_BACK if is_saga and owed_after("", event) else 0


def _needed(first: Recorded) -> int:
    """Which mark its order must have before this can have happened; 0 for none."""
    by_saga = first.cause.caller == SAGA_CALLER
    match first.event:
        case SellConfirmed() | PlacementRefused() | SellDenied():
            return _SOLD_OR_NOT
        case ReturnConfirmed():
            return _GIVEN_BACK
        case Sold() | SellRefused() if by_saga:
            return _ASKED
        case RolledBack() | RollbackBarred() if by_saga:
            return _OWED_BACK
        case _:
            return 0
