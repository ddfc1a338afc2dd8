"""Rows of one read model while it is built: kept in memory for a while, written in bulk, read back if needed.

A row is written when it has not changed for long, so most rows are written once, by COPY, however many events
made them. Nobody else may write the table meanwhile.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import psycopg

from adapters.postgres_read_tables import ReadTable
from projections.projection import Rows, Table

GENERATION_ROWS: Final = 40_000
"""Rows in memory: two generations of so many, of a table."""


class Shelf:
    """The rows of one table by key, over the table in PostgreSQL.

    Two generations: what a batch needs is moved to the young one; when that is full, what is left in the old
    one is written and forgotten, and the young one becomes the old one. `rows` is the young one.
    """

    def __init__(self, table: Table, schema: str, connection: psycopg.Connection) -> None:
        self.table = table
        self.rows: dict[int, Rows] = {}
        self._old: dict[int, Rows] = {}
        self._size = 0
        self._stored: dict[int, Rows] = {}
        self._is_empty = True
        self._connection = connection
        self._read_table = ReadTable(table, schema)

    def bring(self, keys: Iterable[int]) -> None:
        """Make `rows` hold what stands for these keys; keys with no rows are left out."""
        missing = [key for key in keys if key not in self.rows and not self._rejuvenate(key)]
        if missing and not self._is_empty:
            found = self._read_table.load(self._connection, missing)
            self.rows |= found
            self._stored |= found

    def grown(self, keys: Iterable[int]) -> None:
        """Be told which keys were changed in `rows`; writes the old generation when it is time."""
        self._size += sum(len(self.rows[key]) for key in keys)
        if self._size > GENERATION_ROWS:
            self._write(self._old)
            self._old, self.rows, self._size = self.rows, {}, 0

    def write_all(self) -> None:
        self._write(self._old)
        self._write(self.rows)
        self._old, self.rows, self._size = {}, {}, 0

    def _rejuvenate(self, key: int) -> bool:
        rows = self._old.pop(key, None)
        if rows is None:
            return False
        self.rows[key] = rows
        return True

    def _write(self, rows_by_key: Mapping[int, Rows]) -> None:
        before = {key: self._stored.pop(key) for key in rows_by_key if key in self._stored}
        self._read_table.replace(self._connection, before, rows_by_key)
        self._is_empty = self._is_empty and not rows_by_key
