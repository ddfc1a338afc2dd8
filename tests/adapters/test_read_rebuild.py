"""Rebuilding beside the live tables: nobody notices, nothing differs unseen, a failure changes nothing."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import conninfo

from adapters import read_build, read_shelf, read_swap
from adapters.postgres_read_schema import create_read_tables
from adapters.postgres_read_tables import ReadSnapshot
from adapters.read_build import Task, build
from adapters.read_rebuild import Teller, build_copy, rebuild, swap_back
from adapters.read_sets import BEFORE, LIVE, NEXT, CannotRebuild, create_set, exists, positions_of
from projections import PROJECTIONS
from projections.projection import Row, fold_log
from tests.adapters.read_side import (
    LOGS,
    assert_same_as_fold,
    busy_shop,
    catch_up,
    create_logs,
    store,
)
from tests.shop_history import ShopHistory

QUIET = Teller()


def dsns(dsn: str) -> dict[str, str]:
    return dict.fromkeys([*LOGS, "read"], dsn)


@pytest.fixture
def shop() -> ShopHistory:
    return busy_shop()


@pytest.fixture
def dsn(fresh_database: str, shop: ShopHistory) -> str:
    """A database with a busy shop, its read models up to date."""
    create_logs(fresh_database)
    create_read_tables(fresh_database)
    store(fresh_database, shop)
    catch_up(fresh_database)
    return fresh_database


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds one projection after the other in the test's own process, which is quicker to begin."""

    def build_all(tasks: list[Task], _progress: Any) -> None:
        for task in tasks:
            build(task)

    monkeypatch.setattr("adapters.read_rebuild.build_all", build_all)


def run(dsn: str, statement: str) -> list[Any]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def rows_in(dsn: str, schema: str) -> list[tuple[str, Row]]:
    with ReadSnapshot(dsn, schema) as snapshot:
        return [
            (table.name, row)
            for projection in PROJECTIONS
            for table in projection.tables
            for row in snapshot.rows(table)
        ]


def folded(shop: ShopHistory, positions: dict[str, int]) -> list[tuple[str, Row]]:
    """What a fold of the log's beginnings says must stand in the tables."""
    found: list[tuple[str, Row]] = []
    for projection in PROJECTIONS:
        events = shop.logs[projection.log][: positions[projection.log]]
        for name, keys in fold_log(projection, events).items():
            rows = (row for rows in keys.values() for row in rows)
            found += ((name, row) for row in sorted(rows, key=lambda row: row[:2]))
    return found


# the swap


def test_a_set_that_is_the_same_takes_the_live_ones_place(dsn: str, shop: ShopHistory) -> None:
    heard: list[tuple[str, int, int]] = []
    made = rebuild(dsns(dsn), Teller(lambda *told: heard.append(told)), accept=False)

    assert made.comparison.is_same
    assert made.comparison.rows == len(rows_in(dsn, LIVE)) > 50
    assert made.built.events == sum(map(len, shop.logs.values()))
    assert {(name, len(shop.logs[log]), len(shop.logs[log])) for name, log in LOG_OF.items()} <= set(heard)
    assert made.swapped_at == {name: len(shop.logs[log]) for name, log in LOG_OF.items()}
    assert_same_as_fold(dsn, shop)
    assert (exists(dsn, NEXT), exists(dsn, BEFORE)) == (False, True)
    assert rows_in(dsn, BEFORE) == rows_in(dsn, LIVE)


LOG_OF = {projection.name: projection.log for projection in PROJECTIONS}


@pytest.mark.usefixtures("in_process")
def test_projectors_go_on_with_the_new_set_and_the_old_one_stays_as_it_was(
    dsn: str, shop: ShopHistory
) -> None:
    rebuild(dsns(dsn), QUIET, accept=False)
    old = rows_in(dsn, BEFORE)
    shop.stocked(19, units=3)
    store(dsn, shop)
    catch_up(dsn)

    assert_same_as_fold(dsn, shop)
    assert rows_in(dsn, BEFORE) == old


