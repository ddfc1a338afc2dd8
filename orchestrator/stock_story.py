"""The stock of one goods as a ledger: each event one line, with the level that follows from the quantities.

Pure, and a line at a time: a ledger of a million lines takes no more memory than its totals.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never

from domain import stock
from domain.recorded import Recorded
from domain.stock import StockAdjusted, StockEvent, StockReturned, StockSet, StockSold

SET: Final = "set"
ADJUSTED: Final = "adjusted"
SOLD: Final = "sold"
RETURNED: Final = "returned"
KINDS: Final = (SET, ADJUSTED, SOLD, RETURNED)


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One event. `change`: of the level, in units; `balance`: the level that follows from all quantities.

    `claimed`: the level that the event itself says. `wrong`: in which way this line does not follow from the
    ones before it, in words; empty when it does, as it always is unless somebody wrote into the log.
    """

    at: datetime
    kind: str
    who: str
    order_id: str
    reason: str
    change: int
    balance: int
    claimed: int
    version: int
    position: int
    wrong: str


@dataclass(frozen=True, slots=True)
class Totals:
    """Of a ledger so far, in units: `on_hand` = `counted` + `adjusted` - `sold` + `returned`.

    `counted`: what settings changed it by. `wrong`: lines that do not follow, `first_wrong` is the first.
    `last_unit`: the line that took it, while there is none on hand.
    """

    events: int = 0
    on_hand: int = 0
    counted: int = 0
    adjusted: int = 0
    sold: int = 0
    returned: int = 0
    wrong: int = 0
    first_wrong: LedgerLine | None = None
    last_unit: LedgerLine | None = None
    last: LedgerLine | None = None

    def plus(self, line: LedgerLine) -> "Totals":
        """With one more line."""
        first = self.first_wrong or (line if line.wrong else None)
        return Totals(
            events=self.events + 1,
            on_hand=line.balance,
            counted=self.counted + line.change * (line.kind == SET),
            adjusted=self.adjusted + line.change * (line.kind == ADJUSTED),
            sold=self.sold - line.change * (line.kind == SOLD),
            returned=self.returned + line.change * (line.kind == RETURNED),
            wrong=self.wrong + bool(line.wrong),
            first_wrong=first,
            last_unit=self._last_unit(line),
            last=line,
        )

    def _last_unit(self, line: LedgerLine) -> LedgerLine | None:
        if line.balance > 0:
            return None
        return line if self.on_hand > 0 else self.last_unit


def ledger(events: Iterable[Recorded]) -> Iterator[LedgerLine]:
    """The lines of one goods' stock stream, which is given whole, oldest event first."""
    before, version = stock.NONE, 0
    for recorded in events:
        after = stock.evolve(before, recorded.event)
        yield _line(recorded, before.on_hand, after.on_hand, version)
        before, version = after, recorded.originator_version


def _line(recorded: Recorded, before: int, after: int, last_version: int) -> LedgerLine:
    event: StockEvent = recorded.event
    missing = _missing(last_version, recorded.originator_version)
    return LedgerLine(
        at=recorded.cause.at,
        kind=_kind(event),
        who=_who(recorded.cause.caller),
        order_id=event.order_id if isinstance(event, StockSold | StockReturned) else "",
        reason=event.reason if isinstance(event, StockAdjusted) else "",
        change=after - before,
        balance=after,
        claimed=event.on_hand,
        version=recorded.originator_version,
        position=recorded.position,
        wrong="; ".join(filter(None, (missing, _wrong_before(event, before), _wrong_level(event, after)))),
    )


def _kind(event: StockEvent) -> str:
    match event:
        case StockSet():
            return SET
        case StockAdjusted():
            return ADJUSTED
        case StockSold():
            return SOLD
        case StockReturned():
            return RETURNED
        case _:
            assert_never(event)


def _who(caller: str) -> str:
    """`user-7` and `operator-ann` are a kind and a name; other callers are parts of the system."""
    return caller.replace("-", " ", 1)


def _missing(last: int, version: int) -> str:
    between = version - last - 1
    if between == 0:
        return ""
    return f"event {last + 1} is missing" if between == 1 else f"{between} events before it are missing"


def _wrong_before(event: StockEvent, before: int) -> str:
    if not isinstance(event, StockSet) or event.before == before:
        return ""
    return f"says {event.before} before, {before} follows"


def _wrong_level(event: StockEvent, after: int) -> str:
    return "" if event.on_hand == after else f"says {event.on_hand}, {after} follows"
