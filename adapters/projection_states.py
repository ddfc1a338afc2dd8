"""How each projection stands to its log: what an operator, monitoring and /readyz are told.

A role that can only SELECT is enough. Logs may be in other databases than what is made of them; a database
that does not answer leaves a gap, and a line that says so, and the rest is told all the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self

import msgspec
import psycopg
from psycopg.conninfo import make_conninfo

from adapters.error_text import first_line
from adapters.ids import utc_now
from adapters.postgres_due import SCHEMA as DUE_SCHEMA
from adapters.postgres_read_schema import session, statement
from projections import PROJECTIONS
from projections.order_saga import ORDER_SAGA
from projections.projection import Projection

READ_SCHEMA: Final = "read"
TIMEOUT_S: Final = 2
"""For a connection, and for a statement."""

MOVES_WITHIN_S: Final = 10.0
"""When nothing has moved for so long although there was something to apply, nobody is at work: a batch takes
3 s at most, and who waits for a projection that somebody has left has it within 5 s."""


class Condition(StrEnum):
    """A word for programs."""

    UP_TO_DATE = "up-to-date"
    CATCHING_UP = "catching-up"
    NOT_MOVING = "not-moving"
    STOPPED = "stopped"
    OTHER_VERSION = "other-version"
    UNKNOWN = "unknown"


WORDS: Final[Mapping[Condition, str]] = {
    Condition.UP_TO_DATE: "up to date",
    Condition.CATCHING_UP: "catching up",
    Condition.NOT_MOVING: "no projector is moving it",
    Condition.STOPPED: "STOPPED",
    Condition.OTHER_VERSION: "made by another version: rebuild",
    Condition.UNKNOWN: "its log does not answer",
}
"""The same for a person."""

STANDS_STILL: Final = frozenset({Condition.STOPPED, Condition.OTHER_VERSION})
"""It moves again only when somebody does something about it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A projection, the schema its tables are in, and where that and its log are."""

    projection: Projection
    schema: str
    read_dsn: str
    log_dsn: str


@dataclass(frozen=True, slots=True)
class Standing:
    """One projection. `head`: its log's newest position, None where the log does not answer.

    `behind_s`: the age of the oldest event that is not applied; None where that cannot be told. `quiet_s`:
    for how long nothing has moved although something waited. `fits`: this version made its tables.
    """

    projection: str
    schema: str
    log: str
    position: int
    head: int | None
    behind_s: float | None
    quiet_s: float
    moved_at: datetime
    error: str | None
    fits: bool

    @property
    def name(self) -> str:
        """With its schema where that is not the read models' own."""
        return self.projection if self.schema == READ_SCHEMA else f"{self.schema}.{self.projection}"

    @property
    def behind_events(self) -> int | None:
        """Positions of the log that are not applied: where a commit failed, that is more than events."""
        return None if self.head is None else max(0, self.head - self.position)

    @property
    def condition(self) -> Condition:
        if not self.fits:
            return Condition.OTHER_VERSION
        if self.error is not None:
            return Condition.STOPPED
        if self.behind_events is None:
            return Condition.UNKNOWN
        if not self.behind_events:
            return Condition.UP_TO_DATE
        return Condition.NOT_MOVING if self.quiet_s > MOVES_WITHIN_S else Condition.CATCHING_UP


@dataclass(frozen=True, slots=True)
class Look:
    """All projections at about one moment. `missing`: a line for each thing that could not be read."""

    standings: tuple[Standing, ...]
    missing: tuple[str, ...]


def kept_projections(dsns: Mapping[str, str]) -> tuple[Kept, ...]:
    """The read models, and the watchdog's list of sagas. `dsns`: by log; of the read models as `read`."""
    read = [Kept(one, READ_SCHEMA, dsns["read"], dsns[one.log]) for one in PROJECTIONS]
    log = dsns[ORDER_SAGA.log]
    return (*read, Kept(ORDER_SAGA, DUE_SCHEMA, log, log))


def look(kept: Sequence[Kept]) -> Look:
    """Ask all databases; each answers within seconds or counts as missing. Raises nothing of psycopg's."""
    with _Databases() as databases:
        # Heads first: a projection that moves meanwhile is then not behind what nobody had when it was asked.
        heads = {one.projection.log: databases.head(one) for one in kept}
        places = {(one.read_dsn, one.schema) for one in kept}
        rows = {schema: databases.positions(dsn, schema) for dsn, schema in sorted(places)}
        standings = [
            databases.standing(one, row, heads[one.projection.log])
            for one in kept
            if (row := databases.row_of(one, rows[one.schema])) is not None
        ]
        return Look(tuple(standings), tuple(databases.missing))


