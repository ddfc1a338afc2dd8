"""Where an audit continues, and what it recalls of before: the touched streams of all logs together."""

from collections.abc import Iterator, Mapping
from typing import Final

import psycopg

from adapters.audit_events import AuditedLog, Heard, decoded
from adapters.postgres_log_reader import Row
from domain import streams
from domain.events import stored_names
from domain.order import OrderPaid, RefundDue
from domain.recorded import Recorded
from orchestrator.audit_since import Earlier, earlier_of, level_only, orders_of

STREAMS_AT_ONCE: Final = 200

LOOKED_BACK: Final = 1_000
"""Positions that are read at once to find where a commit begins; few are longer."""


class ContinuedLog(AuditedLog):
    """A log with a part that was audited before."""

    def commit_start(self, position: int) -> int:
        """The last position that ends a commit, up to this one. Raises LogUnreadable."""
        with self._connection() as connection:
            last = self._last_position(connection)
            rows = self._batch(connection, position, last)
            command = _command(rows[0]) if rows else None
            while command and position > 0:
                start = max(position - LOOKED_BACK, 0)
                for row in reversed(self._batch(connection, start, position)):
                    if _command(row) != command:
                        return row[4]
                position = start
        return position

    def touched(self, after: int, until: int) -> list[str]:
        """Streams with events between these positions. Raises LogUnreadable."""
        with self._connection() as connection:
            found = self._rows(connection, "touched_streams", {"after": after, "until": until})
        return [name for (name,) in found]

    def paid_again(self, after: int, until: int) -> set[str]:
        """Orders of before that were paid under a trade id that is used after it. Raises LogUnreadable."""
        topics = [*stored_names(OrderPaid), *stored_names(RefundDue)]
        with self._connection() as connection:
            found = self._rows(
                connection, "trades_used_again", {"after": after, "until": until, "topics": topics}
            )
        return {streams.key_of(name) for (name,) in found}

    def recalled(self, earlier: Earlier, heard: Heard) -> Iterator[Recorded]:
        """What is recalled, some streams at a time; of stock ledgers only levels. Raises LogUnreadable."""
        with self._connection() as connection:
            yield from self._of(connection, "read_streams_until", earlier.whole, earlier.after, heard)
            ends = self._of(connection, "read_ends_until", earlier.ends, earlier.after, heard)
            yield from map(level_only, ends)

    def _of(
        self, connection: psycopg.Connection, statement: str, names: tuple[str, ...], until: int, heard: Heard
    ) -> Iterator[Recorded]:
        for first in range(0, len(names), STREAMS_AT_ONCE):
            some = list(names[first : first + STREAMS_AT_ONCE])
            for row in self._rows(connection, statement, {"streams": some, "until": until}):
                recorded = decoded(row, heard)
                if recorded is not None:
                    yield recorded


def earlier_in(
    dsns: Mapping[str, str], since: Mapping[str, int], positions: Mapping[str, int]
) -> dict[str, Earlier]:
    """By log. `since`: up to where each log was audited; `positions`: up to where it is now.

    Raises LogUnreadable.
    """
    logs = {log: ContinuedLog(dsns[log], log) for log in positions}
    after = {log: reader.commit_start(since.get(log, 0)) for log, reader in logs.items()}
    touched = {log: reader.touched(after[log], positions[log]) for log, reader in logs.items()}
    orders = orders_of(name for names in touched.values() for name in names)
    if touched["order"]:
        orders |= logs["order"].paid_again(after["order"], positions["order"])
    return {log: earlier_of(log, after[log], touched[log], orders) for log in logs}


def _command(row: Row) -> str | None:
    recorded = decoded(row, lambda _: None)
    return None if recorded is None else recorded.cause.command_id
