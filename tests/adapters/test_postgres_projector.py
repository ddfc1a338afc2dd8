"""Projections in a real Postgres: nothing twice, nothing missing, whatever fails and whoever else runs."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import conninfo
from psycopg.sql import SQL, Identifier

from adapters.postgres_projection import EventNotApplied, NotKeptHere, PostgresProjection
from adapters.postgres_projector import ProjectionState, Projector
from adapters.postgres_read_schema import create_read_tables, session
from adapters.postgres_read_tables import ReadSnapshot, table_rows
from domain.cart import CartLine, PutCartLine, RemoveCartLine
from domain.goods import ChangeGoods, CreateGoods, DeleteGoods
from domain.limits import MAX_LINES
from domain.order import Payment, PayOrder
from domain.refusals import Refusal
from domain.sale import Rollback
from domain.services import GOODS, INVENTORY, ORDER, USER
from domain.stock import SetInv
from domain.user import ChangeProfile, RegisterUser, Role
from projections import PROJECTIONS
from projections.goods import GOODS as GOODS_PROJECTION
from projections.order_info import ORDER_INFO
from projections.order_saga import ORDER_SAGA
from projections.projection import Projection, Row, fold_log
from projections.shopping_cart import SHOPPING_CART
from tests.adapters.stored_history import LOG_TABLE, append
from tests.shop_history import ShopHistory

LOGS = ("user", "goods", "inventory", "order")
SOON_S = 5.0


def create_logs(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        for log in LOGS:
            connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(log)))
            connection.execute(SQL(LOG_TABLE).format(events=Identifier(log, "events")))


def store(dsn: str, shop: ShopHistory, notify: bool = False) -> None:
    """Adds what the logs do not hold yet."""
    with psycopg.connect(dsn) as connection:
        for log, events in shop.logs.items():
            head = SQL("SELECT coalesce(max(notification_id), 0) FROM {}").format(Identifier(log, "events"))
            (stored,) = connection.execute(head).fetchone() or (0,)
            append(connection, log, events[stored:])
        if notify:
            connection.execute("NOTIFY events")


def empty(dsn: str) -> None:
    tables = [Identifier(log, "events") for log in LOGS]
    tables += [Identifier("read", table.name) for projection in PROJECTIONS for table in projection.tables]
    with psycopg.connect(dsn) as connection:
        connection.execute(SQL("TRUNCATE {}").format(SQL(", ").join(tables)))
        connection.execute("UPDATE read.position SET position = 0")


def live(projection: Projection, dsn: str, schema: str = "read") -> PostgresProjection:
    return PostgresProjection(projection, log_dsn=dsn, read_dsn=dsn, schema=schema)


def catch_up(dsn: str) -> None:
    for projection in PROJECTIONS:
        with live(projection, dsn) as running:
            finish(running)


def finish(running: PostgresProjection) -> None:
    while running.advance():
        pass


def folded(projection: Projection, shop: ShopHistory) -> list[tuple[str, Row]]:
    tables = fold_log(projection, shop.logs[projection.log])
    return [
        (name, row)
        for name, keys in tables.items()
        for row in sorted((row for rows in keys.values() for row in rows), key=lambda row: row[:2])
    ]


def assert_same_as_fold(dsn: str, shop: ShopHistory) -> None:
    with ReadSnapshot(dsn) as snapshot:
        for projection in PROJECTIONS:
            rows = [(table.name, row) for table in projection.tables for row in snapshot.rows(table)]
            assert rows == folded(projection, shop)


def busy_shop(orders: int = 12) -> ShopHistory:
    """Every outcome an order can have, over goods, carts and users that change."""
    shop = ShopHistory()
    shop.tell(USER, RegisterUser(7, "sealed", "digest", "sealed-name", None, Role.CUSTOMER, "hash"))
    for goods_id in (11, 12, 13):
        shop.stocked(goods_id, units=6)
    for number in range(orders):
        order_id = str(900 + number)
        shop.started(order_id, [(11 + number % 3, 1 + number % 4), (11 + (number + 1) % 3, 1)])
        with suppress(Refusal):
            shop.sold(order_id)
            if number % 2:
                shop.paid(order_id)
            else:
                shop.cancelled(order_id)
                shop.rolled_back(order_id)
                shop.tell(ORDER, PayOrder(order_id, Payment("wechat", f"late-{number}", 5, shop.now)))
    shop.tell(ORDER, PutCartLine(7, CartLine(13, 2, checked=False)))
    shop.tell(GOODS, DeleteGoods(12))
    return shop


@pytest.fixture
def logs(fresh_database: str) -> str:
    """A database with empty logs and empty read models."""
    create_logs(fresh_database)
    create_read_tables(fresh_database)
    return fresh_database


# tables


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


# batches


order_ids = st.sampled_from(("1", "2", "3"))
lines = st.dictionaries(st.sampled_from((11, 12, 13)), st.integers(1, 4), min_size=1).map(
    lambda nums: tuple(nums.items())
)
Step = Callable[[ShopHistory], Any]
STEPS: tuple[st.SearchStrategy[Step], ...] = (
    st.tuples(order_ids, lines).map(lambda it: lambda shop: shop.started(*it)),
    order_ids.map(lambda order_id: lambda shop: shop.sold(order_id)),
    order_ids.map(lambda order_id: lambda shop: shop.paid(order_id)),
    order_ids.map(lambda order_id: lambda shop: shop.cancelled(order_id)),
    order_ids.map(lambda order_id: lambda shop: shop.rolled_back(order_id)),
    order_ids.map(lambda order_id: lambda shop: shop.tell(INVENTORY, Rollback(order_id))),
    st.sampled_from((11, 12)).map(lambda goods_id: lambda shop: shop.tell(GOODS, DeleteGoods(goods_id))),
    st.integers(1, 9).map(lambda price: lambda shop: shop.tell(GOODS, ChangeGoods(13, price=price))),
    st.tuples(st.sampled_from((11, 12, 13)), st.integers(1, 4), st.booleans()).map(
        lambda line: lambda shop: shop.tell(ORDER, PutCartLine(7, CartLine(*line)))
    ),
    st.sampled_from((11, 12)).map(
        lambda goods_id: lambda shop: shop.tell(ORDER, RemoveCartLine(7, goods_id))
    ),
    st.sampled_from("abc").map(lambda name: lambda shop: shop.tell(USER, ChangeProfile(7, nickname=name))),
)


@pytest.fixture(scope="module")
def shared_logs(postgres_dsn: str) -> Iterator[tuple[str, list[PostgresProjection]]]:
    """A database that the examples of one test empty for each other, and projections connected to it."""
    name = f"test_projector_{os.getpid()}"
    with psycopg.connect(postgres_dsn, autocommit=True) as owner:
        owner.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        dsn = conninfo.make_conninfo(postgres_dsn, dbname=name)
        create_logs(dsn)
        create_read_tables(dsn)
        running = [live(projection, dsn) for projection in PROJECTIONS]
        yield dsn, running
        for one in running:
            one.close()
        owner.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.one_of(STEPS), max_size=40), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_batches_of_any_sizes_give_the_tables_of_one_fold(
    shared_logs: tuple[str, list[PostgresProjection]], steps: list[Step], sizes: list[int]
) -> None:
    shop = ShopHistory()
    shop.tell(USER, RegisterUser(7, "sealed", "digest", "sealed-name", None, Role.CUSTOMER, "hash"))
    for goods_id in (11, 12, 13):
        shop.stocked(goods_id, units=5)
    for step in steps:
        with suppress(Refusal, KeyError):
            step(shop)
    dsn, running = shared_logs
    empty(dsn)
    store(dsn, shop)
    for one in running:
        following = cycle(sizes)
        while one.advance(next(following)):
            pass
    assert_same_as_fold(dsn, shop)


def test_a_log_in_another_database_is_read_over_a_connection_of_its_own(logs: str) -> None:
    shop = busy_shop()
    store(logs, shop)
    log_dsn = conninfo.make_conninfo(logs, application_name="log")
    with PostgresProjection(ORDER_INFO, log_dsn=log_dsn, read_dsn=logs) as running:
        while running.advance(10):
            pass
    assert list(table_rows(logs, "read", ORDER_INFO)) == folded(ORDER_INFO, shop)


def test_a_rebuild_stops_at_the_position_it_was_told(logs: str) -> None:
    shop = busy_shop()
    store(logs, shop)
    create_read_tables(logs, "rebuilt", [ORDER_INFO])
    with live(ORDER_INFO, logs, "rebuilt") as running:
        while running.advance(7, until=20):
            pass
        assert running.position == 20
    shop.logs["order"] = shop.logs["order"][:20]
    assert list(table_rows(logs, "rebuilt", ORDER_INFO)) == folded(ORDER_INFO, shop)


def test_gaps_between_positions_are_passed(logs: str) -> None:
    store(logs, busy_shop())
    with psycopg.connect(logs) as connection:
        connection.execute('UPDATE "order".events SET notification_id = notification_id * 1000')
    with live(ORDER_SAGA, logs) as running:
        assert [running.advance(1), running.advance(2)] == [1, 2]
        assert running.position == 3000


def test_rows_and_position_are_one_commit(logs: str) -> None:
    shop = busy_shop()
    store(logs, shop)
    with psycopg.connect(logs, autocommit=True) as connection, live(ORDER_INFO, logs) as running:
        connection.execute("ALTER TABLE read.position ADD CONSTRAINT broken CHECK (position < 10)")
        assert running.advance(9) == 9
        before = list(table_rows(logs, "read", ORDER_INFO))
        with pytest.raises(EventNotApplied, match=r"position 10: .* CheckViolation"):
            running.advance(100)
        assert list(table_rows(logs, "read", ORDER_INFO)) == before
        connection.execute("ALTER TABLE read.position DROP CONSTRAINT broken")
        while running.advance(100):
            pass
    assert list(table_rows(logs, "read", ORDER_INFO)) == folded(ORDER_INFO, shop)


def test_a_batch_has_a_limit_in_bytes_and_one_event_at_least(
    logs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = busy_shop()
    store(logs, shop)
    monkeypatch.setattr("adapters.postgres_projection.BATCH_BYTES", 1_000)
    with live(ORDER_INFO, logs) as running:
        counts = [running.advance() for _ in range(3)]
        assert all(1 <= count < 10 for count in counts)
        monkeypatch.setattr("adapters.postgres_projection.BATCH_BYTES", 1)
        assert running.advance() == 1
        assert running.position == sum(counts) + 1


def test_a_batch_that_takes_too_long_is_made_smaller(logs: str) -> None:
    shop = busy_shop()
    store(logs, shop)
    with psycopg.connect(logs, autocommit=True) as connection:
        connection.execute(SLOW)
    quick = conninfo.make_conninfo(logs, options="-c statement_timeout=200ms")
    with live(ORDER_INFO, quick) as running:
        passed = running.advance(64)
        assert 0 < passed < 64
        assert running.position == passed


SLOW = """
CREATE FUNCTION read.slow() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(0.05); RETURN new; END $$;
CREATE TRIGGER slow BEFORE INSERT ON read.order_info FOR EACH ROW EXECUTE FUNCTION read.slow();
"""


def test_the_largest_cart_is_one_batch(logs: str) -> None:
    shop = ShopHistory()
    for goods_id in range(1, MAX_LINES + 1):
        shop.tell(GOODS, CreateGoods(goods_id, "mug", 1))
        shop.tell(INVENTORY, SetInv(goods_id, 5, goods_exist=True))
    shop.placed("900", [(goods_id, 1) for goods_id in range(1, MAX_LINES + 1)])
    shop.tell(ORDER, PutCartLine(7, CartLine(5, 1, checked=True)))
    store(logs, shop)
    catch_up(logs)
    assert_same_as_fold(logs, shop)


# several, and killed


def test_two_projectors_at_once_leave_nothing_double_and_nothing_out(logs: str) -> None:
    shop = busy_shop(orders=40)
    store(logs, shop)

    def advance(_: int) -> int:
        passed = 0
        with live(ORDER_INFO, logs) as running:
            while running.position < len(shop.logs["order"]):
                passed += running.advance(3)
        return passed

    with ThreadPoolExecutor(3) as threads:
        passed = list(threads.map(advance, range(3)))
    assert sum(passed) == len(shop.logs["order"])
    assert list(table_rows(logs, "read", ORDER_INFO)) == folded(ORDER_INFO, shop)


def test_who_finds_the_position_taken_passes_nothing_and_takes_over_when_it_is_free(logs: str) -> None:
    store(logs, busy_shop())
    with live(ORDER_INFO, logs) as waiting:
        with psycopg.connect(logs) as holder:
            holder.execute("SELECT FROM read.position WHERE projection = 'order_info' FOR UPDATE")
            assert waiting.advance() == 0
            assert waiting.position == 0
        assert waiting.advance() > 0


KILLED = """
import sys
from adapters.postgres_projection import PostgresProjection
from projections import PROJECTIONS
running = [PostgresProjection(one, log_dsn=sys.argv[1], read_dsn=sys.argv[1]) for one in PROJECTIONS]
print("running", flush=True)
while True:
    for one in running:
        one.advance(2)
