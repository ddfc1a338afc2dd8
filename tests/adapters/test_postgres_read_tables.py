"""The read models' tables: made in any schema, by anybody, and read as of one moment."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import conninfo
from psycopg.sql import SQL, Identifier

from adapters.postgres_projection import NotKeptHere
from adapters.postgres_read_schema import create_read_tables, session
from adapters.postgres_read_tables import ReadSnapshot, table_rows
from projections import PROJECTIONS
from projections.order_info import ORDER_INFO
from projections.order_saga import ORDER_SAGA
from tests.adapters.read_side import busy_shop, create_logs, finish, folded, live, store


@pytest.fixture
def logs(fresh_database: str) -> str:
    """A database with empty logs and empty read models."""
    create_logs(fresh_database)
    create_read_tables(fresh_database)
    return fresh_database


def test_the_tables_columns_are_the_rows_fields(logs: str) -> None:
    with psycopg.connect(logs) as connection:
        for projection in PROJECTIONS:
            for table in projection.tables:
                found = connection.execute(SQL("TABLE {}").format(Identifier("read", table.name)))
                assert tuple(column.name for column in found.description or ()) == table.columns


def test_tables_can_be_made_again_and_by_many_at_once(fresh_database: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(create_read_tables, [fresh_database] * 8))
    assert list(table_rows(fresh_database, "read", ORDER_INFO)) == []


def test_a_projection_is_kept_in_a_schema_of_its_own_beside_a_log(logs: str) -> None:
    shop = busy_shop()
    store(logs, shop)
    create_read_tables(logs, "order", [ORDER_SAGA])
    with live(ORDER_SAGA, logs, "order") as running:
        finish(running)
    assert list(table_rows(logs, "order", ORDER_SAGA)) == folded(ORDER_SAGA, shop)
    assert list(table_rows(logs, "read", ORDER_SAGA)) == []


def test_a_schema_without_the_projections_position_is_named(logs: str) -> None:
    create_read_tables(logs, "other", [ORDER_SAGA])
    with (
        live(ORDER_INFO, logs, "other") as running,
        pytest.raises(NotKeptHere, match="schema other does not keep order_info"),
    ):
        running.advance()


def test_sessions_have_timeouts_and_keep_the_options_they_were_given(fresh_database: str) -> None:
    dsn = conninfo.make_conninfo(fresh_database, options="-c lock_timeout=7s -c work_mem=8MB")
    with psycopg.connect(session(dsn)) as connection:
        shown = {
            name: connection.execute(f"SHOW {name}").fetchone()
            for name in ("statement_timeout", "lock_timeout", "work_mem", "timezone")
        }
    assert shown == {
        "statement_timeout": ("5s",),
        "lock_timeout": ("7s",),
        "work_mem": ("8MB",),
        "timezone": ("UTC",),
    }


def test_a_snapshot_shows_rows_and_position_of_one_moment(logs: str) -> None:
    shop = busy_shop()
    store(logs, shop)
    with live(ORDER_INFO, logs) as running, ReadSnapshot(logs) as snapshot:
        running.advance(20)
        assert snapshot.position(ORDER_INFO) == 20
        seen = [(table.name, row) for table in ORDER_INFO.tables for row in snapshot.rows(table)]
        running.advance()
        assert [(table.name, row) for table in ORDER_INFO.tables for row in snapshot.rows(table)] == seen
        assert snapshot.position(ORDER_INFO) == 20
    shop.logs["order"] = shop.logs["order"][:20]
    assert seen == folded(ORDER_INFO, shop)
