"""The rows of the read models: loaded by key, brought up to date, and read whole.

Every statement follows from the projection's `Table`; the columns' types are those of `sql/read_schema.sql`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, Self, get_args, get_type_hints

import msgspec
import psycopg
from psycopg.abc import Buffer
from psycopg.copy import LibpqWriter
from psycopg.sql import SQL, Composable, Identifier
from psycopg.types.json import Jsonb

from adapters.postgres_read_schema import query, session, statement, tables_of
from projections.projection import Projection, Row, Rows, Table

FETCH_ROWS: Final = 5_000

GATHERED_BYTES: Final = 1024**2

LEAST_COPIED: Final = 20
"""New rows that are worth a COPY, which takes two more round trips and a tenth of the work per row."""

_SQL_TYPES: Final[Mapping[Any, str]] = {
    int: "bigint",
    bool: "boolean",
    str: "text",
    datetime: "timestamptz",
    list[dict[str, int]]: "jsonb",
}
_DUMPS: Final[Mapping[str, Callable[[Any], Any]]] = {"jsonb": partial(Jsonb, dumps=msgspec.json.encode)}


class ReadTable:
    """One table of a projection in one schema."""

    def __init__(self, table: Table, schema: str) -> None:
        self._table = table
        self._key_places = [table.columns.index(name) for name in table.primary_key]
        types = _sql_types(table)
        self._dumps = {place: _DUMPS[of] for place, of in enumerate(types.values()) if of in _DUMPS}
        names = _names(table, schema)
        self._read = SQL(query("read_rows")).format(**names).as_bytes()
        self._upsert = _with_arrays("upsert_rows", types.values(), names)
        key_types = [types[name] for name in table.primary_key]
        self._delete = _with_arrays("delete_rows", key_types, names)
        self._all = SQL(query("all_rows")).format(**names).as_bytes()
        self._copy = SQL(query("copy_rows")).format(**names).as_bytes()
        self._names = [schema, table.name]
        self._types: list[int] = []
        self._types_of: psycopg.Connection | None = None

    def load(self, connection: psycopg.Connection, keys: Iterable[int]) -> dict[int, Rows]:
        """The rows that stand for these keys; keys without rows are left out."""
        make = self._table.row._make
        found: defaultdict[int, list[Row]] = defaultdict(list)
        with connection.cursor(binary=True) as cursor:
            for row in cursor.execute(self._read, {"keys": list(keys)}):
                found[row[0]].append(make(row))
        return {key: tuple(rows) for key, rows in found.items()}

    def replace(
        self, connection: psycopg.Connection, before: Mapping[int, Rows], after: Mapping[int, Rows]
    ) -> None:
        """Make `after` of `before`, which is all that stands, writing only rows that differ."""
        gone, changed, new = self._differences(before, after)
        if gone:
            connection.execute(self._delete, _columns_of(gone))
        if len(new) < LEAST_COPIED:
            changed += new
        else:
            self._copy_rows(connection, new)
        if changed:
            connection.execute(self._upsert, self._dumped(_columns_of(changed)))

    def _copy_rows(self, connection: psycopg.Connection, rows: Iterable[Row]) -> None:
        """Rows of keys that have none yet, many times faster than by an upsert."""
        types = self._stored_types(connection)
        with connection.cursor() as cursor, cursor.copy(self._copy, writer=_Gathering(cursor)) as copying:
            copying.set_types(types)
            for row in rows:
                copying.write_row(self._dumped_row(row))

    def all(self, connection: psycopg.Connection) -> Iterator[Row]:
        """Every row in the order of the primary key, 5,000 in memory at a time; needs a transaction."""
        with connection.cursor("all_rows", binary=True) as cursor:
            cursor.itersize = FETCH_ROWS
            yield from map(self._table.row._make, cursor.execute(self._all))

    def _differences(
        self, before: Mapping[int, Rows], after: Mapping[int, Rows]
    ) -> tuple[list[Row], list[Row], list[Row]]:
        """Primary keys that are gone; rows that are changed, and rows that are new."""
        gone: list[Row] = []
        changed: list[Row] = []
        new: list[Row] = []
        for key, rows in after.items():
            standing = before.get(key)
            if standing is None:
                new += rows
                continue
            old = {self._key_of(row): row for row in standing}
            changed += [row for row in rows if old.pop(self._key_of(row), None) != row]
            gone += old
        return gone, changed, new

    def _key_of(self, row: Row) -> Row:
        return tuple([row[place] for place in self._key_places])

    def _stored_types(self, connection: psycopg.Connection) -> list[int]:
        """Binary COPY converts nothing, not even a bigint to a smallint."""
        if self._types_of is not connection:
            found: dict[str, int] = dict(connection.execute(query("column_types"), self._names).fetchall())
            self._types = [found[name] for name in self._table.columns]
            self._types_of = connection
        return self._types

    def _dumped_row(self, row: Row) -> Row:
        if not self._dumps:
            return row
        return tuple([self._dumps.get(place, _same)(value) for place, value in enumerate(row)])

    def _dumped(self, columns: list[list[Any]]) -> list[list[Any]]:
        for place, dump in self._dumps.items():
            columns[place] = [dump(value) for value in columns[place]]
        return columns


class _Gathering(LibpqWriter):
    """Sends rows in as few pieces as can be: each piece wakes the server, which costs more than its bytes."""

    def __init__(self, cursor: psycopg.Cursor[Any]) -> None:
        super().__init__(cursor)
        self._gathered = bytearray()

    def write(self, data: Buffer) -> None:
        self._gathered += data
        if len(self._gathered) > GATHERED_BYTES:
            self._send()

    def finish(self, exc: BaseException | None = None) -> None:
        if exc is None:
            self._send()
        super().finish(exc)

    def _send(self) -> None:
        super().write(bytes(self._gathered))
        self._gathered.clear()


class ReadSnapshot:
    """Read models and their positions as of one moment, for as long as it is open."""

    def __init__(self, dsn: str, schema: str = "read") -> None:
        # Whoever compares whole tables may think for a while between two fetches.
        self._connection = psycopg.connect(session(dsn, "-c idle_in_transaction_session_timeout=0"))
        self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        self._connection.read_only = True
        self._schema = schema
        try:
            self._hold_tables()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def _hold_tables(self) -> None:
        """Keep them from being swapped meanwhile: what a swap brings in is newer than the snapshot, so empty.

        The locks are taken first, as the snapshot is that of the first query.
        """
        found = tables_of(self._connection, self._schema)
        self._connection.rollback()
        tables = SQL(", ").join(Identifier(self._schema, name) for name in found)
        if found:
            self._connection.execute(SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(tables))

    def position(self, projection: Projection) -> int:
        """Up to where in its log the projection's tables are."""
        place = {"log": projection.log, "projection": projection.name}
        row = self._connection.execute(statement("read_position", self._schema), place).fetchone()
        assert row is not None, f"{projection.name} is not kept in schema {self._schema}"
        return int(row[0])

    def rows(self, table: Table) -> Iterator[Row]:
        """All rows in the order of the primary key, in bounded memory."""
        return ReadTable(table, self._schema).all(self._connection)


