"""Does a tailing reader ever miss an event? Writers who pause before their commits, one who reads along.

    python -m benchmarks.tailing --ids 1000000
    python -m benchmarks.tailing --ids 20000 --without-lock     shows that the question can be answered by yes

The writers have the real recorder, four of them in each of four processes. The reader is the log's own and
always asks for what comes after the last position it has seen, so an event that becomes visible below that
position is one that every projection would have skipped for ever. The exit code is 0 when there is none; with
`--without-lock`, when some are caught.
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from typing import Any, Final

import psycopg
from eventsourcing.persistence import IntegrityError, StoredEvent

from adapters.event_codec import encode
from adapters.postgres_log import LogDatastore
from adapters.postgres_log_reader import LogReader
from adapters.postgres_recorder import LogRecorder
from benchmarks.server import own_server
from domain.recorded import Cause, Recorded
from domain.stock import StockSet

LOG: Final = "inventory"
PROCESSES: Final = 4
WRITERS: Final = 16
LONGEST_PAUSE_S: Final = 0.002
MOST_EVENTS: Final = 100
"""In one append."""

PAUSE_PER_EVENT_S: Final = 2 * LONGEST_PAUSE_S / MOST_EVENTS
"""Waited in PostgreSQL for each event, at random up to this, before its append is committed."""

REFUSED_SHARE: Final = 0.01
"""Of appends that are refused, so that their ids stay free for ever: gaps that are no harm."""

LOOK_EVERY_S: Final = 0.002


class PausingRecorder(LogRecorder):
    """Waits between taking its ids and committing them. With the lock, nobody else takes ids meanwhile."""

    def __init__(self, datastore: LogDatastore) -> None:
        super().__init__(datastore)
        self._append_alone = f"{self.statement()}, pg_sleep(random() * {PAUSE_PER_EVENT_S})".encode()

    def statement(self) -> str:
        return self._append_alone.decode()


class RecorderWithoutLock(PausingRecorder):
    def statement(self) -> str:
        locked = super().statement()
        without = locked.replace("pg_advisory_xact_lock(hashtextextended('inventory.events', 0))", "1")
        assert without != locked
        return without


@dataclass(frozen=True, slots=True)
class Tailed:
    """`below`: how many became visible at a position that the reader had passed. `gaps`: ids of no event."""

    stored: int
    seen: int
    below: int
    gaps: int
    looks: int
    seconds: float


def tail(dsn: str, ids: int, *, has_lock: bool) -> Tailed:
    """Writes so many events while reading along. Raises what a writer or the reader raises."""
    began = time.monotonic()
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as processes:
        write = partial(_write_together, dsn, ids // WRITERS, has_lock)
        writing = [processes.submit(write, range(first, WRITERS, PROCESSES)) for first in range(PROCESSES)]
        seen, looks = _read_along(dsn, writing)
    seconds = time.monotonic() - began
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT notification_id FROM inventory.events").fetchall()
    stored = {row[0] for row in rows}
    below = len(stored.difference(seen))
    return Tailed(len(stored), len(seen), below, max(stored) - len(stored), looks, seconds)


def _read_along(dsn: str, writing: Sequence[Future[None]]) -> tuple[list[int], int]:
    """Positions in the order in which they were seen, and how often was looked."""
    reader = LogReader(dsn, LOG)
    seen: list[int] = []
    looks = 0
    is_over = False
    while not is_over:
        # Asked before looking: what the last writer has stored is seen by the last look.
        is_over = all(future.done() for future in writing)
        after = seen[-1] if seen else 0
        seen.extend(recorded.position for recorded in reader.read_all(after))
        looks += 1
        time.sleep(LOOK_EVERY_S)
    for future in writing:
        future.result()
    return seen, looks


def _write_together(dsn: str, share: int, has_lock: bool, writers: Sequence[int]) -> None:
    """One process: its writers are threads, which wait most of the time."""
    with ThreadPoolExecutor(len(writers)) as threads:
        list(threads.map(partial(_write, dsn, share, has_lock), writers))


def _write(dsn: str, share: int, has_lock: bool, writer: int) -> None:
    """Appends of different sizes with pauses inside and between them, `share` events in all."""
    kind = PausingRecorder if has_lock else RecorderWithoutLock
    with LogDatastore(dsn, LOG) as datastore:
        recorder = kind(datastore)
        version = 0
        while share > 0:
            if random.random() < REFUSED_SHARE and version:
                with suppress(IntegrityError):
                    recorder.insert_events([_event(writer, 1, version)])
            version += 1
            size = min(share, random.randint(1, MOST_EVENTS))
            recorder.insert_events([_event(writer, place, version) for place in range(1, size + 1)])
            share -= size
            time.sleep(random.uniform(0, LONGEST_PAUSE_S))


def _event(writer: int, place: int, version: int) -> StoredEvent:
    """Every append of a writer begins with its stream's next version; the rest are streams of its own."""
    goods_id = writer if place == 1 else (writer + 1) * 10**9 + version * MOST_EVENTS + place
    cause = Cause(f"cmd-{writer}-{version}~b0b0b0", "user-1", "", datetime.now(UTC))
    event = StockSet(on_hand=version, before=version - 1)
    return StoredEvent(*encode(Recorded(f"stock-{goods_id}", version if place == 1 else 1, event, cause)))


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    with own_server() as dsn:
        tailed = tail(dsn, options.ids, has_lock=not options.without_lock)
    _tell(tailed, options)
    return 0 if (tailed.below > 0) is options.without_lock else 1


def _tell(tailed: Tailed, options: Any) -> None:
    lock = "WITHOUT the log's lock" if options.without_lock else "the log's lock held"
    lines = (
        f"{WRITERS} writers with pauses of up to {LONGEST_PAUSE_S * 1000:g} ms before each commit, {lock}",
        f"ids stored                           {tailed.stored:>12,}   in {tailed.seconds:.0f} s",
        f"seen by the reader, in {tailed.looks:,} looks".ljust(37) + f"{tailed.seen:>12,}",
        f"appeared below the reader's position {tailed.below:>12,}",
        f"gaps: ids of appends that were refused {tailed.gaps:>10,}",
    )
    sys.stdout.write("\n".join(lines) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Writers with pauses beside a tailing reader.")
    parser.add_argument("--ids", type=int, default=1_000_000, help="events to store")
    parser.add_argument("--without-lock", action="store_true", help="a recorder that takes no lock")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
