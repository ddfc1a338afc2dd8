"""Our recorder is one of the library's, order of ids is order of commits, and a guess is checked."""

import importlib
import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any, Literal
from uuid import UUID, uuid4

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError, OperationalError, StoredEvent
from eventsourcing.postgres import PostgresDatastore
from psycopg.conninfo import conninfo_to_dict

from adapters.event_codec import encode
from adapters.postgres_log import LogDatastore
from adapters.postgres_log_reader import LogReader
from adapters.postgres_migrate import migrate_log
from adapters.postgres_recorder import ArrayRecorder, LogRecorder, StreamMovedOn
from domain.recorded import Cause, Recorded
from domain.stock import StockSet

# The library's cases import its cipher, which none of those run here uses, from pycryptodome. What is
# installed is pycryptodomex: the same code under another name.
for name in ("", ".Cipher", ".Cipher.AES", ".Cipher._mode_gcm"):
    sys.modules.setdefault(f"Crypto{name}", importlib.import_module(f"Cryptodome{name}"))

from eventsourcing.tests.persistence import (  # noqa: E402
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
)

PATIENCE_S = 30.0
WRITERS = 16
LONGEST_PAUSE_S = 0.002
PAUSE_PER_EVENT_S = LONGEST_PAUSE_S / 20


class OverArrays:
    """What the library's cases ask for: a recorder with an empty table."""

    originator_id_type: Literal["uuid", "text"] = "uuid"
    datastore: PostgresDatastore

    @pytest.fixture(autouse=True)
    def _database(self, fresh_database: str) -> Iterator[None]:
        given = conninfo_to_dict(fresh_database)
        self.datastore = PostgresDatastore(
            dbname=str(given["dbname"]),
            host=str(given["host"]),
            port=str(given.get("port", 5432)),
            user=str(given["user"]),
            password=str(given.get("password", "")),
            originator_id_type=self.originator_id_type,
            pool_size=4,
            max_overflow=10,
        )
        with self.datastore:
            yield

    def create_recorder(self) -> ArrayRecorder:
        recorder = ArrayRecorder(self.datastore)
        recorder.create_table()
        return recorder

    def new_originator_id(self) -> UUID | str:
        return uuid4() if self.originator_id_type == "uuid" else f"test-{uuid4()}"


class TestLibraryApplicationCases(OverArrays, ApplicationRecorderTestCase[ArrayRecorder]):
    """A refused insert uses up ids, as with the library's own Postgres recorder."""

    EXPECT_CONTIGUOUS_NOTIFICATION_IDS = False

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestLibraryApplicationCasesWithTextIds(OverArrays, ApplicationRecorderTestCase[ArrayRecorder]):
    EXPECT_CONTIGUOUS_NOTIFICATION_IDS = False
    originator_id_type = "text"

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestLibraryNonInterleavingCase(OverArrays, NonInterleavingNotificationIDsBaseCase):
    pass


class TestLibraryNonInterleavingCaseWithTextIds(OverArrays, NonInterleavingNotificationIDsBaseCase):
    originator_id_type = "text"


# ours


@pytest.fixture
def dsn(fresh_database: str) -> str:
    migrate_log(fresh_database, "inventory")
    return fresh_database


@pytest.fixture
def recorder(dsn: str) -> Iterator[LogRecorder]:
    with LogDatastore(dsn, "inventory") as datastore:
        yield LogRecorder(datastore)


def event(stream: str, version: int, state: bytes = b"{}") -> StoredEvent:
    return StoredEvent(stream, version, "StockSet", state)


def ask(dsn: str, question: str) -> Any:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(question).fetchone()
        return row and row[0]


def test_what_was_read_and_has_not_moved_is_fine(recorder: LogRecorder) -> None:
    assert recorder.insert_events([event("stock-1", 1), event("stock-1", 2)]) == [1, 2]
    assert recorder.insert_events([event("sale-7", 1)], expect={"stock-1": 2, "stock-9": 0}) == [3]


@pytest.mark.parametrize("expect", [{"stock-1": 1}, {"stock-1": 0}, {"stock-9": 0, "stock-1": 1}])
def test_what_was_read_and_has_moved_on_stores_nothing(recorder: LogRecorder, expect: dict[str, int]) -> None:
    recorder.insert_events([event("stock-1", 1), event("stock-1", 2)])

    with pytest.raises(StreamMovedOn):
        recorder.insert_events([event("sale-7", 1)], expect=expect)
    assert recorder.select_events("sale-7") == []


def test_a_taken_version_stores_nothing_of_the_batch(recorder: LogRecorder) -> None:
    recorder.insert_events([event("stock-1", 1)])

    with pytest.raises(IntegrityError):
        recorder.insert_events([event("sale-7", 1), event("stock-1", 1)])
    assert recorder.select_events("sale-7") == []
    assert recorder.insert_events([event("sale-7", 1)]) is not None


