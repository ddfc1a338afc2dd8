"""Keeps projections up to date with their logs: the `projector` role, and the watchdog's own copy.

A log's NOTIFY wakes its projections at once; while commits come, those of 50 ms are taken together, of 150 ms
in a busy shop and of 250 ms when there are very many: a batch costs a dozen wake-ups of PostgreSQL however
small it is, and what an order does within one batch is one row written once. A notification can get lost, so
every log and every projection is also looked at once a second.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Final, NamedTuple

import psycopg

from adapters.error_text import first_line
from adapters.herald import CHANNEL
from adapters.postgres_projection import PostgresProjection
from adapters.postgres_read_schema import session, statement
from orchestrator.loops import at_most
from projections import PROJECTIONS
from projections.projection import Projection

POLL_S: Final = 1.0
GAPS_S: Final = ((15_000, 0.25), (500, 0.15), (0, 0.05))
"""Seconds between two looks, from so many new events a second on, over all logs of a database."""

RETRY_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds before what failed is tried again; the last one repeats, for as long as Postgres is away."""

STAND_BY_S: Final = 2.0
"""How long a projection may stand still, with events to apply, before one that stands by takes it over."""

STOPPED_PAUSE_S: Final = 5.0
"""Before a projection that met an event it cannot apply tries again: log, rules or tables may be mended."""

THREADS: Final = 4

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProjectionState:
    """How one projection does. `lag`: positions of its log not applied yet; `error`: why it does not move.

    `is_stopped`: it met an event that it cannot apply, and has not moved since; somebody has to do something.
    """

    projection: str
    log: str
    position: int
    lag: int
    error: str | None
    is_stopped: bool


class Projector:
    """Advances projections until it is told to stop. Any number of processes may run the same ones.

    Args:
        log_dsns: the database of each log, by the log's name, which is that of its schema.
        read_dsn: the database of the read models.
        schema: where in it the tables are; `create_read_tables` made them.
        stands_by: leave the work to other processes for as long as one of them does it.
        gaps_s: as GAPS_S; they end with 0 events a second.
    """

    def __init__(
        self,
        log_dsns: Mapping[str, str],
        read_dsn: str,
        *,
        schema: str = "read",
        projections: Iterable[Projection] = PROJECTIONS,
        stands_by: bool = False,
        gaps_s: Sequence[tuple[int, float]] = GAPS_S,
    ) -> None:
        self._gaps_s = gaps_s
        self._keepers: defaultdict[str, list[_Keeper]] = defaultdict(list)
        for projection in projections:
            live = PostgresProjection(
                projection, log_dsn=log_dsns[projection.log], read_dsn=read_dsn, schema=schema
            )
            self._keepers[projection.log].append(_Keeper(live, stands_by=stands_by))
        self._heads: defaultdict[str, int] = defaultdict(int)
        self._logs_at: defaultdict[str, list[str]] = defaultdict(list)
        for log in self._keepers:
            self._logs_at[log_dsns[log]].append(log)

    def states(self) -> tuple[ProjectionState, ...]:
        """What /readyz and the metrics show of each projection, as far as this process knows."""
        return tuple(keeper.state() for keeper in self._all())

    async def run(self, stop: asyncio.Event) -> None:
        """Keep all projections up to date; returns once `stop` is set and running batches are committed."""
        with ThreadPoolExecutor(THREADS, thread_name_prefix="projector") as threads:
            async with asyncio.TaskGroup() as tasks:
                watching = [tasks.create_task(self._watch(dsn)) for dsn in self._logs_at]
                for keeper in self._all():
                    tasks.create_task(keeper.run(stop, threads))
                await stop.wait()
                for watch in watching:
                    watch.cancel()
                for keeper in self._all():
                    keeper.woken.set()

    def _all(self) -> Iterator["_Keeper"]:
        return chain.from_iterable(self._keepers.values())

    async def _watch(self, dsn: str) -> None:
        """Listen for as long as the process lives, through any number of broken connections."""
        pauses, gap_s = _pauses(), self._gaps_s[-1][1]
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(session(dsn), autocommit=True) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    while True:
                        new = await self._look(connection, self._logs_at[dsn])
                        pauses = _pauses()
                        gap_s = next(gap for least, gap in self._gaps_s if new / gap_s >= least)
                        await asyncio.sleep(gap_s)
                        async for _ in connection.notifies(timeout=POLL_S, stop_after=1):
                            pass
            except psycopg.Error as error:
                _log.warning("listening for new events failed: %s", first_line(error))
                await asyncio.sleep(next(pauses))

    async def _look(self, connection: psycopg.AsyncConnection, logs: Sequence[str]) -> int:
        """Tells the projections how far their logs are. Returns how many positions are new to us."""
        new = 0
        for log in logs:
            cursor = await connection.execute(statement("head", log))
            row = await cursor.fetchone()
            assert row is not None
            new += row[0] - self._heads[log]
            self._heads[log] = row[0]
            for keeper in self._keepers[log]:
                keeper.see(row[0])
        return new


