"""`tillroll bench http|tokens|logins`: what callers of a shop of its own feel."""

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
from adapters.bench_logins import (
    MOST_CHECKED,
    MOST_DIFFERENCE_PERCENT,
    MOST_P99_RATIO,
    LoginFigures,
    LoginPlan,
    bench_logins,
)
from adapters.bench_tokens import bench_tokens
from adapters.paseto_tokens import MAX_CACHED
from adapters.settings import load_settings
from adapters.site import Site, fresh_site


def register(app: typer.Typer) -> None:
    for command in (http, tokens, logins):
        app.command()(command)


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
        idle, busy = asyncio.run(bench(site.url, _staff(site), plan))
    _tell(idle, busy, as_json=as_json)


def tokens(
    count: Annotated[int, typer.Option(help="Tokens of each kind.", min=100, max=MAX_CACHED)] = 5_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Making an access token, checking one that is new, and one that was seen before."""
    figures = bench_tokens(count, load_settings())
    if as_json:
        sys.stdout.write(
            json.dumps([{**asdict(each), "holds": each.holds} for each in figures], indent=1) + "\n"
        )
        return
    table = Table("token", "median us", "p99 us", "median under us", "holds")
    for each in figures:
        most = "" if each.most_us is None else f"{each.most_us:.0f}"
        holds = {True: "yes", False: "no", None: ""}[each.holds]
        table.add_row(each.what, f"{each.median_us:.1f}", f"{each.p99_us:.1f}", most, holds)
    Console().print(table)


def logins(
    tries: Annotated[int, typer.Option(help="Log-ins timed of each kind.", min=10)] = 500,
    guesses: Annotated[int, typer.Option(help="Guesses sent of each kind.", min=100)] = 10_000,
    rounds: Annotated[int, typer.Option(help="Rounds without and with guessing.", min=1)] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What a log-in's time tells, how many guesses are checked, and what others feel of a flood of them."""
    logging.getLogger().setLevel(logging.ERROR)
    settings = load_settings().model_copy(update={"trusted_proxies": "127.0.0.1"})
    plan = LoginPlan(tries, guesses, rounds)
    with fresh_site(settings, "bench") as site:
        figures = asyncio.run(bench_logins(site.url, _staff(site), plan))
    _tell_logins(figures, as_json=as_json)


def _staff(site: Site) -> Login:
    staff = site.staff
    assert staff is not None
    assert staff.password is not None
    return Login(staff.email, staff.password)


def _tell_logins(figures: LoginFigures, *, as_json: bool) -> None:
    times, others = figures.times, figures.others
    if as_json:
        derived = {
            "difference_percent": times.difference_percent,
            "one_account_checked": figures.one_account.checked,
            "many_accounts_checked": figures.many_accounts.checked,
            "p99_ratio": others.ratio,
        }
        sys.stdout.write(json.dumps({**asdict(figures), **derived}, indent=1) + "\n")
        return
    table = Table("what", "figure", "at most")
    table.add_row("log-in, known address", f"{times.known_ms:.2f} ms", "")
    table.add_row("log-in, unknown address", f"{times.unknown_ms:.2f} ms", "")
    table.add_row("difference", f"{times.difference_percent:.1f} %", f"{MOST_DIFFERENCE_PERCENT} %")
    for name, flooded in (("one account", figures.one_account), ("many accounts", figures.many_accounts)):
        what = f"{flooded.guesses:,} guesses at {name} in {flooded.seconds:.0f} s, checked"
        table.add_row(what, str(flooded.checked), f"{MOST_CHECKED} an hour")
    table.add_row("p99 of other requests", f"{others.quiet_p99_ms:.1f} ms", "")
    table.add_row(f"the same during {others.guesses:,} guesses", f"{others.flooded_p99_ms:.1f} ms", "")
    table.add_row("ratio", f"{others.ratio:.2f}", f"{MOST_P99_RATIO}")
    Console().print(table)


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
