"""Faults written straight into the logs, with valid versions where that hides them: the audit names each."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import conninfo
from psycopg.sql import SQL, Identifier

from adapters.audit_run import CannotAudit, audit
from adapters.event_codec import encode
from adapters.log_errors import LogUnreadable
from domain.order import OrderPaid, Payment
from domain.recorded import Cause, Recorded
from domain.saga import PaymentTaken
from domain.sale import Line, RollbackBarred, RolledBack, Sold
from domain.stock import StockReturned, StockSet, StockSold
from orchestrator.audit import Report
from tests.adapters.stored_history import store
from tests.databases import drop_database
from tests.shop_history import START, ShopHistory

LOGS = ("order", "inventory")

BY_SAGA = Cause("planted", "order-saga", "", START)


class Planter:
    """Writes behind everybody's back. Positions and versions are those that come next."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def add(self, log: str, stream: str, event: Any, cause: Cause = BY_SAGA) -> int:
        version = self._last(log, "originator_version", stream) + 1
        stored = encode(Recorded(stream, version, event, cause))
        return self.row(log, stream, version, stored.topic, stored.state)

    def row(self, log: str, stream: str, version: int, topic: str, state: bytes) -> int:
        position = self._last(log, "notification_id", "%") + 1
        text = SQL("INSERT INTO {} VALUES (%s, %s, %s, %s, %s)").format(Identifier(log, "events"))
        self.connection.execute(text, (stream, version, topic, state, position))
        return position

    def change(self, log: str, stream: str, topic: str, old: str, new: str) -> int:
        """One event's stored bytes; returns its position."""
        text = SQL(
            "UPDATE {} SET state = convert_to(replace(convert_from(state, 'UTF8'), %s, %s), 'UTF8')"
            " WHERE originator_id = %s AND topic = %s RETURNING notification_id"
        ).format(Identifier(log, "events"))
        (place,) = self.connection.execute(text, (old, new, stream, topic)).fetchall()
        return int(place[0])

    def take(self, log: str, stream: str, topic: str) -> int:
        """Deletes one event; returns where it stood."""
        text = SQL("DELETE FROM {} WHERE originator_id = %s AND topic = %s RETURNING notification_id").format(
            Identifier(log, "events")
        )
        (place,) = self.connection.execute(text, (stream, topic)).fetchall()
        return int(place[0])

    def copy(self, log: str, stream: str, topic: str) -> int:
        """The same event once more, at the end of its stream."""
        text = SQL("SELECT state FROM {} WHERE originator_id = %s AND topic = %s")
        (row,) = self.connection.execute(text.format(Identifier(log, "events")), (stream, topic)).fetchall()
        return self.row(log, stream, self._last(log, "originator_version", stream) + 1, topic, row[0])

    def _last(self, log: str, column: str, stream: str) -> int:
        text = SQL("SELECT coalesce(max({}), 0) FROM {} WHERE originator_id LIKE %s")
        names = (Identifier(column), Identifier(log, "events"))
        row = self.connection.execute(text.format(*names), (stream,)).fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture(scope="module")
def shop_dsn(postgres_dsn: str) -> Iterator[str]:
    """1: paid, 2: to pay, 3: given back, 4: paid. 10 units of goods 12 and 13 at first."""
    shop = ShopHistory()
    shop.stocked(12, 10)
    shop.stocked(13, 10, price=99)
    shop.placed("1", [(12, 3), (13, 1)])
    shop.paid("1")
    shop.placed("2", [(12, 1)])
    shop.placed("3", [(13, 4)])
    shop.cancelled("3")
    shop.rolled_back("3")
    shop.placed("4", [(13, 1)])
    shop.paid("4")
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_dsn, autocommit=True) as owner:
        owner.execute(SQL("CREATE DATABASE {} STRATEGY file_copy").format(Identifier(name)))
        dsn = conninfo.make_conninfo(postgres_dsn, dbname=name)
        store(shop, dsn)
        yield dsn
        drop_database(owner, name)


@pytest.fixture
def planter(shop_dsn: str) -> Iterator[Planter]:
    """The logs are as before once the test is over."""
    with psycopg.connect(shop_dsn, autocommit=True) as connection:
        for log in LOGS:
            names = (Identifier(log, "kept"), Identifier(log, "events"))
            connection.execute(SQL("CREATE TABLE {} AS TABLE {}").format(*names))
        yield Planter(connection)
        for log in LOGS:
            events, kept = Identifier(log, "events"), Identifier(log, "kept")
            connection.execute(SQL("DELETE FROM {}").format(events))
            connection.execute(SQL("INSERT INTO {} TABLE {}").format(events, kept))
            connection.execute(SQL("DROP TABLE {}").format(kept))


