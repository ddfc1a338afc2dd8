"""Persons' keys in the schema of the user log, beside its events: wrapped, and gone on erasure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from adapters.personal_data import WrappedTooLate
from adapters.sealing import wrapped_by
from domain import streams

SCAN_EVENTS: Final = 50_000
"""Events of the user log that are looked through for erasures in one statement."""

KEPT_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class Erasures:
    """The next erased users in the order of the log, and up to where these are all there are."""

    user_ids: Sequence[int]
    until: int
    more: bool


class PostgresPersonalKeys:
    """Implements adapters.personal_data.KeyStore and adapters.erasure.ErasureStore."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[Any]]) -> None:
        """`pool`: to the database of the user log, in autocommit."""
        self._pool = pool

    async def make(self, user_id: int, wrapped: str) -> None:
        params = {"user_id": user_id, "wrapped": wrapped, "name": wrapped_by(wrapped)}
        await self._must_be_current(_MAKE, params)

    async def wrapped(self, user_ids: Collection[int], *, erased: bool = False) -> dict[int, str]:
        statement = _WRAPPED if erased else _WRAPPED_OF_LIVING
        found = await self._rows(statement, {"user_ids": list(user_ids)})
        return {int(user_id): wrapped for user_id, wrapped in found}

    async def newest(self) -> tuple[int, str] | None:
        """Some user and their key; None when there is none yet."""
        found = await self._rows(_NEWEST, {})
        return (int(found[0][0]), found[0][1]) if found else None

    async def kept(self, order_ids: Collection[str]) -> dict[str, str]:
        found = await self._rows(_KEPT, {"order_ids": [int(order_id) for order_id in order_ids]})
        return {str(order_id): wrapped for order_id, wrapped in found}

    async def destroy(self, user_id: int, keep: Mapping[str, str]) -> None:
        """Safe to run twice, and two at once: whoever deletes the key keeps the others."""
        params = {"user_id": user_id, "order_ids": [int(n) for n in keep], "wrapped": list(keep.values())}
        name = wrapped_by(next(iter(keep.values()))) if keep else ""
        await self._must_be_current(_DESTROY, {**params, "name": name})

    async def next_erasures(self) -> Erasures:
        (row,) = await self._rows(_NEXT_ERASURES, {"scan": SCAN_EVENTS})
        names, until, head = row
        return Erasures([int(streams.key_of(name)) for name in names], int(until), int(until) < int(head))

    async def erased_until(self, position: int) -> None:
        await self._do(_ERASED_UNTIL, {"position": position})

    async def kept_page(self, after: str) -> list[str]:
        """Ids of orders whose key is kept, in order, after that one."""
        found = await self._rows(_KEPT_PAGE, {"after": int(after), "limit": KEPT_PAGE})
        return [str(order_id) for (order_id,) in found]

    async def kept_of(self, user_id: int) -> int:
        """How many orders of an erased user are still to be delivered."""
        ((count,),) = await self._rows(_KEPT_OF, {"user_id": user_id})
        return int(count)

    async def let_go(self, order_ids: Collection[str]) -> None:
        await self._do(_LET_GO, {"order_ids": [int(order_id) for order_id in order_ids]})

    async def _must_be_current(self, statement: str, params: Mapping[str, Any]) -> None:
        """Raises WrappedTooLate when the key that has wrapped is not the one any more; nothing is stored."""
        ((is_current,),) = await self._rows(statement, params)
        if not is_current:
            raise WrappedTooLate

    async def _do(self, statement: str, params: Mapping[str, Any]) -> None:
        async with self._pool.connection() as conn:
            await conn.execute(statement, params)

    async def _rows(self, statement: str, params: Mapping[str, Any]) -> list[Any]:
        async with self._pool.connection() as conn:
            return await (await conn.execute(statement, params)).fetchall()


_MAKE: Final = """
    WITH current AS (SELECT name IN ('', %(name)s) AS is_current FROM "user".wrapping FOR SHARE),
    made AS (
        INSERT INTO "user".personal_keys (user_id, wrapped)
        SELECT %(user_id)s, %(wrapped)s FROM current WHERE is_current
    )
    SELECT is_current FROM current
"""

_NEWEST: Final = 'SELECT user_id, wrapped FROM "user".personal_keys ORDER BY user_id DESC LIMIT 1'

_WRAPPED: Final = """
    SELECT k.user_id, k.wrapped FROM "user".personal_keys k WHERE k.user_id = ANY(%(user_ids)s::bigint[])
"""

# From the moment the log says so an erased user has no key, wherever it still lies. OFFSET 0 has PostgreSQL
# look into each of these users' streams; it would read the whole log for all erasures there ever were.
_WRAPPED_OF_LIVING: Final = f"""{_WRAPPED}
    AND NOT EXISTS (
        SELECT FROM "user".events e
        WHERE e.originator_id = 'user-' || k.user_id AND e.topic = 'UserErased' OFFSET 0)
"""

_KEPT: Final = 'SELECT order_id, wrapped FROM "user".kept_keys WHERE order_id = ANY(%(order_ids)s::bigint[])'

_DESTROY: Final = """
    WITH current AS (
        SELECT name IN ('', %(name)s) OR %(name)s = '' AS is_current FROM "user".wrapping FOR SHARE
    ),
    gone AS (
        DELETE FROM "user".personal_keys WHERE user_id = %(user_id)s AND (SELECT is_current FROM current)
        RETURNING user_id
    ),
    kept AS (
        INSERT INTO "user".kept_keys (order_id, user_id, wrapped)
        SELECT k.order_id, gone.user_id, k.wrapped
        FROM gone, unnest(%(order_ids)s::bigint[], %(wrapped)s::text[]) AS k(order_id, wrapped)
    )
    SELECT is_current FROM current
"""

_NEXT_ERASURES: Final = """
    WITH span AS (
        SELECT p.position AS after, least(p.position + %(scan)s, head.head) AS until, head.head
        FROM "user".erasures p,
            (SELECT coalesce(max(notification_id), 0) AS head FROM "user".events) AS head
    )
    SELECT coalesce((
        SELECT array_agg(e.originator_id ORDER BY e.notification_id) FROM "user".events e
        WHERE e.notification_id > span.after AND e.notification_id <= span.until AND e.topic = 'UserErased'
    ), '{}'), span.until, span.head
    FROM span
"""

_ERASED_UNTIL: Final = 'UPDATE "user".erasures SET position = %(position)s WHERE position < %(position)s'

_KEPT_PAGE: Final = """
    SELECT order_id FROM "user".kept_keys WHERE order_id > %(after)s ORDER BY order_id LIMIT %(limit)s
"""

_KEPT_OF: Final = 'SELECT count(*) FROM "user".kept_keys WHERE user_id = %(user_id)s'

_LET_GO: Final = 'DELETE FROM "user".kept_keys WHERE order_id = ANY(%(order_ids)s::bigint[])'
