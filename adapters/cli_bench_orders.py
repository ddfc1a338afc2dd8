"""`tillroll bench engine|limit|orders|compare`: how many orders a second, beside yardsticks."""

import json
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from adapters.bench_checkout import BenchmarkFailed, NoBenchmarks, Options, figures_of, run_here


class Shape(StrEnum):
    SPREAD = "spread"
    HOT = "hot"


class EngineShape(StrEnum):
    SPREAD = "spread"
    HOT = "hot"
    RETAIL = "retail"
    SOLD_OUT = "sold-out"


class Role(StrEnum):
    INVENTORY = "inventory"
    PROJECTOR = "projector"
    WATCHLIST = "watchlist"


Clients = Annotated[int, typer.Option(help="Customers at once.", min=1)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

CLIENTS: Final = 32
SECONDS: Final = 10

FIGURES: Final[Mapping[str, tuple[str, str]]] = {
    "shape": ("shape", ""),
    "clients": ("customers at once", ",.0f"),
    "seconds": ("seconds", ",.1f"),
    "orders": ("orders", ",.0f"),
    "orders_per_s": ("orders a second", ",.0f"),
    "lines_per_s": ("lines a second", ",.0f"),
    "p50_ms": ("p50 of placing, ms", ",.1f"),
    "p99_ms": ("p99 of placing, ms", ",.1f"),
    "cpu_ms_per_order": ("CPU ms an order", ".2f"),
    "postgres_ms_per_order": ("of it PostgreSQL", ".2f"),
    "cpu_ms": ("PostgreSQL, CPU ms an order", ".2f"),
    "load_ms_per_order": ("the load, CPU ms an order", ".2f"),
    "load_cpu_ms": ("pgbench, CPU ms an order", ".2f"),
    "commits_per_order": ("commits an order", ".2f"),
    "commits": ("commits", ",.0f"),
    "wal_bytes_per_order": ("WAL bytes an order", ",.0f"),
    "wal_bytes": ("WAL bytes", ",.0f"),
    "behind_s": ("projections behind at the end, s", ".2f"),
    "errors": ("errors", ",.0f"),
}
"""What people are shown, and how; what is 0 or not there is left out."""


def register(app: typer.Typer) -> None:
    for command in (engine, limit, orders, compare):
        app.command()(command)


def engine(
    shape: Annotated[EngineShape, typer.Option(help="What is ordered.")] = EngineShape.SPREAD,
    clients: Clients = CLIENTS,
    seconds: Annotated[float, typer.Option(help="Of placing orders.", min=0.1)] = SECONDS,
    carts: Annotated[int, typer.Option(help="Filled before; 0 for enough of them.", min=0)] = 0,
    role: Annotated[list[Role] | None, typer.Option(help="Runs as a process of its own.")] = None,
    as_json: Json = False,
) -> None:
    """The whole saga without HTTP: two goods an order, real baskets, or refusals of what is sold out."""
    options = {"--shape": shape, "--clients": clients, "--seconds": seconds, "--carts": carts, "--role": role}
    _tell("engine", options, as_json=as_json)


def limit(
    shape: Annotated[Shape, typer.Option(help="What is ordered.")] = Shape.SPREAD,
    clients: Clients = CLIENTS,
    seconds: Annotated[int, typer.Option(help="Of placing orders.", min=1)] = SECONDS,
    stock: Annotated[int | None, typer.Option(help="Units of each goods; plenty if not given.")] = None,
    as_json: Json = False,
) -> None:
    """What the same order costs as one hand-written SQL function, driven by pgbench."""
    options = {"--shape": shape, "--clients": clients, "--seconds": seconds, "--stock": stock}
    _tell("limit", options, as_json=as_json)


def orders(
    shape: Annotated[Shape, typer.Option(help="What is ordered.")] = Shape.SPREAD,
    clients: Clients = CLIENTS,
    seconds: Annotated[float, typer.Option(help="Of placing orders.", min=0.1)] = SECONDS,
    rate: Annotated[
        float | None, typer.Option(help="Orders due each second; as fast as answers come if not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Placing orders over HTTP on a whole shop, carts filled before; the load is a process of its own."""
    options = {"--shape": shape, "--clients": clients, "--seconds": seconds, "--rate": rate}
    _tell("http_orders", options, as_json=as_json)


def compare(
    rounds: Annotated[int, typer.Option(help="Rounds; medians are of these.", min=1)] = 5,
    seconds: Annotated[int, typer.Option(help="Of placing orders, in each turn.", min=1)] = 8,
    sustained: Annotated[int, typer.Option(help="Seconds of the sustained turn.", min=1)] = 60,
    shape: Annotated[list[EngineShape] | None, typer.Option(help="Only this one; may be repeated.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this contender and the limit.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of compare.json and compare.svg.")] = Path(
        "benchmarks/out"
    ),
    as_json: Json = False,
) -> None:
    """Engine, HTTP, the SQL limit and peers in turn, with the goals: tables, JSON and a chart; an hour."""
    options = {
        "--rounds": rounds,
        "--seconds": seconds,
        "--sustained": sustained,
        "--shape": shape,
        "--only": only,
        "--out": out.absolute(),
        "--json": as_json,
    }
    status = _told(lambda: run_here("compare", options))
    if status:
        raise typer.Exit(status)


def _tell(module: str, options: Options, *, as_json: bool) -> None:
    waiting = Console(stderr=True)
    with waiting.status("Measuring on servers of its own ..."):
        figures = _told(lambda: figures_of(module, options))
    if as_json:
        sys.stdout.write(json.dumps(figures, indent=1) + "\n")
        return
    Console().print(_table(figures))


def _told(run: Callable[[], Any]) -> Any:
    """Says in one line why there are no figures: exit 2 where there are no benchmarks, 1 where one failed."""
    try:
        return run()
    except (NoBenchmarks, BenchmarkFailed) as error:
        sys.stderr.write(f"tillroll: {error}\n")
        raise typer.Exit(2 if isinstance(error, NoBenchmarks) else 1) from error


def _table(figures: Mapping[str, Any]) -> Table:
    table = Table("figure", str(figures["name"]))
    refused = figures.get("shape") == "sold-out"
    for name, (label, form) in FIGURES.items():
        if value := figures.get(name):
            table.add_row(label.replace("orders", "refusals") if refused else label, format(value, form))
    return table