def table_rows(dsn: str, schema: str, projection: Projection) -> Iterator[tuple[str, Row]]:
    """Every row of a projection as (table's name, row), table by table in the order of the primary key.

    All of it is as of one moment, in bounded memory; `ReadSnapshot` also tells the position of that moment.
    """
    with ReadSnapshot(dsn, schema) as snapshot:
        for table in projection.tables:
            for row in snapshot.rows(table):
                yield table.name, row


def _same(value: Any) -> Any:
    return value


def _columns_of(rows: Sequence[Row]) -> list[list[Any]]:
    return [list(values) for values in zip(*rows, strict=True)]


def _sql_types(table: Table) -> dict[str, str]:
    """The SQL type of each column; whether it can be null makes no difference to an array."""
    hints = get_type_hints(table.row)
    return {name: _sql_type(hints[name]) for name in table.columns}


def _sql_type(hint: Any) -> str:
    if hint in _SQL_TYPES:
        return _SQL_TYPES[hint]
    (kind,) = (kind for kind in get_args(hint) if kind is not type(None))
    return _SQL_TYPES[kind]


def _with_arrays(name: str, types: Iterable[str], names: Mapping[str, Composable]) -> bytes:
    arrays = SQL(", ").join(SQL(f"%b::{of}[]") for of in types)
    return SQL(query(name)).format(arrays=arrays, **names).as_bytes()


def _names(table: Table, schema: str) -> dict[str, Composable]:
    others = [name for name in table.columns if name not in table.primary_key]
    return {
        "table": Identifier(schema, table.name),
        "key": Identifier(table.primary_key[0]),
        "columns": SQL(", ").join(map(Identifier, table.columns)),
        "primary_key": SQL(", ").join(map(Identifier, table.primary_key)),
        "changes": SQL(", ").join(SQL("{0} = excluded.{0}").format(Identifier(name)) for name in others),
        "same_key": SQL(" AND ").join(
            SQL("standing.{0} = gone.{0}").format(Identifier(name)) for name in table.primary_key
        ),
    }
