"""Where a projection lives in PostgreSQL: its log, its tables, its position; over one or two connections."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Final

import psycopg
from psycopg.conninfo import make_conninfo

from adapters.event_codec import decode_row
from adapters.postgres_read_schema import query, session, statement
from adapters.postgres_read_tables import ReadTable
from domain.events import other_stored_names
from domain.recorded import Recorded
from projections.projection import Projection, Rows, Table

BATCH_BYTES: Final = 8 * 1024**2
"""An event has up to 2,000 lines; decoded, folded and written, a byte of a batch takes about ten."""

TRANSACTION_S: Final = 3
"""The server ends a batch that takes longer: whoever waits for the position has it within 5 s."""

STUCK_AFTER_S: Final = 3.25
"""When whoever waits ends it."""

GONE_WITHIN_MS: Final = 500

_REMEDIES: Final = {"read": "replay rebuild"}
"""What makes tables of another version anew, by schema; elsewhere a migration does."""

_APPLICATION: Final = "tillroll projector"
"""The name of these sessions in PostgreSQL, by which one projector knows another's."""

_OPTIONS: Final = f"-c transaction_timeout={TRANSACTION_S}s -c synchronous_commit=off -c random_page_cost=1.1"
"""A power cut may take the last commits back, position and rows alike: the log still has the events.

The end of a log is in memory. Where a page costs what a turning disk takes for it, PostgreSQL reads and sorts
the whole log for every batch of 10,000 events."""


class NotKeptHere(psycopg.ProgrammingError):
    """The schema has no position for this projection: its tables were not made yet."""


class TablesOfAnotherShape(psycopg.ProgrammingError):
    """Another version of the projection made the tables that stand here; a rebuild makes them anew."""


class PostgresProjectionStore:
    """The port of `projections.advance`. One thread at a time; connections are made when they are needed.

    `seen`: the position as it was last read. Every method raises psycopg.Error when Postgres is away
    or refuses.
    """

    def __init__(self, projection: Projection, *, log_dsn: str, read_dsn: str, schema: str) -> None:
        self.seen = 0
        self._dsns = (log_dsn, read_dsn)
        self._log_name = projection.log
        self._shape = projection.shape
        self._schema = schema
        self._place = {"log": projection.log, "projection": projection.name}
        self._others = other_stored_names(projection.events)
        self._tables = {table.name: ReadTable(table, schema) for table in projection.tables}
        self._connections: tuple[psycopg.Connection, psycopg.Connection] | None = None

    def transaction(self) -> AbstractContextManager[Any]:
        return self._read.transaction()

    def take_position(self) -> tuple[int, bool]:
        """Raises NotKeptHere, TablesOfAnotherShape."""
        locked = self._place_row("lock_position")
        row = locked or self._standing()
        if not locked and row[0] == self.seen and self._end_stuck():
            locked = self._place_row("lock_position")
            row = locked or row
        self.seen, shape = row
        if shape not in (None, self._shape):
            raise TablesOfAnotherShape(
                f"{self._schema}.{self._place['projection']} was made by another version of Tillroll:"
                f" run `tillroll {_REMEDIES.get(self._schema, 'migrate')}`"
            )
        return self.seen, locked is not None

    def look(self) -> int:
        """The position, whoever has it. Raises NotKeptHere."""
        return self._standing()[0]

    def batch_end(self, after: int, until: int, limit: int) -> tuple[int, int]:
        params = {"after": after, "until": until, "limit": limit}
        row = self._log.execute(statement("batch_size", self._log_name), params).fetchone()
        assert row is not None
        if row[2] > BATCH_BYTES:
            params["bytes"] = BATCH_BYTES
            row = self._log.execute(statement("batch_end", self._log_name), params).fetchone()
            assert row is not None
        return row[0] or after, row[1]

    def batch_events(self, after: int, end: int) -> Sequence[Recorded]:
        return [decode_row(*row) for row in self.batch_rows(after, end)]

    def batch_rows(self, after: int, end: int) -> list[Any]:
        """The same events as they are stored: stream, version, name, bytes, position."""
        params = {"after": after, "until": end, "others": self._others}
        with self._log.cursor(binary=True) as cursor:
            return cursor.execute(statement("batch_events", self._log_name), params).fetchall()

    def load(self, table: Table, keys: set[int]) -> dict[int, Rows]:
        return self._tables[table.name].load(self._read, keys)

    def replace(self, table: Table, before: Mapping[int, Rows], after: Mapping[int, Rows]) -> None:
        self._tables[table.name].replace(self._read, before, after)

    def save_position(self, position: int) -> None:
        params = {**self._place, "position": position}
        self._read.execute(statement("save_position", self._schema), params)

    def save_error(self, error: str, position: int) -> None:
        """A note for whoever asks why the projection does not move, while it is still at that position."""
        params = {**self._place, "error": error, "position": position}
        self._read.execute(statement("save_error", self._schema), params)

    def close(self) -> None:
        """Give the connections back. The next call makes new ones."""
        for connection in self._connections or ():
            connection.close()
        self._connections = None

    def _standing(self) -> tuple[int, str | None]:
        """Position and shape as everybody sees them. Raises NotKeptHere."""
        row = self._place_row("read_position")
        if row is None:
            raise NotKeptHere(f"schema {self._schema} does not keep {self._place['projection']}")
        return row

    def _place_row(self, name: str) -> tuple[int, str | None] | None:
        return self._read.execute(statement(name, self._schema), self._place).fetchone()

    def _end_stuck(self) -> bool:
        """Whether projectors were past the end of their batch, and are no more; asked when nothing moves."""
        params = {
            "application": _APPLICATION,
            "stuck_after_s": STUCK_AFTER_S,
            "gone_within_ms": GONE_WITHIN_MS,
        }
        return self._read.execute(query("end_stuck"), params).rowcount > 0

    @property
    def _log(self) -> psycopg.Connection:
        return self._connected()[0]

    @property
    def _read(self) -> psycopg.Connection:
        return self._connected()[1]

    def _connected(self) -> tuple[psycopg.Connection, psycopg.Connection]:
        """The log's connection and the read models'; one for both where both are in one database."""
        if self._connections is None:
            self._connections = _connect(*self._dsns)
        return self._connections

    def reopen_closed(self) -> None:
        """Before a batch, never in the middle of one: what a lost connection had begun is lost with it."""
        if any(connection.closed for connection in self._connections or ()):
            self.close()


def _connect(log_dsn: str, read_dsn: str) -> tuple[psycopg.Connection, psycopg.Connection]:
    with ExitStack() as opened:
        named = make_conninfo(session(read_dsn, _OPTIONS), application_name=_APPLICATION)
        read = opened.enter_context(psycopg.connect(named, autocommit=True))
        log = read if log_dsn == read_dsn else psycopg.connect(session(log_dsn), autocommit=True)
        opened.pop_all()
    return log, read
