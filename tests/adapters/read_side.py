"""Logs in a real database, read models beside them, and what a fold says must stand there."""

from contextlib import suppress

import psycopg
from psycopg.sql import SQL, Identifier

from adapters.postgres_projection import PostgresProjection
from adapters.postgres_read_tables import ReadSnapshot
from domain.cart import CartLine, PutCartLine
from domain.goods import DeleteGoods
from domain.order import Payment, PayOrder
from domain.refusals import Refusal
from domain.services import GOODS, ORDER, USER
from domain.user import RegisterUser, Role
from projections import PROJECTIONS
from projections.projection import Projection, Row, fold_log
from tests.adapters.stored_history import LOG_TABLE, append
from tests.shop_history import ShopHistory

LOGS = ("user", "goods", "inventory", "order")


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
