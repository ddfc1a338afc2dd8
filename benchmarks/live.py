"""The live projection: how fast it catches up, how far behind it is, and what rate it keeps up with.

    python -m benchmarks.live

PostgreSQL with fsync on, the projector role in a process of its own (`tillroll serve projector`), the writer
in another with the real recorder. A rate is kept up with when the writer has reached it and, at its end, the
last commits of all logs are in all read models within a second.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg
from rich.console import Console
from rich.table import Table

from adapters.role_process import RoleProcess
from adapters.settings import Settings, child_environment
from benchmarks.cpu import Cores, Cpu
from benchmarks.lag import LOOK_EVERY_S, READ_POSITIONS, Lag, Samples, lag_of, sampling
from benchmarks.live_writer import Writer
from benchmarks.server import migrated_settings

PACED_PER_S: Final = 10_000
PACED_S: Final = 30
STEPS_PER_S: Final = (10_000, 15_000, 20_000, 25_000, 30_000)
STEP_S: Final = 10
KEPT_UP_WITHIN_S: Final = 1.0
WRITER_SHORTFALL: Final = 0.97
WIDTH: Final = 110
PATIENCE_S: Final = 120.0
CATCH_UP_POLL_S: Final = 0.02


class TooSlow(Exception):
    """The projector did not reach the head of the logs in two minutes, or has stopped."""


@dataclass(frozen=True, slots=True)
class CatchUp:
    events: int
    seconds: float
    cores: Cores


@dataclass(frozen=True, slots=True)
class Paced:
    """`wanted`, `reached`: events a second. `cores`: the projector's own, and who else used some."""

    wanted: int
    reached: float
    lag: Lag
    cores: Cores

    @property
    def is_kept_up_with(self) -> bool:
        return self.reached >= WRITER_SHORTFALL * self.wanted and self.lag.last_s < KEPT_UP_WITHIN_S


class Bench:
    """A database, a writer, and the projector when it runs."""

    def __init__(self, settings: Settings, writer: Writer) -> None:
        dsn = settings.dsn("read")
        assert dsn is not None
        self._dsn = dsn
        self._writer = writer
        self._projector = RoleProcess(["serve", "projector"], child_environment(settings), settings.data)

    @contextmanager
    def projecting(self) -> Iterator[None]:
        self._projector.start()
        try:
            yield
        finally:
            self._projector.stop()

    def catch_up(self, events: int) -> CatchUp:
        """Events of the logs a second, from the first batch that any projection commits."""
        heads = self._writer.fill(events)
        with psycopg.connect(self._dsn, autocommit=True) as connection, self.projecting():
            self._wait(connection, lambda positions: any(positions.values()))
            before = self._cpu()
            self._wait(
                connection, lambda positions: all(positions[each] >= heads[each[0]] for each in positions)
            )
            after = self._cpu()
            return CatchUp(sum(heads.values()), after.at - before.at, Cores.between(before, after))

    def paced(self, per_s: int, seconds: int) -> Paced:
        """The projector must be running, and at the head of the logs."""
        self._writer.prepare(per_s * seconds)
        before = self._cpu()
        with sampling(self._dsn) as samples:
            commits = self._writer.write(per_s)
            heads = {commit.log: commit.position for commit in commits}
            _wait_for(samples, heads)
        cores = Cores.between(before, self._cpu())
        took_s = max(commit.at for commit in commits) - min(commit.at for commit in commits)
        reached = sum(commit.events for commit in commits) / took_s
        return Paced(per_s, reached, lag_of(commits, samples), cores)

    def _wait(
        self, connection: psycopg.Connection, are_there: Callable[[Mapping[tuple[str, str], int]], bool]
    ) -> None:
        ends_at = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends_at:
            rows = connection.execute(READ_POSITIONS).fetchall()
            if are_there({(log, projection): position for log, projection, position in rows}):
                return
            time.sleep(CATCH_UP_POLL_S)
        raise TooSlow

    def _cpu(self) -> Cpu:
        pid = self._projector.pid
        assert pid is not None
        return Cpu.now(pid)


def _wait_for(samples: Samples, heads: Mapping[str, int]) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while not samples.have_reached(heads):
        if time.monotonic() > ends_at:
            raise TooSlow
        time.sleep(LOOK_EVERY_S)


@contextmanager
def _bench(history_events: int) -> Iterator[Bench]:
    with migrated_settings("live") as settings:
        dsn = settings.dsn("order")
        assert dsn is not None
        with closing(Writer(dsn, history_events)) as writer:
            yield Bench(settings, writer)


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.ERROR)
    out = Console(width=WIDTH)
    with _bench(options.events) as bench:
        caught_up = bench.catch_up(options.events)
        _tell_catch_up(out, caught_up)
        with bench.projecting():
            # Connections and caches are warm, and the writer has a feeling for its rate, before it counts.
            bench.paced(PACED_PER_S // 2, 2)
            lagging = bench.paced(PACED_PER_S, options.seconds)
            _tell(out, f"Lag over {options.seconds} s at a steady rate", [lagging])
            steps = [bench.paced(per_s, STEP_S) for per_s in options.steps]
            _tell(out, f"Lag at rates of {STEP_S} s each", steps)
    return 0


def _tell_catch_up(out: Console, caught_up: CatchUp) -> None:
    cores = caught_up.cores
    out.print(
        f"Catching up with {caught_up.events:,} events of the four logs in seven projections:"
        f" {caught_up.seconds:.1f} s, {caught_up.events / caught_up.seconds:,.0f} events/s."
        f" Cores: projector {cores.watched:.2f}, servers {cores.servers:.2f}, others {cores.others:.2f}.",
        highlight=False,
    )


def _tell(out: Console, title: str, phases: Sequence[Paced]) -> None:
    lags = ("p50 s", "p99 s", "max s", "end s")
    table = Table("events/s", "written", *lags, "projector", "servers", "others", "kept up", title=title)
    for paced in phases:
        lag, cores = paced.lag, paced.cores
        seconds = [f"{each:.3f}" for each in (lag.p50_s, lag.p99_s, lag.max_s, lag.last_s)]
        used = [f"{each:.2f}" for each in (cores.watched, cores.servers, cores.others)]
        kept_up = "yes" if paced.is_kept_up_with else "no"
        table.add_row(f"{paced.wanted:,}", f"{paced.reached:,.0f}", *seconds, *used, kept_up)
    out.print(table)
    out.print(
        "projector, servers, others: cores that they kept busy; others are none of ours", highlight=False
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measures the live projection beside a writer.")
    parser.add_argument("--events", type=int, default=1_000_000, help="history to catch up with")
    parser.add_argument("--seconds", type=int, default=PACED_S, help="how long the steady rate is kept")
    parser.add_argument("--steps", type=int, nargs="*", default=list(STEPS_PER_S), help="rates in events/s")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
