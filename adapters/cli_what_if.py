"""`tillroll replay redecide` and `replay what-if`: today's decisions over what was recorded."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from adapters.cli_reading import (
    BadArgument,
    DataOption,
    JsonOption,
    addresses,
    console,
    heard_by,
    print_json,
    told_in_one_line,
)
from adapters.what_if_redecide import Redecided, redecide
from domain.services import SERVICES

LOGS: Final = tuple(service.log for service in SERVICES)
DIFFERS: Final = 1
SHOWN_DIFFERENCES: Final = 50


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command("redecide")(redecide_command)


def redecide_command(
    log: list[str] | None = typer.Option(None, "--log", metavar="LOG", help="Only this log; repeatable."),
    as_json: bool = JsonOption,
    data: Path | None = DataOption,
) -> None:
    """Would every recorded command be decided today as it was then? Nothing is changed.

    Exit code 0: all the same, 1: differences, 2: could not run.
    """
    with told_in_one_line():
        logs = _checked_logs(log)
        dsns = addresses(data)
        with progress() as hear:
            decided = redecide(dsns, logs, hear)
    if as_json:
        print_json({"same": not _found(decided), "logs": msgspec.to_builtins(decided)})
    else:
        _show(decided, console())
    if _found(decided):
        raise typer.Exit(DIFFERS)


def _checked_logs(given: list[str] | None) -> tuple[str, ...]:
    for log in given or ():
        if log not in LOGS:
            raise BadArgument(f"--log {log[:40]!r}: expected one of {', '.join(LOGS)}")
    return tuple(given or LOGS)


def _found(decided: tuple[Redecided, ...]) -> int:
    return sum(one.found for one in decided)


def _show(decided: tuple[Redecided, ...], out: Console) -> None:
    out.print(_logs_table(decided, out))
    differences = [difference for one in decided for difference in one.differences]
    if differences:
        table = table_of(out, "Where", "Stream", "Command", "Today it gives", "Recorded")
        for one in differences[:SHOWN_DIFFERENCES]:
            where = (f"{one.log}={one.position}", one.stream, one.command)
            table.add_row(*where, Text("; ".join(one.expected) or "nothing"), Text("; ".join(one.recorded)))
        out.print(table)
    found, commands = _found(decided), sum(one.commands for one in decided)
    if found > SHOWN_DIFFERENCES:
        out.print(f"The first {SHOWN_DIFFERENCES} of {found:,} are shown; --json has more of them.")
    if found:
        out.print(Text(f"{found:,} of {commands:,} commands would be decided otherwise.", style="bold red"))
    else:
        same = f"All {commands:,} commands are decided today as they were recorded."
        out.print(Text(same, style="bold green"))


def _logs_table(decided: tuple[Redecided, ...], out: Console) -> Table:
    table = table_of(out, "Log")
    for heading in ("Events", "Commands", "Different"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in decided:
        table.add_row(one.log, f"{one.position:,}", f"{one.commands:,}", f"{one.found:,}")
    return table


# what both print with


def table_of(out: Console, *headings: str) -> Table:
    """Lines for a person, columns alone for a pipe."""
    table = Table(box=box.SIMPLE_HEAD if out.is_terminal else None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each log on stderr, where a person looks; nothing otherwise."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not sys.stderr.isatty()) as bars:
        yield heard_by(bars)
