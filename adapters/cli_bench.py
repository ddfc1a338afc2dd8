"""`tillroll bench`: measurements on a shop of its own. Not part of the tests: machines differ."""

import asyncio
import json
import logging
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from adapters.api_client import Login
from adapters.bench_http import BenchPlan, Figures, bench, median_of
from adapters.settings import load_settings
from adapters.site import fresh_site

app = typer.Typer(help="Measurements on a fresh shop of this machine.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="bench")


@app.callback()
def benches() -> None:
    """Measurements on a fresh shop of this machine."""


@app.command()
def http(
    orders: Annotated[int, typer.Option(help="Orders of a busy round.", min=100)] = 3_000,
    callers: Annotated[int, typer.Option(help="Customers at once in a busy round.", min=2)] = 32,
    rounds: Annotated[int, typer.Option(help="Rounds; the median counts.", min=1)] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Orders of two lines over HTTP, cart included: one customer alone, then many at once."""
    logging.getLogger().setLevel(logging.WARNING)
    plan = BenchPlan(busy_orders=orders, callers=callers, rounds=rounds)
    with fresh_site(load_settings(), "bench") as site:
        staff = site.staff
        assert staff is not None
        assert staff.password is not None
        idle, busy = asyncio.run(bench(site.url, Login(staff.email, staff.password), plan))
    _tell(idle, busy, as_json=as_json)


def _tell(idle: list[Figures], busy: list[Figures], *, as_json: bool) -> None:
    if as_json:
        every: dict[str, list[dict[str, Any]]] = {"idle": [*map(asdict, idle)], "busy": [*map(asdict, busy)]}
        sys.stdout.write(json.dumps(every, indent=1) + "\n")
        return
    table = Table("phase", "customers", "orders/s", "placing p50 ms", "placing p99 ms", "rounds")
    for name, figures in (("idle", idle), ("busy", busy)):
        table.add_row(
            name,
            str(figures[0].callers),
            f"{median_of(figures, 'per_s'):,.0f}",
            f"{median_of(figures, 'p50_ms'):.1f}",
            f"{median_of(figures, 'p99_ms'):.1f}",
            " ".join(f"{figure.per_s:,.0f}" for figure in figures),
        )
    Console().print(table)