"""


def test_killed_at_any_moment_it_goes_on_where_the_last_commit_was(logs: str) -> None:
    shop = busy_shop(orders=150)
    store(logs, shop)
    for pause_s in (0.0, 0.05, 0.15):
        child = subprocess.Popen([sys.executable, "-c", KILLED, logs], stdout=subprocess.PIPE)
        with child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"running\n"
            time.sleep(pause_s)
            child.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + SOON_S
    while positions(logs) != {one.name: len(shop.logs[one.log]) for one in PROJECTIONS}:
        # Its sessions may hold positions until the server notices that nobody is there.
        assert time.monotonic() < deadline
        catch_up(logs)
    assert_same_as_fold(logs, shop)


def positions(dsn: str) -> dict[str, int]:
    with psycopg.connect(dsn) as connection:
        return dict(connection.execute("SELECT projection, position FROM read.position").fetchall())


# events that cannot be applied


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ("topic = 'FromTheFuture'", "UnknownEventName"),
        ("state = 'not json'", "MapperDeserialisationError"),
        ("originator_id = 'order-?'", "ValueError"),
        ("topic = 'OrderClosed', state = replace(encode(state, 'escape'), 'pay', 'x')::bytea", ""),
        (r"state = replace(encode(state, 'escape'), 'High', '\\u0000')::bytea", "CharacterNotInRepertoire"),
    ],
    ids=["unknown name", "not decodable", "no number", "other shape", "refused by the column"],
)
def test_an_event_that_cannot_be_applied_stops_the_projection_right_before_it(
    logs: str, damage: str, why: str
) -> None:
    shop = busy_shop()
    store(logs, shop)
    bad = next(recorded.position for recorded in shop.logs["order"] if recorded.originator_id == "order-901")
    with psycopg.connect(logs) as connection:
        connection.execute(f'UPDATE "order".events SET {damage} WHERE notification_id = {bad}')
    with live(ORDER_INFO, logs) as running:
        with pytest.raises(EventNotApplied, match=f"log order, position {bad}: .*{why}"):
            finish(running)
        assert running.position == bad - 1
    shop.logs["order"] = shop.logs["order"][: bad - 1]
    assert list(table_rows(logs, "read", ORDER_INFO)) == folded(ORDER_INFO, shop)


# reading whole tables


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


# the role


@asynccontextmanager
async def running_projector(dsn: str, **options: Any) -> Any:
    projector = Projector(dict.fromkeys(LOGS, dsn), dsn, **options)
    stop = asyncio.Event()
    task = asyncio.create_task(projector.run(stop))
    try:
        yield projector
    finally:
        stop.set()
        await asyncio.wait_for(task, SOON_S)


async def until(holds: Callable[[], bool], limit_s: float = SOON_S) -> float:
    """Seconds until it holds."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < limit_s
        await asyncio.sleep(0.001)
    return time.monotonic() - began


