"""Migration beside people at work: nobody waits long, and it ends or says for whom it waits."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Timer
from time import monotonic, sleep

import psycopg
import pytest

from adapters.postgres_log import PostgresLog
from adapters.postgres_migrate import MIGRATION_LOCK, STEPS, Step, migrate_log, read_version
from adapters.postgres_patience import LocksNotFree
from orchestrator.log import Stored

WRITERS = 4
MAX_STALL_S = 3.0


@dataclass
class Work:
    """What writers and readers have seen so far, in seconds: the longest that one append or look took."""

    appended: list[float] = field(default_factory=list)
    looked: list[float] = field(default_factory=list)


@pytest.fixture
def changing(tmp_path: Path) -> tuple[Step, ...]:
    """A step that nobody can work beside: it needs the events table for itself, if only for a moment."""
    (tmp_path / "0099_note.sql").write_text("ALTER TABLE {schema}.events ADD COLUMN note text")
    return (*STEPS, Step("0099_note", ("order",), tmp_path))


@pytest.fixture
def database(fresh_database: str) -> str:
    migrate_log(fresh_database, "order")
    return fresh_database


@contextmanager
def at_work(dsn: str) -> Iterator[Work]:
    """Writers that append one event after the other, and a reader that looks at the newest all the time."""
    work, stop = Work(), Event()
    with ThreadPoolExecutor(WRITERS + 1) as threads:
        tasks: list[Future[None]] = [
            threads.submit(_write, dsn, f"cart-{number}", work, stop) for number in range(WRITERS)
        ]
        tasks.append(threads.submit(_look, dsn, work, stop))
        try:
            _wait_until(lambda: len(work.appended) > 20 and bool(work.looked))
            yield work
        finally:
            stop.set()
        for task in tasks:
            task.result(30)


def _write(dsn: str, stream: str, work: Work, stop: Event) -> None:
    log, version = PostgresLog(dsn, "order"), 0
    while not stop.is_set():
        version, began = version + 1, monotonic()
        log.append([Stored(stream, version, "CartReplaced", b"{}")], {})
        work.appended.append(monotonic() - began)
    log.close()


def _look(dsn: str, work: Work, stop: Event) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        while not stop.is_set():
            began = monotonic()
            connection.execute('SELECT max(notification_id) FROM "order".events').fetchone()
            work.looked.append(monotonic() - began)


def _wait_until(is_so: Callable[[], bool]) -> None:
    ends_at = monotonic() + 30
    while not is_so():
        assert monotonic() < ends_at
        sleep(0.01)


@contextmanager
def open_transaction(dsn: str, statement: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, application_name="a long report") as connection:
        connection.execute(statement)
        yield connection


def _pid(connection: psycopg.Connection) -> int:
    return connection.info.backend_pid


def version(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        return read_version(connection, "order")


READING = 'SELECT count(*) FROM "order".events'


def test_a_change_comes_through_beside_writers(database: str, changing: tuple[Step, ...]) -> None:
    with at_work(database) as work:
        migrate_log(database, "order", changing)

    assert version(database) == len(changing)
    assert max(*work.appended, *work.looked) < MAX_STALL_S


def test_a_long_open_reader_stops_a_change_and_nobody_else(
    database: str, changing: tuple[Step, ...], figure: Callable[[str], None]
) -> None:
    with at_work(database) as work, open_transaction(database, READING) as reader:
        pid = _pid(reader)
        with pytest.raises(LocksNotFree) as error:
            migrate_log(database, "order", changing, give_up_after_s=4.0)
        before = len(work.appended)
        _wait_until(lambda: len(work.appended) > before + 20)

    said = str(error.value)
    assert said.startswith("the order log's schema, step 0099_note: given up after 4 s, nothing was changed.")
    assert f"pid {pid} (a long report, idle in transaction, transaction open for " in said
    assert version(database) == len(STEPS)
    assert max(*work.appended, *work.looked) < MAX_STALL_S
    figure(
        f"a migration behind a long reader for 4 s: the longest append took {max(work.appended):.2f} s,"
        f" the longest look {max(work.looked):.2f} s, {len(work.appended)} appends"
    )


def test_a_change_comes_through_once_the_reader_has_ended(
    database: str, changing: tuple[Step, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with at_work(database) as work, open_transaction(database, READING) as reader:
        pid = _pid(reader)
        ending = Timer(3.0, reader.rollback)
        ending.start()
        migrate_log(database, "order", changing)
        ending.join()

    assert version(database) == len(changing)
    assert max(*work.appended, *work.looked) < MAX_STALL_S
    told = [record.getMessage() for record in caplog.records if f"pid {pid} " in record.message]
    assert len(told) == 1, "who is in the way is told once, not with every try"
    assert "step 0099_note: waits for pid" in told[0]


def test_another_migration_that_does_not_end_is_named(database: str, changing: tuple[Step, ...]) -> None:
    holding = open_transaction(database, f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
    with holding as other, pytest.raises(LocksNotFree, match=rf"is pid {_pid(other)} \(a long report"):
        migrate_log(database, "order", changing, give_up_after_s=1.0)
    migrate_log(database, "order", changing)

    assert version(database) == len(changing)


def test_a_step_that_works_too_long_is_undone(database: str, tmp_path: Path) -> None:
    (tmp_path / "0099_slow.sql").write_text("CREATE TABLE {schema}.notes (note text); SELECT pg_sleep(60)")
    slow = Step("0099_slow", ("order",), tmp_path)

    with pytest.raises(LocksNotFree, match="step 0099_slow: took longer than 5 s, nothing was changed"):
        migrate_log(database, "order", (*STEPS, slow))
    assert version(database) == len(STEPS)
