"""How long an audit of everything takes and how much memory, at several lengths of the logs.

    python -m benchmarks.audit --events 250000 500000 1000000

Each length is a shop of its own, with its read models brought up to date. The audit runs in a new process,
so that its memory is nobody else's; that of the processes that work for it is counted (PSS: what they share
is counted once), PostgreSQL's is not. Linux only.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from threading import Event, Thread
from typing import Final

import psycopg

from adapters.audit_run import audit
from adapters.embedded_servers import EmbeddedServers
from adapters.postgres_migrate import migrate_log
from adapters.postgres_projection import PostgresProjection
from adapters.postgres_read_schema import create_read_tables
from adapters.settings import LOGS
from benchmarks.history import fill
from projections import PROJECTIONS

LENGTHS: Final = (250_000, 500_000, 1_000_000)
KIB: Final = 1024
LOOK_EVERY_S: Final = 0.2
MB: Final = 1e6


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Times the audit of a shop's whole history.")
    parser.add_argument("--events", type=int, nargs="+", default=list(LENGTHS))
    parser.add_argument("--redecide", action="store_true", help="decide every command once more as well")
    options = parser.parse_args(arguments)
    clean = [_measured(events, options.redecide) for events in options.events]
    return 0 if all(clean) else 1


def _measured(events: int, redecides: bool) -> bool:
    with (
        tempfile.TemporaryDirectory(prefix="tillroll-bench-") as folder,
        EmbeddedServers(Path(folder) / "data") as servers,
    ):
        dsn = servers.postgres.dsn
        stored = _prepared(dsn, events)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            clean, took_s, peak = pool.submit(_audited, dsn, redecides).result()
    rate = f"{stored / took_s:,.0f} events/s"
    said = "clean" if clean else "NOT CLEAN"
    sys.stdout.write(f"{stored:,} events: {took_s:.1f} s, {rate}, peak {peak / MB:.0f} MB, {said}\n")
    sys.stdout.flush()
    return clean


def _prepared(dsn: str, events: int) -> int:
    for log in LOGS:
        migrate_log(dsn, log)
    create_read_tables(dsn)
    stored = sum(fill(dict.fromkeys(LOGS, dsn), events).values())
    for projection in PROJECTIONS:
        with PostgresProjection(projection, log_dsn=dsn, read_dsn=dsn) as live:
            while live.advance():
                pass
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return stored


def _audited(dsn: str, redecides: bool) -> tuple[bool, float, int]:
    """Whether it was clean, seconds, and bytes of all its processes at the peak."""
    began = time.monotonic()
    memory = _Memory()
    report = audit(dict.fromkeys((*LOGS, "read"), dsn), redecides=redecides)
    took_s = time.monotonic() - began
    return report.is_clean, took_s, memory.peak()


class _Memory:
    """Looks now and then at what this process and its children have."""

    def __init__(self) -> None:
        self._most = 0
        self._over = Event()
        self._thread = Thread(target=self._look, daemon=True)
        self._thread.start()

    def peak(self) -> int:
        self._over.set()
        self._thread.join()
        return self._most

    def _look(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            self._most = max(self._most, sum(map(_pss, _family())))


def _family() -> list[int]:
    """This process and its children."""
    found = [os.getpid()]
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            found += map(int, (task / "children").read_text().split())
    return found


def _pss(process: int) -> int:
    """In bytes; 0 for one that has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * KIB
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
