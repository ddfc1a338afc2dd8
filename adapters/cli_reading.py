"""What commands share: where the logs are, who types, and how failures are told."""

import os
import pwd
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress, TaskID

from adapters.audit_run import CannotAudit
from adapters.embedded_servers import NotRunning, read_running
from adapters.log_moments import NoSuchMoment
from adapters.postgres_log_reader import LogUnreadable
from adapters.read_sets import CannotRebuild
from adapters.settings import SERVICES, SettingError, load_settings

COULD_NOT_RUN: Final = 2
PIPE_WIDTH: Final = 100_000
"""Columns where no person looks: nothing is cut or wrapped there."""

MAX_NUMBER: Final = 2**63 - 1
"""Of ids, versions and positions: what PostgreSQL calls a bigint."""

DataOption = typer.Option(None, "--data", metavar="DIR", help="The data folder of the embedded servers.")
JsonOption = typer.Option(False, "--json", help="Print JSON, for programs.")
By = Annotated[
    str | None, typer.Option("--by", metavar="NAME", help="Who; your login name when left out. Recorded.")
]


class BadArgument(Exception):
    """What was typed is not what the command expects; the text says what that is."""


def is_number(text: str) -> bool:
    """A whole number from 1 to MAX_NUMBER, in plain digits. Python refuses to read very long ones."""
    return text.isascii() and text.isdecimal() and len(text) < 20 and 0 < int(text) <= MAX_NUMBER


COULD_NOT: Final = (
    BadArgument,
    CannotAudit,
    CannotRebuild,
    LogUnreadable,
    NoSuchMoment,
    NotRunning,
    SettingError,
)


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """Ends the command with exit code 2 and one line on stderr when it could not run."""
    try:
        yield
    except COULD_NOT as error:
        typer.echo(f"tillroll: {error}", err=True)
        raise typer.Exit(COULD_NOT_RUN) from None


def addresses(data: Path | None) -> dict[str, str]:
    """The address of each service's log and of the read models: as set, else of the running embedded server.

    Raises SettingError; NotRunning where neither is there.
    """
    settings = load_settings()
    given = {service: settings.dsn(service) for service in SERVICES}
    if all(given.values()):
        return {service: dsn for service, dsn in given.items() if dsn}
    embedded = _embedded_dsn(data or settings.data)
    return {service: dsn or embedded for service, dsn in given.items()}


def _embedded_dsn(data: Path) -> str:
    advice = f"start it with `tillroll up --data {data}`, or set TILLROLL_DSN"
    try:
        dsn = read_running(data).dsn
    except NotRunning as error:
        raise NotRunning(f"{error}; {advice}") from None
    if dsn is None:
        raise NotRunning(f"the Tillroll on {data} runs no PostgreSQL of its own; {advice}")
    return dsn


def login_name() -> str:
    """Of the account that runs the command, whatever its environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def print_json(value: Any) -> None:
    """Indented, with a line end: what --json prints."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def heard_by(bars: Progress) -> Callable[[str, int, int], None]:
    """Hears what is being done, how far that is, and where it ends: a bar for each thing."""
    tasks: dict[str, TaskID] = {}

    def hear(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done, total=total)

    return hear


def console() -> Console:
    """For a person: as wide as the terminal, in colour; for a pipe: plain and never wrapped."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, soft_wrap=False)
