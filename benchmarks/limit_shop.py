"""The shop of one hand-written SQL function an order: its tables, its stock, and whether its books agree."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg.rows import class_row

SQL_FOLDER: Final = Path(__file__).parent / "sql"
GOODS: Final = 10_000
PLENTY: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Books:
    """`oversold`: goods with less than nothing left. `wrong`: goods with more or less sold than ordered.

    `torn`: orders without their sale or without their two lines.
    """

    orders: int
    oversold: int
    wrong: int
    torn: int


def open_shop(dsn: str, *, stock: int = PLENTY, goods: int = GOODS) -> None:
    """Goods 1 to `goods`, `stock` units of each, and nothing ordered, whatever was there before.

    What was written before is on disk afterwards, so that every round begins with the same debts.
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(limit_sql("schema").encode())
        connection.execute(limit_sql("stock").encode(), {"stock": stock, "goods": goods})
        connection.execute("VACUUM (ANALYZE) by_hand.goods")
        connection.execute("CHECKPOINT")


def checked_books(dsn: str, *, stock: int = PLENTY) -> Books:
    """After a round. `stock`: that the shop was opened with. Raises AssertionError when they do not agree."""
    with psycopg.connect(dsn) as connection:
        cursor = connection.cursor(row_factory=class_row(Books))
        books = cursor.execute(limit_sql("wrong").encode(), {"stock": stock}).fetchone()
    assert books is not None
    assert books.oversold == books.wrong == books.torn == 0, books
    return books


def limit_sql(name: str) -> str:
    return limit_file(name).read_text(encoding="utf-8")


def limit_file(name: str) -> Path:
    return SQL_FOLDER / f"limit_{name}.sql"