def test_an_empty_batch_stores_nothing(recorder: LogRecorder) -> None:
    assert recorder.insert_events([]) == []


def test_a_commit_larger_than_any_buffer_on_its_way_is_stored(recorder: LogRecorder) -> None:
    """A pipelined insert of this size waits for ever, each side for the other to read."""
    events = [event(f"stock-{n}", 1, b"x" * 2_000) for n in range(8_000)]
    positions: list[int] = []
    thread = Thread(
        target=lambda: positions.extend(recorder.insert_events(events, expect={"sale-1": 0}) or ()),
        daemon=True,
    )
    thread.start()
    thread.join(PATIENCE_S)

    assert positions == list(range(1, 8_001))
    assert len(recorder.select_since({str(one.originator_id): 0 for one in events})) == 8_000


def test_events_of_many_streams_come_in_one_query_each_stream_in_order(recorder: LogRecorder) -> None:
    recorder.insert_events([event("a-1", 1), event("b-1", 1), event("a-1", 2), event("a-1", 3)])

    rows = recorder.select_since({"a-1": 1, "b-1": 0, "c-1": 0})
    assert [(row[0], row[1], row[4]) for row in rows] == [("a-1", 2, 3), ("a-1", 3, 4), ("b-1", 1, 2)]


def test_the_position_of_exactly_this_event_is_found(recorder: LogRecorder) -> None:
    recorder.insert_events([event("a-1", 1), event("a-1", 2, b"mine")])

    assert recorder.select_position(event("a-1", 2, b"mine")) == 2
    assert recorder.select_position(event("a-1", 2, b"theirs")) is None
    assert recorder.select_position(event("a-1", 3, b"mine")) is None


def test_a_search_waits_for_a_commit_under_way(recorder: LogRecorder, dsn: str) -> None:
    """Otherwise a lost COMMIT could be taken for one that never was, and be stored twice."""
    with psycopg.connect(dsn) as under_way, ThreadPoolExecutor(1) as thread:
        under_way.execute("SELECT pg_advisory_xact_lock(hashtextextended('inventory.events', 0))")
        under_way.execute("INSERT INTO inventory.events VALUES ('a-1', 1, 'StockSet', '{}')")
        found = thread.submit(recorder.select_position, event("a-1", 1))
        time.sleep(0.2)
        assert not found.done()
        under_way.commit()
        assert found.result(PATIENCE_S) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE inventory.events SET state = ''",
        "UPDATE inventory.events SET state = '' WHERE false",
        "DELETE FROM inventory.events",
        "TRUNCATE inventory.events",
        "TRUNCATE inventory.events CASCADE",
    ],
)
def test_the_log_cannot_be_changed_even_by_its_owner(recorder: LogRecorder, dsn: str, statement: str) -> None:
    recorder.insert_events([event("stock-1", 1)])

    with (
        psycopg.connect(dsn) as owner,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"),
    ):
        owner.execute(statement)
    assert len(recorder.select_events("stock-1")) == 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("synchronous_commit", "on"),
        ("idle_in_transaction_session_timeout", "5s"),
        ("statement_timeout", "5s"),
        ("lock_timeout", "2s"),
    ],
)
def test_a_writers_session_is_durable_and_bounded(recorder: LogRecorder, setting: str, value: str) -> None:
    with recorder.datastore.get_connection() as connection:
        row = connection.execute(f"SHOW {setting}").fetchone()
    assert row == {setting: value}


