"""Sealing: how fast logs are verified, and what a sealer costs those who write.

    python -m benchmarks.sealing

PostgreSQL with fsync on, the sealer role in a process of its own (`tillroll serve sealer`), the writer in
another with the real recorder. Rounds with and without a sealer take turns. The floor of verifying is one
process that asks PostgreSQL for the same bytes and throws them away.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Final

import psycopg
from rich.console import Console

from adapters.ids import utc_now
from adapters.postgres_seals import LOWEST, SealedLog
from adapters.role_process import RoleProcess
from adapters.seal_key import seal_keys
from adapters.seal_verify import verify
from adapters.sealer import LogSealer
from adapters.settings import LOGS, Settings, child_environment
from benchmarks.live_writer import Commit, Writer
from benchmarks.server import migrated_settings

AS_FAST_AS_IT_GOES: Final = 1e9
SETTLE_S: Final = 3.0
SEALED_WITHIN_S: Final = 60.0
LOOK_EVERY_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Round:
    """Events a second that were written, and how long the last ones were not sealed."""

    rate: float
    lags_s: tuple[float, ...] = ()


class Bench:
    def __init__(self, settings: Settings, writer: Writer) -> None:
        dsn = settings.dsn("order")
        assert dsn is not None
        self.settings = settings
        self.dsn = dsn
        self.writer = writer

    def seal_all(self) -> None:
        keys = seal_keys(self.settings)
        for log in LOGS:
            sealer, last = LogSealer(self.dsn, log, keys, self.settings.data, utc_now), None
            while (seal := sealer.seal()) != last:
                last = seal
            sealer.close()

    def verify(self) -> None:
        found = verify(dict.fromkeys(LOGS, self.dsn), seal_keys(self.settings))
        assert found.is_clean, found

    def read_only(self) -> None:
        for log in LOGS:
            with SealedLog(self.dsn, log) as sealed:
                for _ in sealed.rows(LOWEST, sealed.head()):
                    pass

    def write(self, events: int, per_s: float) -> Round:
        self.writer.prepare(events)
        commits = self.writer.write(per_s)
        return Round(_rate(commits))

    def write_beside_sealer(self, events: int, per_s: float) -> Round:
        role = RoleProcess(["serve", "sealer"], child_environment(self.settings), self.settings.data)
        role.start()
        try:
            time.sleep(SETTLE_S)
            self.writer.prepare(events)
            began = time.monotonic()
            commits = self.writer.write(per_s)
            return Round(_rate(commits), self._lags(commits, began))
        finally:
            role.stop()

    def _lags(self, commits: Sequence[Commit], began: float) -> tuple[float, ...]:
        """From each commit until its seal; by the seals' own times, on the same machine's clock."""
        heads = {commit.log: commit.position for commit in commits}
        self._await_sealed(heads)
        offset = time.time() - time.monotonic()
        lags: list[float] = []
        with psycopg.connect(self.dsn) as connection:
            for log in heads:
                query = f'SELECT last_position, extract(epoch FROM sealed_at) FROM "{log}".seals ORDER BY 1'
                seals = [(int(last), float(at)) for last, at in connection.execute(query.encode()).fetchall()]
                own = [commit for commit in commits if commit.log == log and commit.at >= began]
                lags += [_sealed_at(seals, commit.position) - (commit.at + offset) for commit in own]
        return tuple(lags)

    def _await_sealed(self, heads: dict[str, int]) -> None:
        ends_at = time.monotonic() + SEALED_WITHIN_S
        while time.monotonic() < ends_at:
            last = {}
            for log in heads:
                with SealedLog(self.dsn, log) as sealed:
                    seal = sealed.last()
                    last[log] = seal.covers.last if seal else 0
            if all(last[log] >= head for log, head in heads.items()):
                return
            time.sleep(LOOK_EVERY_S)
        raise AssertionError("the sealer did not follow")


def _sealed_at(seals: Sequence[tuple[int, float]], position: int) -> float:
    return next(at for last, at in seals if last >= position)


def _rate(commits: Sequence[Commit]) -> float:
    took_s = max(commit.at for commit in commits) - min(commit.at for commit in commits)
    return sum(commit.events for commit in commits) / took_s


@contextmanager
def _bench(events: int) -> Iterator[Bench]:
    with migrated_settings("sealing") as settings:
        dsn = settings.dsn("order")
        assert dsn is not None
        with closing(Writer(dsn, events)) as writer:
            yield Bench(settings, writer)


def _timed(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.ERROR)
    out = Console(width=110, highlight=False)
    with _bench(options.events) as bench:
        events = sum(bench.writer.fill(options.events).values())
        sealed_s = _timed(bench.seal_all)
        out.print(f"Sealing {events:,} events: {sealed_s:.1f} s, {events / sealed_s:,.0f} events/s.")
        for _ in range(options.rounds):
            floor_s, verified_s = _timed(bench.read_only), _timed(bench.verify)
            out.print(
                f"Verifying them: {verified_s:.1f} s, {events / verified_s:,.0f} events/s;"
                f" only reading them {floor_s:.1f} s, so {verified_s / floor_s:.2f} times the floor."
            )
        _beside(out, bench, options.rounds, options.batch, AS_FAST_AS_IT_GOES)
        _beside(out, bench, options.rounds, options.batch, options.per_s)
    return 0


def _beside(out: Console, bench: Bench, rounds: int, events: int, per_s: float) -> None:
    alone: list[Round] = []
    beside: list[Round] = []
    for _ in range(rounds):
        alone.append(bench.write(events, per_s))
        beside.append(bench.write_beside_sealer(events, per_s))
    ratio = median(after.rate / before.rate for before, after in zip(alone, beside, strict=True))
    lags = sorted(lag for each in beside for lag in each.lags_s)
    paced = "as fast as it goes" if per_s == AS_FAST_AS_IT_GOES else f"{per_s:,.0f} events/s"
    out.print(
        f"Writing {paced}: {median(each.rate for each in alone):,.0f} events/s without a sealer,"
        f" {median(each.rate for each in beside):,.0f} with one: {100 * (ratio - 1):+.1f} %."
        f" From commit to seal: p50 {lags[len(lags) // 2]:.2f} s, p99 {lags[len(lags) * 99 // 100]:.2f} s,"
        f" at most {lags[-1]:.2f} s."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measures sealing and verifying.")
    parser.add_argument("--events", type=int, default=500_000, help="history to seal and to verify")
    parser.add_argument("--rounds", type=int, default=5, help="each with a sealer and without one")
    parser.add_argument("--batch", type=int, default=60_000, help="events that are written in a round")
    parser.add_argument("--per-s", type=float, default=5_000, help="events a second of the paced rounds")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