def is_at(projector: Projector, shop: ShopHistory) -> Callable[[], bool]:
    def holds() -> bool:
        return all(state.position == len(shop.logs[state.log]) for state in projector.states())

    return holds


async def test_new_events_are_seen_at_once_when_notified(logs: str) -> None:
    shop = ShopHistory()
    took_s = []
    async with running_projector(logs) as projector:
        for number in range(5):
            await asyncio.sleep(0.1)
            shop.stocked(11 + number, units=6)
            await asyncio.to_thread(store, logs, shop, notify=True)
            took_s.append(await until(is_at(projector, shop)))
    assert min(took_s) < 0.1
    assert_same_as_fold(logs, shop)


async def test_new_events_are_seen_soon_when_the_notification_is_lost(logs: str) -> None:
    shop = busy_shop()
    async with running_projector(logs) as projector:
        await asyncio.sleep(0.1)
        await asyncio.to_thread(store, logs, shop)
        await until(is_at(projector, shop))
        await until(lambda: {state.lag for state in projector.states()} == {0})


async def test_it_goes_on_after_every_connection_was_broken(logs: str) -> None:
    shop = busy_shop()
    async with running_projector(logs) as projector:
        await asyncio.to_thread(store, logs, shop, notify=True)
        await until(is_at(projector, shop))
        await asyncio.to_thread(break_connections, logs)
        shop.stocked(19, units=3)
        await asyncio.to_thread(store, logs, shop, notify=True)
        await until(is_at(projector, shop))
        await until(lambda: all(state.error is None for state in projector.states()))
    assert_same_as_fold(logs, shop)


