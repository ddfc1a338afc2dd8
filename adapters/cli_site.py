"""`tillroll up`, `serve`, `migrate` and `dsn`: running Tillroll."""

import asyncio
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop
from rich.console import Console

from adapters.cli_reading import settings_with
from adapters.embedded_servers import read_running
from adapters.http_server import bound_socket
from adapters.postgres_migrate import migrate
from adapters.roles import API, ROLES, run_roles
from adapters.settings import Settings, load_settings
from adapters.site import Site
from adapters.staff_account import ensure_staff
from adapters.wiring import CannotStart

DEFAULT_PORT: Final = 8000

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)]
Data = Annotated[Path | None, typer.Option(help="Data folder; TILLROLL_DATA or ./data when left out.")]


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(serve)
    app.command("migrate")(migrate_command)
    app.command()(dsn)


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


def serve(
    roles: Annotated[list[str], typer.Argument(metavar="ROLE...", help=", ".join(ROLES))],
    host: Host = "127.0.0.1",
    port: Port = DEFAULT_PORT,
) -> None:
    """Run roles in this process, on servers that exist (TILLROLL_DSN, TILLROLL_NATS_URL)."""
    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        raise CannotStart(f"unknown role {unknown[0]!r}; there are: {', '.join(ROLES)}")
    settings = load_settings()
    sock = _listening(host, port) if API in roles else None
    uvloop.run(run_roles(settings, roles, sock))


def _listening(host: str, port: int) -> socket.socket:
    try:
        return bound_socket(host, port)
    except OSError as error:
        raise CannotStart(f"cannot listen on {host} port {port}: {error.strerror or error}") from error


def migrate_command() -> None:
    """Make or bring up to date all schemas; with TILLROLL_STAFF_EMAIL and _PASSWORD the staff account too."""
    settings = load_settings()
    migrate(settings)
    if settings.staff_email and settings.staff_password:
        asyncio.run(ensure_staff(settings))
    sys.stdout.write("All schemas are up to date.\n")


def dsn(
    data: Data = None,
    nats: Annotated[bool, typer.Option("--nats", help="The broker's address instead.")] = False,
) -> None:
    """Print the address of the running embedded PostgreSQL, for psql and friends."""
    running = read_running(settings_with(data).data)
    address = running.nats_url if nats else running.dsn
    if address is None:
        raise CannotStart("this server was not started here; its address is in the settings")
    with suppress(BrokenPipeError):
        sys.stdout.write(address + "\n")
