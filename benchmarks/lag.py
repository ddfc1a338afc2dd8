"""How far read models are behind their logs: positions sampled while others write, then compared."""

import threading
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import psycopg

from benchmarks.live_writer import Commit

LOOK_EVERY_S: Final = 0.02
READ_POSITIONS: Final = "SELECT log, projection, position FROM read.position"


@dataclass(slots=True)
class Samples:
    """`at`: moments on the machine's monotonic clock; `least`: by log, where its slowest projection was."""

    at: list[float] = field(default_factory=list)
    least: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, at: float, positions: Iterable[tuple[str, str, int]]) -> None:
        least: dict[str, int] = {}
        for log, _, position in positions:
            least[log] = min(position, least.get(log, position))
        self.at.append(at)
        for log, position in least.items():
            self.least[log].append(position)

    def have_reached(self, heads: Mapping[str, int]) -> bool:
        return all(self.least[log] and self.least[log][-1] >= head for log, head in heads.items())

    def reached_at(self, log: str, position: int) -> float:
        """When every projection of the log was first seen there. Raises IndexError when none was."""
        return self.at[bisect_left(self.least[log], position)]


@contextmanager
def sampling(dsn: str) -> Iterator[Samples]:
    """Looks every 20 ms, from a thread of its own."""
    samples = Samples()
    stopped = threading.Event()
    thread = threading.Thread(target=_sample, args=(dsn, samples, stopped))
    thread.start()
    try:
        yield samples
    finally:
        stopped.set()
        thread.join()


def _sample(dsn: str, samples: Samples, stopped: threading.Event) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        while not stopped.wait(LOOK_EVERY_S):
            rows = connection.execute(READ_POSITIONS).fetchall()
            samples.add(time.monotonic(), rows)


@dataclass(frozen=True, slots=True)
class Lag:
    """Seconds from the answer to a COMMIT until every projection of its log had passed it, over events."""

    p50_s: float
    p99_s: float
    max_s: float
    last_s: float


def lag_of(commits: Sequence[Commit], samples: Samples) -> Lag:
    """`last_s`: the longest lag of any log's last commit."""
    lags: list[float] = []
    last: dict[str, float] = {}
    for commit in commits:
        seconds = max(0.0, samples.reached_at(commit.log, commit.position) - commit.at)
        lags += [seconds] * commit.events
        last[commit.log] = seconds
    lags.sort()
    return Lag(_at(lags, 0.50), _at(lags, 0.99), lags[-1], max(last.values()))


def _at(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))]
