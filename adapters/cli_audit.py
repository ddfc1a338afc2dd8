"""`tillroll audit`: do the books balance?"""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from adapters.audit_html import write_page
from adapters.audit_run import audit, verdict_line
from adapters.cli_reading import (
    BadArgument,
    DataOption,
    JsonOption,
    addresses,
    console,
    is_number,
    print_json,
    progress_bars,
    table_for,
    told_in_one_line,
)
from orchestrator.audit import Checked, Finding, Report

FINDINGS_EXIT: Final = 1
SHOWN_FINDINGS: Final = 50
SHOWN_UNFINISHED: Final = 10


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command(name="audit")(audit_command)


HtmlOption = typer.Option(
    None, "--html", metavar="FILE", help="Also write the report as one page; a file there is written over."
)

RedecideOption = typer.Option(
    False, "--redecide", help="Also decide every recorded command once more: today's rules must say the same."
)
SinceOption = typer.Option(
    None,
    "--since",
    metavar="POSITIONS|REPORT",
    help="Continue a clean audit: order=123,inventory=456,... or the file that its --json was written to.",
)


def audit_command(
    data: Path | None = DataOption,
    since: str | None = SinceOption,
    redecide: bool = RedecideOption,
    as_json: bool = JsonOption,
    html: Path | None = HtmlOption,
) -> None:
    """Do the books balance? Every event and every read-model row is checked; nothing is changed.

    Exit code 0: clean, 1: findings, 2: could not run.
    """
    with told_in_one_line():
        known = None if since is None else continued_from(since)
        dsns = addresses(data)
        with progress_bars() as progress:
            report = audit(dsns, progress, redecides=redecide, since=known)
        if html is not None:
            write_page(html, report, datetime.now(UTC))
    if as_json:
        body = {"clean": report.is_clean, "verdict": verdict_line(report), **msgspec.to_builtins(report)}
        print_json(body)
    else:
        show(report, console())
    if not report.is_clean:
        raise typer.Exit(FINDINGS_EXIT)


class _Told(msgspec.Struct):
    """What is read of an earlier report."""

    clean: bool
    next_since: str


def continued_from(text: str) -> dict[str, int]:
    """Positions by log, from what stands behind --since. Raises BadArgument."""
    if _is_file(text):
        text = _next_since(Path(text))
    elif "=" not in text:
        raise BadArgument(f"--since {text[:80]!r}: neither positions, such as order=123, nor a report's file")
    positions: dict[str, int] = {}
    for part in text.split(","):
        log, _, position = part.partition("=")
        if not (position == "0" or is_number(position)) or log in positions:
            raise BadArgument(f"--since: {part[:40]!r} is not a log and its position, such as order=123")
        positions[log] = int(position)
    return positions


def _is_file(text: str) -> bool:
    with suppress(OSError):  # No file has a name as long as positions can be.
        return Path(text).is_file()
    return False


def _next_since(file: Path) -> str:
    try:
        told = msgspec.json.decode(file.read_bytes(), type=_Told)
    except OSError as error:
        raise BadArgument(f"--since {file}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise BadArgument(f"--since {file}: not a report of `tillroll audit --json`: {error}") from error
    if not told.clean:
        raise BadArgument(f"--since {file}: that audit had findings; only a clean one can be continued")
    return told.next_since


def show(report: Report, out: Console) -> None:
    """The report for a person."""
    out.print(_checks_table(report, out))
    if report.findings:
        out.print(_findings_table(report, out))
    if report.found > SHOWN_FINDINGS:
        out.print(f"{report.found:,} findings in all; --json has more of them.")
    for order in report.unfinished[:SHOWN_UNFINISHED]:
        out.print(
            f"Unfinished: order {order.order_id}, {order.step} since {order.since:%Y-%m-%d %H:%M:%S} UTC"
        )
    if report.unfinished_count > SHOWN_UNFINISHED:
        out.print(
            f"{report.unfinished_count:,} unfinished orders in all. They owe something, that is no fault."
        )
    if report.is_clean and report.since:
        out.print(f"The next audit can continue this one: tillroll audit --since {report.next_since}")
    out.print(Text(verdict_line(report), style="bold green" if report.is_clean else "bold red"))


def _checks_table(report: Report, out: Console) -> Table:
    table = table_for(out)
    table.add_column("What was checked")
    table.add_column("How many", justify="right", no_wrap=True)
    table.add_column("Verdict", no_wrap=True)
    for checked in report.checks:
        table.add_row(Text(checked.question), f"{checked.count:,} {checked.unit}", _verdict(checked))
    return table


def _verdict(checked: Checked) -> Text:
    if checked.findings == 0:
        return Text("ok", style="green")
    return Text(f"{checked.findings:,} wrong", style="bold red")


def _findings_table(report: Report, out: Console) -> Table:
    table = table_for(out)
    table.add_column("Wrong with")
    table.add_column("What is wrong")
    table.add_column("Where", overflow="fold")
    for finding in report.findings[:SHOWN_FINDINGS]:
        table.add_row(Text(finding.subject), Text(finding.what), _where(finding))
    return table


def _where(finding: Finding) -> str:
    return f"{finding.log}={finding.position}" if finding.log else ""
