"""The ledger's log over our Postgres recorder: errors of the library become those of the port."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import psycopg
from eventsourcing.persistence import IntegrityError, PersistenceError
from eventsourcing.postgres import PostgresDatastore
from psycopg import AsyncCursor, Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, TupleRow, dict_row, tuple_row

from adapters.error_text import first_line
from adapters.postgres_arrays import BinaryArray, bigint_array, bytea_array, text_array
from adapters.postgres_prompt import PromptConnection
from adapters.postgres_recorder import LogRecorder
from orchestrator.log import LogConflict, LogUnavailable, Since, Stored

SESSION = (
    "SET synchronous_commit = on",
    "SET statement_timeout = '5s'",
    "SET lock_timeout = '2s'",
    "SET idle_in_transaction_session_timeout = '5s'",
)
"""A writer that stops inside a transaction holds everybody's lock: 5 s is the longest it can."""

KEEPALIVES = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "connect_timeout": 5,
}


class LogDatastore(PostgresDatastore):
    """The library's datastore for any DSN that libpq understands."""

    def __init__(self, dsn: str, schema: str, *, pool_size: int = 1) -> None:
        given = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
        super().__init__(
            dbname=given.get("dbname", "postgres"),
            host=given.get("host", ""),
            port=given.get("port", "5432"),
            user=given.get("user", ""),
            password=given.get("password", ""),
            schema=schema,
            originator_id_type="text",
            pool_size=pool_size,
            max_overflow=1,
            connect_timeout=5.0,
        )
        rest = {key: value for key, value in given.items() if value}
        self.pool.kwargs = {"row_factory": dict_row, **KEEPALIVES, **rest}

    def after_connect_func(self) -> Callable[[Connection[DictRow]], None]:
        def after_connect(conn: Connection[DictRow]) -> None:
            conn.autocommit = True
            for statement in SESSION:
                conn.execute(statement)

        return after_connect


class PostgresLog:
    """One log: the table `events` in the schema that has the service's name.

    `tells`: every append wakes who follows the log. Without it, that is left to whoever appends.
    """

    def __init__(self, dsn: str, schema: str, *, tells: bool = True) -> None:
        self.recorder = LogRecorder(LogDatastore(dsn, schema), tells=tells)
        self._dsn = dsn
        self._cursor: AsyncCursor[TupleRow] | None = None

    async def try_append(self, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int] | None:
        """Over a connection of its own, which belongs to the event loop. After any failure the next call has
        a new one."""
        cursor, self._cursor = self._cursor, None
        try:
            if cursor is None:
                cursor = await _open_cursor(self._dsn)
            positions = await self.recorder.append_over(cursor, _columns(events), expect)
        except (psycopg.Error, OSError):
            _break_off(cursor)
            return None
        except BaseException:
            _break_off(cursor)
            raise
        self._cursor = cursor
        return positions

    def append(self, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int]:
        with _translated():
            return self.recorder.insert_columns(_columns(events), expect)

    def load(self, since: Since) -> Sequence[Stored]:
        with _translated():
            rows = self.recorder.select_since(since)
        return [Stored(*row[:4]) for row in rows]

    def find(self, event: Stored) -> int | None:
        with _translated():
            return self.recorder.select_position(event)

    def changed(self, after: int | None) -> tuple[int, Collection[str]]:
        with _translated():
            return self.recorder.select_changed(after)

    def close(self) -> None:
        _break_off(self._cursor)
        self._cursor = None
        self.recorder.datastore.close()


def _columns(events: Sequence[Stored]) -> Sequence[BinaryArray]:
    streams, versions, topics, states = zip(*events, strict=True)
    return text_array(streams), bigint_array(versions), text_array(topics), bytea_array(states)


async def _open_cursor(dsn: str) -> AsyncCursor[TupleRow]:
    """Raises psycopg.Error."""
    conn = await PromptConnection.connect(
        make_conninfo("", **{**KEEPALIVES, **conninfo_to_dict(dsn)}), autocommit=True
    )
    try:
        for statement in SESSION:
            await conn.execute(statement)
    except BaseException:
        conn.pgconn.finish()
        raise
    return conn.cursor(row_factory=tuple_row)


def _break_off(cursor: AsyncCursor[TupleRow] | None) -> None:
    """At once, without a word to the server: what is under way there it ends by itself."""
    if cursor is not None:
        cursor.connection.pgconn.finish()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise LogConflict(str(error)) from error
    except PersistenceError as error:
        raise LogUnavailable(first_line(error)) from error
