"""How far sealing is behind each log: what monitoring is told, whichever process seals.

A role that can only SELECT is enough. A log that cannot be asked leaves a gap; the rest is told all the same.
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

import psycopg

from adapters.postgres_read_schema import statement
from adapters.projection_states import age_s, quick_connection, recorded_at


@dataclass(frozen=True, slots=True)
class SealLag:
    """`events`: positions that are not sealed; where a commit failed, that is more than events.

    `oldest_s`: the age of the oldest event of these; 0 for none, None where the event does not say.
    """

    log: str
    events: int
    oldest_s: float | None


@dataclass(frozen=True, slots=True)
class SealLook:
    """All logs at about one moment. `missing`: those that could not be asked."""

    lags: tuple[SealLag, ...]
    missing: tuple[str, ...]


def look_at_seals(dsns: Mapping[str, str]) -> SealLook:
    """Each database answers within seconds or its logs count as missing. `dsns`: by log."""
    lags: list[SealLag] = []
    missing: list[str] = []
    for dsn in dict.fromkeys(dsns.values()):
        logs = [log for log, its in dsns.items() if its == dsn]
        try:
            with closing(quick_connection(dsn)) as connection:
                _ask(connection, logs, lags, missing)
        except psycopg.Error:
            missing += logs
    return SealLook(tuple(lags), tuple(missing))


def _ask(connection: psycopg.Connection, logs: list[str], lags: list[SealLag], missing: list[str]) -> None:
    for log in logs:
        try:
            lags.append(_lag(connection, log))
        except psycopg.Error:
            missing.append(log)


def _lag(connection: psycopg.Connection, log: str) -> SealLag:
    row = connection.execute(statement("seal_lag", log)).fetchone()
    assert row is not None
    head, sealed, oldest = row
    return SealLag(log, max(0, head - sealed), 0.0 if oldest is None else age_s(recorded_at(oldest)))
