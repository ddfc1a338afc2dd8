"""`tillroll up` and `migrate`: running Tillroll."""

import asyncio
import signal
import sys
import threading

import typer
from rich.console import Console

from adapters.cli_options import DEFAULT_PORT, Data, Host, Port, settings_with
from adapters.postgres_migrate import migrate
from adapters.settings import Settings, load_settings
from adapters.site import Site
from adapters.staff_account import ensure_staff


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command("migrate")(migrate_command)


def up(host: Host = "127.0.0.1", port: Port = DEFAULT_PORT, data: Data = None) -> None:
    """Run everything in the foreground: PostgreSQL, NATS, the API and every other role.

    Servers that settings name are used; those they do not name are started below the data folder.
    """
    console = Console()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _request_stop(stop, site))
    settings = settings_with(data)
    site = Site(settings, host=host, port=port)
    with site:
        greet(console, site, settings)
        if not stop.is_set():
            site.watch()
        console.print("Stopping.", highlight=False, soft_wrap=True)


def _request_stop(stop: threading.Event, site: Site) -> None:
    stop.set()
    site.stop()


def greet(console: Console, site: Site, settings: Settings) -> None:
    """What a person needs to begin: the URL, and on a new folder how to sign in."""
    console.print(
        f"Tillroll runs at {site.url}   (API documentation: {site.url}/docs)", highlight=False, soft_wrap=True
    )
    console.print(f"Data folder: {settings.data.resolve()}", highlight=False, soft_wrap=True)
    staff = site.staff
    if staff is None or not staff.is_new:
        return
    if settings.staff_password is not None:
        console.print(
            f"Sign in as staff: {staff.email}, with TILLROLL_STAFF_PASSWORD", highlight=False, soft_wrap=True
        )
        return
    console.print(
        "A staff account was made. Sign in (POST /v1/sessions) with:", highlight=False, soft_wrap=True
    )
    console.print(f"  email     {staff.email}\n  password  {staff.password}", highlight=False, soft_wrap=True)
    console.print(
        "The password is kept in the data folder, in the file staff-password.",
        highlight=False,
        soft_wrap=True,
    )


def migrate_command() -> None:
    """Make or bring up to date all schemas; with TILLROLL_STAFF_EMAIL and _PASSWORD the staff account too."""
    settings = load_settings()
    migrate(settings)
    if settings.staff_email and settings.staff_password:
        asyncio.run(ensure_staff(settings))
    sys.stdout.write("All schemas are up to date.\n")
