"""Migration: what is up to date is not touched, the rest is changed step by step, each whole or not at all.

What a migration means for those who work meanwhile is in test_migrate_beside_work.py.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from time import monotonic, sleep

import psycopg
import pytest
from eventsourcing.postgres import PostgresApplicationRecorder
from psycopg.errors import DivisionByZero

from adapters import postgres_migrate
from adapters.postgres_log import LogDatastore, PostgresLog
from adapters.postgres_migrate import (
    MIGRATION_LOCK,
    STEPS,
    NoDatabase,
    Step,
    migrate,
    migrate_log,
    read_version,
)
from adapters.postgres_patience import LocksNotFree
from adapters.settings import LOGS, load_settings
from orchestrator.log import Stored

FROZEN_STEPS = (Path(__file__).parents[1] / "corpus" / "steps.txt").read_text().splitlines()
"""A line for each step that was taken somewhere: digest of its text, name, and the logs it changes."""

BEFORE_NOTES = STEPS[:5]
"""Those that may find what they make."""

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


def version(dsn: str, log: str = "order") -> int:
    with psycopg.connect(dsn) as connection:
        return read_version(connection, log)


def has(dsn: str, table: str) -> bool:
    with psycopg.connect(dsn) as connection:
        return connection.execute("SELECT to_regclass(%s)", (table,)).fetchone() != (None,)


@pytest.fixture
def new_step(tmp_path: Path) -> Callable[..., Step]:
    """A step of the order log that comes after those there are, from its text."""

    def make(text: str, name: str = "0099_new") -> Step:
        (tmp_path / f"{name}.sql").write_text(text)
        return Step(name, ("order",), tmp_path)

    return make


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
            log.append([Stored("stock-1", version, "StockSet", b"{}")], {"stock-2": 0})
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
        log.append([Stored("cart-1", 1, "CartReplaced", b"{}")], {})
        migrate_log(fresh_database, "order")
        assert len(log.load({"cart-1": 0})) == 1
    finally:
        log.close()


# steps


def frozen(step: Step) -> str:
    text = (Path(postgres_migrate.__file__).parent / "sql" / "migrate" / f"{step.name}.sql").read_bytes()
    return f"{hashlib.sha256(text).hexdigest()} {step.name} {','.join(step.logs)}"


def test_steps_are_added_and_never_changed() -> None:
    """Whoever has taken a step never takes it again, so what is changed in it reaches new databases only."""
    today = [frozen(step) for step in STEPS]
    wrong = [was for was, now in zip(FROZEN_STEPS, today, strict=False) if was != now]
    fresh = "\n  ".join(today[len(FROZEN_STEPS) :])

    assert not wrong, (
        f"not as it was taken: {wrong}. Put it back, and write a step that comes after the last."
    )
    assert len(today) >= len(FROZEN_STEPS), f"steps are gone: {FROZEN_STEPS[len(today) :]}; put them back"
    assert not fresh, f"new steps need these lines at the end of tests/corpus/steps.txt:\n  {fresh}"


def test_steps_are_numbered_from_one_and_each_has_a_file() -> None:
    assert [int(step.name[:4]) for step in STEPS] == list(range(1, len(STEPS) + 1))
    assert all(step.statements("order").as_string() for step in STEPS)


@pytest.mark.parametrize("log", LOGS)
def test_every_log_notes_every_step(fresh_database: str, log: str) -> None:
    assert version(fresh_database, log) == 0
    migrate_log(fresh_database, log)

    with psycopg.connect(fresh_database) as connection:
        noted = connection.execute(f'SELECT version, step FROM "{log}".schema_version ORDER BY 1').fetchall()
    assert noted == list(enumerate([step.name for step in STEPS], 1))
    assert version(fresh_database, log) == len(STEPS)


def test_the_events_table_is_that_of_the_librarys_recorder(fresh_database: str) -> None:
    """So that a plain Application finds what it expects. A later library may want another one."""
    migrate_log(fresh_database, "order")
    datastore = LogDatastore(fresh_database, "library")
    with psycopg.connect(fresh_database) as connection:
        connection.execute("CREATE SCHEMA library")
        recorder = PostgresApplicationRecorder(datastore, events_table_name="events")
        for statement in recorder.sql_create_statements:
            if "CREATE TABLE" in statement.as_string() or "INDEX" in statement.as_string():
                connection.execute(statement)
        datastore.close()
        theirs, ours = (told(connection, schema) for schema in ("library", "order"))
    assert ours == theirs


def told(connection: psycopg.Connection, schema: str) -> list[str]:
    """Columns, options and indexes of the events table, with no word of the schema."""
    rows = connection.execute(
        """
        SELECT concat_ws(' ', attnum, attname, format_type(atttypid, atttypmod), attnotnull,
                         pg_get_expr(adbin, adrelid))
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attrelid = %(table)s::regclass AND attnum > 0
        UNION ALL SELECT reloptions::text FROM pg_class WHERE oid = %(table)s::regclass
        UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = %(table)s::regclass
        ORDER BY 1
        """,
        {"table": f'"{schema}".events'},
    ).fetchall()
    return [row[0].replace(f'"{schema}"', "x").replace(f"{schema}.", "x.") for row in rows]


def test_only_what_is_missing_is_taken(fresh_database: str, new_step: Callable[..., Step]) -> None:
    migrate_log(fresh_database, "order")
    step = new_step("CREATE TABLE {schema}.notes (note text)")
    migrate_log(fresh_database, "order", (*STEPS, step))
    migrate_log(fresh_database, "order", (*STEPS, step))

    assert version(fresh_database) == len(STEPS) + 1
    assert has(fresh_database, '"order".notes')


def test_a_log_that_a_step_has_nothing_for_notes_it_all_the_same(
    fresh_database: str, new_step: Callable[..., Step]
) -> None:
    migrate_log(fresh_database, "goods", (*STEPS, new_step("CREATE TABLE {schema}.notes (note text)")))

    assert version(fresh_database, "goods") == len(STEPS) + 1
    assert not has(fresh_database, "goods.notes")


def test_what_is_up_to_date_is_looked_at_and_not_touched(fresh_database: str) -> None:
    """Nobody can be made to wait by a migration that takes no lock: here it would wait for ever itself."""
    for log in LOGS:
        migrate_log(fresh_database, log)
    with psycopg.connect(fresh_database) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
        for log in LOGS:
            other.execute(f'LOCK TABLE "{log}".events IN ACCESS EXCLUSIVE MODE')
        for log in LOGS:
            migrate_log(fresh_database, log, give_up_after_s=0.0)


def test_a_database_from_before_steps_were_noted_gets_its_notes_without_a_wait_for_writers(
    fresh_database: str,
) -> None:
    for log in LOGS:
        migrate_log(fresh_database, log, BEFORE_NOTES)
    before = shape(fresh_database)
    with psycopg.connect(fresh_database, autocommit=True) as owner:
        for log in LOGS:
            owner.execute(f'DROP TABLE "{log}".schema_version')
    with psycopg.connect(fresh_database) as writer:
        for log in LOGS:
            writer.execute(f'INSERT INTO "{log}".events VALUES (%s, 1, %s, %s)', ("a-1", "A", b"{}"))
        writer.execute("""INSERT INTO "user".attempts VALUES ('account', 'a', 7, now())""")
        for log in LOGS:
            migrate_log(fresh_database, log, BEFORE_NOTES, give_up_after_s=0.0)

    assert shape(fresh_database) == before


def test_a_newer_schema_is_left_as_it_is_and_that_is_told(
    fresh_database: str, new_step: Callable[..., Step], caplog: pytest.LogCaptureFixture
) -> None:
    migrate_log(fresh_database, "order", (*STEPS, new_step("CREATE TABLE {schema}.notes (note text)")))
    newer = shape(fresh_database)
    migrate_log(fresh_database, "order")

    assert shape(fresh_database) == newer
    [warning] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    versions = f"version {len(STEPS) + 1}, and this Tillroll knows {len(STEPS)}"
    assert warning == f"the order log's schema has {versions}: nothing is changed"


# half way


def test_a_step_that_fails_leaves_nothing_and_those_before_it_stay(
    fresh_database: str, new_step: Callable[..., Step]
) -> None:
    good = new_step("CREATE TABLE {schema}.first (note text)", "0006_good")
    bad = new_step("CREATE TABLE {schema}.second (note text); SELECT 1 / 0", "0007_bad")
    with pytest.raises(DivisionByZero):
        migrate_log(fresh_database, "order", (*STEPS, good, bad))
    assert version(fresh_database) == len(STEPS) + 1
    assert (has(fresh_database, '"order".first'), has(fresh_database, '"order".second')) == (True, False)

    mended = new_step("CREATE TABLE {schema}.second (note text)", "0007_bad")
    migrate_log(fresh_database, "order", (*STEPS, good, mended))
    assert version(fresh_database) == len(STEPS) + 2
    assert has(fresh_database, '"order".second')


def test_a_migration_that_dies_in_a_step_is_done_by_the_next_one(
    fresh_database: str, new_step: Callable[..., Step]
) -> None:
    migrate_log(fresh_database, "order")
    slow = new_step("CREATE TABLE {schema}.notes (note text); SELECT pg_sleep(4)")
    with ThreadPoolExecutor(1) as thread, psycopg.connect(fresh_database, autocommit=True) as owner:
        dying = thread.submit(migrate_log, fresh_database, "order", (*STEPS, slow))
        ends_at = monotonic() + 10
        kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        while not owner.execute(kill + " AND datname = current_database()").fetchall():
            assert monotonic() < ends_at
            sleep(0.01)
        with pytest.raises(psycopg.OperationalError):
            dying.result(10)
    assert (version(fresh_database), has(fresh_database, '"order".notes')) == (len(STEPS), False)

    migrate_log(fresh_database, "order", (*STEPS, new_step("CREATE TABLE {schema}.notes (note text)")))
    assert (version(fresh_database), has(fresh_database, '"order".notes')) == (len(STEPS) + 1, True)


def test_of_many_migrations_at_once_one_takes_the_step(
    fresh_database: str, new_step: Callable[..., Step]
) -> None:
    """The step would fail the second time. It takes longer than a wait for a lock, so others try again."""
    migrate_log(fresh_database, "order")
    step = new_step("CREATE TABLE {schema}.notes (note text); SELECT pg_sleep(0.8)")
    with ThreadPoolExecutor(5) as threads:
        list(threads.map(lambda _: migrate_log(fresh_database, "order", (*STEPS, step)), range(5)))

    assert version(fresh_database) == len(STEPS) + 1


# what an operator reads


def test_giving_up_is_one_line_that_says_what_to_do(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TILLROLL_DSN", fresh_database)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(postgres_migrate, "migrate_log", _given_up)

    with pytest.raises(NoDatabase) as error:
        migrate(load_settings())
    assert (
        str(error.value)
        == "step x: in the way is y; what was done before it stays, run `tillroll migrate` again"
    )


def _given_up(*_: object) -> None:
    raise LocksNotFree("step x: in the way is y")
