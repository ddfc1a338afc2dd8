"""One contract for both places where persons' keys are kept: memory, for tests, and beside the user log."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime

import psycopg
import pytest

from adapters import postgres_personal_keys
from adapters.ledger_codec import CODEC
from adapters.postgres_log import PostgresLog
from adapters.postgres_migrate import migrate_log
from adapters.postgres_personal_keys import PostgresPersonalKeys
from adapters.postgres_queries import read_pool
from domain.recorded import Cause
from domain.services import USER
from domain.user import EraseUser, RegisterUser, Role
from orchestrator.ledger import Ledger
from tests.adapters.memory_keys import MemoryKeys

Store = MemoryKeys | PostgresPersonalKeys
Erase = Callable[[int], object]


class Memory:
    def __init__(self) -> None:
        self.erased: list[int] = []
        self.store = MemoryKeys(lambda: self.erased)

    async def erase(self, user_id: int) -> None:
        self.erased.append(user_id)


class Postgres:
    def __init__(self, dsn: str, store: PostgresPersonalKeys, users: Ledger) -> None:
        self.dsn = dsn
        self.store = store
        self._users = users

    async def erase(self, user_id: int) -> None:
        """As the user log has it."""
        cause = Cause("c", "test", "", datetime(2026, 11, 25, tzinfo=UTC))
        email = f"{user_id}@x"
        register = RegisterUser(user_id, email, email, "n", None, Role.CUSTOMER, "")
        await self._users.submit(register, cause)
        await self._users.submit(EraseUser(user_id, email), cause)


@pytest.fixture
async def postgres(fresh_database: str) -> AsyncIterator[Postgres]:
    migrate_log(fresh_database, "user")
    log = PostgresLog(fresh_database, "user")
    users = Ledger(USER, log, CODEC)
    async with read_pool(fresh_database, max_size=4) as pool:
        yield Postgres(fresh_database, PostgresPersonalKeys(pool), users)
    await users.close()
    log.close()


@pytest.fixture(params=["memory", "postgres"])
def place(request: pytest.FixtureRequest) -> Memory | Postgres:
    found: Memory | Postgres = Memory() if request.param == "memory" else request.getfixturevalue("postgres")
    return found


async def unfinished(store: Store) -> Sequence[int]:
    return (await store.next_erasures()).user_ids


async def test_keys_are_found_by_whose_they_are(place: Memory | Postgres) -> None:
    await place.store.make(7, "wrapped-7")
    await place.store.make(8, "wrapped-8")
    assert await place.store.wrapped([7, 8, 9]) == {7: "wrapped-7", 8: "wrapped-8"}
    assert await place.store.wrapped([]) == {}
    assert await place.store.kept(["1"]) == {}


async def test_an_erased_users_key_is_given_to_nobody_but_whom_it_is_destroyed_by(
    place: Memory | Postgres,
) -> None:
    await place.store.make(7, "wrapped-7")
    await place.erase(7)
    assert await place.store.wrapped([7]) == {}
    assert await place.store.wrapped([7], erased=True) == {7: "wrapped-7"}


async def test_destroying_keeps_the_keys_of_some_orders_and_happens_once(place: Memory | Postgres) -> None:
    await place.store.make(7, "wrapped-7")
    await place.store.destroy(7, {"11": "kept-11", "12": "kept-12", "9": "kept-9"})
    await place.store.destroy(7, {"13": "too late"})
    await place.store.destroy(8, {"14": "of nobody"})
    assert await place.store.wrapped([7], erased=True) == {}
    assert await place.store.kept(["11", "13", "14"]) == {"11": "kept-11"}
    assert await every_kept(place.store) == ["9", "11", "12"]
    await place.store.let_go(["11", "9"])
    await place.store.let_go(["11"])
    assert await every_kept(place.store) == ["12"]


async def every_kept(store: Store) -> list[str]:
    found: list[str] = []
    while page := await store.kept_page(found[-1] if found else "0"):
        found += page
    return found


async def test_erasures_are_found_in_the_order_of_the_log_until_they_are_done(
    place: Memory | Postgres,
) -> None:
    assert await unfinished(place.store) == []
    await place.erase(8)
    await place.erase(7)
    found = await place.store.next_erasures()
    assert (list(found.user_ids), found.more) == ([8, 7], False)
    assert await unfinished(place.store) == [8, 7]
    await place.store.erased_until(found.until)
    await place.erase(9)
    assert await unfinished(place.store) == [9]
    await place.store.erased_until(0)
    assert await unfinished(place.store) == [9]


# in PostgreSQL only


async def test_a_long_log_is_looked_through_in_spans(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_personal_keys, "SCAN_EVENTS", 4)
    for user_id in (1, 2, 3):
        await postgres.erase(user_id)  # four events each
    found: list[int] = []
    more = True
    while more:
        span = await postgres.store.next_erasures()
        assert len(span.user_ids) == 1
        found += span.user_ids
        more = span.more
        await postgres.store.erased_until(span.until)
    assert found == [1, 2, 3]


async def test_a_destroyed_key_is_in_no_row(postgres: Postgres) -> None:
    await postgres.store.make(7, "wrapped-7")
    await postgres.store.destroy(7, {})
    with psycopg.connect(postgres.dsn) as conn:
        assert conn.execute('SELECT * FROM "user".personal_keys').fetchall() == []
