"""The log over PostgreSQL: the library's errors become the port's, for any DSN that libpq understands."""

import asyncio
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adapters.postgres_log import PostgresLog
from adapters.postgres_migrate import migrate_log
from adapters.settings import LOGS
from orchestrator.log import LogConflict, LogUnavailable, Stored

PATIENCE_S = 30.0


@pytest.fixture
def dsn(fresh_database: str) -> str:
    migrate_log(fresh_database, "inventory")
    return fresh_database


@pytest.fixture
def log(dsn: str) -> Iterator[PostgresLog]:
    log = PostgresLog(dsn, "inventory")
    yield log
    log.close()


def event(stream: str, version: int, state: bytes = b"{}") -> Stored:
    return Stored(stream, version, "StockSet", state)


def log_took(log: PostgresLog, event: Stored) -> bool:
    try:
        return len(log.append([event], {})) == 1
    except LogUnavailable:
        return False


def test_what_was_appended_is_loaded_and_found(log: PostgresLog) -> None:
    events = [event("stock-1", 1), event("stock-1", 2, b"second"), event("sale-7", 1)]

    assert log.append(events, {"stock-2": 0}) == [1, 2, 3]
    assert log.load({"stock-1": 1, "sale-7": 0, "sale-8": 0}) == events[1:]
    assert [log.find(one) for one in events] == [1, 2, 3]


def test_the_last_event_of_a_stream_is_loaded_alone(log: PostgresLog) -> None:
    events = [event("stock-1", 1), event("stock-1", 2, b"second"), event("stock-2", 1, b"other")]
    log.append(events, {})

    loaded = log.load({"stock-1": None, "stock-2": None, "stock-3": None})
    assert sorted(loaded) == [events[1], events[2]]
    assert sorted(log.load({"stock-1": 0, "stock-2": None})) == sorted(events)


def test_another_event_in_its_place_is_not_found(log: PostgresLog) -> None:
    log.append([event("stock-1", 1)], {})

    assert log.find(event("stock-1", 1, b"mine")) is None


def test_a_taken_version_is_a_conflict(log: PostgresLog) -> None:
    log.append([event("stock-1", 1)], {})

    with pytest.raises(LogConflict):
        log.append([event("sale-7", 1), event("stock-1", 1)], {})
    assert log.load({"sale-7": 0}) == []


def test_a_stream_that_moved_on_is_a_conflict(log: PostgresLog) -> None:
    log.append([event("stock-1", 1)], {})

    with pytest.raises(LogConflict, match="stock-1 has moved on"):
        log.append([event("sale-7", 1)], {"stock-1": 0})
    assert log.load({"sale-7": 0}) == []


def test_a_log_whose_connections_were_cut_serves_again_after_a_failure_each_at_most(
    log: PostgresLog, dsn: str
) -> None:
    log.append([event("stock-1", 1)], {})
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    failures = 0
    while not log_took(log, event("stock-1", 2)):
        failures += 1

    assert 1 <= failures <= log.recorder.datastore.pool.max_size
    assert len(log.load({"stock-1": 0})) == 2


def test_a_server_that_is_not_there_is_unavailable(dsn: str) -> None:
    log = PostgresLog(make_conninfo(dsn, host="127.0.0.1", port="1", connect_timeout="1"), "inventory")
    log.recorder.datastore.pool.timeout = 0.5
    try:
        with pytest.raises(LogUnavailable):
            log.load({"stock-1": 0})
    finally:
        log.close()


def test_tables_that_are_not_there_are_unavailable_and_said_in_one_line(fresh_database: str) -> None:
    log = PostgresLog(fresh_database, "inventory")
    try:
        with pytest.raises(LogUnavailable, match="does not exist") as error:
            log.load({"stock-1": 0})
        assert "\n" not in str(error.value)
    finally:
        log.close()


