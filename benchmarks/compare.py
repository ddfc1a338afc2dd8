"""Speed beside yardsticks: the SQL limit, peers and Tillroll in turn, as ratios to the limit of their round.

    python -m benchmarks.compare --rounds 5 --seconds 8 --out docs/performance

Every contender runs as a process of its own with a PostgreSQL of its own, one after the other, so that each
has the machine to itself and all of a round meet the same neighbours. A ratio is taken within its round;
medians and ranges are of these. Writes `compare.json` and `compare.svg` into `--out`.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.compare_chart import Bar, chart
from benchmarks.peers.figures import SHAPES

WIDTH: Final = 140
LATE_LIMIT_S: Final = 300.0
LIMIT: Final = "limit"


@dataclass(frozen=True, slots=True)
class Contender:
    """`module` prints one line of JSON. `clients`: as suits it best, 32 at least."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    clients: int = 32


CONTENDERS: Final = (
    Contender(LIMIT, "benchmarks.limit"),
    Contender("engine", "benchmarks.engine", ("--role", "inventory"), 1_000),
    Contender("engine, 32 clients", "benchmarks.engine"),
    Contender(
        "engine, sustained", "benchmarks.engine", ("--role", "inventory", "--role", "projector"), 1_000
    ),
    Contender("FastAPI + SQL", "benchmarks.peers.fastapi_sql"),
    Contender("http", "benchmarks.http_orders"),
    Contender("eventsourcing", "benchmarks.peers.eventsourcing_order"),
    Contender("DBOS", "benchmarks.peers.dbos_order"),
)
"""The first is what the others are compared with."""


class RoundFailed(Exception):
    """A contender ended with an error, or did not end; the text has its last line."""


@dataclass(frozen=True, slots=True)
class Result:
    """One contender in one shape over all rounds. `ratios`: to the limit of the same round."""

    name: str
    shape: str
    clients: int
    rounds: Sequence[Mapping[str, Any]]
    ratios: Sequence[float]

    def median(self, figure: str) -> float:
        return median(float(one.get(figure, 0.0)) for one in self.rounds)


def measured(contender: Contender, shape: str, seconds: int) -> Mapping[str, Any]:
    """Raises RoundFailed."""
    options = {"--shape": shape, "--clients": contender.clients, "--seconds": seconds}
    words = [str(word) for option in options.items() for word in option]
    command = [sys.executable, "-m", contender.module, *words, *contender.arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + LATE_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RoundFailed(f"{contender.name} did not end") from error
    if done.returncode:
        raise RoundFailed(f"{contender.name}: {done.stderr.strip().rpartition(chr(10))[2]}")
    figures: Mapping[str, Any] = json.loads(done.stdout.strip().rpartition("\n")[2])
    return _as_others(figures) if contender.name == LIMIT else figures


def _as_others(limit: Mapping[str, Any]) -> Mapping[str, Any]:
    """The limit tells totals of its round, and the load's processor time apart."""
    orders = max(1, limit["orders"])
    return {
        **limit,
        "cpu_ms_per_order": limit["cpu_ms"],
        "postgres_ms_per_order": limit["cpu_ms"],
        "load_ms_per_order": limit["load_cpu_ms"],
        "commits_per_order": limit["commits"] / orders,
        "wal_bytes_per_order": limit["wal_bytes"] / orders,
    }


def compared(
    contenders: Sequence[Contender], shapes: Iterable[str], rounds: int, seconds: int, out: Console
) -> list[Result]:
    """Raises RoundFailed."""
    results: list[Result] = []
    for shape in shapes:
        figures: dict[str, list[Mapping[str, Any]]] = {contender.name: [] for contender in contenders}
        for number in range(1, rounds + 1):
            for contender in contenders:
                one = measured(contender, shape, seconds)
                figures[contender.name].append(one)
                out.print(f"{shape} {number}/{rounds} {contender.name}: {one['orders_per_s']:,.0f} orders/s")
        limits = [one["orders_per_s"] for one in figures[contenders[0].name]]
        for contender in contenders:
            own = figures[contender.name]
            ratios = [one["orders_per_s"] / limit for one, limit in zip(own, limits, strict=True)]
            results.append(Result(contender.name, shape, contender.clients, own, ratios))
    return results


def show(results: Sequence[Result], out: Console) -> None:
    table = Table("shape", "what", "clients", "orders/s", "ratio to the limit", "p50 ms", "p99 ms")
    for title in ("CPU ms an order", "of it PostgreSQL", "commits an order", "WAL bytes an order"):
        table.add_column(title, justify="right")
    for one in results:
        low, high = min(one.ratios), max(one.ratios)
        table.add_row(
            one.shape,
            one.name,
            str(one.clients),
            f"{one.median('orders_per_s'):,.0f}",
            f"{median(one.ratios):.2f} ({low:.2f}-{high:.2f})",
            f"{one.median('p50_ms'):.1f}",
            f"{one.median('p99_ms'):.1f}",
            f"{one.median('cpu_ms_per_order'):.2f}",
            f"{one.median('postgres_ms_per_order'):.2f}",
            f"{one.median('commits_per_order'):.2f}",
            f"{one.median('wal_bytes_per_order'):,.0f}",
        )
    out.print(table)


def write(results: Sequence[Result], folder: Path, seconds: int, began: datetime) -> None:
    """Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    body = {
        "began": began.isoformat(timespec="seconds"),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": seconds,
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "kind": platform.machine(),
            "python": platform.python_version(),
            "ns_per_loop": _ns_per_loop(),
        },
        "results": [asdict(one) for one in results],
    }
    (folder / "compare.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    bars = [
        Bar(one.shape, one.name, [figures["orders_per_s"] for figures in one.rounds], median(one.ratios))
        for one in results
    ]
    (folder / "compare.svg").write_text(chart(bars), encoding="utf-8")


def _ns_per_loop(times: int = 2_000_000) -> float:
    """How long Python's simplest loop takes here, so that figures of different machines can be told apart."""
    begun = time.process_time()
    for _ in range(times):
        pass
    return round((time.process_time() - begun) / times * 1e9, 1)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--shape", action="append", choices=SHAPES)
    parser.add_argument("--only", action="append", help="a contender; the limit always runs")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out"))
    args = parser.parse_args(arguments)
    out = Console(width=WIDTH, highlight=False)
    wanted = [one for one in CONTENDERS if not args.only or one.name in {LIMIT, *args.only}]
    began = datetime.now(UTC)
    try:
        results = compared(wanted, args.shape or SHAPES, args.rounds, args.seconds, out)
    except RoundFailed as error:
        Console(stderr=True).print(str(error), markup=False)
        return 1
    show(results, out)
    write(results, args.out, args.seconds, began)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
