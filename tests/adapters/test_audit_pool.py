"""The audit by several processes says what it says by one, and one that dies ends it in one line."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool

import psycopg
import pytest

from adapters import audit_pool
from adapters.audit_pool import run_all
from adapters.audit_run import CannotAudit, audit
from adapters.log_errors import LogUnreadable
from domain.services import INVENTORY
from domain.stock import StockSold
from tests.adapters.read_history import database_with
from tests.shop_history import ShopHistory


def history() -> ShopHistory:
    """1: paid; 2: refused; 3: its sale is not done yet; 9: a stock event that no sale announced."""
    shop = ShopHistory()
    shop.stocked(12, 10)
    shop.placed("1", [(12, 3)])
    shop.paid("1")
    shop.placed("2", [(12, 30)])
    shop.started("3", [(12, 1)])
    shop.plant(INVENTORY, "stock-12", StockSold("9", 2, 4))
    return shop


@pytest.fixture(scope="module")
def dsns(postgres_dsn: str) -> Iterator[dict[str, str]]:
    with database_with(history(), postgres_dsn) as dsn:
        yield dict.fromkeys(("user", "goods", "inventory", "order", "read"), dsn)


@pytest.fixture
def _by_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_pool, "ALONE_EVENTS", 0)


def test_several_processes_report_what_one_reports(
    dsns: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(dsns["read"]) as connection:
        connection.execute("UPDATE read.order_info SET order_mount = 1 WHERE order_id = 1")
    alone = audit(dsns, redecides=True)
    found = {found.subject for found in alone.findings}
    assert found >= {"goods 12", "order 9", "order_info order_id=1", "stream stock-12"}
    monkeypatch.setattr(audit_pool, "ALONE_EVENTS", 0)
    heard: list[tuple[str, int, int]] = []
    assert audit(dsns, lambda *told: heard.append(told), redecides=True) == alone
    for log, until in alone.positions.items():
        assert {(f"{log} log", until, until), (f"{log} decisions", until, until)} <= set(heard)


@pytest.mark.usefixtures("_by_several")
def test_a_log_that_one_process_cannot_read_ends_the_audit_in_one_line(dsns: dict[str, str]) -> None:
    with psycopg.connect(dsns["read"], autocommit=True) as connection:
        connection.execute("ALTER TABLE inventory.events RENAME COLUMN state TO bytes")
        try:
            with pytest.raises(LogUnreadable, match="log inventory") as refused:
                audit(dsns)
        finally:
            connection.execute("ALTER TABLE inventory.events RENAME COLUMN bytes TO state")
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("_by_several")
def test_a_process_that_is_killed_ends_the_audit_in_one_line(
    dsns: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_pool, "_run", kill_itself)
    with pytest.raises(CannotAudit, match="has been killed; is there enough memory") as refused:
        audit(dsns)
    assert isinstance(refused.value.__cause__, BrokenProcessPool)


def kill_itself(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_nothing_to_read_needs_no_process() -> None:
    assert run_all([], lambda *_: None) == []