def test_a_writers_session_is_durable_whatever_the_database_says(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(f'ALTER DATABASE "{owner.info.dbname}" SET synchronous_commit = off')
    with LogDatastore(dsn, "inventory") as datastore, datastore.get_connection() as connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == {"synchronous_commit": "on"}


def test_a_writer_that_cannot_get_the_lock_gives_up_after_two_seconds(
    recorder: LogRecorder, dsn: str
) -> None:
    with psycopg.connect(dsn) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(hashtextextended('inventory.events', 0))")
        started = time.monotonic()
        with pytest.raises(OperationalError):
            recorder.insert_events([event("stock-1", 1)])
        assert 1.5 < time.monotonic() - started < 4.0
    assert recorder.insert_events([event("stock-1", 1)]) is not None


def test_the_librarys_database_functions_are_refused(dsn: str) -> None:
    given = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
    with (
        PostgresDatastore(
            dbname=given["dbname"],
            host=given["host"],
            port=given.get("port", "5432"),
            user=given["user"],
            password=given.get("password", ""),
            enable_db_functions=True,
        ) as datastore,
        pytest.raises(AssertionError, match="take no lock"),
    ):
        ArrayRecorder(datastore)


class Pausing(LogRecorder):
    """Waits between taking its ids and committing them, with the log's lock in its hand."""

    def __init__(self, datastore: PostgresDatastore) -> None:
        super().__init__(datastore)
        self._append_alone = f"{self.statement()}, pg_sleep(random() * {PAUSE_PER_EVENT_S})".encode()

    def statement(self) -> str:
        return self._append_alone.decode()


class PausingWithoutLock(Pausing):
    def statement(self) -> str:
        locked = super().statement()
        without = locked.replace("pg_advisory_xact_lock(hashtextextended('inventory.events', 0))", "1")
        assert without != locked
        return without


@dataclass(frozen=True, slots=True)
class Tailed:
    """What a reader saw that always asked for what comes after the last position it had seen."""

    seen: list[int]
    stored: list[int]

    @property
    def below(self) -> set[int]:
        """Positions that became visible when the reader was past them already: it never saw them."""
        return set(self.stored) - set(self.seen)


def tail_while_writing(dsn: str, recorder: type[Pausing], appends: int) -> Tailed:
    """16 writers with pauses inside and between commits, `appends` each, and the log's own reader."""
    stopped = Event()

    def write(writer: int) -> None:
        with LogDatastore(dsn, "inventory") as datastore:
            own = recorder(datastore)
            for version in range(1, appends + 1):
                own.insert_events(
                    [counted(f"stock-{writer}0{n}", version) for n in range(random.randint(1, 40))]
                )
                time.sleep(random.uniform(0, LONGEST_PAUSE_S))

    def tail() -> list[int]:
        seen: list[int] = []
        reader = LogReader(dsn, "inventory")
        while True:
            last_look = stopped.is_set()
            seen += [recorded.position for recorded in reader.read_all(after=seen[-1] if seen else 0)]
            if last_look:
                return seen

    with ThreadPoolExecutor(WRITERS + 1) as threads:
        reading = threads.submit(tail)
        try:
            list(threads.map(write, range(WRITERS)))
        finally:
            stopped.set()
        seen = reading.result(PATIENCE_S)
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT notification_id FROM inventory.events ORDER BY 1").fetchall()
    return Tailed(seen, [row[0] for row in rows])


def counted(stream: str, version: int) -> StoredEvent:
    cause = Cause("cmd~b", "user-1", "", datetime(2026, 11, 23, tzinfo=UTC))
    return StoredEvent(
        *encode(Recorded(stream, version, StockSet(on_hand=version, before=version - 1), cause))
    )


def test_ids_become_visible_in_the_order_of_their_commits(dsn: str) -> None:
    """A tailing reader must never see a gap filled. `make bench-tailing` does the same a million times."""
    tailed = tail_while_writing(dsn, Pausing, appends=30)

    assert tailed.below == set()
    assert tailed.seen == tailed.stored
    assert len(tailed.stored) > 6_000


def test_without_the_lock_a_tailing_reader_misses_events(dsn: str) -> None:
    """The test above can fail."""
    tailed = tail_while_writing(dsn, PausingWithoutLock, appends=10)

    assert len(tailed.below) > 0
    assert len(set(tailed.seen)) == len(tailed.seen)


def test_a_slow_commit_holds_back_the_ids_that_come_after_it(recorder: LogRecorder, dsn: str) -> None:
    with psycopg.connect(dsn) as slow, ThreadPoolExecutor(1) as thread:
        slow.execute("SELECT pg_advisory_xact_lock(hashtextextended('inventory.events', 0))")
        slow.execute("INSERT INTO inventory.events VALUES ('a-1', 1, 'StockSet', '{}')")
        fast = thread.submit(recorder.insert_events, [event("b-1", 1)])
        time.sleep(0.2)
        assert ask(dsn, "SELECT count(*) FROM inventory.events") == 0
        slow.commit()
        assert fast.result(PATIENCE_S) == [2]


def test_commits_of_different_logs_do_not_wait_for_each_other(recorder: LogRecorder, dsn: str) -> None:
    with psycopg.connect(dsn) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended('order.events', 0))")
        assert recorder.insert_events([event("a-1", 1)]) == [1]


def test_a_role_that_may_only_read_and_insert_can_append(dsn: str) -> None:
    role = f"app_{uuid4().hex[:12]}"
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role} LOGIN")
        try:
            owner.execute(f"GRANT USAGE ON SCHEMA inventory TO {role}")
            owner.execute(f"GRANT SELECT, INSERT ON inventory.events TO {role}")
            owner.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA inventory TO {role}")
            with psycopg.connect(dsn) as app:
                app.execute(f"SET ROLE {role}")
                app.execute("SELECT pg_advisory_xact_lock(hashtextextended('inventory.events', 0))")
                app.execute("SELECT inventory.expect_versions('{a-1}', '{0}')")
                app.execute("INSERT INTO inventory.events VALUES ('a-1', 1, 'StockSet', '{}')")
        finally:
            owner.execute(f"DROP OWNED BY {role}")
            owner.execute(f"DROP ROLE {role}")
    assert ask(dsn, "SELECT count(*) FROM inventory.events") == 1