@pytest.mark.usefixtures("in_process")
def test_it_can_be_done_again_and_again(dsn: str, shop: ShopHistory) -> None:
    for number in range(3):
        shop.stocked(20 + number, units=3)
        store(dsn, shop)
        catch_up(dsn)
        assert rebuild(dsns(dsn), QUIET, accept=False).swapped_at is not None
    assert_same_as_fold(dsn, shop)


@pytest.mark.usefixtures("in_process")
def test_what_the_live_projector_has_not_applied_yet_is_no_difference(dsn: str, shop: ShopHistory) -> None:
    standing = {log: len(events) for log, events in shop.logs.items()}
    shop.stocked(19, units=3)
    store(dsn, shop)
    made = rebuild(dsns(dsn), QUIET, accept=False)

    assert made.comparison.is_same
    assert made.swapped_at == {name: standing[log] for name, log in LOG_OF.items()}
    catch_up(dsn)
    assert_same_as_fold(dsn, shop)


@pytest.mark.usefixtures("in_process")
def test_indexes_and_rights_are_those_of_the_live_set(dsn: str) -> None:
    run(dsn, "DO $$ BEGIN CREATE ROLE shop_reader; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    run(dsn, "GRANT SELECT ON read.goods TO shop_reader WITH GRANT OPTION")
    run(dsn, "GRANT SELECT (order_id, status) ON read.order_info TO shop_reader")
    run(dsn, "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO shop_reader")
    before = run(dsn, INDEXES), run(dsn, RIGHTS)
    rebuild(dsns(dsn), QUIET, accept=False)

    assert (run(dsn, INDEXES), run(dsn, RIGHTS)) == before
    assert [name for name, _ in before[1]] == ["goods", "order_info.order_id", "order_info.status"]
    run(dsn, "DROP OWNED BY shop_reader")


@pytest.mark.usefixtures("in_process")
def test_the_owners_stay_the_owners(dsn: str) -> None:
    run(dsn, "DO $$ BEGIN CREATE ROLE keeper; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    boss = conninfo.make_conninfo(dsn, user="postgres")
    run(boss, "ALTER TABLE read.goods OWNER TO keeper")
    rebuild(dsns(boss), QUIET, accept=False)

    assert run(boss, OWNERS) == [("goods", "keeper"), ("inventory", "tillroll")]
    run(boss, "REASSIGN OWNED BY keeper TO tillroll")


OWNERS = (
    "SELECT tablename, tableowner FROM pg_tables"
    " WHERE schemaname = 'read' AND tablename IN ('goods', 'inventory') ORDER BY 1"
)


INDEXES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'read' ORDER BY 1, 2"
RIGHTS = (
    "SELECT c.relname, g.is_grantable FROM pg_class c, aclexplode(c.relacl) g"
    " WHERE c.relnamespace = 'read'::regnamespace AND g.grantee = 'shop_reader'::regrole"
    " UNION SELECT c.relname || '.' || a.attname, g.is_grantable FROM pg_class c"
    " JOIN pg_attribute a ON a.attrelid = c.oid, aclexplode(a.attacl) g"
    " WHERE c.relnamespace = 'read'::regnamespace AND g.grantee = 'shop_reader'::regrole ORDER BY 1"
)


# differences


DAMAGE = (
    "UPDATE read.goods SET price = price + 1, name = 'other' WHERE id = 11",
    "DELETE FROM read.order_goods WHERE order_id = 900 AND goods_id = 11",
    "INSERT INTO read.stock_sell_detail VALUES (12345, 1, '[]')",
    "UPDATE read.order_saga SET last_error = 'x' WHERE order_id = 901",
)


@pytest.mark.usefixtures("in_process")
def test_every_difference_is_told_and_nothing_is_swapped(dsn: str) -> None:
    for statement in DAMAGE:
        run(dsn, statement)
    live = rows_in(dsn, LIVE)
    made = rebuild(dsns(dsn), QUIET, accept=False)

    shown = {row.table: row for table in made.comparison.tables for row in table.shown}
    assert made.swapped_at is None
    assert {table.table: table.differing for table in made.comparison.tables if table.differing} == {
        "goods": 1,
        "order_goods": 1,
        "stock_sell_detail": 1,
        "order_saga": 1,
    }
    assert shown["goods"].key == {"id": 11}
    assert shown["goods"].live == {"price": 251, "name": "other"}
    assert shown["goods"].rebuilt == {"price": 250, "name": "goods 11"}
    assert shown["order_goods"].key == {"order_id": 900, "goods_id": 11}
    assert shown["order_goods"].live is None
    assert shown["stock_sell_detail"].rebuilt is None
    assert shown["order_saga"].live == {"last_error": "x"}
    assert (rows_in(dsn, LIVE), exists(dsn, BEFORE), exists(dsn, NEXT)) == (live, False, True)


@pytest.mark.usefixtures("in_process")
def test_a_difference_that_is_accepted_heals_the_live_set(dsn: str, shop: ShopHistory) -> None:
    for statement in DAMAGE:
        run(dsn, statement)
    damaged = rows_in(dsn, LIVE)
    rebuild(dsns(dsn), QUIET, accept=False)
    made = rebuild(dsns(dsn), QUIET, accept=True)

    assert made.comparison.differing == 4
    assert_same_as_fold(dsn, shop)
    assert rows_in(dsn, BEFORE) == damaged


@pytest.mark.usefixtures("in_process")
def test_a_swap_back_brings_the_old_set_up_to_date_first(dsn: str, shop: ShopHistory) -> None:
    run(dsn, "UPDATE read.goods SET name = 'other' WHERE id = 11")
    rebuild(dsns(dsn), QUIET, accept=True)
    shop.stocked(19, units=3)
    store(dsn, shop)
    catch_up(dsn)
    now = run(dsn, "SELECT projection, position FROM read.position ORDER BY 1")
    swap_back(dsns(dsn), QUIET)

    assert run(dsn, "SELECT name FROM read.goods WHERE id = 11") == [("other",)]
    assert run(dsn, "SELECT projection, position FROM read.position ORDER BY 1") == now
    swap_back(dsns(dsn), QUIET)
    assert_same_as_fold(dsn, shop)


@pytest.mark.usefixtures("in_process")
def test_a_look_without_a_swap_leaves_nothing_behind(dsn: str) -> None:
    run(dsn, DAMAGE[0])
    live = rows_in(dsn, LIVE)
    made = rebuild(dsns(dsn), QUIET, accept=False, may_swap=False)

    assert made.comparison.differing == 1
    assert (rows_in(dsn, LIVE), exists(dsn, BEFORE), exists(dsn, NEXT)) == (live, False, False)


@pytest.mark.usefixtures("in_process")
def test_a_column_that_is_new_is_a_difference_of_its_own(dsn: str) -> None:
    run(dsn, "ALTER TABLE read.goods DROP COLUMN price")
    run(dsn, "ALTER TABLE read.goods ADD COLUMN colour text")
    made = rebuild(dsns(dsn), QUIET, accept=False)

    goods = next(table for table in made.comparison.tables if table.table == "goods")
    assert (goods.differing, goods.shape) == (0, ("column price is new", "column colour is gone"))
    assert made.swapped_at is None
    assert rebuild(dsns(dsn), QUIET, accept=True).swapped_at is not None
    assert run(dsn, "SELECT price FROM read.goods WHERE id = 11") == [(250,)]


@pytest.mark.usefixtures("in_process")
def test_a_column_of_another_type_is_told_and_not_compared(dsn: str) -> None:
    run(dsn, "ALTER TABLE read.goods ALTER price TYPE text")
    made = rebuild(dsns(dsn), QUIET, accept=True)

    goods = next(table for table in made.comparison.tables if table.table == "goods")
    assert (goods.differing, goods.shape) == (0, ("column price was text and is bigint",))
    assert run(dsn, "SELECT price FROM read.goods WHERE id = 11") == [(250,)]


@pytest.mark.usefixtures("in_process")
def test_a_table_that_is_new_comes_with_the_swap(dsn: str, shop: ShopHistory) -> None:
    run(dsn, "DROP TABLE read.order_goods")
    made = rebuild(dsns(dsn), QUIET, accept=False)
    new = next(table for table in made.comparison.tables if table.table == "order_goods")

    assert (new.shape, made.swapped_at) == (("the table is new",), None)
    rebuild(dsns(dsn), QUIET, accept=True)
    assert_same_as_fold(dsn, shop)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("CREATE INDEX dear ON read.goods (price)", "index dear would be lost"),
        ("ALTER TABLE read.goods ENABLE ROW LEVEL SECURITY", "row security would be lost"),
        (
            "CREATE STATISTICS much ON price, name FROM read.goods",
            "statistics much would stay with the old table",
        ),
        (
            "CREATE TRIGGER twice BEFORE UPDATE ON read.goods FOR EACH ROW"
            " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "trigger twice would be lost",
        ),
    ],
)
@pytest.mark.usefixtures("in_process")
def test_what_somebody_added_to_a_live_table_is_a_difference(dsn: str, statement: str, words: str) -> None:
    run(dsn, statement)
    made = rebuild(dsns(dsn), QUIET, accept=False)

    goods = next(table for table in made.comparison.tables if table.table == "goods")
    assert (goods.shape, made.swapped_at) == ((words,), None)


