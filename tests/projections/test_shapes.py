"""The shape of a projection changes with whatever makes its tables differ, and with nothing else."""

from dataclasses import replace
from typing import NamedTuple

import pytest

from projections import PROJECTIONS
from projections.inventory import INVENTORY
from projections.projection import Projection, Table

SHAPES = {
    "user": "2810bd98b201bca7",
    "goods": "65df45277e505863",
    "inventory": "75edbb62ade1afbb",
    "stock_sell_detail": "ce8220764bf2252f",
    "shopping_cart": "99da0f6b83cc7648",
    "order_info": "7fe7af15bbb0af19",
    "order_saga": "4c6f0c8e888e2eda",
}
"""Noted beside the tables of every shop that runs: one that changes here has to be rebuilt there."""


class TwoColumns(NamedTuple):
    goods_id: int
    units: int


class OtherType(NamedTuple):
    goods_id: int
    units: int | None


class OtherName(NamedTuple):
    goods_id: int
    pieces: int


class OtherOrder(NamedTuple):
    units: int
    goods_id: int


TABLE = replace(INVENTORY.tables[0], name="units", row=TwoColumns, primary_key=("goods_id",))
UNITS = Projection("units", "inventory", (TABLE,))


def with_table(table: Table) -> Projection:
    return replace(UNITS, tables=(table,))


@pytest.mark.parametrize(
    "other",
    [
        replace(UNITS, name="others"),
        replace(UNITS, version=2),
        replace(UNITS, tables=(TABLE, replace(TABLE, name="more"))),
        with_table(replace(TABLE, name="others")),
        with_table(replace(TABLE, row=OtherType)),
        with_table(replace(TABLE, row=OtherName)),
        with_table(replace(TABLE, row=OtherOrder)),
        with_table(replace(TABLE, primary_key=("goods_id", "units"))),
    ],
    ids=["name", "version", "tables", "table's name", "type", "column's name", "order", "primary key"],
)
def test_another_set_of_tables_has_another_shape(other: Projection) -> None:
    assert other.shape != UNITS.shape


def test_what_runs_is_no_part_of_the_shape() -> None:
    same = with_table(replace(TABLE, events=frozenset(), evolve=lambda rows, _recorded: rows))
    assert same.shape == UNITS.shape


def test_shapes_are_those_that_are_noted_in_shops_that_run() -> None:
    """A failure asks: do the tables really have to be rebuilt everywhere? Then write the new shape here."""
    assert {projection.name: projection.shape for projection in PROJECTIONS} == SHAPES
