"""`tillroll load` and `tillroll demo`: real orders through the public API."""

import asyncio
import logging
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from adapters.audit_run import audit, verdict_line
from adapters.cli_options import Data, settings_with
from adapters.cli_site import greet
from adapters.data_folder import NotRunning, read_running
from adapters.grounds import CannotStart
from adapters.retail_file import read_retail, slice_path
from adapters.retail_load import CONCURRENCY, LoadSettings, load
from adapters.retail_plan import RetailPlan, first_orders
from adapters.retail_progress import shown_on
from adapters.retail_result import LoadResult, problems
from adapters.retail_summary import summary
from adapters.settings import SERVICES, Settings, load_settings
from adapters.site import Site, fresh_site
from adapters.staff_account import known_staff

DEFAULT_URL: Final = "http://127.0.0.1:8000"

Concurrency = Annotated[int, typer.Option(help="Shoppers at the same time.", min=1, max=1000)]


def register(app: typer.Typer) -> None:
    app.command("load")(load_command)
    app.command()(demo)


def load_command(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv[.gz]", help="Retail orders.")],
    url: Annotated[str | None, typer.Option(help="The running server.")] = None,
    concurrency: Concurrency = CONCURRENCY,
    data: Data = None,
) -> None:
    """Place and pay every order of a retail file on a running server. May be run again after any stop."""
    settings = settings_with(data)
    console = Console()
    plan = read_retail(file)
    result = _load(plan, settings, url or _running_url(settings), concurrency, console)
    _tell(console, result, settings, "not asked; run `tillroll audit`")


def demo(
    orders: Annotated[int | None, typer.Option(help="Only so many orders.", min=1)] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Stay up afterwards.")] = False,
) -> None:
    """A whole shop on a fresh data folder: real orders over HTTP, then the audit of the books."""
    console = Console()
    # The roles' own log lines would tear the progress bar; warnings still show.
    logging.getLogger().setLevel(logging.WARNING)
    plan = read_retail(slice_path())
    plan = plan if orders is None else first_orders(plan, orders)
    console.print("Starting PostgreSQL, NATS and Tillroll on a fresh data folder ...", highlight=False)
    with fresh_site(load_settings(), "demo") as site:
        greet(console, site, site.settings)
        _run_demo(console, site, plan)
        _stay(console, site, keep)


def _run_demo(console: Console, site: Site, plan: RetailPlan) -> None:
    result = _load(plan, site.settings, site.url, CONCURRENCY, console)
    console.print("Auditing every log and every read model ...", highlight=False)
    report = audit(_addresses(site.settings))
    _tell(console, result, site.settings, verdict_line(report), is_clean=report.is_clean)


def _stay(console: Console, site: Site, keep: bool) -> None:
    if keep:
        console.print(f"Still running at {site.url}. Ctrl-C stops it.", highlight=False)
        threading.Event().wait()


def _load(plan: RetailPlan, settings: Settings, url: str, concurrency: int, console: Console) -> LoadResult:
    staff = known_staff(settings)
    if staff.password is None:
        raise CannotStart("no staff password: set TILLROLL_STAFF_EMAIL and TILLROLL_STAFF_PASSWORD")
    wanted = LoadSettings(url, staff.email, staff.password, concurrency)
    with shown_on(console) as progress:
        return asyncio.run(load(plan, wanted, progress))


def _tell(
    console: Console, result: LoadResult, settings: Settings, verdict: str, *, is_clean: bool = True
) -> None:
    """Ends the command with exit code 1 when something does not add up."""
    console.print(summary(result, currency=settings.currency, audit_verdict=verdict))
    wrong = problems(result)
    for problem in wrong:
        sys.stderr.write(f"tillroll: {problem}\n")
    if wrong or not is_clean:
        raise typer.Exit(1)


def _running_url(settings: Settings) -> str:
    """Where `up` runs on this data folder, else the default address."""
    try:
        return read_running(settings.data).notes.get("api_url", DEFAULT_URL)
    except NotRunning:
        return DEFAULT_URL


def _addresses(settings: Settings) -> Mapping[str, str]:
    return {service: settings.dsn(service) or "" for service in SERVICES}
