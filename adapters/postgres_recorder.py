"""The eventsourcing library's Postgres recorder, inserting by arrays under an advisory lock.

Differences from its parent, each for a reason:
- one `INSERT ... SELECT FROM unnest(arrays)` instead of an array of composites: several times faster;
- `pg_advisory_xact_lock` instead of `LOCK TABLE`: the same order of ids and commits, allowed to a role
  that can only SELECT and INSERT, and not stopped by VACUUM;
- `tells=False` leaves out the NOTIFY, which holds a lock of the whole server until its transaction is on the
  disk: commits of all logs then wait for each other. Whoever writes tells afterwards (`adapters.herald`);
- no silent retries of an insert: after a lost COMMIT answer they report a conflict with themselves. The
  ledger asks the log instead (`select_position`).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg
from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg import AsyncCursor, Connection, errors
from psycopg.rows import DictRow, TupleRow, tuple_row
from psycopg.sql import SQL, Identifier, Literal

from orchestrator.log import Since, Stored

ARRAY_TYPES: Final = {"text": "text[]", "uuid": "uuid[]"}


class StreamMovedOn(IntegrityError):
    """A stream that a decision was based on has got new events since it was read."""


class ArrayRecorder(PostgresApplicationRecorder):
    """Passes the library's own recorder test cases; `insert_events` takes one more argument, `expect`."""

    def __init__(
        self, datastore: PostgresDatastore, *, events_table_name: str = "stored_events", tells: bool = True
    ) -> None:
        assert not datastore.enable_db_functions, "they take no lock: a tailing reader would skip events"
        # No composites, so no composite type to look up; the library does it with an unquoted name,
        # which fails for a schema called user.
        vars(datastore)["register_type_adapters"] = lambda: None
        super().__init__(datastore, events_table_name=events_table_name)
        self.sql_create_statements = [
            statement
            for statement in self.sql_create_statements
            if "FUNCTION" not in statement.as_string() and "CREATE TYPE" not in statement.as_string()
        ]
        names = {
            "schema": Identifier(datastore.schema),
            "table": Identifier(events_table_name),
            "ids": SQL(ARRAY_TYPES[datastore.originator_id_type]),
        }
        self._lock_key = f"{datastore.schema}.{events_table_name}"
        told = SQL(", pg_notify({}, '')").format(Literal(self.channel_name)) if tells else SQL("")
        lock = SQL(_LOCK_AND_TELL).format(key=Literal(self._lock_key), told=told)
        # As bytes: psycopg would put what is composed together again for every statement.
        self._begin = SQL("BEGIN; {}").format(lock).as_bytes()
        self._insert = SQL(_INSERT).format(**names).as_bytes()
        self._append_alone = SQL(_APPEND_ALONE).format(lock=lock, **names).as_bytes()
        self._select_since = SQL(_SELECT_SINCE).format(**names).as_bytes()
        self._select_position = SQL(_SELECT_POSITION).format(**names).as_bytes()
        self._select_changed = SQL(_SELECT_CHANGED).format(**names).as_bytes()
        self._select_last = SQL(_SELECT_LAST).format(**names).as_bytes()
        self._expect = SQL("SELECT {schema}.expect_versions(%b, %b)").format(**names).as_bytes()

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Appends all or none and returns their notification ids.

        `expect`: stream -> version that must still be its last. Raises StreamMovedOn, IntegrityError
        when a (stream, version) is taken, OperationalError when it is unknown whether anything was stored.
        """
        if not stored_events:
            return []
        return self.insert_columns(_columns(stored_events), kwargs.get("expect", {}))

    def insert_columns(self, columns: Sequence[Any], expect: Mapping[str, int]) -> Sequence[int]:
        """The same of columns, as arrays of any kind: streams, versions, topics, states."""
        with self.datastore.get_connection() as conn:
            try:
                return self._append(conn, columns, expect)
            except errors.SerializationFailure as error:
                raise StreamMovedOn(str(error)) from error

    def _append(
        self, conn: Connection[DictRow], columns: Sequence[Any], expect: Mapping[str, int]
    ) -> Sequence[int]:
        """One round trip, four with `expect`: what is checked must be seen after the lock was taken.

        Not by psycopg's pipeline, as the library does it: a pipeline whose data does not fit into the
        socket's buffer waits for an answer to what it has not sent, for ever (seen at 1,000 events).
        """
        with conn.cursor(row_factory=tuple_row) as cursor:
            if not expect:
                return [row[0] for row in cursor.execute(self._append_alone, columns, prepare=True)]
            with self._transaction(conn):
                cursor.execute(self._expect, (list(expect), list(expect.values())), prepare=True)
                return [row[0] for row in cursor.execute(self._insert, columns, prepare=True)]

    async def append_over(
        self, cursor: AsyncCursor[TupleRow], columns: Sequence[Any], expect: Mapping[str, int]
    ) -> Sequence[int]:
        """`insert_columns` over a connection of the event loop, in autocommit.

        Raises psycopg.Error, after which the connection is of no more use.
        """
        if not expect:
            await cursor.execute(self._append_alone, columns, prepare=True)
            return [row[0] for row in await cursor.fetchall()]
        await cursor.execute(self._begin)
        await cursor.execute(self._expect, (list(expect), list(expect.values())), prepare=True)
        await cursor.execute(self._insert, columns, prepare=True)
        positions = [row[0] for row in await cursor.fetchall()]
        await cursor.execute("COMMIT")
        return positions

    @contextmanager
    def _transaction(self, conn: Connection[DictRow]) -> Iterator[None]:
        """Holds the log's lock from before the first id is taken until the commit."""
        conn.execute(self._begin)
        try:
            yield
        except BaseException:
            with suppress(psycopg.Error):
                conn.execute("ROLLBACK")
            raise
        conn.execute("COMMIT")

    def select_since(self, since: Since) -> list[tuple[str, int, str, bytes, int]]:
        """Events of many streams: (stream, version, topic, state, id)."""
        with self.datastore.get_connection() as conn, conn.cursor(row_factory=tuple_row) as cursor:
            cursor.execute(self._select_since, (list(since), list(since.values())), prepare=True)
            return cursor.fetchall()

    def select_changed(self, after: int | None) -> tuple[int, Collection[str]]:
        """The last notification id, and the streams with events after the given one; None: the last alone."""
        with self.datastore.get_connection() as conn, conn.cursor(row_factory=tuple_row) as cursor:
            if after is None:
                cursor.execute(self._select_last, prepare=True)
                row = cursor.fetchone()
                return (0 if row is None else int(row[0])), ()
            rows = cursor.execute(self._select_changed, (after,), prepare=True).fetchall()
            return max([after, *(row[1] for row in rows)]), {row[0] for row in rows}

    def select_position(self, event: Stored | StoredEvent) -> int | None:
        """The notification id of exactly this event, or None.

        Takes the log's lock first, so an append that was still under way when its answer was lost has
        ended, and the answer is final.
        """
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(_LOCK, (self._lock_key,), prepare=True)
            place = (event.originator_id, event.originator_version, event.state)
            cursor.execute(self._select_position, place, prepare=True)
            row = cursor.fetchone()
            return None if row is None else int(row["notification_id"])


