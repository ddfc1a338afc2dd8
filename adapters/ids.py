"""New ids: order ids that sort by time, and numbers from a sequence of the service's own schema."""

import secrets
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from psycopg import AsyncConnection, sql
from psycopg_pool import AsyncConnectionPool

EPOCH: Final = datetime(2024, 1, 1, tzinfo=UTC)
NODE_BITS: Final = 12
COUNTER_BITS: Final = 10


class OrderIds:
    """63-bit ids: 41 bits of milliseconds since 2024, 12 of this process (random), 10 of a counter.

    Ids of one process grow. Two processes can, once in 4,096 pairs, share their 12 bits; a clash would
    then need the same millisecond and count, and is refused by the saga's stream, not stored.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._node = secrets.randbits(NODE_BITS)
        self._last = 0

    def new(self) -> str:
        ms = int((self._clock() - EPOCH).total_seconds() * 1000)
        # Time that stands still or runs back only uses up the counter, then the next millisecond.
        self._last = max(ms << COUNTER_BITS, self._last + 1)
        ms, count = self._last >> COUNTER_BITS, self._last & ((1 << COUNTER_BITS) - 1)
        return str(ms << (NODE_BITS + COUNTER_BITS) | self._node << COUNTER_BITS | count)


def utc_now() -> datetime:
    return datetime.now(UTC)


def new_command_id() -> str:
    return uuid.uuid4().hex


class SequenceIds:
    """Whole numbers, 1 and up, from the sequence `ids` of a schema; some may be skipped."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection], schema: str) -> None:
        self._pool = pool
        self._name = sql.SQL("{}.ids").format(sql.Identifier(schema)).as_string()

    async def new(self) -> int:
        """Raises psycopg.Error."""
        async with self._pool.connection() as conn:
            row = await (await conn.execute("SELECT nextval(%s::regclass)", (self._name,))).fetchone()
        assert row is not None
        return int(row[0])
