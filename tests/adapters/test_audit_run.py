"""The whole audit over real tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from threading import Event, Thread

import psycopg
import pytest

from adapters.audit_run import CannotAudit, audit, verdict_line
from adapters.cli_audit import continued_from
from adapters.postgres_log_reader import LogUnreadable
from adapters.postgres_projection import PostgresProjection
from domain.order import OrderPaid, Payment
from domain.services import INVENTORY, ORDER
from domain.stock import StockReturned
from projections import PROJECTIONS
from tests.adapters.stored_history import append, store
from tests.shop_history import START, ShopHistory


@pytest.fixture
def shop() -> ShopHistory:
    shop = ShopHistory()
    shop.stocked(12, 10)
    shop.stocked(13, 10, price=99)
    shop.placed("1", [(12, 3), (13, 1)])
    shop.paid("1")
    shop.placed("2", [(12, 30)])
    shop.placed("3", [(13, 4)])
    shop.cancelled("3")
    shop.rolled_back("3")
    return shop


def test_a_clean_shop_has_no_findings_and_says_what_was_looked_at(
    shop: ShopHistory, fresh_database: str
) -> None:
    report = audit(store(shop, fresh_database))
    assert report.is_clean
    counts = {checked.check: checked.count for checked in report.checks}
    assert counts["log order"] == len(shop.logs["order"])
    assert counts["stock"] == 2
    assert counts["sales"] == counts["orders"] == counts["orders and sales"] == 3
    assert counts["read model order_info"] == 2 + 3, "two orders placed, of three lines"
    events = sum(map(len, shop.logs.values()))
    assert verdict_line(report).startswith(f"The books balance: {events} events and ")


def test_an_unfinished_order_is_named_and_no_finding(shop: ShopHistory, fresh_database: str) -> None:
    shop.started("4", [(12, 1)])
    report = audit(store(shop, fresh_database))
    assert report.is_clean
    assert [(order.order_id, order.step) for order in report.unfinished] == [("4", "SELLING")]
    assert verdict_line(report).endswith("; 1 orders unfinished.")


def test_progress_reaches_the_end_of_every_log(shop: ShopHistory, fresh_database: str) -> None:
    heard: list[tuple[str, int, int]] = []
    audit(store(shop, fresh_database), lambda *told: heard.append(told))
    length = len(shop.logs["inventory"])
    assert ("inventory log", length, length) in heard


@pytest.mark.parametrize(
    ("change", "subject", "what"),
    [
        (
            "UPDATE read.order_info SET order_mount = 1 WHERE order_id = 1",
            "order_info order_id=1",
            "order_mount is 1, but the log makes it 849",
        ),
        (
            "UPDATE read.order_goods SET goods_name = 'x' WHERE goods_id = 13 AND order_id = 1",
            "order_goods order_id=1, goods_id=13",
            "goods_name is 'x', but the log makes it 'goods 13'",
        ),
        (
            "UPDATE read.stock_sell_detail SET detail = '[]' WHERE order_id = 3",
            "stock_sell_detail order_id=3",
            "detail is [], but the log makes it [{'goods_id': 13, 'nums': 4}]",
        ),
        (
            "DELETE FROM read.order_goods WHERE goods_id = 12",
            "order_goods order_id=1, goods_id=12",
            "the log makes this row, but the table has none",
        ),
        (
            "DELETE FROM read.inventory WHERE goods_id = 13",
            "inventory goods_id=13",
            "the log makes this row, but the table has none",
        ),
        (
            "INSERT INTO read.goods SELECT 99, created_at, updated_at, deleted_at, name, price"
            " FROM read.goods WHERE id = 12",
            "goods id=99",
            "the table has this row, but the log makes none",
        ),
    ],
)
def test_a_changed_row_of_a_read_model_is_found(
    shop: ShopHistory, fresh_database: str, change: str, subject: str, what: str
) -> None:
    dsns = store(shop, fresh_database)
    with psycopg.connect(fresh_database) as connection:
        connection.execute(change)
    (finding,) = audit(dsns).findings
    assert (finding.subject, finding.what) == (subject, what)


def test_read_models_that_are_behind_are_compared_with_the_log_of_then(
    shop: ShopHistory, fresh_database: str
) -> None:
    dsns = store(shop, fresh_database)
    before = {log: len(events) for log, events in shop.logs.items()}
    shop.placed("4", [(12, 1)])
    shop.stocked(14, 5)
    with psycopg.connect(fresh_database) as connection:
        for log, events in shop.logs.items():
            append(connection, log, events[before[log] :])
    assert audit(dsns).is_clean


def test_a_planted_fault_is_in_the_verdict_with_order_and_reason(
    shop: ShopHistory, fresh_database: str
) -> None:
    level = shop.state(INVENTORY, "stock-12").on_hand
    place = shop.plant(INVENTORY, "stock-12", StockReturned("1", 1, level + 1))
    report = audit(store(shop, fresh_database))
    assert [(finding.log, finding.position) for finding in report.findings] == [("inventory", place)]
    assert verdict_line(report).startswith("THE BOOKS DO NOT BALANCE: 1 finding in ")
    assert "order 1: StockReturned of 1 units of goods 12" in verdict_line(report)


def test_an_event_that_no_projection_can_take_is_a_finding_too(
    shop: ShopHistory, fresh_database: str
) -> None:
    dsns = store(shop, fresh_database)
    place = shop.plant(ORDER, "order-77", OrderPaid(Payment("alipay", "T", 5, START)))
    with psycopg.connect(fresh_database) as connection:
        append(connection, "order", shop.logs["order"][-1:])
        connection.execute("UPDATE read.position SET position = %s WHERE log = 'order'", (place,))
    found = {(finding.check, finding.subject) for finding in audit(dsns).findings}
    assert ("orders", "order 77") in found
    assert ("read model order_info", "order-77") in found


def test_a_damaged_event_is_a_finding_and_the_rest_is_audited(shop: ShopHistory, fresh_database: str) -> None:
    dsns = store(shop, fresh_database)
    with psycopg.connect(fresh_database) as connection:
        connection.execute("UPDATE inventory.events SET state = 'x' WHERE notification_id = 3")
    report = audit(dsns)
    damage = next(finding for finding in report.findings if finding.check == "log inventory")
    assert (damage.subject, damage.position) == ("sale-1", 3)
    assert "it cannot be read" in damage.what
    assert {checked.check: checked.count for checked in report.checks}["log inventory"] == len(
        shop.logs["inventory"]
    )


def test_a_database_without_logs_or_read_models_is_said_in_one_line(
    shop: ShopHistory, fresh_database: str
) -> None:
    dsns = dict.fromkeys(("user", "goods", "inventory", "order", "read"), fresh_database)
    with pytest.raises(CannotAudit, match="the read models cannot be read"):
        audit(dsns)
    store(shop, fresh_database)
    with psycopg.connect(fresh_database) as connection:
        connection.execute("DROP TABLE goods.events")
    with pytest.raises(LogUnreadable, match=r"log goods: this database has no table goods\.events"):
        audit(dsns)


def test_events_swapped_behind_our_back_are_found(shop: ShopHistory, fresh_database: str) -> None:
    one, two = shop.logs["goods"]
    dsns = store(shop, fresh_database)
    with psycopg.connect(fresh_database) as connection:
        connection.execute("DELETE FROM goods.events")
        append(connection, "goods", [one._replace(originator_version=2), two])
    assert [finding.check for finding in audit(dsns).findings] == ["log goods"]


def test_a_shop_at_work_is_clean_at_every_moment(shop: ShopHistory, fresh_database: str) -> None:
    shop.stocked(12, 100_000)
    dsns = store(shop, fresh_database)
    with at_work(shop, fresh_database):
        reports = [audit(dsns) for _ in range(AUDITS_AT_WORK)]
    assert [report.findings for report in reports] == [()] * AUDITS_AT_WORK
    assert reports[-1].positions["order"] > reports[0].positions["order"], "the shop was at work"


def test_a_shop_at_work_is_clean_however_often_its_audit_is_continued(
    shop: ShopHistory, fresh_database: str
) -> None:
    """Orders are in the middle of their story wherever one audit ends and the next one goes on."""
    shop.stocked(12, 100_000)
    dsns = store(shop, fresh_database)
    reports = [audit(dsns)]
    with at_work(shop, fresh_database):
        for _ in range(AUDITS_AT_WORK // 2):
            reports.append(audit(dsns, since=continued_from(reports[-1].next_since)))
    assert [report.findings for report in reports] == [()] * len(reports)
    assert reports[-1].since["order"] > reports[0].positions["order"], "the shop was at work"


AUDITS_AT_WORK = 12


@contextmanager
def at_work(shop: ShopHistory, dsn: str) -> Iterator[None]:
    """Orders are placed, paid, cancelled and given back, each command in a commit of its own."""
    stop = Event()
    worker = Thread(target=work, args=(shop, dsn, stop))
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


def work(shop: ShopHistory, dsn: str, stop: Event) -> None:
    models = [PostgresProjection(projection, log_dsn=dsn, read_dsn=dsn) for projection in PROJECTIONS]
    with psycopg.connect(dsn, autocommit=True) as connection:
        stored = {log: len(events) for log, events in shop.logs.items()}
        shop.after_command = lambda: commit(shop, connection, stored)
        for number in count(100):
            if stop.is_set():
                break
            order_id = str(number)
            shop.placed(order_id, [(12, 1)])
            if number % 2:
                shop.paid(order_id)
            else:
                shop.cancelled(order_id)
                shop.rolled_back(order_id)
            models[number % len(models)].advance()
    for model in models:
        model.close()


def commit(shop: ShopHistory, connection: psycopg.Connection, stored: dict[str, int]) -> None:
    for log, events in shop.logs.items():
        if len(events) > stored[log]:
            append(connection, log, events[stored[log] :])
            stored[log] = len(events)
