"""The level of one goods over time in a bounded number of columns, however many events there are.

The span of a column doubles, and neighbours join, whenever the next event would be out of reach. A column
keeps the first, lowest, highest and last level, so that no peak and no gap is lost, and what happened in it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from orchestrator.stock_story import LedgerLine

MAX_COLUMNS: Final = 1_800
"""Two for each pixel of the picture: after a doubling there is still one at least."""

FIRST_SPAN: Final = timedelta(milliseconds=1)


@dataclass(slots=True)
class Happened:
    """Events of one kind close together: how many, how many units up or down, and the newest of them."""

    count: int
    units: int
    first_at: datetime
    last: LedgerLine

    def join(self, later: "Happened") -> None:
        self.count += later.count
        self.units += later.units
        self.last = later.last


@dataclass(slots=True)
class Column:
    """Levels after the first and the last event of a span of time, and the lowest and highest of all."""

    index: int
    first_at: datetime
    last_at: datetime
    first: int
    low: int
    high: int
    last: int
    events: int = 1
    happened: dict[str, Happened] = field(default_factory=dict)

    def join(self, later: "Column") -> None:
        self.last_at, self.last = later.last_at, later.last
        self.low, self.high = min(self.low, later.low), max(self.high, later.high)
        self.events += later.events
        for kind, what in later.happened.items():
            if kind in self.happened:
                self.happened[kind].join(what)
            else:
                self.happened[kind] = what


class StockColumns:
    """Hears the lines of a ledger in order."""

    def __init__(self) -> None:
        self.columns: list[Column] = []
        self._span = FIRST_SPAN

    def hear(self, line: LedgerLine) -> None:
        """One more line."""
        # Clocks of two processes may differ by milliseconds; a picture's time never runs backwards.
        at = max(line.at, self.columns[-1].last_at) if self.columns else line.at
        start = self.columns[0].first_at if self.columns else at
        while (index := (at - start) // self._span) >= MAX_COLUMNS:
            self._double()
        _add(self.columns, _column(line, at, index))

    def _double(self) -> None:
        self._span *= 2
        joined: list[Column] = []
        for column in self.columns:
            column.index //= 2
            _add(joined, column)
        self.columns = joined


def _add(columns: list[Column], column: Column) -> None:
    if columns and columns[-1].index == column.index:
        columns[-1].join(column)
    else:
        columns.append(column)


def _column(line: LedgerLine, at: datetime, index: int) -> Column:
    happened = {line.kind: Happened(1, line.change, at, line)}
    return Column(index, at, at, line.balance, line.balance, line.balance, line.balance, happened=happened)


def joined(column: Iterable[Happened]) -> Happened:
    """All of them as one; there is one at least."""
    first, *rest = column
    whole = Happened(first.count, first.units, first.first_at, first.last)
    for later in rest:
        whole.join(later)
    return whole