def break_connections(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def test_it_waits_for_tables_that_are_not_there_yet(fresh_database: str) -> None:
    async with running_projector(fresh_database) as projector:
        await until(lambda: all(state.error for state in projector.states()))
        await asyncio.to_thread(create_logs, fresh_database)
        await asyncio.to_thread(create_read_tables, fresh_database)
        await until(lambda: not any(state.error for state in projector.states()))


async def test_a_stopped_projection_says_why_and_the_others_go_on(logs: str) -> None:
    shop = busy_shop()
    store(logs, shop)
    bad = next(recorded.position for recorded in shop.logs["order"] if recorded.originator_id == "cart-7")
    with psycopg.connect(logs) as connection:
        connection.execute(f"""UPDATE "order".events SET state = '{{}}' WHERE notification_id = {bad}""")
    async with running_projector(logs) as projector:
        others = [state_of(projector, name) for name in ("order_info", "order_saga", "goods")]
        await until(lambda: state_of(projector, "shopping_cart")().is_stopped)
        await until(lambda: all(other().lag == 0 and other().position for other in others))
        stopped = state_of(projector, "shopping_cart")()
    assert stopped.position == bad - 1
    assert stopped.error is not None
    assert f"log order, position {bad}: CartReplaced at cart-7 version 1" in stopped.error
    with psycopg.connect(logs) as connection:
        noted = connection.execute("SELECT projection, last_error FROM read.position").fetchall()
    assert dict(noted) == {one.name: None for one in PROJECTIONS} | {"shopping_cart": stopped.error}


def state_of(projector: Projector, name: str) -> Callable[[], ProjectionState]:
    return lambda: next(state for state in projector.states() if state.projection == name)


async def test_a_repaired_projection_forgets_its_error(logs: str) -> None:
    shop = busy_shop()
    store(logs, shop)
    with psycopg.connect(logs) as connection:
        connection.execute("UPDATE read.position SET last_error = 'stopped before'")
    async with running_projector(logs, projections=[SHOPPING_CART, GOODS_PROJECTION]) as projector:
        await until(is_at(projector, shop))
    with psycopg.connect(logs) as connection:
        noted = connection.execute("SELECT projection FROM read.position WHERE last_error IS NULL").fetchall()
    assert {name for (name,) in noted} == {"shopping_cart", "goods"}
