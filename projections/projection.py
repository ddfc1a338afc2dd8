"""What a projection is: read-model tables kept at one position of one log, and how an event changes them.

The rule is a pure function over the rows that stand for a key, so the live projector, a rebuild and the
audit's fold of the whole log all run the same code. It never refuses: what is in the log happened. An event
that cannot be applied at all is a bug, or a damaged log, and stops the projection.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, get_type_hints

from domain import streams
from domain.recorded import Recorded

SHAPE_DIGITS: Final = 16

KNOWN_NAMES: Final = 16_384

Row = tuple[Any, ...]
"""The values of one row, in the order of the table's columns; each table has its own NamedTuple."""

Rows = tuple[Row, ...]
"""All rows that stand for one key."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table, fed by the streams of one category: a stream's key is the first column of its rows.

    `row`: a NamedTuple class whose fields are the columns. `primary_key`: begins with the key's column.
    `events`: the classes that `evolve` wants to see; it gets the key's rows in any order.
    `forgets`: each of these says all of its key's rows, whatever stood there.
    """

    name: str
    row: type[Any]
    primary_key: tuple[str, ...]
    events: frozenset[type[Any]]
    evolve: Callable[[Any, Recorded], Rows]
    forgets: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.row._fields)


@dataclass(frozen=True, slots=True)
class Projection:
    """Tables that change together: readers see all of them at the same position of `log`.

    `version`: raise it when an `evolve` means something else than before for events that are stored already.
    Tables that another version made are then left alone until they are rebuilt.
    """

    name: str
    log: str
    tables: tuple[Table, ...]
    version: int = 1

    @property
    def shape(self) -> str:
        """A short digest of what the tables are, noted beside them: two that differ must never write one set.

        Columns count with their types; `version` stands for what no digest can see, the rules.
        """
        tables = [(table.name, _typed_columns(table), table.primary_key) for table in self.tables]
        text = repr((self.name, self.version, tables))
        return hashlib.sha256(text.encode()).hexdigest()[:SHAPE_DIGITS]

    @property
    def events(self) -> frozenset[type[Any]]:
        return frozenset[type[Any]]().union(*(table.events for table in self.tables))


def _typed_columns(table: Table) -> list[tuple[str, str]]:
    hints = get_type_hints(table.row)
    return [(name, str(hints[name])) for name in table.columns]


def key_of(recorded: Recorded) -> int:
    """The number in the stream's name: the goods, user or order that the event is about."""
    return _number(recorded.originator_id)


@lru_cache(KNOWN_NAMES)
def _number(stream: str) -> int:
    """Asked several times for each event, and a stream's events come soon after each other."""
    return int(streams.key_of(stream))


def apply(table: Table, standing: dict[int, Rows], recorded: Recorded) -> None:
    """Change `standing`, the rows by key, by one event; an event that is of no interest changes nothing."""
    if type(recorded.event) in table.events:
        key = key_of(recorded)
        standing[key] = table.evolve(standing.get(key, ()), recorded)


def fold_log(projection: Projection, events: Iterable[Recorded]) -> dict[str, dict[int, Rows]]:
    """What the tables hold after these events, by table and key; keys with no rows are left out."""
    folded: dict[str, dict[int, Rows]] = {table.name: {} for table in projection.tables}
    for recorded in events:
        for table in projection.tables:
            apply(table, folded[table.name], recorded)
    return {name: {key: rows for key, rows in keys.items() if rows} for name, keys in folded.items()}
