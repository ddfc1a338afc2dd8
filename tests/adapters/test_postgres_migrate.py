"""Migration: run twice, run together and run beside a writer it changes nothing and stops nobody."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import psycopg
import pytest
from eventsourcing.persistence import StoredEvent

from adapters.postgres_log import PostgresLog
from adapters.postgres_migrate import LOGS, migrate_log

SHAPE = """
    SELECT table_schema, table_name, column_name, data_type, is_nullable
    FROM information_schema.columns WHERE table_schema = ANY(%s) ORDER BY 1, 2, ordinal_position
"""

THINGS = """
    SELECT n.nspname, c.relkind::text, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY(%s)
    UNION ALL SELECT n.nspname, 'function', p.proname FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = ANY(%s)
    UNION ALL SELECT n.nspname, 'trigger', t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY(%s)
    ORDER BY 1, 2, 3
"""


def shape(dsn: str) -> list[object]:
    names = list(LOGS)
    with psycopg.connect(dsn) as connection:
        columns = connection.execute(SHAPE, (names,)).fetchall()
        things = connection.execute(THINGS, (names, names, names)).fetchall()
    return [*columns, *things]


@pytest.mark.parametrize("log", LOGS)
def test_migrating_again_changes_nothing(fresh_database: str, log: str) -> None:
    migrate_log(fresh_database, log)
    once = shape(fresh_database)
    migrate_log(fresh_database, log)

    assert shape(fresh_database) == once
    assert (log, "events", "notification_id", "bigint", "NO") in once
    assert (log, "trigger", "append_only") in once


def test_many_at_once_end_with_the_same(fresh_database: str) -> None:
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda n: migrate_log(fresh_database, LOGS[n % len(LOGS)]), range(12)))

    kinds = [
        row
        for row in shape(fresh_database)
        if isinstance(row, tuple) and row[1:] == ("trigger", "append_only")
    ]
    assert len(kinds) == len(LOGS)


def test_a_writer_goes_on_while_it_is_migrated(fresh_database: str) -> None:
    migrate_log(fresh_database, "inventory")
    log = PostgresLog(fresh_database, "inventory")
    stopped = Event()

    def write() -> int:
        version = 0
        while not stopped.is_set():
            version += 1
            log.append([StoredEvent("stock-1", version, "StockSet", b"{}")], {"stock-2": 0})
        return version

    try:
        with ThreadPoolExecutor(1) as thread:
            written = thread.submit(write)
            for _ in range(5):
                migrate_log(fresh_database, "inventory")
            stopped.set()
            versions = written.result(30.0)
        assert len(log.load({"stock-1": 0})) == versions > 0
    finally:
        stopped.set()
        log.close()


@pytest.mark.parametrize(
    ("log", "has_ids"), [("user", True), ("goods", True), ("inventory", False), ("order", False)]
)
def test_services_that_number_their_things_have_a_sequence(
    fresh_database: str, log: str, has_ids: bool
) -> None:
    migrate_log(fresh_database, log)

    assert ((log, "S", "ids") in shape(fresh_database)) is has_ids


@pytest.mark.parametrize(("log", "takes_messages"), [("inventory", True), ("order", True), ("user", False)])
def test_logs_whose_roles_take_messages_have_a_place_to_park_them(
    fresh_database: str, log: str, takes_messages: bool
) -> None:
    migrate_log(fresh_database, log)

    assert ((log, "r", "parked") in shape(fresh_database)) is takes_messages


@pytest.mark.parametrize(("log", "takes_log_ins"), [("user", True), ("goods", False), ("order", False)])
def test_the_log_of_users_has_a_place_to_count_failed_log_ins(
    fresh_database: str, log: str, takes_log_ins: bool
) -> None:
    migrate_log(fresh_database, log)

    assert ((log, "r", "attempts") in shape(fresh_database)) is takes_log_ins


def test_failed_log_ins_survive_a_migration(fresh_database: str) -> None:
    migrate_log(fresh_database, "user")
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("""INSERT INTO "user".attempts VALUES ('account', 'a', 7, now())""")
        migrate_log(fresh_database, "user")
        assert connection.execute('SELECT failures FROM "user".attempts').fetchall() == [(7,)]


def test_parked_messages_and_their_count_survive_a_migration(fresh_database: str) -> None:
    migrate_log(fresh_database, "order")
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute('UPDATE "order".parked_dropped SET messages = 7')
        migrate_log(fresh_database, "order")
        assert connection.execute('SELECT messages FROM "order".parked_dropped').fetchall() == [(7,)]


def test_data_survives_a_migration(fresh_database: str) -> None:
    migrate_log(fresh_database, "order")
    log = PostgresLog(fresh_database, "order")
    try:
        log.append([StoredEvent("cart-1", 1, "CartReplaced", b"{}")], {})
        migrate_log(fresh_database, "order")
        assert len(log.load({"cart-1": 0})) == 1
    finally:
        log.close()
