"""One projection folded from its whole log into empty tables, as fast as one process can.

The rule is `projections.projection.apply`, as everywhere; what differs from the live projector is only where
rows stand between two events: in memory, in bounded number. So there is nothing to go on from after a crash:
until it is complete, the position row of such a set says that it is not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import psycopg
from eventsourcing.persistence import MapperDeserialisationError

from adapters.event_codec import decode_row
from adapters.postgres_read_schema import session, statement
from adapters.read_shelf import Shelf
from domain.events import other_stored_names
from domain.recorded import Recorded
from projections import PROJECTIONS
from projections.projection import Projection, apply, key_of

RANGE_POSITIONS: Final = 50_000
"""Positions of the log read by one statement, so that none lasts long and holds back VACUUM."""

BATCH_EVENTS: Final = 500
"""Events read, decoded and folded at once. One can have 2,000 lines, so this bounds a builder's memory."""

SAVE_EVERY_POSITIONS: Final = 20_000
INCOMPLETE: Final = "being built, not complete"

_PATIENT: Final = "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0"
"""A statement that is read in pieces waits for whoever works on them."""

StoredRow = tuple[str, int, str, bytes, int]


class CannotBuild(Exception):
    """A read model cannot be made of its log; the text says what is in the way, in one line."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to build: a projection of its log up to `until`, in `schema`, whose tables are empty."""

    projection: str
    log_dsn: str
    read_dsn: str
    schema: str
    until: int


def build(task: Task) -> None:
    """Fill the tables. Raises CannotBuild; psycopg.Error when Postgres is away, refuses, or has no room."""
    projection = next(one for one in PROJECTIONS if one.name == task.projection)
    with (
        psycopg.connect(session(task.log_dsn, _PATIENT), autocommit=True) as log,
        psycopg.connect(session(task.read_dsn, _PATIENT), autocommit=True) as read,
    ):
        _Building(projection, task, log, read).run()


class _Building:
    def __init__(
        self, projection: Projection, task: Task, log: psycopg.Connection, read: psycopg.Connection
    ) -> None:
        self._projection = projection
        self._task = task
        self._log = log
        self._read = read
        self._shelves = [Shelf(table, task.schema, read) for table in projection.tables]

    def run(self) -> None:
        saved = 0
        for events in self._batches():
            for shelf in self._shelves:
                self._fold(shelf, events)
            if events[-1].position >= saved + SAVE_EVERY_POSITIONS:
                saved = events[-1].position
                self._save(saved, INCOMPLETE)
        for shelf in self._shelves:
            shelf.write_all()
        self._save(self._task.until, None)

    def _fold(self, shelf: Shelf, events: Sequence[Recorded]) -> None:
        wanted = [recorded for recorded in events if type(recorded.event) in shelf.table.events]
        keys = {key_of(recorded) for recorded in wanted}
        shelf.bring(keys)
        for recorded in wanted:
            try:
                apply(shelf.table, shelf.rows, recorded)
            except Exception as error:
                kind, place = type(recorded.event).__name__, _place(recorded)
                raise CannotBuild(
                    f"{self._at(recorded.position)}: {kind} at {place}: {_line(error)}"
                ) from error
        shelf.grown(keys)

    def _batches(self) -> Iterator[Sequence[Recorded]]:
        rows = self._rows()
        while batch := list(islice(rows, BATCH_EVENTS)):
            try:
                yield [decode_row(*row) for row in batch]
            except MapperDeserialisationError as error:
                raise CannotBuild(f"{self._at(_undecodable(batch))}: {_line(error)}") from error

    def _rows(self) -> Iterator[StoredRow]:
        """What the projection wants to see of the log, and what no version knows: that must stop it."""
        others = other_stored_names(self._projection.events)
        text = statement("batch_events", self._projection.log)
        with self._log.cursor(binary=True) as cursor:
            for after in range(0, self._task.until, RANGE_POSITIONS):
                until = min(after + RANGE_POSITIONS, self._task.until)
                params = {"after": after, "until": until, "others": others}
                yield from cursor.stream(text, params, size=BATCH_EVENTS)

    def _at(self, position: int) -> str:
        return f"read model {self._projection.name}: log {self._projection.log}, position {position}"

    def _save(self, position: int, error: str | None) -> None:
        place: dict[str, Any] = {"log": self._projection.log, "projection": self._projection.name}
        params = {**place, "position": position, "error": error}
        self._read.execute(statement("save_built", self._task.schema), params)


def _undecodable(batch: Sequence[StoredRow]) -> int:
    """The position of the first event that cannot be decoded."""
    for row in batch:
        try:
            decode_row(*row)
        except MapperDeserialisationError:
            return row[4]
    raise AssertionError


def _place(recorded: Recorded) -> str:
    return f"{recorded.originator_id} version {recorded.originator_version}"


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]
