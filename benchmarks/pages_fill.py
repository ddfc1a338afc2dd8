"""Read models of a size, made by SQL in a schema of their own, to measure pages: no log belongs to them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.sql import SQL, Identifier

from adapters.postgres_read_schema import create_read_tables

SQL_FOLDER: Final = Path(__file__).parent / "sql"
TABLES: Final = ("order_info", "order_goods", "order_saga", "goods", "shopping_cart")
START: Final = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
ORDER_EVERY: Final = timedelta(seconds=2)
FIRST_ID: Final = 266_000_000_000_000_000
ID_STEP: Final = 2_000 << 22
"""Ids as `adapters.ids` makes them of milliseconds."""

BYTES_AN_ORDER: Final = 1_400
"""On disk, of all tables and indexes together."""

MANY_ORDERS_USER: Final = 1
ORDERS_A_USER: Final = 20
ORDERS_A_GOODS: Final = 10


@dataclass(frozen=True, slots=True)
class Size:
    orders: int

    @property
    def users(self) -> int:
        return max(self.orders // ORDERS_A_USER, 1)

    @property
    def goods(self) -> int:
        return max(self.orders // ORDERS_A_GOODS, 1)


def order_id(number: int) -> int:
    """Of the order that was made as number `number`, 1 and up."""
    return FIRST_ID + number * ID_STEP


def since(number: int) -> datetime:
    """When the step of that order's saga began."""
    return START + number * ORDER_EVERY


@contextmanager
def filled(dsn: str, size: Size) -> Iterator[str]:
    """The schema with the tables, indexed as `sql/read_schema.sql` says; dropped afterwards."""
    schema = f"read_{size.orders}"
    create_read_tables(dsn, schema)
    with psycopg.connect(dsn, autocommit=True) as connection:
        # What is measured is reading: nobody needs these rows after a crash, nor the log of their writing.
        connection.execute("SET maintenance_work_mem = '512MB'")
        try:
            for table in TABLES:
                _fill(connection, schema, table, size)
            yield schema
        finally:
            connection.execute(SQL("DROP SCHEMA {} CASCADE").format(Identifier(schema)))


def _fill(connection: psycopg.Connection, schema: str, table: str, size: Size) -> None:
    """Indexes but the primary key are made afterwards: many times faster than row by row."""
    name = Identifier(schema, table)
    connection.execute(SQL("ALTER TABLE {} SET UNLOGGED").format(name))
    indexes = _second_indexes(connection, schema, table)
    for index in indexes:
        connection.execute(SQL("DROP INDEX {}").format(Identifier(schema, index)))
    text = (SQL_FOLDER / f"fill_{table}.sql").read_text(encoding="utf-8")
    connection.execute(SQL(text).format(schema=Identifier(schema)), _parameters(size))
    for definition in indexes.values():
        connection.execute(definition.encode())
    connection.execute(SQL("VACUUM (ANALYZE) {}").format(name))


def _second_indexes(connection: psycopg.Connection, schema: str, table: str) -> dict[str, str]:
    """Name and definition of each index that is not the primary key's."""
    rows = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes"
        " WHERE schemaname = %s AND tablename = %s AND indexname <> %s",
        (schema, table, f"{table}_pkey"),
    )
    return dict(rows.fetchall())


def _parameters(size: Size) -> dict[str, Any]:
    numbers = {"orders": size.orders, "users": size.users, "goods": size.goods}
    return {**numbers, "first_id": FIRST_ID, "id_step": ID_STEP, "start": START}


def table_sizes(dsn: str, schema: str) -> dict[str, int]:
    """Bytes of each table with its indexes."""
    with psycopg.connect(dsn) as connection:
        return {table: _bytes(connection, Identifier(schema, table).as_string()) for table in TABLES}


def _bytes(connection: psycopg.Connection, name: str) -> int:
    row = connection.execute("SELECT pg_total_relation_size(%s::regclass)", (name,)).fetchone()
    assert row is not None
    return int(row[0])