# what is refused, and what fails


@pytest.mark.parametrize("schema", [NEXT, BEFORE])
@pytest.mark.usefixtures("in_process")
def test_what_is_somebody_elses_is_never_dropped(dsn: str, schema: str) -> None:
    run(dsn, f"CREATE SCHEMA {schema}")
    run(dsn, f"CREATE TABLE {schema}.notes (text text)")
    with pytest.raises(CannotRebuild, match=f"schema {schema} holds notes, which is no table of ours"):
        rebuild(dsns(dsn), QUIET, accept=False)
    assert run(dsn, f"SELECT * FROM {schema}.notes") == []


@pytest.mark.usefixtures("in_process")
def test_a_set_that_somebody_began_anew_is_not_swapped_in(dsn: str) -> None:
    live = rows_in(dsn, LIVE)

    def step(words: str) -> None:
        if words == "swapping":
            run(dsn, f"UPDATE {NEXT}.position SET last_error = '{read_build.INCOMPLETE}'")

    with pytest.raises(CannotRebuild, match="is not whole; nothing was swapped"):
        rebuild(dsns(dsn), Teller(step=step), accept=False)
    assert rows_in(dsn, LIVE) == live


@pytest.mark.usefixtures("in_process")
def test_a_view_that_would_stay_with_the_old_set_is_named(dsn: str) -> None:
    run(dsn, "CREATE VIEW public.cheap AS SELECT * FROM read.goods WHERE price < 1000")
    with pytest.raises(CannotRebuild, match="views would go on showing the old set: cheap"):
        rebuild(dsns(dsn), QUIET, accept=False)


