"""`tillroll replay rebuild` and `replay diff`: read models made again, beside the live ones."""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from adapters.cli_progress import heard_by
from adapters.cli_reading import (
    BadArgument,
    DataOption,
    JsonOption,
    addresses,
    console,
    print_json,
    table_for,
    told_in_one_line,
)
from adapters.ids import utc_now
from adapters.log_moments import LOGS, Until, heads, parse_until, resolve
from adapters.read_compare import Comparison, RowDifference, TableComparison
from adapters.read_rebuild import Built, Rebuilt, Teller, build_copy, rebuild, swap_back
from adapters.read_sets import BEFORE, LEAVING, LIVE, NEXT

DIFFERENT: Final = 1
MAX_SHOWN_CHARS: Final = 60

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_TAKEN: Final = frozenset({*LOGS, LIVE, NEXT, BEFORE, LEAVING, "public", "information_schema"})


def register(app: typer.Typer) -> None:
    """Adds the commands to `tillroll replay`."""
    app.command("rebuild")(rebuild_command)
    app.command("diff")(diff_command)


def rebuild_command(
    until: str | None = typer.Option(
        None, "--until", metavar="TIME|POSITION", help="As of then: 2026-11-23T14:03:00Z, or order=123."
    ),
    into: str | None = typer.Option(None, "--into", metavar="SCHEMA", help="A new schema of their own."),
    accept: bool = typer.Option(
        False, "--accept", help="Swap although the new set differs from the live one."
    ),
    back: bool = typer.Option(False, "--swap-back", help="Put the set before the last swap in place again."),
    as_json: bool = JsonOption,
    data: Path | None = DataOption,
) -> None:
    """Make the read models again from the logs, compare them with the live ones, and swap them.

    Readers and writers go on meanwhile. With --until or --into the live ones are not touched: the new ones
    stay in a schema of their own, as of then. Exit code 0: done, 1: they differ, nothing was swapped,
    2: could not run.
    """
    with told_in_one_line():
        _check_options(until, into, accept=accept, back=back)
        dsns = addresses(data)
        if back:
            with _teller() as teller:
                positions = swap_back(dsns, teller)
            _say({"swapped": True, "positions": dict(positions)}, as_json, _SWAPPED_BACK)
        elif until or into:
            _copy(dsns, until, into, as_json=as_json)
        else:
            with _teller() as teller:
                made = rebuild(dsns, teller, accept=accept)
            _report(made, as_json, _verdict(made))


def diff_command(as_json: bool = JsonOption, data: Path | None = DataOption) -> None:
    """Do the live read models equal their logs? Made again beside them, compared row by row, and dropped.

    Exit code 0: they are the same, 1: they differ, 2: could not run.
    """
    with told_in_one_line(), _teller() as teller:
        made = rebuild(addresses(data), teller, accept=False, may_swap=False)
    same = made.comparison.is_same
    as_far = " as far as they have come" if made.behind else ""
    words = (
        f"The live read models equal their logs{as_far}."
        if same
        else "THE LIVE READ MODELS DIFFER FROM THEIR LOGS."
    )
    _report(made, as_json, Text(words, style="bold green" if same else "bold red"))


def _copy(dsns: Mapping[str, str], until: str | None, into: str | None, *, as_json: bool) -> None:
    asked = parse_until(until) if until else Until(None, heads(dsns))
    positions = resolve(asked, dsns, utc_now())
    schema = into or _schema_for(asked.at, positions)
    with _teller() as teller:
        built = build_copy(dsns, schema, positions, teller)
    _say(msgspec.to_builtins(built), as_json, f"{_told_built(built)}\n{_HOW_TO_LOOK.format(schema=schema)}")


_SWAPPED_BACK: Final = (
    f"Swapped back. The set that was live is {BEFORE} now; --swap-back again brings it back."
)
_HOW_TO_LOOK: Final = (
    "Its tables are those of schema read: SET search_path = {schema}."
    " When you need it no more: DROP SCHEMA {schema} CASCADE."
)


# what was typed


def _check_options(until: str | None, into: str | None, *, accept: bool, back: bool) -> None:
    if (until or into) and (accept or back):
        raise BadArgument(
            "--until and --into make a copy, which is not swapped: leave out --accept, --swap-back"
        )
    if accept and back:
        raise BadArgument("--swap-back does not compare, so there is nothing to --accept")
    if into is not None and (not _SCHEMA.fullmatch(into) or into in _TAKEN or into.startswith("pg_")):
        raise BadArgument(
            f"--into {into[:40]!r}: expected a new schema's name of a-z, 0-9 and _,"
            f" none of {', '.join(sorted(_TAKEN))}"
        )


