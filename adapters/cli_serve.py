"""`tillroll serve` and `dsn`: roles on servers that exist, and where the embedded ones are."""

import socket
import sys
from contextlib import suppress
from typing import Annotated

import typer
import uvloop

from adapters.cli_options import DEFAULT_PORT, Data, Host, Port, settings_with
from adapters.data_folder import read_running
from adapters.grounds import CannotStart
from adapters.listening import bound_socket
from adapters.roles import API, ROLES, run_roles
from adapters.settings import load_settings


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command()(serve)
    app.command()(dsn)


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
