"""`tillroll user`: accounts for staff and services, and what a person may ask of the shop."""

import asyncio
import secrets
import sys
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from adapters.cli_options import Data, settings_with
from adapters.cli_reading import By, login_name
from adapters.data_folder import read_running
from adapters.grounds import CannotStart
from adapters.saga_desk import caller_named
from adapters.settings import SERVICES, Settings
from adapters.staff_account import register as register_user
from adapters.user_passwords import PasswordTooCommon
from adapters.user_requests import Erased
from adapters.user_requests import erase as erase_user
from adapters.user_requests import export as export_user
from adapters.user_requests import log_out as log_out_user
from domain.refusals import Busy, EmailTaken, NoSuchUser
from domain.user import Role

T = TypeVar("T")

ROLES = {"staff": Role.STAFF, "service": Role.SERVICE}

WHO = typer.Argument(metavar="WHO", help="An email address or a user id.")

app = typer.Typer(help="Accounts, and what a person may ask of the shop.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="user")


@app.callback()
def users() -> None:
    """Accounts, and what a person may ask of the shop."""


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
    except (EmailTaken, PasswordTooCommon) as refusal:
        raise CannotStart(f"{email}: {refusal}") from refusal
    sys.stdout.write(f"user {user_id} was made: {email}, {role}\n")
    if not password_stdin:
        sys.stdout.write(f"password  {password}\n")


@app.command()
def erase(
    who: Annotated[str, WHO],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    by: By = None,
    data: Data = None,
) -> None:
    """Forget a person for good. Orders stay, with their goods and amounts, and nobody's name."""
    caller = caller_named(by or login_name())
    settings = _addressed(settings_with(data))
    if not yes and not _agreed(who):
        raise CannotStart("nothing was erased; --yes does it without asking")
    done = _told(who, erase_user(settings, who, by=caller))
    sys.stdout.write(_words(done))


@app.command("log-out")
def log_out(who: Annotated[str, WHO], by: By = None, data: Data = None) -> None:
    """End every session of a user now: somebody has left, or a token is in the wrong hands."""
    caller = caller_named(by or login_name())
    user_id = _told(who, log_out_user(_addressed(settings_with(data)), who, by=caller))
    sys.stdout.write(f"user {user_id} is logged out everywhere; it takes a second to reach every process\n")


@app.command()
def export(who: Annotated[str, WHO], data: Data = None) -> None:
    """Print everything that is known of a person as JSON: profile, cart and every order, in the clear."""
    found = _told(who, export_user(_addressed(settings_with(data)), who))
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")


def _agreed(who: str) -> bool:
    return sys.stdin.isatty() and typer.confirm(f"Erase {who} for good?", err=True)


def _words(done: Erased) -> str:
    before = "" if done.is_new else "had been "
    later = (
        ""
        if done.is_destroyed
        else "; the read models are behind, so the api role destroys the key later, or this:"
        f" tillroll user erase {done.user_id} --yes"
    )
    kept = "1 order is" if done.deliveries == 1 else f"{done.deliveries} orders are"
    left = f"; {kept} under way, with what delivery needs until the end" if done.deliveries else ""
    return f"user {done.user_id} {before}erased{later}{left}\n"


def _told(who: str, work: Coroutine[Any, Any, T]) -> T:
    """Raises CannotStart, in one line that names whom it is about."""
    try:
        return asyncio.run(work)
    except (NoSuchUser, Busy) as refusal:
        raise CannotStart(f"{who}: {refusal}") from refusal


def _addressed(settings: Settings) -> Settings:
    """With the running embedded database, when a setting names none. Raises NotRunning."""
    if all(settings.dsn(service) is not None for service in SERVICES):
        return settings
    return settings.model_copy(update={"shared_dsn": read_running(settings.data).dsn})
