"""The watchlist role: the watchdogs' list of sagas, kept by a process that does nothing else."""

import asyncio
import time
from pathlib import Path

import psycopg
import pytest

from adapters.ids import utc_now
from adapters.postgres_due import PostgresDue
from adapters.postgres_migrate import migrate
from adapters.role_process import RoleProcess
from adapters.settings import child_environment, load_settings
from tests.adapters.stored_history import append
from tests.shop_history import ShopHistory

PATIENCE_S = 30.0


async def due_within(dsn: str, seconds: float) -> list[str]:
    """Sagas that a watchdog would look at, once there are any."""
    due, ends_at = PostgresDue(dsn), time.monotonic() + seconds
    try:
        while not (found := await due.due(utc_now(), 10)) and time.monotonic() < ends_at:
            await asyncio.sleep(0.05)
    finally:
        await due.close()
    return list(found)


def test_it_keeps_the_list_where_no_orchestrator_runs(
    fresh_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLROLL_DSN", fresh_database)
    settings = load_settings()
    migrate(settings)
    shop = ShopHistory()
    shop.stocked(12, 10)
    shop.started("2", [(12, 1)])
    with psycopg.connect(fresh_database) as connection:
        append(connection, "order", shop.logs["order"])
    assert asyncio.run(due_within(fresh_database, 0.2)) == []

    process = RoleProcess(["serve", "watchlist"], child_environment(settings), tmp_path)
    process.start()
    try:
        assert asyncio.run(due_within(fresh_database, PATIENCE_S)) == ["2"]
        assert process.revive() is None
    finally:
        process.stop()