def test_read_models_that_were_never_made_are_told(dsn: str) -> None:
    run(dsn, "DROP SCHEMA read CASCADE")
    with pytest.raises(CannotRebuild, match="no read models in schema read; run `tillroll migrate`"):
        rebuild(dsns(dsn), QUIET, accept=False)


def test_a_schema_that_a_swap_needs_is_in_the_way(dsn: str) -> None:
    run(dsn, "CREATE SCHEMA read_leaving")
    with pytest.raises(CannotRebuild, match="schema read_leaving is in the way"):
        rebuild(dsns(dsn), QUIET, accept=False)


def test_two_rebuilds_at_once_are_one_too_many(dsn: str) -> None:
    with psycopg.connect(dsn) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [7_203_115_500_914_227])
        with pytest.raises(CannotRebuild, match="another rebuild is under way"):
            rebuild(dsns(dsn), QUIET, accept=False)


@pytest.mark.usefixtures("in_process")
def test_a_set_of_another_version_is_swapped_back_by_that_version(dsn: str) -> None:
    rebuild(dsns(dsn), QUIET, accept=False)
    run(dsn, "UPDATE read_before.position SET shape = 'another'")
    with pytest.raises(CannotRebuild, match="swap back with that version's command"):
        swap_back(dsns(dsn), QUIET)


