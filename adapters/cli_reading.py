"""What commands share: where the logs are, who types, and how failures are told."""

import os
import pwd
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from adapters.cli_errors import COULD_NOT, is_one_of
from adapters.data_folder import NotRunning, read_running
from adapters.settings import SERVICES, load_settings

NOT_FOUND: Final = 1
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


@contextmanager
def told_in_one_line(*own: type[Exception]) -> Iterator[None]:
    """Ends the command with exit code 2 and one line on stderr when it could not run.

    `own`: what else keeps this command from running; its text is one line as well.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, own) and not is_one_of(error, COULD_NOT):
            raise
        typer.echo(f"tillroll: {error}", err=True)
        raise typer.Exit(COULD_NOT_RUN) from None


def not_found(what: str) -> NoReturn:
    """Ends the command with exit code 1 and one line on stderr."""
    typer.echo(f"tillroll: {what}", err=True)
    raise typer.Exit(NOT_FOUND)


def moment_of(option: str, text: str | None) -> datetime | None:
    """In UTC. Raises BadArgument."""
    if text is None:
        return None
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    raise BadArgument(f"{option} {text[:40]!r}: expected a time with its zone, such as 2026-11-23T14:03:00Z")


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


def progress_bars() -> AbstractContextManager[Callable[[str, int, int], None]]:
    """A bar for each thing on stderr, where a person looks; nothing otherwise. Hears what, how far and where
    it ends. Bars are loaded by what takes long enough to show them."""
    bars: AbstractContextManager[Callable[[str, int, int], None]]
    bars = import_module("adapters.cli_progress").progress_bars()
    return bars


def table_for(out: Console) -> Table:
    """Lines for a person, columns alone for a pipe."""
    return Table(box=box.SIMPLE_HEAD if out.is_terminal else None, pad_edge=False)


def console() -> Console:
    """For a person: as wide as the terminal, in colour; for a pipe: plain and never wrapped."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, soft_wrap=False)
