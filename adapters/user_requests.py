"""What a person may ask of the shop: all it knows of them, or to be forgotten (GDPR, articles 15, 17 and 20).

Both work on the databases alone: neither the API nor the broker has to run.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

from adapters.grounds import dsn_for
from adapters.postgres_queries import Queries, read_pool
from adapters.settings import Settings
from adapters.wiring_users import People, eraser_of, open_ledger, open_people
from domain.refusals import NoSuchUser
from domain.services import ORDER, USER

PAGE: Final = 200
READ_CONNECTIONS: Final = 2


@dataclass(frozen=True, slots=True)
class Erased:
    """`is_destroyed`: whether the key is gone already; if not, a running api role destroys it in a moment.

    `deliveries`: orders under way, whose delivery data is kept until they end.
    """

    user_id: int
    is_new: bool
    is_destroyed: bool
    deliveries: int


async def erase(settings: Settings, who: str, *, by: str) -> Erased:
    """`who`: a user id or an email address. `by`: the caller's name in the log.

    Safe to run twice by id; an address may be somebody else's by then. Raises NoSuchUser, CannotStart,
    KeyFileError, psycopg.Error, Busy.
    """
    async with _open(settings) as (people, queries, stack):
        orders = open_ledger(settings, stack, ORDER)
        user_id = await _find(people, who)
        position = await people.desk.erase(user_id, by=by)
        is_destroyed = await eraser_of(people, orders, queries, settings).finish(user_id)
        return Erased(user_id, position is not None, is_destroyed, await people.keys.kept_of(user_id))


async def log_out(settings: Settings, who: str, *, by: str) -> int:
    """Ends every session of that user, whose id is returned. Raises as `erase` does."""
    async with _open(settings) as (people, _, _):
        user_id = await _find(people, who)
        await people.desk.log_out(user_id, by=by)
        return user_id


async def export(settings: Settings, who: str) -> dict[str, Any]:
    """Everything personal about a user, and all their orders, in the clear, as plain values.

    Raises NoSuchUser, also for one who is erased; CannotStart, KeyFileError, psycopg.Error, Busy.
    """
    async with _open(settings) as (people, queries, _):
        user_id = await _find(people, who)
        profile = await people.desk.profile(user_id)
        row = await queries.user(user_id) or {}
        return {
            "user": asdict(profile) | {name: row.get(name) for name in ("created_at", "updated_at")},
            "cart": await queries.cart(user_id),
            "orders": [order async for order in _orders(people, queries, user_id)],
        }


async def _orders(people: People, queries: Queries, user_id: int) -> AsyncIterator[dict[str, Any]]:
    cursor: str | None = None
    while True:
        page, cursor = await queries.orders_page(user_id, None, PAGE, cursor)
        for order in await people.personal.unsealed_orders(page):
            yield order
        if cursor is None:
            return


async def _find(people: People, who: str) -> int:
    """Raises NoSuchUser."""
    if "@" in who:
        return await people.desk.find(who)
    if not (who.isascii() and who.isdecimal() and len(who) < 20 and int(who) < 2**63):
        raise NoSuchUser
    return int(who)


@asynccontextmanager
async def _open(settings: Settings) -> AsyncIterator[tuple[People, Queries, AsyncExitStack]]:
    async with AsyncExitStack() as stack:
        people = await open_people(settings, stack, open_ledger(settings, stack, USER))
        pool = read_pool(dsn_for(settings, "read"), max_size=READ_CONNECTIONS)
        await pool.open()
        stack.push_async_callback(pool.close)
        yield people, Queries(pool), stack
