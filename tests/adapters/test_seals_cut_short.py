"""Reading a log that PostgreSQL stops sending: it says why, and what came before is no shorter log."""

import psycopg
import pytest

from adapters.log_errors import LogUnreadable
from adapters.postgres_migrate import migrate_log
from adapters.postgres_seals import LOWEST, SealedLog

ROWS = 400
ROW_BYTES = 100_000
"""More together than what the sockets between here and there hold: the server is still sending."""

FILL = """INSERT INTO "order".events
    SELECT 'order-' || n, 1, 'x', decode(repeat('00', %s), 'hex'), n FROM generate_series(1, %s) n"""

SENDING = """SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%TO STDOUT%'"""


@pytest.fixture
def large_log(fresh_database: str) -> str:
    migrate_log(fresh_database, "order")
    with psycopg.connect(fresh_database) as connection:
        connection.execute(FILL, (ROW_BYTES, ROWS))
    return fresh_database


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("pg_cancel_backend", "canceling statement"),
        ("pg_terminate_backend", "terminating|closed the connection"),
    ],
)
def test_a_log_that_stops_coming_says_why(large_log: str, how: str, why: str) -> None:
    with SealedLog(large_log, "order") as log:
        rows = log.rows(LOWEST, ROWS)
        first = next(rows)
        _end_what_sends(large_log, how)
        with pytest.raises(LogUnreadable, match=why):
            for _ in rows:
                pass
    assert len(first) > ROW_BYTES


def test_whoever_stops_reading_can_read_again(large_log: str) -> None:
    with SealedLog(large_log, "order") as log:
        rows = log.rows(LOWEST, ROWS)
        next(rows)
        del rows
        assert sum(1 for _ in log.rows(LOWEST, ROWS)) == ROWS


def test_a_range_without_events_has_no_rows(large_log: str) -> None:
    with SealedLog(large_log, "order") as log:
        assert list(log.rows(ROWS, 2 * ROWS)) == []
        assert list(log.hashes(ROWS, 2 * ROWS)) == []


def _end_what_sends(dsn: str, how: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as other:
        found = other.execute(SENDING).fetchall()
        assert len(found) == 1, found
        other.execute(f"SELECT {how}(%s)".encode(), found[0])