def test_there_is_nothing_to_swap_back_to_before_the_first_swap(dsn: str) -> None:
    with pytest.raises(CannotRebuild, match="no schema read_before"):
        swap_back(dsns(dsn), QUIET)


@pytest.mark.parametrize("state", ["{}", '{"at": 1}', "not json"])
def test_an_event_that_cannot_be_read_is_named_and_the_live_set_stays(dsn: str, state: str) -> None:
    live = rows_in(dsn, LIVE)
    run(dsn, f"""UPDATE "order".events SET state = '{state}' WHERE notification_id = 30""")
    with pytest.raises(CannotRebuild, match="log order, position 30"):
        rebuild(dsns(dsn), QUIET, accept=True)

    assert (rows_in(dsn, LIVE), exists(dsn, NEXT), exists(dsn, BEFORE)) == (live, False, False)


@pytest.mark.usefixtures("in_process")
def test_an_event_that_cannot_be_applied_is_named(dsn: str, shop: ShopHistory) -> None:
    run(dsn, "DELETE FROM goods.events WHERE topic = 'GoodsCreated' AND originator_id = 'goods-12'")
    position = next(one.position for one in shop.logs["goods"] if type(one.event).__name__ == "GoodsDeleted")
    with pytest.raises(
        CannotRebuild, match=f"log goods, position {position}: GoodsDeleted at goods-12 version 2"
    ):
        rebuild(dsns(dsn), QUIET, accept=True)


def test_a_database_that_is_away_is_one_line(dsn: str) -> None:
    away = dsns(dsn) | {"order": conninfo.make_conninfo(dsn, dbname="nowhere")}
    with pytest.raises(
        CannotRebuild, match='"nowhere" does not exist; the live read models are as they were'
    ):
        rebuild(away, QUIET, accept=False)
    assert not exists(dsn, NEXT)


