"""The tables of read models: made once, kept by one version, and never changed by another."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from threading import Event
from typing import NamedTuple

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from adapters.postgres_projection import TablesOfAnotherShape
from adapters.postgres_read_schema import create_read_tables
from projections import PROJECTIONS
from projections.goods import GOODS
from projections.projection import Projection
from tests.adapters.read_side import (
    assert_same_as_fold,
    busy_shop,
    catch_up,
    create_logs,
    finish,
    live,
    store,
)

NEWER = replace(GOODS, version=2)


@pytest.fixture
def logs(fresh_database: str) -> str:
    """A database with empty logs and empty read models."""
    create_logs(fresh_database)
    create_read_tables(fresh_database)
    return fresh_database


def shapes(dsn: str, schema: str = "read") -> dict[str, str | None]:
    with psycopg.connect(dsn) as connection:
        table = Identifier(schema, "position")
        return dict(connection.execute(SQL("SELECT projection, shape FROM {}").format(table)).fetchall())


def as_before_shapes(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("ALTER TABLE read.position DROP COLUMN shape")


def test_the_shape_of_each_projection_is_noted_where_its_tables_are_made(logs: str) -> None:
    assert shapes(logs) == {one.name: one.shape for one in PROJECTIONS}


def test_tables_from_before_shapes_were_noted_are_kept_and_noted(logs: str) -> None:
    shop = busy_shop()
    store(logs, shop)
    catch_up(logs)
    as_before_shapes(logs)
    create_read_tables(logs)
    assert shapes(logs) == {one.name: one.shape for one in PROJECTIONS}
    assert_same_as_fold(logs, shop)


def test_a_shape_that_is_noted_stays(logs: str) -> None:
    create_read_tables(logs, projections=[NEWER])
    assert shapes(logs)["goods"] == GOODS.shape


def test_a_shape_that_is_not_noted_fits(logs: str) -> None:
    store(logs, busy_shop())
    with psycopg.connect(logs) as connection:
        connection.execute("UPDATE read.position SET shape = NULL")
    with live(NEWER, logs) as running:
        assert running.advance() > 0


def test_a_projector_of_another_version_writes_nothing_and_says_what_to_do(logs: str) -> None:
    store(logs, busy_shop())
    with live(NEWER, logs) as running:
        with pytest.raises(TablesOfAnotherShape) as error:
            running.advance()
        assert str(error.value) == (
            "read.goods was made by another version of Tillroll: run `tillroll replay rebuild`"
        )
    with psycopg.connect(logs) as connection:
        assert connection.execute("SELECT count(*) FROM read.goods").fetchone() == (0,)


def test_whoever_waits_for_tables_of_another_version_is_told_so_too(logs: str) -> None:
    with psycopg.connect(logs) as holder, live(NEWER, logs) as running:
        holder.execute("SELECT FROM read.position WHERE projection = 'goods' FOR UPDATE")
        with pytest.raises(TablesOfAnotherShape):
            running.advance()


def test_it_goes_on_by_itself_once_the_tables_are_of_its_version(logs: str) -> None:
    store(logs, busy_shop())
    with psycopg.connect(logs, autocommit=True) as connection, live(NEWER, logs) as running:
        with pytest.raises(TablesOfAnotherShape):
            running.advance()
        connection.execute("UPDATE read.position SET shape = %s WHERE projection = 'goods'", [NEWER.shape])
        assert running.advance() > 0


class WiderRow(NamedTuple):
    id: int
    weight: int


def test_tables_of_another_version_are_not_touched_by_a_migration(
    logs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index on a column that only the new version knows would end it, and nothing could start any more."""
    wider = Projection("goods", "goods", (replace(GOODS.tables[0], row=WiderRow),))
    section = "CREATE INDEX IF NOT EXISTS goods_by_weight ON {schema}.goods (weight);"
    monkeypatch.setattr("adapters.postgres_read_schema._sections", lambda: {"position": "", "goods": section})
    create_read_tables(logs, projections=[wider])
    with psycopg.connect(logs) as connection:
        assert connection.execute("SELECT to_regclass('read.goods_by_weight')").fetchone() == (None,)


def test_a_copy_that_may_begin_anew_does_so_and_catches_up(logs: str) -> None:
    """The watchdog's list of sagas: one that is not whole only delays a wake-up."""
    shop = busy_shop()
    store(logs, shop)
    catch_up(logs)
    create_read_tables(logs, projections=[NEWER], begins_anew=True)
    assert shapes(logs) == {one.name: one.shape for one in (*PROJECTIONS, NEWER)}
    with psycopg.connect(logs) as connection:
        assert connection.execute("SELECT count(*) FROM read.goods").fetchone() == (0,)
    with live(NEWER, logs) as running:
        finish(running)
    assert_same_as_fold(logs, shop)


def test_a_copy_that_may_begin_anew_stays_while_it_is_of_this_version(logs: str) -> None:
    shop = busy_shop()
    store(logs, shop)
    catch_up(logs)
    create_read_tables(logs, begins_anew=True)
    assert_same_as_fold(logs, shop)


# beside processes at work


@contextmanager
def position_held(dsn: str) -> Iterator[psycopg.Connection]:
    """As a projector holds it during a batch."""
    with psycopg.connect(dsn) as holder:
        holder.execute("SELECT FROM read.position WHERE projection = 'goods' FOR UPDATE")
        yield holder


def test_a_table_that_has_room_for_shapes_is_not_locked(logs: str) -> None:
    with position_held(logs):
        create_read_tables(logs)


def test_a_projector_at_work_is_waited_for(logs: str) -> None:
    as_before_shapes(logs)
    begun = Event()

    def migrate() -> None:
        begun.set()
        create_read_tables(logs)

    with ThreadPoolExecutor(1) as thread:
        with position_held(logs) as holder:
            migrating = thread.submit(migrate)
            begun.wait()
            with pytest.raises(TimeoutError):
                migrating.result(2.5)
            holder.rollback()
        migrating.result(10.0)
    assert shapes(logs)["goods"] == GOODS.shape
