"""The writer of the live bench, a process of its own: it fills the logs, then appends at a given rate.

Events are made before the clock starts, so what is measured beside the projector is appending, nothing else.
"""

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from adapters.postgres_log import PostgresLog
from benchmarks.history import LOGS, History, Window, store
from orchestrator.log import Stored


@dataclass(frozen=True, slots=True)
class Commit:
    """`position`: of its last event. `at`: when COMMIT was answered, on the machine's monotonic clock."""

    log: str
    position: int
    events: int
    at: float


class Writer:
    """Speaks to the process. `history_events`: how long the history will be in all, about."""

    def __init__(self, dsn: str, history_events: int, seed: int = 1) -> None:
        processes = get_context("spawn")
        self._ours, theirs = processes.Pipe()
        self._process = processes.Process(target=_work, args=(dsn, history_events, seed, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def fill(self, events: int) -> dict[str, int]:
        """Stores the beginning of the history at once; returns the length of each log."""
        lengths: dict[str, int] = self._ask("fill", events)
        return lengths

    def prepare(self, events: int) -> None:
        """Makes the next events."""
        self._ask("prepare", events)

    def write(self, per_s: float) -> list[Commit]:
        """Appends what was prepared at this rate, or as fast as it goes."""
        commits: list[Commit] = self._ask("write", per_s)
        return commits

    def close(self) -> None:
        self._ours.send(("close", 0))
        self._process.join()

    def _ask(self, what: str, number: float) -> Any:
        self._ours.send((what, number))
        return self._ours.recv()


def _work(dsn: str, history_events: int, seed: int, pipe: "Connection[Any, Any]") -> None:
    # Millions of values without cycles; the collector would look at all of them while the clock runs.
    gc.disable()
    history = History(history_events, seed)
    windows = history.windows()
    logs = {log: PostgresLog(dsn, log) for log in LOGS}
    prepared: list[Window] = []
    while True:
        what, number = pipe.recv()
        match what:
            case "fill":
                pipe.send(store(history, dict.fromkeys(LOGS, dsn), number))
            case "prepare":
                prepared = _take(windows, number)
                pipe.send(None)
            case "write":
                pipe.send(_write(logs, prepared, number))
            case _:
                return


def _take(windows: Iterator[Window], events: int) -> list[Window]:
    taken: list[Window] = []
    while events > 0:
        taken.append(next(windows))
        events -= sum(map(len, taken[-1].values()))
    return taken


def _write(logs: Mapping[str, PostgresLog], prepared: Sequence[Window], per_s: float) -> list[Commit]:
    """Each window has its moment; one that is late is not waited for. Its logs are written at once."""
    began = time.monotonic()
    done = 0
    commits: list[Commit] = []
    with ThreadPoolExecutor(len(logs)) as threads:
        for window in prepared:
            early_s = began + done / per_s - time.monotonic()
            if early_s > 0:
                time.sleep(early_s)
            appends = [threads.submit(_append, logs[log], log, events) for log, events in window.items()]
            commits += [append.result() for append in appends]
            done += sum(map(len, window.values()))
    return commits


def _append(log: PostgresLog, name: str, events: Sequence[Stored]) -> Commit:
    positions = log.append(events, {})
    return Commit(name, positions[-1], len(events), time.monotonic())
