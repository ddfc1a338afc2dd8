"""Two sets of read models compared row by row, column by column, at one position of every log.

PostgreSQL compares, so millions of rows never leave it. Both sets are seen in one snapshot.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.sql import SQL, Composable, Identifier

from adapters.postgres_read_schema import tables_of
from adapters.read_sets import LIVE, named
from projections import PROJECTIONS
from projections.projection import Table

SHOWN_ROWS: Final = 20
"""Differing rows that are told of each table; all are counted."""


@dataclass(frozen=True, slots=True)
class RowDifference:
    """`live`, `rebuilt`: what the row is in each, of columns that differ; None: it has no such row."""

    table: str
    key: Mapping[str, Any]
    live: Mapping[str, Any] | None
    rebuilt: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class TableComparison:
    """`shape`: what is not comparable, such as a column that only one set has, in words."""

    table: str
    rows: int
    differing: int
    shape: tuple[str, ...]
    shown: tuple[RowDifference, ...]

    @property
    def is_same(self) -> bool:
        return self.differing == 0 and not self.shape


@dataclass(frozen=True, slots=True)
class Comparison:
    """`positions`: by projection, where both sets were."""

    positions: Mapping[str, int]
    tables: tuple[TableComparison, ...]

    @property
    def is_same(self) -> bool:
        return all(table.is_same for table in self.tables)

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)

    @property
    def differing(self) -> int:
        return sum(table.differing for table in self.tables)


def compare(
    snapshot: psycopg.Connection, schema: str, positions: Mapping[str, int], told: Callable[[str], None]
) -> Comparison:
    """`snapshot`: a transaction whose snapshot shows both sets at `positions`."""
    return Comparison(positions, tuple(_compared(snapshot, schema, told)))


def _compared(
    snapshot: psycopg.Connection, schema: str, told: Callable[[str], None]
) -> Iterator[TableComparison]:
    for projection in PROJECTIONS:
        for table in projection.tables:
            told(table.name)
            yield _compare_table(snapshot, table, schema)


def _compare_table(snapshot: psycopg.Connection, table: Table, schema: str) -> TableComparison:
    if table.name not in tables_of(snapshot, LIVE):
        return TableComparison(table.name, 0, 0, ("the table is new",), ())
    live, rebuilt = _columns(snapshot, LIVE, table), _columns(snapshot, schema, table)
    both = [name for name in live if live[name] == rebuilt.get(name)]
    shape = (*_shape_differences(live, rebuilt), *_extras(snapshot, schema, table))
    if not set(table.primary_key) <= set(both):
        return TableComparison(table.name, 0, 0, shape, ())
    names = _names(table, schema, both)
    counted = snapshot.execute(named("count_differences").format(**names)).fetchone()
    assert counted is not None
    rows, differing = counted
    shown: list[Any] = []
    if differing:
        listing = named("differing_rows").format(**names)
        shown = snapshot.execute(listing, {"limit": SHOWN_ROWS}).fetchall()
    differences = tuple(_difference(table, both, *row) for row in shown)
    return TableComparison(table.name, rows, differing, shape, differences)


def _columns(snapshot: psycopg.Connection, schema: str, table: Table) -> dict[str, str]:
    found = snapshot.execute(named("columns"), {"schema": schema, "table": table.name}).fetchall()
    return dict(found)


def _shape_differences(live: Mapping[str, str], rebuilt: Mapping[str, str]) -> Iterator[str]:
    yield from (f"column {name} is new" for name in rebuilt if name not in live)
    yield from (f"column {name} is gone" for name in live if name not in rebuilt)
    for name in live.keys() & rebuilt.keys():
        if live[name] != rebuilt[name]:
            yield f"column {name} was {live[name]} and is {rebuilt[name]}"


def _extras(snapshot: psycopg.Connection, schema: str, table: Table) -> list[str]:
    names = {"live": LIVE, "schema": schema, "table": table.name}
    return [words for (words,) in snapshot.execute(named("extras"), names).fetchall()]


def _names(table: Table, schema: str, columns: Sequence[str]) -> dict[str, Composable]:
    def of(alias: str) -> Composable:
        return SQL(", ").join(Identifier(alias, name) for name in columns)

    return {
        "live": Identifier(LIVE, table.name),
        "next": Identifier(schema, table.name),
        "live_columns": of("live"),
        "next_columns": of("next"),
        "key": Identifier(table.primary_key[0]),
        "primary_key": SQL(", ").join(map(Identifier, table.primary_key)),
    }


def _difference(
    table: Table, columns: Sequence[str], live: dict[str, Any] | None, rebuilt: dict[str, Any] | None
) -> RowDifference:
    standing = live or rebuilt or {}
    key = {name: standing[name] for name in table.primary_key}
    if live is None or rebuilt is None:
        return RowDifference(table.name, key, live, rebuilt)
    wrong = [name for name in columns if live[name] != rebuilt[name]]
    return RowDifference(
        table.name, key, {name: live[name] for name in wrong}, {name: rebuilt[name] for name in wrong}
    )
