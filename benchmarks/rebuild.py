"""How fast all read models are rebuilt, beside what PostgreSQL needs to read and COPY the same bytes.

    python -m benchmarks.rebuild --events 1000000 --rounds 3

One round: the floor (every log's bytes read by COPY and written by COPY into tables of the same shape), then
a whole `replay rebuild` of the same logs: built, indexed, compared with the live set, swapped. Memory is that
of the rebuilding processes together, sampled ten times a second.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
from psycopg.sql import SQL, Identifier
from rich.console import Console
from rich.table import Table

from adapters.embedded_servers import EmbeddedServers
from adapters.postgres_migrate import migrate_log
from adapters.postgres_projection import PostgresProjection
from adapters.postgres_read_schema import create_read_tables
from adapters.read_rebuild import Teller, rebuild
from adapters.settings import LOGS
from benchmarks.history import fill
from projections import PROJECTIONS

SAMPLE_EVERY_S = 0.1


def main() -> None:
    options = _options()
    with (
        tempfile.TemporaryDirectory(prefix="tillroll-bench-") as folder,
        EmbeddedServers(Path(folder) / "data") as servers,
    ):
        events = _prepare(servers.postgres.dsn, options.events)
        rounds = [_round(servers.postgres.dsn, number) for number in range(1, options.rounds + 1)]
    _report(events, rounds, options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None, help="also write the figures there")
    return parser.parse_args()


def _prepare(dsn: str, events: int) -> int:
    for log in LOGS:
        migrate_log(dsn, log)
    create_read_tables(dsn)
    began = time.monotonic()
    stored = sum(fill(dict.fromkeys(LOGS, dsn), events).values())
    print(f"{stored:,} events made and stored in {time.monotonic() - began:.0f} s", flush=True)
    began = time.monotonic()
    for projection in PROJECTIONS:
        with PostgresProjection(projection, log_dsn=dsn, read_dsn=dsn) as live:
            while live.advance():
                pass
    print(f"live read models caught up in {time.monotonic() - began:.0f} s", flush=True)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return stored


def _round(dsn: str, number: int) -> dict[str, float]:
    floor_s, size = _floor(dsn)
    dsns = dict.fromkeys([*LOGS, "read"], dsn)
    began = time.monotonic()
    with _peak_memory() as memory:
        made = rebuild(dsns, Teller(), accept=False)
    took_s = time.monotonic() - began
    assert made.comparison.is_same
    assert made.swapped_at is not None
    figures = {
        "floor_s": floor_s,
        "log_mb": size / 1e6,
        "built_s": made.built.seconds,
        "rebuilt_s": took_s,
        "rows": made.comparison.rows,
        "memory_mb": memory[0] / 1e6,
    }
    print(
        f"round {number}: {json.dumps({name: round(value, 2) for name, value in figures.items()})}",
        flush=True,
    )
    return figures


def _floor(dsn: str) -> tuple[float, int]:
    """Seconds and bytes to read every log and write it again."""
    with psycopg.connect(dsn, autocommit=True) as source, psycopg.connect(dsn, autocommit=True) as target:
        target.execute("DROP SCHEMA IF EXISTS floor CASCADE")
        target.execute("CREATE SCHEMA floor")
        for log in LOGS:
            like = SQL("CREATE TABLE {} (LIKE {})")
            target.execute(like.format(Identifier("floor", log), Identifier(log, "events")))
        began = time.monotonic()
        size = sum(_copied(source, target, log) for log in LOGS)
        took_s = time.monotonic() - began
        target.execute("DROP SCHEMA floor CASCADE")
        return took_s, size


def _copied(source: psycopg.Connection, target: psycopg.Connection, log: str) -> int:
    read = SQL("COPY (SELECT * FROM {} ORDER BY notification_id) TO STDOUT (FORMAT binary)")
    write = SQL("COPY {} FROM STDIN (FORMAT binary)")
    size = 0
    with (
        source.cursor().copy(read.format(Identifier(log, "events"))) as reading,
        target.cursor().copy(write.format(Identifier("floor", log))) as writing,
    ):
        for block in reading:
            size += len(block)
            writing.write(block)
    return size


@contextmanager
def _peak_memory() -> Iterator[list[int]]:
    """The most that this process and its children, servers apart, have had in memory together, in bytes."""
    peak = [0]
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(SAMPLE_EVERY_S):
            peak[0] = max(peak[0], _memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        is_over.set()
        watcher.join()


def _memory() -> int:
    total = 0
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        try:
            if process.name().startswith("python") or process == own:
                total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _report(events: int, rounds: Sequence[Mapping[str, float]], path: Path | None) -> None:
    medians = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    table = Table("What", "Median", "From", "To", title=f"{events:,} events, {len(rounds)} rounds")
    for name, median in medians.items():
        values = [one[name] for one in rounds]
        table.add_row(name, f"{median:,.2f}", f"{min(values):,.2f}", f"{max(values):,.2f}")
    for name in ("built_s", "rebuilt_s"):
        rates = [events / one[name] for one in rounds]
        table.add_row(
            f"events/s, {name}",
            f"{statistics.median(rates):,.0f}",
            f"{min(rates):,.0f}",
            f"{max(rates):,.0f}",
        )
        ratios = [one[name] / one["floor_s"] for one in rounds]
        table.add_row(
            f"{name} / floor", f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}", f"{max(ratios):.2f}"
        )
    Console(width=110).print(table)
    if path is not None:
        path.write_text(json.dumps({"events": events, "rounds": rounds}, indent=1))


if __name__ == "__main__":
    main()