@pytest.mark.parametrize("schema", LOGS)
def test_every_log_has_its_own_schema_whatever_its_name(fresh_database: str, schema: str) -> None:
    migrate_log(fresh_database, schema)
    log = PostgresLog(fresh_database, schema)
    try:
        assert log.append([event("a-1", 1)], {"b-1": 0}) == [1]
        assert log.find(event("a-1", 1)) == 1
    finally:
        log.close()


def test_a_uri_and_its_parameters_are_understood(dsn: str) -> None:
    given = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
    socket = given["host"].replace("/", "%2F")
    uri = f"postgresql://{given['user']}@{socket}/{given['dbname']}?port={given.get('port', '5432')}"
    if given.get("password"):
        uri = uri.replace("@", f":{given['password']}@", 1)
    log = PostgresLog(f"{uri}&application_name=till", "inventory")
    try:
        with log.recorder.datastore.get_connection() as connection:
            shown = connection.execute("SHOW application_name").fetchone()
        assert shown == {"application_name": "till"}
    finally:
        log.close()


# without a thread


def backends(dsn: str) -> int:
    """Sessions that somebody else has open in this database."""
    with psycopg.connect(dsn) as owner:
        row = owner.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND backend_type = 'client backend'"
            " AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    return int(row[0])


async def test_a_try_stores_what_an_append_would(log: PostgresLog) -> None:
    assert await log.try_append([event("stock-1", 1), event("stock-1", 2, b"second")], {}) == [1, 2]
    assert await log.try_append([event("sale-7", 1)], {"stock-1": 2, "stock-2": 0}) == [3]
    assert [one.state for one in log.load({"stock-1": 0, "sale-7": 0})] == [b"{}", b"second", b"{}"]


@pytest.mark.parametrize("expect", [{}, {"stock-2": 0}, {"stock-1": 0}])
async def test_a_try_that_meets_what_is_taken_stores_nothing_and_says_so(
    log: PostgresLog, expect: dict[str, int]
) -> None:
    log.append([event("stock-1", 1)], {})

    taken = [event("sale-7", 1), event("stock-1", 1)] if "stock-1" not in expect else [event("sale-7", 1)]
    assert await log.try_append(taken, expect) is None
    assert log.load({"sale-7": 0}) == []
    assert await log.try_append([event("sale-7", 1)], {"stock-1": 1}) is not None


async def test_a_try_over_a_connection_that_was_cut_says_so_and_the_next_one_has_another(
    log: PostgresLog, dsn: str
) -> None:
    assert await log.try_append([event("stock-1", 1)], {}) is not None
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert await log.try_append([event("stock-1", 2)], {}) is None
    assert await log.try_append([event("stock-1", 2)], {}) is not None


async def test_a_try_at_a_server_that_is_not_there_says_so(dsn: str) -> None:
    log = PostgresLog(make_conninfo(dsn, host="127.0.0.1", port="1", connect_timeout="1"), "inventory")
    try:
        assert await log.try_append([event("stock-1", 1)], {}) is None
    finally:
        log.close()


async def test_a_try_that_is_given_up_leaves_nothing_half_done(log: PostgresLog, dsn: str) -> None:
    """Its transaction has begun, so its connection is of no use any more."""
    assert await log.try_append([event("stock-1", 1)], {}) is not None
    before = backends(dsn)
    with psycopg.connect(dsn) as rival:
        rival.execute("SELECT pg_advisory_xact_lock(hashtextextended('inventory.events', 0))")
        waiting = asyncio.create_task(log.try_append([event("stock-1", 2)], {"stock-9": 0}))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert await log.try_append([event("stock-2", 1)], {}) is not None
    ends_at = time.monotonic() + PATIENCE_S
    while backends(dsn) > before and time.monotonic() < ends_at:
        await asyncio.sleep(0.05)
    assert backends(dsn) == before


async def test_its_commits_are_on_the_disk_before_they_are_answered(log: PostgresLog) -> None:
    await log.try_append([event("stock-1", 1)], {})
    cursor = log._cursor
    assert cursor is not None
    shown = await (await cursor.execute("SHOW synchronous_commit")).fetchone()
    assert shown == ("on",)
