"""One projection kept up to date in Postgres: a batch of its log, its rows and its position in one commit.

Safe to run twice and anywhere: whoever holds the position's row advances, everybody else finds it taken.
A crash loses rows and position together, so the same events are folded again onto the same rows.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final, Self

import psycopg
from eventsourcing.persistence import Notification

from adapters.event_codec import decode
from adapters.postgres_read_schema import session, statement
from adapters.postgres_read_tables import ReadTable
from domain.events import NAMES
from domain.recorded import Recorded
from projections.projection import Projection, apply, key_of

BATCH_EVENTS: Final = 5_000
BATCH_BYTES: Final = 16 * 1024**2
"""An event has up to 2,000 lines; decoded, folded and written, a byte of a batch takes about ten."""

NO_END: Final = 2**63 - 1

_ASYNC_COMMIT: Final = "-c synchronous_commit=off"
"""A power cut may take the last commits back, position and rows alike: the log still has the events."""

_REFUSED_VALUE: Final = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)


class EventNotApplied(Exception):
    """An event of the log cannot be decoded, folded or stored; the text says which, and why, in one line."""


class NotKeptHere(psycopg.ProgrammingError):
    """The schema has no position for this projection: its tables were not made yet."""


class PostgresProjection:
    """A projection in one schema, and its log in the same database or another. One thread at a time."""

    def __init__(self, projection: Projection, *, log_dsn: str, read_dsn: str, schema: str = "read") -> None:
        self.projection = projection
        self.position = 0
        self._dsns = (log_dsn, read_dsn)
        self._schema = schema
        self._place = {"log": projection.log, "projection": projection.name}
        self._others = sorted(NAMES[kind] for kind in NAMES.keys() - projection.events)
        self._tables = [(table, ReadTable(table, schema)) for table in projection.tables]
        self._connections: tuple[psycopg.Connection, psycopg.Connection] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def advance(self, batch_limit: int = BATCH_EVENTS, until: int = NO_END) -> int:
        """Apply the next events, `batch_limit` at most and none after position `until`, in one commit.

        Returns how many events of the log were passed: 0 when there are none, or another process has the
        projection now. A batch with an event that cannot be applied is cut down until everything before
        that event is applied. Raises EventNotApplied when it is the next one; psycopg.Error when Postgres
        cannot be reached or refuses.
        """
        try:
            return self._advance(batch_limit, until)
        except psycopg.errors.QueryCanceled:
            # It took longer than a statement may: half of it may not.
            if batch_limit == 1:
                raise
        except Exception as error:
            if not _is_events_fault(error):
                raise
            if batch_limit == 1:
                raise EventNotApplied(f"{self._next_event()}: {_first_line(error)}") from error
        return self.advance(batch_limit // 2, until)

    def save_error(self, error: str) -> None:
        """Leave a note for whoever asks why the projection does not move."""
        _, read = self._connected()
        read.execute(statement("save_error", self._schema), {**self._place, "error": error})

    def close(self) -> None:
        """Give the connections back. The next call makes new ones."""
        for connection in self._connections or ():
            connection.close()
        self._connections = None

    def _advance(self, limit: int, until: int) -> int:
        log, read = self._connected()
        with read.transaction():
            if not self._has_position(read):
                return 0
            end, count = self._batch_end(log, limit, until)
            if count:
                self._apply(read, self._events(log, end))
                read.execute(statement("save_position", self._schema), {**self._place, "position": end})
        self.position = end
        return count

    def _connected(self) -> tuple[psycopg.Connection, psycopg.Connection]:
        """The log's connection and the read models'; one for both where both are in one database."""
        if self._connections is None or any(connection.closed for connection in self._connections):
            self.close()
            self._connections = _connect(*self._dsns)
        return self._connections

    def _has_position(self, read: psycopg.Connection) -> bool:
        """Whether the projection is ours until the commit; in either case learn where it stands."""
        locked = read.execute(statement("lock_position", self._schema), self._place).fetchone()
        row = locked or read.execute(statement("read_position", self._schema), self._place).fetchone()
        if row is None:
            raise NotKeptHere(f"schema {self._schema} does not keep {self.projection.name}")
        self.position = row[0]
        return locked is not None

    def _batch_end(self, log: psycopg.Connection, limit: int, until: int) -> tuple[int, int]:
        params = {"after": self.position, "until": until, "limit": limit, "bytes": BATCH_BYTES}
        row = log.execute(statement("batch_end", self.projection.log), params).fetchone()
        assert row is not None
        return row[0] or self.position, row[1]

    def _rows(self, log: psycopg.Connection, end: int) -> list[Any]:
        params = {"after": self.position, "until": end, "others": self._others}
        with log.cursor(binary=True) as cursor:
            return cursor.execute(statement("batch_events", self.projection.log), params).fetchall()

    def _events(self, log: psycopg.Connection, end: int) -> list[Recorded]:
        return [decode(Notification(*row)) for row in self._rows(log, end)]

    def _apply(self, read: psycopg.Connection, events: Sequence[Recorded]) -> None:
        for table, rows in self._tables:
            wanted = [recorded for recorded in events if type(recorded.event) in table.events]
            before = rows.load(read, {key_of(recorded) for recorded in wanted}) if wanted else {}
            after = dict(before)
            for recorded in wanted:
                apply(table, after, recorded)
            rows.replace(read, before, after)

    def _next_event(self) -> str:
        log, _ = self._connected()
        end, _ = self._batch_end(log, 1, NO_END)
        names = [f"{row[2]} at {row[0]} version {row[1]}" for row in self._rows(log, end)]
        return f"log {self.projection.log}, position {end}: {', '.join(names) or 'no event'}"


def _connect(log_dsn: str, read_dsn: str) -> tuple[psycopg.Connection, psycopg.Connection]:
    with ExitStack() as opened:
        read = opened.enter_context(psycopg.connect(session(read_dsn, _ASYNC_COMMIT), autocommit=True))
        log = read if log_dsn == read_dsn else psycopg.connect(session(log_dsn), autocommit=True)
        opened.pop_all()
    return log, read


def _is_events_fault(error: Exception) -> bool:
    """Whether the same event would fail again on a healthy database."""
    return isinstance(error, _REFUSED_VALUE) or not isinstance(error, psycopg.Error)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]
