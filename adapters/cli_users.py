"""`tillroll user add`: accounts that nobody can register for by themselves."""

import asyncio
import secrets
import sys
from typing import Annotated

import typer

from adapters.cli_site import Data, settings_with
from adapters.embedded_servers import read_running
from adapters.settings import Settings
from adapters.staff_account import register as register_user
from adapters.wiring import CannotStart
from domain.refusals import EmailTaken
from domain.user import Role

ROLES = {"staff": Role.STAFF, "service": Role.SERVICE}

app = typer.Typer(help="Accounts for staff and for other services.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="user")


@app.callback()
def users() -> None:
    """Accounts for staff and for other services."""


@app.command()
def add(
    email: Annotated[str, typer.Argument(metavar="EMAIL")],
    role: Annotated[str, typer.Option(help="staff or service")],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    data: Data = None,
) -> None:
    """Make an account. Without --password-stdin a password is made up and printed once."""
    if role not in ROLES:
        raise CannotStart(f"unknown role {role!r}; there are: staff, service")
    settings = _addressed(settings_with(data))
    password = sys.stdin.readline().rstrip("\n") if password_stdin else secrets.token_urlsafe(18)
    if not 8 <= len(password) <= 256:
        raise CannotStart("the password must have 8 to 256 characters")
    try:
        user_id = asyncio.run(register_user(settings, email=email, password=password, role=ROLES[role]))
    except EmailTaken as refusal:
        raise CannotStart(f"{email}: {refusal}") from refusal
    sys.stdout.write(f"user {user_id} was made: {email}, {role}\n")
    if not password_stdin:
        sys.stdout.write(f"password  {password}\n")


def _addressed(settings: Settings) -> Settings:
    """With the running embedded database, when no setting names one. Raises NotRunning."""
    if settings.dsn("user") is not None:
        return settings
    return settings.model_copy(update={"shared_dsn": read_running(settings.data).dsn})
