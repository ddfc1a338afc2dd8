"""Does a read model's table hold exactly the rows that a fold of its log makes, column by column?"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, Protocol

from orchestrator.audit import Finding

MAX_VALUE_CHARS: Final = 80
"""Of a value that is shown; addresses and lists can be long."""

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """A table. `key`: places of the primary key's columns; the first column stands for the row's stream.

    `check`: the check's name; `log` and `position`: what the table was made from, and how far.
    """

    check: str
    name: str
    columns: tuple[str, ...]
    key: tuple[int, ...]
    log: str
    position: int


class Expected(Protocol):
    """Rows by their first column, taken out as they are compared."""

    def take(self, stream: int) -> tuple[Row, ...]: ...
    def left(self) -> Iterable[tuple[Row, ...]]: ...


def compare_table(shape: Shape, expected: Expected, actual: Iterable[Row]) -> Iterator[Finding]:
    """`actual`: in order of the first column."""
    for stream, rows in groupby(actual, key=lambda row: row[0]):
        yield from _differences(shape, expected.take(stream), tuple(rows))
    for folded in expected.left():
        yield from _differences(shape, folded, ())


def _differences(shape: Shape, folded: tuple[Row, ...], standing: tuple[Row, ...]) -> Iterator[Finding]:
    left = {_key_of(shape, row): row for row in folded}
    for row in standing:
        wanted = left.pop(_key_of(shape, row), None)
        if wanted is None:
            yield _finding(shape, row, "the table has this row, but the log makes none")
        elif wanted != row:
            yield from _columns(shape, wanted, row)
    for row in left.values():
        yield _finding(shape, row, "the log makes this row, but the table has none")


def _columns(shape: Shape, wanted: Row, row: Row) -> Iterator[Finding]:
    for column, good, value in zip(shape.columns, wanted, row, strict=True):
        if value != good:
            yield _finding(shape, row, f"{column} is {_shown(value)}, but the log makes it {_shown(good)}")


def _key_of(shape: Shape, row: Row) -> Row:
    return tuple([row[place] for place in shape.key])


def _finding(shape: Shape, row: Row, what: str) -> Finding:
    key = ", ".join(f"{shape.columns[place]}={row[place]}" for place in shape.key)
    return Finding(shape.check, f"{shape.name} {key}", shape.position, what, shape.log)


def _shown(value: Any) -> str:
    text = str(value) if not isinstance(value, str) else repr(value)
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[:MAX_VALUE_CHARS]}..."