def _schema_for(at: datetime | None, positions: Mapping[str, int]) -> str:
    if at is not None:
        return f"read_at_{at.astimezone(UTC):%Y%m%d_%H%M%S}"
    return "read_at_" + "_".join(f"{log}_{position}" for log, position in sorted(positions.items()))


# what is printed


def _report(made: Rebuilt, as_json: bool, verdict: Text) -> None:
    if as_json:
        comparison = {**msgspec.to_builtins(made.comparison), "same": made.comparison.is_same}
        swapped = made.swapped_at is not None
        built = msgspec.to_builtins(made.built)
        print_json(
            {"built": built, "comparison": comparison, "swapped": swapped, "behind": dict(made.behind)}
        )
    else:
        out = console()
        out.print(_told_built(made.built))
        if made.behind:
            out.print(Text(_told_behind(made.behind), style="yellow"))
        _show_comparison(made.comparison, out)
        out.print(verdict)
    if not made.comparison.is_same and made.swapped_at is None:
        raise typer.Exit(DIFFERENT)


def _verdict(made: Rebuilt) -> Text:
    if made.swapped_at is None:
        return Text(
            f"NOT SWAPPED: the new set differs from the live one. It is in schema {NEXT} to be looked at;"
            " if it is the one you want, run it again with --accept.",
            style="bold red",
        )
    return Text(
        f"Swapped. The old set is kept in schema {BEFORE}: --swap-back brings it back.", style="bold green"
    )


def _told_built(built: Built) -> str:
    where = ", ".join(f"{log}={position}" for log, position in built.positions.items())
    rate = built.events / max(built.seconds, 0.001)
    return (
        f"Built from {built.events:,} events in {built.seconds:.1f} s ({rate:,.0f} events/s), up to {where}."
    )


def _told_behind(behind: Mapping[str, int]) -> str:
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(behind.items()))
    return (
        f"The live read models were behind their logs, by events: {counts}. Both sets are compared where the"
        " live one stands; a running projector applies the rest (tillroll projections shows how far it is)."
    )


def _show_comparison(comparison: Comparison, out: Console) -> None:
    table = table_for(out)
    table.add_column("Table", no_wrap=True)
    table.add_column("Rows compared", justify="right", no_wrap=True)
    table.add_column("Differing", justify="right", no_wrap=True)
    table.add_column("Columns")
    for one in comparison.tables:
        style = "" if one.is_same else "bold red"
        shape = "; ".join(one.shape) or "the same"
        table.add_row(Text(one.table), f"{one.rows:,}", Text(f"{one.differing:,}", style=style), Text(shape))
    out.print(table)
    for one in comparison.tables:
        _show_rows(one, out)


def _show_rows(compared: TableComparison, out: Console) -> None:
    for row in compared.shown:
        out.print(Text(_told_row(row)))
    if compared.differing > len(compared.shown):
        out.print(f"... and {compared.differing - len(compared.shown):,} more rows of {compared.table}")


def _told_row(row: RowDifference) -> str:
    key = ", ".join(f"{name}={value}" for name, value in row.key.items())
    if row.live is None:
        return f"{row.table} {key}: the log makes this row, but the live table has none"
    if row.rebuilt is None:
        return f"{row.table} {key}: the live table has this row, but the log makes none"
    wrong = (
        f"{name} is {_short(value)}, but the log makes it {_short(row.rebuilt[name])}"
        for name, value in row.live.items()
    )
    return f"{row.table} {key}: {'; '.join(wrong)}"


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}..."


def _say(body: Mapping[str, Any], as_json: bool, words: str) -> None:
    if as_json:
        print_json(body)
    else:
        typer.echo(words)


class _Rate(TextColumn):
    """Positions a second, as a person reads them."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="dim")


@contextmanager
def _teller() -> Iterator[Teller]:
    """A bar for each projection on stderr, where a person looks; nothing otherwise."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        _Rate(),
        TimeRemainingColumn(),
    )
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not sys.stderr.isatty()) as bars:
        yield Teller(heard_by(bars), lambda words: _step(bars, words))


def _step(bars: Progress, words: str) -> None:
    if not bars.disable:
        bars.console.print(Text(words, style="dim"))
