"""Which sagas are due: a query on the orchestrator's own copy of `order_saga`, kept beside the order log."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from adapters.error_text import first_line
from adapters.postgres_read_schema import statement

SCHEMA: Final = "order"


class DueUnknown(OSError):
    """The list of due sagas cannot be read now."""


class PostgresDue:
    def __init__(self, dsn: str) -> None:
        self._pool: AsyncConnectionPool[AsyncConnection] = AsyncConnectionPool(
            dsn,
            min_size=1,
            max_size=1,
            open=False,
            timeout=5.0,
            check=AsyncConnectionPool.check_connection,
            kwargs={"autocommit": True, "connect_timeout": 5},
        )

    async def due(self, now: datetime, limit: int) -> Sequence[str]:
        """Order ids, longest waiting first. Raises DueUnknown."""
        try:
            await self._pool.open()
            async with self._pool.connection() as conn:
                params = {"now": now, "limit": limit}
                rows = await (await conn.execute(statement("due", SCHEMA), params)).fetchall()
        except psycopg.Error as error:
            raise DueUnknown(first_line(error)) from error
        return [str(row[0]) for row in rows]

    async def close(self) -> None:
        await self._pool.close()
