"""One projection kept up to date in Postgres: a batch of its log, its rows and its position in one commit.

The steps of a batch are those of `projections.advance`; here is what to do when one of them fails. A crash
loses rows and position together, so the same events are folded again onto the same rows.
"""

from typing import Final, Self

import psycopg

from adapters.postgres_projection_store import (
    NotKeptHere,
    PostgresProjectionStore,
    TablesOfAnotherShape,
)
from projections.advance import advance
from projections.projection import Projection

__all__ = ["EventNotApplied", "NotKeptHere", "PostgresProjection", "TablesOfAnotherShape"]

BATCH_EVENTS: Final = 10_000
"""A thousand orders or more: what happens to one order within a batch is written once."""
NO_END: Final = 2**63 - 1

_REFUSED_VALUE: Final = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
_TOOK_TOO_LONG: Final = (
    psycopg.errors.QueryCanceled,
    psycopg.errors.TransactionTimeout,
    psycopg.errors.IdleInTransactionSessionTimeout,
    # Ended by a projector that waits for the position.
    psycopg.errors.AdminShutdown,
)


class EventNotApplied(Exception):
    """An event of the log cannot be decoded, folded or stored; the text says which, and why, in one line."""


class PostgresProjection:
    """A projection in one schema, and its log in the same database or another. One thread at a time."""

    def __init__(self, projection: Projection, *, log_dsn: str, read_dsn: str, schema: str = "read") -> None:
        self.projection = projection
        self.position = 0
        self._limit = BATCH_EVENTS
        self._store = PostgresProjectionStore(projection, log_dsn=log_dsn, read_dsn=read_dsn, schema=schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def advance(self, batch_limit: int = BATCH_EVENTS, until: int = NO_END) -> int:
        """Apply the next events, `batch_limit` at most and none after position `until`, in one commit.

        Returns how many events of the log were passed: 0 when there are none, or another process has the
        projection now. A batch that fails is cut in half, so everything before an event that cannot be
        applied is applied; later ones grow again. Raises EventNotApplied when it is the next one;
        psycopg.Error when Postgres is away or refuses, TablesOfAnotherShape and NotKeptHere among them.
        """
        limit = min(batch_limit, self._limit)
        try:
            count = self._advance(limit, until)
        except Exception as error:
            self._limit = max(1, limit // 2)
            if limit > 1 and _is_cured_by_less(error):
                return self.advance(batch_limit, until)
            if _is_events_fault(error):
                raise EventNotApplied(f"{self._next_event()}: {_first_line(error)}") from error
            raise
        if count:
            self._limit = min(BATCH_EVENTS, max(self._limit, 2 * limit))
        return count

    def look(self) -> int:
        """Where the projection stands, whoever moves it. Raises psycopg.Error, NotKeptHere among them."""
        self._store.reopen_closed()
        self.position = self._store.look()
        return self.position

    def save_error(self, error: str) -> None:
        """Leave a note for whoever asks why the projection does not move, unless somebody has moved it."""
        self._store.reopen_closed()
        self._store.save_error(error, self.position)

    def close(self) -> None:
        """Give the connections back. The next call makes new ones."""
        self._store.close()

    def _advance(self, limit: int, until: int) -> int:
        self._store.reopen_closed()
        try:
            self.position, count = advance(self.projection, self._store, limit=limit, until=until)
        except Exception:
            self.position = self._store.seen
            raise
        return count

    def _next_event(self) -> str:
        self._store.reopen_closed()
        end, _ = self._store.batch_end(self.position, NO_END, 1)
        rows = self._store.batch_rows(self.position, end)
        names = [f"{row[2]} at {row[0]} version {row[1]}" for row in rows]
        return f"log {self.projection.log}, position {end}: {', '.join(names) or 'no event'}"


def _is_cured_by_less(error: Exception) -> bool:
    return isinstance(error, _TOOK_TOO_LONG) or _is_events_fault(error)


def _is_events_fault(error: Exception) -> bool:
    """Whether the same event would fail again on a healthy database."""
    return isinstance(error, _REFUSED_VALUE) or not isinstance(error, psycopg.Error)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]