class LogRecorder(ArrayRecorder):
    """The recorder of our logs: whatever name an Application has, the table is `events`."""

    def __init__(
        self, datastore: PostgresDatastore, *, events_table_name: str = "events", tells: bool = True
    ) -> None:
        del events_table_name
        super().__init__(datastore, events_table_name="events", tells=tells)


def _columns(stored_events: Sequence[StoredEvent]) -> tuple[list[Any], list[int], list[str], list[bytes]]:
    return (
        [event.originator_id for event in stored_events],
        [event.originator_version for event in stored_events],
        [event.topic for event in stored_events],
        [event.state for event in stored_events],
    )


_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"

# Without parameters, so that it travels in one message with BEGIN.
_LOCK_AND_TELL: Final = "SELECT pg_advisory_xact_lock(hashtextextended({key}, 0)){told}"

_INSERT: Final = (
    "INSERT INTO {schema}.{table} (originator_id, originator_version, topic, state)"
    " SELECT * FROM unnest(%b::{ids}, %b::bigint[], %b::text[], %b::bytea[])"
    " RETURNING notification_id"
)

# In autocommit, so it is a transaction. The lock comes before the first row, and so before the first id.
_APPEND_ALONE: Final = (
    "WITH locked AS MATERIALIZED ({lock})"
    " INSERT INTO {schema}.{table} (originator_id, originator_version, topic, state)"
    " SELECT events.* FROM locked,"
    " unnest(%b::{ids}, %b::bigint[], %b::text[], %b::bytea[]) AS events"
    " RETURNING notification_id"
)

# LATERAL with its own order keeps one index probe a stream, whatever the planner thinks of the arrays.
_SELECT_SINCE: Final = (
    "SELECT e.originator_id, e.originator_version, e.topic, e.state, e.notification_id"
    " FROM unnest(%b::{ids}, %b::bigint[]) AS k(id, version)"
    " CROSS JOIN LATERAL (SELECT * FROM {schema}.{table}"
    " WHERE originator_id = k.id AND originator_version > coalesce(k.version,"
    " (SELECT max(originator_version) - 1 FROM {schema}.{table} WHERE originator_id = k.id))"
    " ORDER BY originator_version) AS e"
)

_SELECT_CHANGED: Final = (
    "SELECT originator_id, notification_id FROM {schema}.{table} WHERE notification_id > %s"
)

_SELECT_LAST: Final = "SELECT coalesce(max(notification_id), 0) FROM {schema}.{table}"

_SELECT_POSITION: Final = (
    "SELECT notification_id FROM {schema}.{table}"
    " WHERE originator_id = %s AND originator_version = %s AND state = %s"
)
