"""`tillroll replay redecide` and `replay what-if`: today's decisions over what was recorded."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from adapters.cli_reading import (
    BadArgument,
    DataOption,
    JsonOption,
    addresses,
    console,
    is_number,
    moment_of,
    print_json,
    progress_bars,
    told_in_one_line,
)
from adapters.ids import utc_now
from adapters.log_moments import parse_until, resolve
from adapters.what_if_print import show_what_if, table_of
from adapters.what_if_redecide import Redecided, redecide
from adapters.what_if_rule_file import BadRule, load_rule
from adapters.what_if_run import CannotSimulate, ends, what_if
from domain.services import SERVICES
from orchestrator.what_if_rule import RuleFailed
from orchestrator.what_if_saga import Changes

LOGS: Final = tuple(service.log for service in SERVICES)
DIFFERS: Final = 1
SHOWN_DIFFERENCES: Final = 50
MAX_SECONDS: Final = 366 * 86_400
"""Of a window or deadline that is tried out."""

Window = Annotated[
    str | None, typer.Option("--payment-window", metavar="SECONDS", help="How long an order can be paid.")
]
Deadline = Annotated[
    str | None, typer.Option("--sell-deadline", metavar="SECONDS", help="How long inventory has to answer.")
]
RuleText = Annotated[
    str | None,
    typer.Option(
        "--rule",
        metavar="FILE.py:FUNCTION",
        help="A purchase rule: a function of an order that gives a reason to refuse it, or None."
        " Your own code, run here with all that you may do.",
    ),
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="For orders started from then on: 2026-11-23T14:03:00Z."),
]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", help="Only what was recorded by then, or by order=123."),
]


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command("redecide")(redecide_command)
    app.command("what-if")(what_if_command)


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
        with progress_bars() as hear:
            decided = redecide(dsns, logs, hear)
    if as_json:
        print_json({"same": not _found(decided), "logs": msgspec.to_builtins(decided)})
    else:
        _show(decided, console())
    if _found(decided):
        raise typer.Exit(DIFFERS)


def what_if_command(
    payment_window: Window = None,
    sell_deadline: Deadline = None,
    rule: RuleText = None,
    since: Since = None,
    until: Until = None,
    as_json: bool = JsonOption,
    data: Path | None = DataOption,
) -> None:
    """Which orders would have ended otherwise under other settings, or another rule? Nothing is changed.

    Everything that came from outside comes again as it was recorded; the shop decides on it anew.
    """
    with told_in_one_line(BadRule, RuleFailed, CannotSimulate):
        changes = Changes(
            payment_window=_seconds("--payment-window", payment_window),
            sell_deadline=_seconds("--sell-deadline", sell_deadline),
            rule=None if rule is None else load_rule(rule),
            since=moment_of("--since", since),
        )
        asked = None if until is None else parse_until(until)
        dsns = addresses(data)
        positions = ends(dsns) if asked is None else resolve(asked, dsns, utc_now())
        with progress_bars() as hear:
            found = what_if(dsns, changes, positions, hear)
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        show_what_if(found, console())


def _seconds(option: str, text: str | None) -> timedelta | None:
    if text is None:
        return None
    if not is_number(text) or int(text) > MAX_SECONDS:
        raise BadArgument(f"{option} {text[:40]!r}: expected whole seconds from 1 to {MAX_SECONDS}")
    return timedelta(seconds=int(text))


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
