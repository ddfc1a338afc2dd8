"""Parked messages in Postgres, beside the log whose role takes them: kept, counted and bounded."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

from adapters.error_text import first_line
from orchestrator.intake import Parked, ParkingUnavailable

PARKING_LOGS: Final = ("inventory", "order")
"""The logs whose roles take messages off the wire."""

MAX_PARKED: Final = 10_000
"""Messages kept beside one log; the oldest go first. Whoever can publish must not be able to fill a disk."""

MAX_DATA_BYTES: Final = 64 * 1024
"""Kept of one message."""

MAX_TEXT: Final = 500
"""Characters kept of a reason or a subject."""

WAIT_S: Final = 5.0
"""For a connection, and for a statement."""

_PARK: Final = """
INSERT INTO {schema}.parked (place, subject, reason, size, sha256, data, at, last_at)
VALUES (%(place)s, %(subject)s, %(reason)s, %(size)s, %(sha256)s, %(data)s, %(at)s, %(at)s)
ON CONFLICT (place, sha256) DO UPDATE SET times = parked.times + 1, last_at = excluded.last_at
"""

_MAKE_ROOM: Final = """
WITH gone AS (
    DELETE FROM {schema}.parked
    WHERE id <= (SELECT id FROM {schema}.parked ORDER BY id DESC OFFSET %(keep)s LIMIT 1) RETURNING id
)
UPDATE {schema}.parked_dropped SET messages = messages + (SELECT count(*) FROM gone)
WHERE EXISTS (SELECT FROM gone)
"""

_LIST: Final = """
SELECT %(log)s AS log, id, place, subject, reason, size, at, times, last_at
FROM {schema}.parked ORDER BY id DESC LIMIT %(limit)s
"""

_SHOW: Final = """
SELECT %(log)s AS log, id, place, subject, reason, size, at, times, last_at, sha256, data
FROM {schema}.parked WHERE id = %(id)s
"""

_COUNTS: Final = (
    "SELECT (SELECT count(*) FROM {schema}.parked), (SELECT messages FROM {schema}.parked_dropped)"
)

_FORGET: Final = "DELETE FROM {schema}.parked WHERE id = %(id)s"


class PostgresParkingLot:
    """The parking lot of one consumer. Safe to use twice for one message, and from many processes."""

    def __init__(self, dsn: str, log: str, *, max_parked: int = MAX_PARKED) -> None:
        self._log = log
        self._max_parked = max_parked
        self._pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(
            dsn,
            min_size=0,
            max_size=2,
            open=False,
            timeout=WAIT_S,
            check=AsyncConnectionPool.check_connection,
            name=f"parked-{log}",
            kwargs={"autocommit": True, "connect_timeout": 5, "tcp_user_timeout": 15_000},
        )

    async def park(self, parked: Parked) -> None:
        """Keeps it, and lets the oldest go when there are too many. Raises ParkingUnavailable."""
        try:
            await self._pool.open()
            async with self._pool.connection() as conn, conn.transaction():
                await conn.execute(f"SET LOCAL statement_timeout = {WAIT_S * 1_000:.0f}")
                await conn.execute(_in(self._log, _PARK), _row(parked))
                await conn.execute(_in(self._log, _MAKE_ROOM), {"keep": self._max_parked})
        except psycopg.Error as error:
            raise ParkingUnavailable(first_line(error)) from error

    async def close(self) -> None:
        await self._pool.close()


@dataclass(frozen=True, slots=True)
class ParkedRow:
    """One parked message without its bytes. `times`: how often it was parked; a crash can make it twice."""

    log: str
    id: int
    place: str
    subject: str
    reason: str
    size: int
    at: datetime
    times: int
    last_at: datetime

    @property
    def name(self) -> str:
        """As it is typed."""
        return f"{self.log}-{self.id}"


@dataclass(frozen=True, slots=True)
class ParkedMessage(ParkedRow):
    """`data`: its first MAX_DATA_BYTES; `sha256`: of all of it."""

    sha256: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class ParkedCounts:
    """`dropped`: those that had to make room for newer ones."""

    kept: int
    dropped: int


class ParkedMessages:
    """What an operator sees of one log's parked messages, over one connection. Raises psycopg.Error."""

    def __init__(self, conn: psycopg.Connection[Any], log: str) -> None:
        self._conn = conn
        self._log = log

    def newest(self, limit: int) -> Sequence[ParkedRow]:
        with self._conn.cursor(row_factory=class_row(ParkedRow)) as cursor:
            return cursor.execute(_in(self._log, _LIST), {"log": self._log, "limit": limit}).fetchall()

    def find(self, number: int) -> ParkedMessage | None:
        with self._conn.cursor(row_factory=class_row(ParkedMessage)) as cursor:
            return cursor.execute(_in(self._log, _SHOW), {"log": self._log, "id": number}).fetchone()

    def counts(self) -> ParkedCounts:
        row = self._conn.execute(_in(self._log, _COUNTS)).fetchone()
        assert row is not None, "an aggregate has a row"
        return ParkedCounts(*row)

    def forget(self, number: int) -> bool:
        """Says whether it was there."""
        return self._conn.execute(_in(self._log, _FORGET), {"id": number}).rowcount > 0


def _in(log: str, text: str) -> sql.Composed:
    return sql.SQL(text).format(schema=sql.Identifier(log))


def _row(parked: Parked) -> dict[str, Any]:
    return {
        "place": _text(parked.place),
        "subject": _text(parked.subject),
        "reason": _text(parked.reason),
        "size": len(parked.data),
        "sha256": hashlib.sha256(parked.data).digest(),
        "data": parked.data[:MAX_DATA_BYTES],
        "at": parked.at,
    }


def _text(text: str) -> str:
    """What Postgres keeps of any text: no zero bytes, no halves of characters, and not too much."""
    return text[:MAX_TEXT].encode(errors="backslashreplace").decode().replace("\x00", "\\x00")