def audited(dsn: str, since: Mapping[str, int] | None = None) -> Report:
    return audit(dict.fromkeys(("user", "goods", *LOGS, "read"), dsn), since=since)


def places(report: Report) -> set[tuple[str, str, str, int]]:
    return {(found.check, found.subject, found.log, found.position) for found in report.findings}


Plant = Callable[[Planter], int]

OFFERED = Payment("alipay", "T-new", 250, START)


def a_sale_without_an_order(planter: Planter) -> int:
    place = planter.add("inventory", "sale-77", Sold((Line(13, 1),)))
    planter.add("inventory", "stock-13", StockSold("77", 1, 7))
    return place


def a_return_twice(planter: Planter) -> int:
    place = planter.add("inventory", "sale-3", RolledBack((Line(13, 4),)))
    planter.add("inventory", "stock-13", StockReturned("3", 4, 12))
    return place


def a_return_without_a_sale(planter: Planter) -> int:
    place = planter.add("inventory", "sale-88", RolledBack((Line(13, 1),)))
    planter.add("inventory", "stock-13", StockReturned("88", 1, 9))
    return place


def an_order_without_its_sale(planter: Planter) -> int:
    planter.connection.execute(
        "DELETE FROM inventory.events WHERE originator_id = 'sale-2'"
        " OR originator_id = 'stock-12' AND notification_id ="
        " (SELECT max(notification_id) FROM inventory.events WHERE originator_id = 'stock-12')"
    )
    row = planter.connection.execute(
        "SELECT notification_id FROM \"order\".events WHERE originator_id = 'order-2'"
    ).fetchone()
    assert row is not None
    return int(row[0])


def a_wrong_amount_with_its_saga(planter: Planter) -> int:
    paid = Payment("alipay", "T-2", 1, START)
    place = planter.add("order", "order-2", OrderPaid(paid))
    planter.add("order", "saga-2", PaymentTaken())
    return place


def two_orders_by_one_payment(planter: Planter) -> int:
    paid = Payment("alipay", "T-1", 250, START)
    place = planter.add("order", "order-2", OrderPaid(paid))
    planter.add("order", "saga-2", PaymentTaken())
    return place


def a_time_without_zone(planter: Planter) -> int:
    cause = BY_SAGA._replace(at=datetime(2026, 11, 23, 14))
    return planter.add("inventory", "stock-12", StockSet(5, 6), cause)


PLANTED: list[tuple[str, Plant, str, str, str]] = [
    (
        "a unit out of nowhere",
        lambda p: p.add("inventory", "stock-12", StockSet(7, 5)),
        "stock",
        "goods 12",
        "inventory",
    ),
    (
        "a unit given back that nobody took",
        lambda p: p.add("inventory", "stock-12", StockReturned("1", 1, 7)),
        "sales",
        "order 1",
        "inventory",
    ),
    ("a return twice", a_return_twice, "sales", "order 3", "inventory"),
    ("a return without a sale", a_return_without_a_sale, "sales", "order 88", "inventory"),
    ("a sale without an order", a_sale_without_an_order, "orders and sales", "order 77", "inventory"),
    ("an order without its sale", an_order_without_its_sale, "orders and sales", "order 2", "order"),
    ("a wrong amount", a_wrong_amount_with_its_saga, "orders", "order 2", "order"),
    ("a payment of an order that is not placed", lambda p: p.add("order", "order-9", OrderPaid(OFFERED)),
     "orders", "order 9", "order"),
    ("two orders by one payment", two_orders_by_one_payment, "orders", "order 2", "order"),
    ("a payment twice", lambda p: p.copy("order", "order-1", "OrderPaid"), "orders", "order 1", "order"),
    ("an order placed twice", lambda p: p.copy("order", "order-2", "OrderPlaced"),
     "orders", "order 2", "order"),
    ("a move that the table has not", lambda p: p.add("order", "saga-3", PaymentTaken()),
     "sagas", "order 3", "order"),
    ("a name that nobody knows", lambda p: p.row("inventory", "stock-99", 1, "StockEaten", b"{}"),
     "log inventory", "stock-99", "inventory"),
    ("an event in a stream of others", lambda p: p.add("inventory", "sale-4", StockSet(5, 5)),
     "log inventory", "sale-4", "inventory"),
    ("a stream of another log", lambda p: p.add("inventory", "order-4", OrderPaid(OFFERED)),
     "log inventory", "order-4", "inventory"),
    ("a time without zone", a_time_without_zone, "log inventory", "stock-12", "inventory"),
    ("a flipped byte", lambda p: p.change("inventory", "sale-3", "Sold", "{", "["),
     "log inventory", "sale-3", "inventory"),
    ("a field too many", lambda p: p.change("inventory", "sale-3", "Sold", '"data":{', '"data":{"x":1,'),
     "log inventory", "sale-3", "inventory"),
    ("another spelling", lambda p: p.change("inventory", "sale-3", "Sold", '"by":', '"by": '),
     "log inventory", "sale-3", "inventory"),
    ("another amount in an old event", lambda p: p.change("order", "order-1", "OrderPaid",
     '"amount":849', '"amount":1'), "orders", "order 1", "order"),
]  # fmt: skip