class _Trouble(NamedTuple):
    """Why a projection does not move, and where it stopped: one value, set in a thread and read elsewhere."""

    error: str | None = None
    stopped_at: int | None = None


class _Keeper:
    """Keeps one projection up to date, one batch after the other, whatever fails in between."""

    def __init__(self, live: PostgresProjection, *, stands_by: bool) -> None:
        self.woken = asyncio.Event()
        self._live = live
        self._stands_by = stands_by
        self._left_at = -1
        self._rests = False
        self._head = 0
        self._trouble = _Trouble()
        self._pauses = _pauses()

    def see(self, head: int) -> None:
        """Be told the newest position of the log."""
        self._head = head
        if head > self._live.position:
            self.woken.set()

    def state(self) -> ProjectionState:
        projection, position = self._live.projection, self._live.position
        lag = max(0, self._head - position)
        error, stopped_at = self._trouble
        return ProjectionState(projection.name, projection.log, position, lag, error, stopped_at is not None)

    async def run(self, stop: asyncio.Event, threads: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        try:
            while not stop.is_set():
                self.woken.clear()
                wait_s = await loop.run_in_executor(threads, self._advance)
                if wait_s:
                    await at_most(wait_s, stop if self._trouble.error or self._rests else self.woken)
        finally:
            self._live.close()

    def _advance(self) -> float:
        """One batch. Returns the seconds to wait before the next one, unless woken."""
        try:
            self._rests = self._stands_by and self._is_others()
            if self._rests:
                return STAND_BY_S
            count = self._live.advance()
            self._left_at = self._live.position
        except psycopg.Error as error:
            self._tell(first_line(error), logging.WARNING, self._trouble.stopped_at)
            self._live.close()
            return next(self._pauses)
        except Exception as error:  # noqa: BLE001 - one projection stops, the others go on
            return self._stop(error)
        if self._live.position == self._trouble.stopped_at:
            # Somebody else has it just now, and has not got it to move either.
            return STOPPED_PAUSE_S
        self._go_on()
        return 0 if count and self._live.position < self._head else POLL_S

    def _is_others(self) -> bool:
        """Whether it stands elsewhere than we saw it last: somebody else moves it."""
        before, self._left_at = self._left_at, self._live.look()
        return before != self._left_at

    def _stop(self, error: Exception) -> float:
        self._tell(first_line(error), logging.ERROR, self._live.position)
        with suppress(psycopg.Error):
            self._live.save_error(first_line(error))
        return STOPPED_PAUSE_S

    def _go_on(self) -> None:
        if self._trouble.error is not None:
            _log.info("projection %s goes on", self._live.projection.name)
        self._trouble = _Trouble()
        self._pauses = _pauses()

    def _tell(self, error: str, level: int, stopped_at: int | None) -> None:
        """Once, however often it is tried again."""
        if error != self._trouble.error:
            stopped = " stopped" if level == logging.ERROR else ""
            _log.log(level, "projection %s%s: %s", self._live.projection.name, stopped, error)
        self._trouble = _Trouble(error, stopped_at)


def _pauses() -> Iterator[float]:
    return chain(RETRY_PAUSES_S, repeat(RETRY_PAUSES_S[-1]))
