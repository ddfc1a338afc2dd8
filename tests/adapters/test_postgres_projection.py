"""A projection in a real Postgres: nothing twice, nothing missing, whatever fails and whoever else runs."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg import conninfo

from adapters.postgres_projection import EventNotApplied, PostgresProjection
from adapters.postgres_read_schema import create_read_tables
from adapters.postgres_read_tables import table_rows
from domain.cart import CartLine, CheckoutDropped, PutCartLine
from domain.goods import CreateGoods
from domain.limits import MAX_LINES
from domain.recorded import Recorded
from domain.saga import SellDenied
from domain.services import GOODS, INVENTORY, ORDER
from domain.stock import SetInv
from projections import PROJECTIONS
from projections.goods import GOODS as GOODS_PROJECTION
from projections.order_info import ORDER_INFO
from projections.order_saga import ORDER_SAGA
from projections.projection import Rows
from projections.shopping_cart import SHOPPING_CART
from tests.adapters.read_side import (
    assert_same_as_fold,
    busy_shop,
    catch_up,
    create_logs,
    finish,
    folded,
    live,
    store,
)
from tests.shop_history import ShopHistory

SOON_S = 5.0


@pytest.fixture
def logs(fresh_database: str) -> str:
    """A database with empty logs and empty read models."""
    create_logs(fresh_database)
    create_read_tables(fresh_database)
    return fresh_database


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


def test_events_that_change_no_row_are_passed(logs: str) -> None:
    """A cart whose order is under way, and then is refused, stays as it is."""
    shop = ShopHistory()
    shop.stocked(11, units=1)
    shop.started("901", [(11, 2)])
    filled = folded(SHOPPING_CART, shop)
    shop.sold("901")
    assert [type(one.event) for one in shop.logs["order"]][-2:] == [SellDenied, CheckoutDropped]
    store(logs, shop)
    with live(SHOPPING_CART, logs) as running:
        while running.advance(2):
            pass
        assert running.position == len(shop.logs["order"])
    assert list(table_rows(logs, "read", SHOPPING_CART)) == filled


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
    monkeypatch.setattr("adapters.postgres_projection_store.BATCH_BYTES", 1_000)
    with live(ORDER_INFO, logs) as running:
        counts = [running.advance() for _ in range(3)]
        assert all(1 <= count < 10 for count in counts)
        monkeypatch.setattr("adapters.postgres_projection_store.BATCH_BYTES", 1)
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


def test_a_batch_that_takes_too_long_to_fold_is_made_smaller_and_grows_again(logs: str) -> None:
    """The server ends the session of whoever holds the position for too long, at work or not."""
    shop = busy_shop()
    store(logs, shop)
    (table,) = GOODS_PROJECTION.tables
    patience = [0.05]

    def slowly(rows: Any, recorded: Recorded) -> Rows:
        time.sleep(patience[0])
        return table.evolve(rows, recorded)

    slow = replace(GOODS_PROJECTION, tables=(replace(table, evolve=slowly),))
    with live(slow, conninfo.make_conninfo(logs, options="-c transaction_timeout=120ms")) as running:
        assert running.advance() < len(shop.logs["goods"])
        patience[0] = 0.0
        finish(running)
        assert running._limit > 2
    assert list(table_rows(logs, "read", GOODS_PROJECTION)) == folded(GOODS_PROJECTION, shop)


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
