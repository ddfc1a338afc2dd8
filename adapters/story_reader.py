"""What a story needs of a log beside single streams: payments by trade, many streams, parked messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
import psycopg

from adapters.postgres_log_reader import LogReader, LogUnreadable, Params
from domain.events import stored_names
from domain.order import OrderPaid, RefundDue
from domain.recorded import Recorded

MAX_PAYMENTS: Final = 1_000
"""Of one trade. Each trade counts once an order, so more is a sign of a trade id such as `test`."""

MAX_PARKED: Final = 20


@dataclass(frozen=True, slots=True)
class ParkedAbout:
    """A message taken off the wire that names the order. `id`: as `tillroll parked show` takes it."""

    id: str
    subject: str
    reason: str
    times: int
    at: datetime
    last_at: datetime


class StoryReader(LogReader):
    """One service's log, for a person who asks."""

    def streams(self, names: Sequence[str]) -> list[Recorded]:
        """All events of these streams in the order of their positions. Raises LogUnreadable, LogDamaged."""
        with self._connection() as connection:
            rows = self._rows(connection, "read_streams", {"streams": list(names)})
        return list(map(self._decoded, rows))

    def payments(self, trade_id: str, after: int = 0) -> list[Recorded]:
        """What was paid, or is to be given back, with that trade. Raises LogUnreadable, LogDamaged."""
        return self._payments("payments", trade_id, {"after": after})

    def payments_of(self, names: Sequence[str], trade_id: str) -> list[Recorded]:
        """The same in these streams alone. Raises LogUnreadable, LogDamaged."""
        return self._payments("payments_of", trade_id, {"streams": list(names)})

    def _payments(self, query: str, trade_id: str, where: Params) -> list[Recorded]:
        topics = [name for kind in (OrderPaid, RefundDue) for name in stored_names(kind)]
        needle = msgspec.json.encode(trade_id).decode()
        params: Params = {**where, "topics": topics, "needle": needle, "limit": MAX_PAYMENTS}
        with self._connection() as connection:
            rows = self._rows(connection, query, params)
        return [paid for paid in map(self._decoded, rows) if paid.event.payment.trade_id == trade_id]

    def refunds(self, limit: int) -> list[Recorded]:
        """What came for closed orders, the newest first. Raises LogUnreadable, LogDamaged."""
        params: Params = {"topics": list(stored_names(RefundDue)), "limit": limit}
        with self._connection() as connection:
            rows = self._rows(connection, "refunds", params)
        return list(map(self._decoded, rows))

    def parked_about(self, order_id: str) -> tuple[ParkedAbout, ...] | None:
        """The newest first; None where this role may not look, or the database is from before parking.

        Raises LogUnreadable.
        """
        # A short number would be found within others; the wire has order ids as JSON strings.
        params: Params = {"needle": f'"{order_id}"', "limit": MAX_PARKED}
        try:
            with self._connection() as connection:
                rows = self._rows(connection, "parked_about", params)
        except LogUnreadable as error:
            if isinstance(
                error.__cause__, psycopg.errors.UndefinedTable | psycopg.errors.InsufficientPrivilege
            ):
                return None
            raise
        return tuple(ParkedAbout(f"{self.log}-{row[0]}", *row[1:]) for row in rows)
