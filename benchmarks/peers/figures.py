"""What every peer prints of a round, and how it is asked for one."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final

from adapters.retail_result import percentile
from benchmarks.http_load import Loaded
from benchmarks.limit_server import Work
from benchmarks.peers.callers import Called
from benchmarks.server import bare_server

SHAPES: Final = ("spread", "hot")
CLIENTS: Final = 32
SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one round. `orders`: placed in `seconds`, or refused where all is sold out; without the warm-up's.

    `cpu_ms_per_order`: of the peer and of PostgreSQL together, `postgres_ms_per_order`: of PostgreSQL alone;
    `load_ms_per_order`: of the process that made the load, 0 where the peer's own did.
    `errors`: asked for and not placed, though nothing was sold out. `oversold`: goods with less than nothing
    left, which is an AssertionError. `lines_per_s`: 0 where nobody has counted them.
    `behind_s`: that projections were behind at the end; `seconds` has them in it.
    """

    name: str
    shape: str
    clients: int
    orders: int
    seconds: float
    orders_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms_per_order: float
    postgres_ms_per_order: float
    load_ms_per_order: float
    commits_per_order: float
    wal_bytes_per_order: float
    errors: int
    oversold: int = 0
    lines_per_s: float = 0.0
    behind_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """`workers`: processes, or threads where a peer has those; its own number where it is 0."""

    shape: str
    clients: int
    seconds: float
    workers: int


def figures_of(name: str, asked: Asked, called: Called, work: Work, *, written: int) -> Figures:
    """Of threads that called. `written`: orders that are there, those of the warm-up among them.

    Raises AssertionError when more was answered than is there; says what errors there were on stderr.
    """
    orders, times = len(called.latencies_ms), sorted(called.latencies_ms)
    assert written >= orders > 0, f"{written} orders written, {orders} answered: {called.errors}"
    for text, count in called.errors.items():
        sys.stderr.write(f"{count} x {text}\n")
    return Figures(
        name=name,
        shape=asked.shape,
        clients=asked.clients,
        orders=orders,
        seconds=asked.seconds,
        orders_per_s=orders / asked.seconds,
        p50_ms=percentile(times, 50),
        p99_ms=percentile(times, 99),
        cpu_ms_per_order=(called.cpu_s + work.cpu_s) * 1e3 / written,
        postgres_ms_per_order=work.cpu_s * 1e3 / written,
        load_ms_per_order=0.0,
        commits_per_order=work.commits / written,
        wal_bytes_per_order=work.wal_bytes / written,
        errors=sum(called.errors.values()),
    )


def figures_of_load(
    name: str, shape: str, clients: int, result: Loaded, work: Work, *, own_cpu_s: float, written: int
) -> Figures:
    """Of a load over HTTP. `own_cpu_s`: of whom it was sent to. What was used is of all that were written."""
    placed = result.answers[201]
    return Figures(
        name=name,
        shape=shape,
        clients=clients,
        orders=placed.count,
        seconds=result.seconds,
        orders_per_s=placed.count / result.seconds,
        p50_ms=placed.p50_ms,
        p99_ms=placed.p99_ms,
        cpu_ms_per_order=(own_cpu_s + work.cpu_s) * 1e3 / written,
        postgres_ms_per_order=work.cpu_s * 1e3 / written,
        load_ms_per_order=result.cpu_s * 1e3 / written,
        commits_per_order=work.commits / written,
        wal_bytes_per_order=work.wal_bytes / written,
        errors=sum(result.others.values()) + result.unanswered,
    )


def main(about: str, measure: Callable[[str, Asked], Figures], arguments: Sequence[str]) -> None:
    """One round against a server of its own or the given one, as one line of JSON."""
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="spread")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--dsn", help="of a server on this machine; a new one if not given")
    args = parser.parse_args(arguments)
    with _server(args.dsn) as dsn:
        figures = measure(dsn, Asked(args.shape, args.clients, args.seconds, args.workers))
    sys.stdout.write(json.dumps({name: _short(value) for name, value in asdict(figures).items()}) + "\n")


def _short(value: object) -> object:
    return round(value, 3) if isinstance(value, float) else value


@contextmanager
def _server(dsn: str | None) -> Iterator[str]:
    if dsn is not None:
        yield dsn
        return
    with bare_server() as own:
        yield own
