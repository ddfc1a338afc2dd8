"""The projector role: quick when told, soon when not, and going on whatever breaks."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from adapters import postgres_projector
from adapters.postgres_projection import PostgresProjection
from adapters.postgres_projector import ProjectionState, Projector
from adapters.postgres_read_schema import create_read_tables
from projections import PROJECTIONS
from projections.goods import GOODS as GOODS_PROJECTION
from projections.shopping_cart import SHOPPING_CART
from tests.adapters.read_side import (
    LOGS,
    assert_same_as_fold,
    busy_shop,
    create_logs,
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


async def test_one_that_stands_by_leaves_the_work_to_another_until_that_is_gone(
    logs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_projector, "STAND_BY_S", 0.4)
    shop = ShopHistory()
    applied: dict[int, int] = defaultdict(int)
    advance = PostgresProjection.advance

    def counted(self: PostgresProjection) -> int:
        count = advance(self)
        applied[id(self)] += count
        return count

    monkeypatch.setattr(PostgresProjection, "advance", counted)
    async with running_projector(logs, projections=[GOODS_PROJECTION], stands_by=True) as standing_by:
        (keeper,) = standing_by._keepers["goods"]
        async with running_projector(logs, projections=[GOODS_PROJECTION]) as working:
            for number in range(12):
                shop.stocked(11 + number, units=6)
                await asyncio.to_thread(store, logs, shop, notify=True)
                await asyncio.sleep(0.1)
            await until(is_at(working, shop))
            assert applied[id(keeper._live)] == 0
        shop.stocked(40, units=6)
        await asyncio.to_thread(store, logs, shop, notify=True)
        await until(is_at(standing_by, shop))
        assert applied[id(keeper._live)] >= 1


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


async def test_a_projection_is_not_stopped_before_it_can_say_why(logs: str) -> None:
    """It stops in a thread; whoever asks in the event loop sees both or neither."""
    store(logs, busy_shop())
    with psycopg.connect(logs) as connection:
        connection.execute("""UPDATE "order".events SET state = '{}' WHERE notification_id = 1""")
    seen: list[ProjectionState] = []
    ask: Callable[[], tuple[ProjectionState, ...]] = tuple

    class Asker(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.extend(ask())

    asker = Asker(logging.ERROR)
    logging.getLogger("adapters.postgres_projector").addHandler(asker)
    try:
        async with running_projector(logs) as projector:
            ask = projector.states
            await until(lambda: state_of(projector, "shopping_cart")().is_stopped)
    finally:
        logging.getLogger("adapters.postgres_projector").removeHandler(asker)
    assert seen
    assert all(state.error is not None for state in seen if state.is_stopped)


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


async def test_a_stopped_projection_goes_on_by_itself_once_its_log_is_mended(
    logs: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("adapters.postgres_projector.STOPPED_PAUSE_S", 0.1)
    caplog.set_level(logging.INFO, "adapters.postgres_projector")
    shop = busy_shop()
    store(logs, shop)
    with psycopg.connect(logs, autocommit=True) as connection:
        (good,) = connection.execute(STATE, [FIRST_CART]).fetchone() or (b"",)
        connection.execute(CHANGE, [b"{}", FIRST_CART])
        async with running_projector(logs, projections=[SHOPPING_CART]) as projector:
            state = state_of(projector, "shopping_cart")
            await until(lambda: state().is_stopped)
            await asyncio.sleep(0.5)
            assert state().is_stopped
            # A swap of rebuilt tables, say, takes the note with it.
            connection.execute("UPDATE read.position SET last_error = NULL")
            await until(lambda: noted_error(logs) == state().error)
            connection.execute(CHANGE, [good, FIRST_CART])
            await until(is_at(projector, shop))
            assert (state().is_stopped, state().error, noted_error(logs)) == (False, None, None)
    stopped, goes_on = (record.getMessage() for record in caplog.records)
    assert stopped.startswith("projection shopping_cart stopped: ")
    assert goes_on == "projection shopping_cart goes on"


FIRST_CART = 1
STATE = 'SELECT state FROM "order".events WHERE notification_id = %s'
CHANGE = 'UPDATE "order".events SET state = %s WHERE notification_id = %s'


def noted_error(dsn: str) -> str | None:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "SELECT last_error FROM read.position WHERE projection = 'shopping_cart'"
        ).fetchone()
    assert row is not None
    return None if row[0] is None else str(row[0])


async def test_one_that_somebody_else_gets_to_move_is_not_stopped(
    logs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer version knows the event, or a swap has moved the position."""
    monkeypatch.setattr("adapters.postgres_projector.STOPPED_PAUSE_S", 0.1)
    store(logs, busy_shop())
    with psycopg.connect(logs, autocommit=True) as connection:
        connection.execute(CHANGE, [b"{}", FIRST_CART])
        async with running_projector(logs, projections=[SHOPPING_CART]) as projector:
            state = state_of(projector, "shopping_cart")
            await until(lambda: state().is_stopped)
            connection.execute("UPDATE read.position SET position = 1, last_error = NULL")
            await until(lambda: not state().is_stopped)


def test_a_note_that_comes_too_late_is_not_written(logs: str) -> None:
    with live(SHOPPING_CART, logs) as running:
        running.position = 4
        running.save_error("an event cannot be applied")
    assert noted_error(logs) is None


async def test_tables_of_another_version_are_taken_over_once_they_are_rebuilt(
    logs: str, caplog: pytest.LogCaptureFixture
) -> None:
    store(logs, busy_shop())
    newer = replace(GOODS_PROJECTION, version=2)
    with psycopg.connect(logs, autocommit=True) as connection:
        async with running_projector(logs, projections=[newer, SHOPPING_CART]) as projector:
            goods, carts = state_of(projector, "goods"), state_of(projector, "shopping_cart")
            await until(lambda: carts().position > 0)
            await asyncio.sleep(1.0)
            assert (goods().position, goods().is_stopped) == (0, False)
            assert "another version of Tillroll: run `tillroll replay rebuild`" in (goods().error or "")
            connection.execute(
                "UPDATE read.position SET shape = %s WHERE projection = 'goods'", [newer.shape]
            )
            await until(lambda: goods().position > 0 and goods().error is None)
    assert sum("another version" in record.getMessage() for record in caplog.records) == 1


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
