"""How long an audit of everything takes and how much memory, at several lengths of the logs.

    python -m benchmarks.audit --events 250000 500000 1000000

Each length is a shop of its own, with its read models brought up to date. The audit runs in a new process,
so that its peak of memory is nobody else's; PostgreSQL's memory is not counted.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import psycopg

from adapters.audit_run import audit
from adapters.embedded_servers import EmbeddedServers
from adapters.postgres_migrate import LOGS, migrate_log
from adapters.postgres_projection import PostgresProjection
from adapters.postgres_read_schema import create_read_tables
from benchmarks.history import fill
from projections import PROJECTIONS

LENGTHS: Final = (250_000, 500_000, 1_000_000)
KIB: Final = 1024
MB: Final = 1e6


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Times the audit of a shop's whole history.")
    parser.add_argument("--events", type=int, nargs="+", default=list(LENGTHS))
    clean = [_measured(events) for events in parser.parse_args(arguments).events]
    return 0 if all(clean) else 1


def _measured(events: int) -> bool:
    with (
        tempfile.TemporaryDirectory(prefix="tillroll-bench-") as folder,
        EmbeddedServers(Path(folder) / "data") as servers,
    ):
        dsn = servers.postgres.dsn
        stored = _prepared(dsn, events)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            clean, took_s, peak = pool.submit(_audited, dsn).result()
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


def _audited(dsn: str) -> tuple[bool, float, int]:
    """Whether it was clean, seconds, and bytes at the peak."""
    began = time.monotonic()
    report = audit(dict.fromkeys((*LOGS, "read"), dsn))
    took_s = time.monotonic() - began
    return report.is_clean, took_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
