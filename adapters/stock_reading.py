"""The ledger of one goods out of the logs, in pieces: a million events take the memory of a thousand."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from itertools import takewhile

import psycopg

from adapters.postgres_log_reader import BATCH_EVENTS, LogReader
from domain import goods, streams
from domain.goods import Goods
from domain.recorded import Recorded
from orchestrator.stock_story import LedgerLine, Totals, ledger


@dataclass(frozen=True, slots=True)
class StockStory:
    """`goods`: as the goods log had it then. `totals`: of all lines; `lines`: the last ones, newest last.

    `balance_before`: the level before the first of these lines.
    """

    goods: Goods
    as_of: datetime | None
    totals: Totals
    lines: tuple[LedgerLine, ...]

    @property
    def left_out(self) -> int:
        return self.totals.events - len(self.lines)

    @property
    def balance_before(self) -> int:
        return self.lines[0].balance - self.lines[0].change


class StockReader(LogReader):
    """The inventory's log, for streams that may be too long to be held whole."""

    def stream_in_pieces(self, stream: str, at: datetime | None = None) -> Iterator[Recorded]:
        """One stream as of a moment, a batch in memory at a time. Raises LogUnreadable, LogDamaged."""
        with self._connection() as connection:
            events = self._pieces(connection, stream)
            # A prefix, not a filter: leaving out an event in the middle would add up to what never was.
            yield from events if at is None else takewhile(lambda recorded: recorded.cause.at <= at, events)

    def _pieces(self, connection: psycopg.Connection, stream: str) -> Iterator[Recorded]:
        after = 0
        while rows := self._rows(
            connection, "read_stream_piece", {"stream": stream, "after": after, "limit": BATCH_EVENTS}
        ):
            yield from map(self._decoded, rows)
            after = rows[-1][1]


def read_stock(
    dsns: Mapping[str, str],
    goods_id: int,
    *,
    at: datetime | None,
    limit: int,
    hear: Callable[[LedgerLine], None],
) -> StockStory | None:
    """The last `limit` lines, and totals over all; `hear` hears every line. None when there are none by then.

    Raises LogUnreadable; LogDamaged at an event that cannot be decoded.
    """
    inventory = StockReader(dsns["inventory"], "inventory")
    totals, last = Totals(), deque[LedgerLine](maxlen=limit)
    for line in ledger(inventory.stream_in_pieces(streams.stock(goods_id), at)):
        totals = totals.plus(line)
        last.append(line)
        hear(line)
    if not last:
        return None
    return StockStory(read_goods(dsns, goods_id, at), at, totals, tuple(last))


def read_goods(dsns: Mapping[str, str], goods_id: int, at: datetime | None) -> Goods:
    """UNKNOWN when the goods log does not know them by then. Raises LogUnreadable."""
    events = LogReader(dsns["goods"], "goods").read_stream(streams.goods(goods_id), at=at)
    return reduce(lambda known, recorded: goods.evolve(known, recorded.event), events, goods.UNKNOWN)
