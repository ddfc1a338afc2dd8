"""Reads a log and never writes to it: a role that can only SELECT is enough.

Batches are single statements, so no transaction stays open while their events are looked at: a reader that
is slow neither holds back VACUUM nor is ended by `idle_in_transaction_session_timeout`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import psycopg
from eventsourcing.persistence import MapperDeserialisationError, Notification
from psycopg.sql import SQL, Composed, Identifier

from adapters.error_text import first_line
from adapters.event_codec import decode
from adapters.log_errors import LogDamaged, LogUnreadable
from domain.events import stored_names
from domain.recorded import Recorded

__all__ = ["LogDamaged", "LogReader", "LogUnreadable"]

BATCH_EVENTS: Final = 2_000
"""Events in memory at once: orders of thousands of lines still make some tens of megabytes."""

CONNECT_TIMEOUT_S: Final = 5

_SQL_FOLDER: Final = Path(__file__).parent / "sql" / "log"

Row = tuple[str, int, str, bytes, int]
Params = Mapping[str, int | str | list[str] | datetime | None]


class LogReader:
    """One service's log. `log`: its name, which is that of its schema."""

    def __init__(self, dsn: str, log: str) -> None:
        self._dsn = dsn
        self.log = log

    def last_position(self) -> int:
        """The position of the newest event, 0 for an empty log. Raises LogUnreadable."""
        with self._connection() as connection:
            return self._last_position(connection)

    def position_at(self, moment: datetime) -> int:
        """The last position before the first event that says a later time than this. Raises LogUnreadable."""
        with self._connection() as connection:
            later = self._rows(connection, "first_later_than", {"at": moment})
            return int(later[0][0]) - 1 if later else self._last_position(connection)

    def moment_of(self, position: int) -> datetime | None:
        """When the last event up to a position was recorded; None without one. Raises LogUnreadable."""
        with self._connection() as connection:
            found = self._rows(connection, "at_position", {"position": position})
            return found[0][0] if found else None

    def read_all(self, after: int = 0, until: int | None = None) -> Iterator[Recorded]:
        """Events with positions above `after`, up to `until`, in order, a batch in memory at a time.

        Without `until` it ends at the last position there was when the first event was asked for.
        Raises LogUnreadable; LogDamaged at an event that cannot be decoded.
        """
        with self._connection() as connection:
            end = self._last_position(connection) if until is None else until
            while rows := self._batch(connection, after, end):
                for row in rows:
                    yield self._decoded(row)
                after = rows[-1][4]

    def read_stream(
        self, stream: str, version: int | None = None, at: datetime | None = None
    ) -> list[Recorded]:
        """One stream up to a version, or as it stood at a moment; empty when there is none.

        Raises LogUnreadable; LogDamaged at an event that cannot be decoded.
        """
        with self._connection() as connection:
            params: Params = {"stream": stream, "version": version}
            rows = self._rows(connection, "read_stream", params)
        events = map(self._decoded, rows)
        if at is None:
            return list(events)
        # A prefix, not a filter: leaving out an event in the middle would fold to a state that never was.
        return list(takewhile(lambda recorded: recorded.cause.at <= at, events))

    def read_stream_since(self, stream: str, kind: type[Any], *, before: int) -> list[Recorded]:
        """What a stream got before a position, since its last event of that kind, which is left out.

        Raises LogUnreadable; LogDamaged at an event that cannot be decoded.
        """
        with self._connection() as connection:
            params: Params = {"stream": stream, "topics": list(stored_names(kind)), "before": before}
            rows = self._rows(connection, "read_stream_since", params)
        return list(map(self._decoded, rows))

    def _batch(self, connection: psycopg.Connection, after: int, until: int) -> Sequence[Row]:
        if after >= until:
            return ()
        params = {"after": after, "until": until, "limit": BATCH_EVENTS}
        return self._rows(connection, "read_batch", params)

    def _last_position(self, connection: psycopg.Connection) -> int:
        return int(self._rows(connection, "last_position", {})[0][0])

    def _rows(self, connection: psycopg.Connection, name: str, params: Params) -> list[Any]:
        with self._told_clearly(), connection.cursor(binary=True) as cursor:
            return cursor.execute(_statement(name, self.log), params).fetchall()

    def _decoded(self, row: Row) -> Recorded:
        stream, version, topic, state, position = row
        try:
            return decode(Notification(stream, version, topic, state, position))
        except MapperDeserialisationError as error:
            place = f"position {position}, stream {stream}, version {version}"
            raise LogDamaged(f"log {self.log} is damaged at {place}: {first_line(error)}") from error

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection]:
        with self._told_clearly():
            connection = psycopg.connect(self._dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)
            connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        with connection:
            yield connection

    @contextmanager
    def _told_clearly(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
            raise LogUnreadable(f"log {self.log}: this database has no table {self.log}.events") from error
        except psycopg.errors.InsufficientPrivilege as error:
            raise LogUnreadable(f"log {self.log}: this role may not read it: {first_line(error)}") from error
        except psycopg.Error as error:
            raise LogUnreadable(f"log {self.log} cannot be read: {first_line(error)}") from error


@cache
def _statement(name: str, log: str) -> Composed:
    text = (_SQL_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
    return SQL(text).format(schema=Identifier(log))
