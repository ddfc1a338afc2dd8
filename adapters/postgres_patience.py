"""Changing a schema beside working processes: short waits for locks, many tries, and who is in the way.

Whoever waits for a lock on a table makes everybody wait who comes after them, writers and readers alike. So a
change waits a moment only, then gives way and tries again; and meanwhile it says for whom it waits.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from itertools import chain, repeat
from typing import Any, Final

import psycopg
from psycopg.errors import DeadlockDetected, LockNotAvailable, QueryCanceled

from adapters.postgres_read_schema import session

LOCK_WAIT_S: Final = 0.5
"""The longest that others stand behind us, for each lock: writers give up after 2 s."""

PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0)
"""Between two tries, when those who stood behind us go on. The last one repeats."""

GIVE_UP_AFTER_S: Final = 60.0

_OPTIONS: Final = f"-c lock_timeout={int(LOCK_WAIT_S * 1000)}ms"

_log = logging.getLogger(__name__)

Change = Callable[[psycopg.Connection], None]


class LocksNotFree(Exception):
    """Others held what a change needs for too long; the text says which change, and who they are."""


def connect(dsn: str) -> psycopg.Connection:
    """5 s for each statement, LOCK_WAIT_S for each lock. Raises psycopg.Error."""
    return psycopg.connect(session(dsn, _OPTIONS), autocommit=True)


def patiently(
    conn: psycopg.Connection, what: str, change: Change, *, give_up_after_s: float = GIVE_UP_AFTER_S
) -> None:
    """`change` in one transaction, from the start again when it waits too long for a lock.

    Args:
        conn: of `connect`.
        what: is to be changed, for whoever reads why it takes so long.
    Raises LocksNotFree; psycopg.Error.
    """
    ends_at = time.monotonic() + give_up_after_s
    watch = _Watch(conn, what)
    for pause_s in chain(PAUSES_S, repeat(PAUSES_S[-1])):
        try:
            with watch.waiting(), conn.transaction():
                return change(conn)
        except QueryCanceled as error:
            raise LocksNotFree(f"{what}: took longer than 5 s, nothing was changed") from error
        except (LockNotAvailable, DeadlockDetected) as error:
            if time.monotonic() + pause_s > ends_at:
                raise LocksNotFree(_given_up(what, give_up_after_s, watch.seen)) from error
        time.sleep(pause_s)
    raise AssertionError("pauses never end")


def _given_up(what: str, after_s: float, seen: str) -> str:
    return f"{what}: given up after {after_s:.0f} s, nothing was changed. In the way is {seen}"


class _Watch:
    """Looks, half way through a wait for a lock, whose transaction it is for, and tells it once each."""

    def __init__(self, conn: psycopg.Connection, what: str) -> None:
        self._pid = conn.info.backend_pid
        self._dsn = conn.info.dsn
        self._password = conn.info.password
        self._what = what
        self._told: set[int] = set()
        self.seen = "somebody who was gone when we looked"

    @contextmanager
    def waiting(self) -> Iterator[None]:
        timer = threading.Timer(LOCK_WAIT_S / 2, self._look)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()

    def _look(self) -> None:
        with suppress(psycopg.Error), self._connection() as conn:
            rows = conn.execute(_blockers(), {"waiting": self._pid}).fetchall()
            if rows:
                self.seen = "; ".join(map(_told, rows))
                self._tell({row[0] for row in rows})

    def _tell(self, pids: set[int]) -> None:
        if not pids <= self._told:
            _log.info("%s: waits for %s", self._what, self.seen)
            self._told |= pids

    def _connection(self) -> psycopg.Connection:
        return psycopg.connect(self._dsn, password=self._password, autocommit=True)


def _blockers() -> str:
    return files("adapters").joinpath("sql", "migrate", "blockers.sql").read_text(encoding="utf-8")


def _told(row: tuple[Any, ...]) -> str:
    pid, name, state, open_s = row
    since = "" if open_s is None else f", transaction open for {open_s:.0f} s"
    return f"pid {pid} ({name or 'unknown'}, {state or 'state unknown'}{since})"
