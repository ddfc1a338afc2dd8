"""An audit that continues an earlier clean one: what of the old part of the logs it has to know.

Whatever an event after the earlier audit touched is looked at as if the whole log had been read. So what came
before in those streams is recalled: quietly, as it was found good then. An order is one story in three
streams of two logs: when one of them is touched, all of them are recalled whole, and so are the streams that
rows of read models are folded from. Of any other stream the first and the last event of before are enough: a
stock ledger can be long, and its last event says its version and its level.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from domain import streams
from domain.recorded import Recorded
from domain.stock import StockEvent, StockSet
from orchestrator.audit import Check, Finding

OF_AN_ORDER: Final[Mapping[str, tuple[str, ...]]] = {"order": ("order", "saga"), "inventory": ("sale",)}
"""Categories of the streams that each log has of an order."""

FOLDED: Final = frozenset({"cart", "goods", "user"})
"""Categories of further streams that rows are folded from. They are short."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What of one log is recalled: of the part up to the position `after`. `ends`: first and last event."""

    after: int
    whole: tuple[str, ...]
    ends: tuple[str, ...]


@runtime_checkable
class Recalls(Protocol):
    """A check that can continue: it takes in what it saw in an earlier audit, and what was good then."""

    def recall(self, recorded: Recorded) -> Iterable[Finding]:
        """What is wrong all the same is told only where the check cannot go on."""
        ...


def recall(events: Iterable[Recorded], checks: Sequence[Check]) -> Iterator[Finding]:
    """Before the walk over what is new. `events`: in the order of their positions, stream by stream."""
    recalling = [check for check in checks if isinstance(check, Recalls)]
    for recorded in events:
        for check in recalling:
            yield from check.recall(recorded)


def orders_of(names: Iterable[str]) -> set[str]:
    """The orders that these streams are of."""
    kinds = {kind for of_log in OF_AN_ORDER.values() for kind in of_log}
    return {streams.key_of(name) for name in names if streams.category(name) in kinds}


def earlier_of(log: str, after: int, touched: Iterable[str], orders: Collection[str]) -> Earlier:
    """`touched`: streams of this log with events after that position; `orders`: those touched in any log."""
    kinds = OF_AN_ORDER.get(log, ())
    whole = [f"{kind}-{order_id}" for order_id in sorted(orders) for kind in kinds]
    ends = []
    for name in sorted(touched):
        category = streams.category(name)
        if category in FOLDED:
            whole.append(name)
        elif category not in kinds:
            ends.append(name)
    return Earlier(after, tuple(whole), tuple(ends))


def level_only(recorded: Recorded) -> Recorded:
    """A stock event of before as what it came to: the level that it claims, and that the audit found true."""
    if not isinstance(recorded.event, StockEvent):
        return recorded
    level: int = recorded.event.on_hand
    return recorded._replace(event=StockSet(level, level))