def test_a_builder_that_is_killed_is_told_and_the_live_set_stays(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = rows_in(dsn, LIVE)

    def kill_all(_what: str, _done: int, _total: int) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with psycopg.connect(dsn) as in_the_way:

        def create_and_hold_the_log(*args: Any) -> Any:
            """Builders cannot be done before they are killed: what they read is locked."""
            indexes = create_set(*args)
            in_the_way.execute('LOCK TABLE "order".events')
            return indexes

        monkeypatch.setattr("adapters.read_rebuild.create_set", create_and_hold_the_log)
        with pytest.raises(CannotRebuild, match="a process that was building has been killed"):
            rebuild(dsns(dsn), Teller(kill_all), accept=False)

    assert (rows_in(dsn, LIVE), exists(dsn, NEXT)) == (live, False)


# readers


@contextmanager
def reader_of(dsn: str, statement: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn) as connection:
        connection.execute(statement)
        yield connection


@pytest.mark.usefixtures("in_process")
def test_a_reader_in_the_way_is_waited_for_and_named(dsn: str) -> None:
    told: list[str] = []
    with reader_of(dsn, "SELECT count(*) FROM read.goods") as reader:

        def step(words: str) -> None:
            told.append(words)
            if words.startswith("waiting for readers") and len(told) > 12:
                reader.rollback()

        made = rebuild(dsns(dsn), Teller(step=step), accept=False)
        pid = reader.info.backend_pid
    assert made.swapped_at is not None
    assert any(f"waiting for readers: process {pid}" in words for words in told)


@pytest.mark.usefixtures("in_process")
def test_a_reader_that_stays_in_the_way_stops_the_swap_and_nothing_is_changed(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuild(dsns(dsn), QUIET, accept=False)
    monkeypatch.setattr(read_swap, "SWAP_FOR_S", 1.0)
    live, old = rows_in(dsn, LIVE), rows_in(dsn, BEFORE)
    with (
        reader_of(dsn, "SELECT count(*) FROM read.goods"),
        pytest.raises(CannotRebuild, match="nothing was swapped"),
    ):
        rebuild(dsns(dsn), QUIET, accept=False)

    assert (rows_in(dsn, LIVE), rows_in(dsn, BEFORE), exists(dsn, NEXT)) == (live, old, False)


@pytest.mark.usefixtures("in_process")
def test_a_snapshot_of_the_read_models_holds_off_the_swap(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a swap brings in is newer than the snapshot, so an audit would find it empty."""
    monkeypatch.setattr(read_swap, "SWAP_FOR_S", 1.0)
    with ReadSnapshot(dsn) as snapshot:
        with pytest.raises(CannotRebuild, match="live tables are in use"):
            rebuild(dsns(dsn), QUIET, accept=False)
        assert list(snapshot.rows(PROJECTIONS[1].tables[0]))


# building


@pytest.mark.parametrize("rows", [1, 7, 40])
@pytest.mark.usefixtures("in_process")
def test_rows_that_were_written_and_change_again_are_read_back(
    dsn: str, shop: ShopHistory, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(read_shelf, "GENERATION_ROWS", rows)
    monkeypatch.setattr("adapters.read_build.BATCH_EVENTS", 3)
    made = rebuild(dsns(dsn), QUIET, accept=False)

    assert made.comparison.is_same
    assert_same_as_fold(dsn, shop)


@pytest.mark.usefixtures("in_process")
def test_a_set_that_is_being_built_says_that_it_is_not_complete(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("adapters.read_build.SAVE_EVERY_POSITIONS", 1)
    monkeypatch.setattr("adapters.read_build.BATCH_EVENTS", 10)
    monkeypatch.setattr(
        "adapters.read_build._Building._batches", looking(dsn, seen, read_build._Building._batches)
    )
    build_copy(dsns(dsn), "asof", heads(dsn), QUIET)

    assert ("being built, not complete",) in seen
    assert run(dsn, "SELECT last_error FROM asof.position WHERE last_error IS NOT NULL") == []


def looking(
    dsn: str, seen: list[Any], batches: Callable[[Any], Iterator[Any]]
) -> Callable[[Any], Iterator[Any]]:
    def look(building: Any) -> Iterator[Any]:
        for batch in batches(building):
            yield batch
            seen.extend(run(dsn, "SELECT last_error FROM asof.position WHERE last_error IS NOT NULL"))

    return look


def heads(dsn: str) -> dict[str, int]:
    with psycopg.connect(dsn) as connection:
        standing = positions_of(connection, LIVE)
    return {log: standing[name] for name, log in LOG_OF.items()}


@pytest.mark.parametrize("order", [0, 1, 30, 77])
@pytest.mark.usefixtures("in_process")
def test_a_copy_is_what_stood_there_at_these_positions(dsn: str, shop: ShopHistory, order: int) -> None:
    positions = heads(dsn) | {"order": order, "inventory": 5}
    live = rows_in(dsn, LIVE)
    built = build_copy(dsns(dsn), "asof", positions, QUIET)

    assert rows_in(dsn, "asof") == folded(shop, positions)
    assert built.positions == positions
    assert rows_in(dsn, LIVE) == live


@pytest.mark.usefixtures("in_process")
def test_a_copy_never_goes_over_what_exists(dsn: str) -> None:
    run(dsn, "CREATE SCHEMA asof")
    with pytest.raises(CannotRebuild, match="schema asof exists"):
        build_copy(dsns(dsn), "asof", heads(dsn), QUIET)