def standing_still(standings: Iterable[Standing]) -> list[Standing]:
    """Those that wait for somebody to do something."""
    return [one for one in standings if one.condition in STANDS_STILL]


Row = tuple[int, datetime, str | None, str | None]
"""Position, when it moved, error, shape."""

Rows = Mapping[tuple[str, str], Row]
"""By log and projection."""


class _Recorded(msgspec.Struct):
    """As much of a stored event as says when it was recorded."""

    at: datetime


class _Databases:
    """A connection to each, for one look; `missing` says what could not be read, each thing once."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self._stack = ExitStack()
        self._connections: dict[str, psycopg.Connection | psycopg.Error] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def head(self, kept: Kept) -> int | None:
        log = kept.projection.log
        rows = self._rows(kept.log_dsn, f"the {log} log", "head", log)
        return None if rows is None else int(rows[0][0])

    def positions(self, dsn: str, schema: str) -> Rows | None:
        rows = self._rows(dsn, f"the positions of schema {schema}", "standings", schema)
        return None if rows is None else {(row[0], row[1]): row[2:] for row in rows}

    def row_of(self, kept: Kept, rows: Rows | None) -> Row | None:
        if rows is None:
            return None
        found = rows.get((kept.projection.log, kept.projection.name))
        if found is None:
            self.missing.append(
                f"schema {kept.schema} does not keep {kept.projection.name}: run `tillroll migrate`"
            )
        return found

    def standing(self, kept: Kept, row: Row, head: int | None) -> Standing:
        position, moved_at, error, shape = row
        is_behind = head is not None and position < head
        waits_since = self._time_of_next(kept, position) if is_behind else None
        return Standing(
            projection=kept.projection.name,
            schema=kept.schema,
            log=kept.projection.log,
            position=position,
            head=head,
            behind_s=0.0 if head is not None and not is_behind else age_s(waits_since),
            quiet_s=age_s(max(moved_at, waits_since or moved_at)) or 0.0,
            moved_at=moved_at,
            error=error,
            fits=shape in (None, kept.projection.shape),
        )

    def _time_of_next(self, kept: Kept, position: int) -> datetime | None:
        """When the first event after that position was recorded; None where that cannot be read in it."""
        log = kept.projection.log
        rows = self._rows(kept.log_dsn, f"the {log} log", "first_after", log, {"after": position})
        return recorded_at(rows[0][0]) if rows else None

    def _rows(
        self, dsn: str, what: str, name: str, schema: str, params: Mapping[str, Any] | None = None
    ) -> list[Any] | None:
        try:
            return self._connection(dsn).execute(statement(name, schema), params).fetchall()
        except psycopg.Error as error:
            self._miss(what, error)
            return None

    def _connection(self, dsn: str) -> psycopg.Connection:
        """One that failed is not tried again: each try may take seconds."""
        if dsn not in self._connections:
            try:
                self._connections[dsn] = self._stack.enter_context(quick_connection(dsn))
            except psycopg.Error as error:
                self._connections[dsn] = error
        found = self._connections[dsn]
        if isinstance(found, psycopg.Error):
            raise found
        return found

    def _miss(self, what: str, error: psycopg.Error) -> None:
        line = f"{what} cannot be read: {_why(error)}"
        if line not in self.missing:
            self.missing.append(line)


def recorded_at(state: bytes) -> datetime | None:
    """What a stored event says of its time; None where that cannot be read in it."""
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.json.decode(state, type=_Recorded).at
    return None


def age_s(at: datetime | None) -> float | None:
    return None if at is None else max(0.0, (utc_now() - at).total_seconds())


def quick_connection(dsn: str) -> psycopg.Connection:
    """For looking on: it answers within TIMEOUT_S, or raises psycopg.Error. It cannot write."""
    options = f"-c statement_timeout={TIMEOUT_S}s -c default_transaction_read_only=on"
    quick = make_conninfo(session(dsn, options), connect_timeout=TIMEOUT_S)
    return psycopg.connect(quick, autocommit=True)


def _why(error: psycopg.Error) -> str:
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return "run `tillroll migrate`"
    return first_line(error)
