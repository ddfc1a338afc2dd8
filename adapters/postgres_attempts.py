"""Failed log-ins in the database of the user log: all API processes count on the same rows, and restarts too.

A process remembers for a moment who has to wait, so a flood of guesses is refused without a query each.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier
from psycopg_pool import AsyncConnectionPool

from adapters.user_attempts import (
    FORGOTTEN_AFTER,
    MAX_SUBJECTS,
    Failures,
    Subject,
    must_not_wait,
    wait_s,
)
from domain.refusals import Unavailable

ATTEMPTS_LOG: Final = "user"
"""The log beside which failures are kept."""

BELIEVED_FOR: Final = timedelta(seconds=5)
"""How long a wait is believed without asking: another process may have forgiven the account meanwhile."""

FORGET_AT_ONCE: Final = 20
"""Idle rows deleted after a failure, which adds two at most."""

Pool = AsyncConnectionPool[AsyncConnection[Any]]


@dataclass(frozen=True, slots=True)
class _Waiting:
    failures: Failures
    believed_until: datetime


class PostgresAttempts:
    """AttemptLimits of all processes together. `pool`: autocommit, to the database of the user log.

    Raises Unavailable when that does not answer: then nobody could be let in anyway.
    """

    def __init__(self, pool: Pool, clock: Callable[[], datetime], schema: str = ATTEMPTS_LOG) -> None:
        self._pool = pool
        self._clock = clock
        self._schema = schema
        self._waiting: OrderedDict[Subject, _Waiting] = OrderedDict()

    async def check(self, subjects: Sequence[Subject]) -> None:
        """Raises TooManyAttempts while any of them has to wait."""
        must_not_wait(self._remembered(subjects), self._clock())
        known = await self._rows("known", _columns(subjects))
        now = self._clock()
        self._remember(known, now)
        must_not_wait(known, now)

    async def failed(self, subjects: Sequence[Subject]) -> None:
        """Counted one by one by the database, however many processes count at once."""
        now = self._clock()
        times = {"now": now, "forgotten": now - FORGOTTEN_AFTER}
        self._remember(await self._rows("count_failures", {**_columns(subjects), **times}), now)
        await self._run("forget_idle", {**times, "limit": FORGET_AT_ONCE})

    async def succeeded(self, account: Subject) -> None:
        await self._run("forgive", {"kind": account.kind, "digest": account.digest})
        self._waiting.pop(account, None)

    def _remembered(self, subjects: Sequence[Subject]) -> Mapping[Subject, Failures]:
        now = self._clock()
        found = {subject: self._waiting[subject] for subject in subjects if subject in self._waiting}
        return {subject: known.failures for subject, known in found.items() if now < known.believed_until}

    def _remember(self, known: Mapping[Subject, Failures], now: datetime) -> None:
        for subject, failures in known.items():
            self._waiting.pop(subject, None)
            if wait_s(subject.kind, failures, now):
                self._waiting[subject] = _Waiting(failures, now + BELIEVED_FOR)
        while len(self._waiting) > MAX_SUBJECTS:
            self._waiting.popitem(last=False)

    async def _rows(self, name: str, params: Mapping[str, Any]) -> Mapping[Subject, Failures]:
        rows = await self._run(name, params)
        return {Subject(kind, digest): Failures(count, at) for kind, digest, count, at in rows}

    async def _run(self, name: str, params: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
        try:
            async with self._pool.connection() as conn:
                cursor = await conn.execute(_statement(name, self._schema), params, prepare=True)
                return await cursor.fetchall() if cursor.description else ()
        except psycopg.OperationalError as error:
            raise Unavailable from error


def _columns(subjects: Sequence[Subject]) -> dict[str, list[str]]:
    """Each subject once, however often it is named: a row can be counted up once in one statement."""
    each = list(dict.fromkeys(subjects))
    return {"kinds": [subject.kind for subject in each], "digests": [subject.digest for subject in each]}


@cache
def _statement(name: str, schema: str) -> bytes:
    text = files("adapters").joinpath("sql", "attempts", f"{name}.sql").read_text(encoding="utf-8")
    return SQL(text).format(schema=Identifier(schema)).as_bytes()