def test_the_shop_that_faults_are_planted_in_is_clean(shop_dsn: str) -> None:
    assert audited(shop_dsn).findings == ()


@pytest.mark.parametrize(
    ("plant", "check", "subject", "log"), [case[1:] for case in PLANTED], ids=[case[0] for case in PLANTED]
)
def test_what_is_planted_is_found_by_name_and_place(
    planter: Planter, shop_dsn: str, plant: Plant, check: str, subject: str, log: str
) -> None:
    known = audited(shop_dsn).positions
    place = plant(planter)
    assert (check, subject, log, place) in places(audited(shop_dsn))
    if place > known[log]:
        assert (check, subject, log, place) in places(audited(shop_dsn, since=known))


def test_a_missing_version_is_found_where_the_next_one_stands(planter: Planter, shop_dsn: str) -> None:
    gone = planter.take("order", "saga-2", "OrderStarted")
    found = [found for found in audited(shop_dsn).findings if found.check == "log order"]
    assert [(one.subject, one.what) for one in found] == [
        ("saga-2", "version 2 comes where version 1 must be")
    ]
    assert found[0].position > gone


def test_damage_hides_no_fault_elsewhere(planter: Planter, shop_dsn: str) -> None:
    planter.row("inventory", "stock-99", 1, "StockEaten", b"\xff")
    place = planter.add("inventory", "stock-12", StockSet(7, 5))
    found = {(found.check, found.subject, found.position) for found in audited(shop_dsn).findings}
    assert ("stock", "goods 12", place) in found


def test_a_lost_event_leaves_no_gap_in_the_versions_after_it(planter: Planter, shop_dsn: str) -> None:
    place = planter.change("inventory", "sale-3", "Sold", "{", "[")
    whole = [found for found in audited(shop_dsn).findings if found.check == "log inventory"]
    assert [(found.subject, found.position) for found in whole] == [("sale-3", place)]


@pytest.mark.parametrize(("old", "new"), [("{", "["), ('"by":', '"by": ')], ids=["lost", "respelt"])
def test_damage_of_before_is_found_by_who_continues_and_needs_it(
    planter: Planter, shop_dsn: str, old: str, new: str
) -> None:
    known = audited(shop_dsn).positions
    place = planter.change("inventory", "sale-3", "RolledBack", old, new)
    assert audited(shop_dsn, since=known).is_clean, "nothing new asks for it"
    planter.add("inventory", "sale-3", RollbackBarred())
    found = [found for found in audited(shop_dsn, since=known).findings if found.check == "log inventory"]
    assert [(one.subject, one.position) for one in found] == [("sale-3", place)]


def test_who_can_only_select_can_audit_and_who_cannot_is_told_in_one_line(
    shop_dsn: str, planter: Planter
) -> None:
    role = f"auditor_{uuid4().hex[:8]}"
    connection = planter.connection
    connection.execute(SQL("CREATE ROLE {} LOGIN").format(Identifier(role)))
    dsn = conninfo.make_conninfo(shop_dsn, user=role)
    try:
        with pytest.raises((CannotAudit, LogUnreadable)) as refused:
            audited(dsn)
        assert "\n" not in str(refused.value)
        for schema in ("user", "goods", *LOGS, "read"):
            for grant in ("USAGE ON SCHEMA {}", "SELECT ON ALL TABLES IN SCHEMA {}"):
                text = SQL("GRANT " + grant + " TO {}").format(Identifier(schema), Identifier(role))
                connection.execute(text)
        assert audited(dsn).is_clean
    finally:
        connection.execute(SQL("DROP OWNED BY {}").format(Identifier(role)))
        connection.execute(SQL("DROP ROLE {}").format(Identifier(role)))
