"""`tillroll projections`: how far the read models are, and what keeps those that do not move."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console
from rich.text import Text

from adapters.cli_reading import (
    DataOption,
    JsonOption,
    addresses,
    console,
    print_json,
    table_for,
    told_in_one_line,
)
from adapters.postgres_log_reader import LogUnreadable
from adapters.projection_states import (
    WORDS,
    Condition,
    Standing,
    kept_projections,
    look,
    standing_still,
)

STANDS_STILL_EXIT: Final = 1


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command(name="projections")(projections_command)


def projections_command(as_json: bool = JsonOption, data: Path | None = DataOption) -> None:
    """How far is each read model behind its log, and what keeps those that do not move?

    Waiting: events that are not applied yet; For: how long the oldest of them has been waiting.

    Exit code 0: all move, 1: one has stopped or was made by another version, 2: could not run.
    """
    with told_in_one_line():
        seen = look(kept_projections(addresses(data)))
        if seen.missing:
            raise LogUnreadable("; ".join(seen.missing))
    if as_json:
        print_json({"items": [_plain(one) for one in seen.standings]})
    else:
        _show(seen.standings, console())
    if standing_still(seen.standings):
        raise typer.Exit(STANDS_STILL_EXIT)


def _plain(one: Standing) -> dict[str, Any]:
    return {
        "projection": one.projection,
        "schema": one.schema,
        "log": one.log,
        "position": one.position,
        "head": one.head,
        "behind_events": one.behind_events,
        "behind_s": one.behind_s,
        "state": one.condition,
        "error": one.error,
        "moved_at": one.moved_at.astimezone(UTC),
    }


def _show(standings: tuple[Standing, ...], out: Console) -> None:
    table = table_for(out)
    headings = NARROW if out.is_terminal else COLUMNS
    for heading in headings:
        is_number = heading in NUMBERS
        table.add_column(heading, justify="right" if is_number else "left", no_wrap=heading != STATE)
    for one in standings:
        cells = (Text(_harmless(cell(one))) for cell in headings.values())
        table.add_row(*cells, style=STYLES.get(one.condition))
    out.print(table)
    if out.is_terminal:
        for one in standing_still(standings):
            out.print(Text(_harmless(f"{one.name}: {_state(one)}"), style=STYLES[one.condition]))


def _words(one: Standing) -> str:
    """As short as a column of a terminal."""
    return WORDS[one.condition].partition(":")[0]


def _state(one: Standing) -> str:
    """With the reason, or with what to do."""
    words = WORDS[one.condition]
    return f"{words}: {one.error}" if one.condition is Condition.STOPPED else words


def _lasted(seconds: float | None) -> str:
    """Of what cannot be told there is no word either."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    for unit, size, smaller, of in (("d", 86_400, 3_600, "h"), ("h", 3_600, 60, "min"), ("min", 60, 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller} {of}"
    return f"{whole} s"


def _harmless(text: str) -> str:
    """What stands in a log must not steer the terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


STATE: Final = "State"
COLUMNS: Final[Mapping[str, Callable[[Standing], str]]] = {
    "Projection": lambda one: one.name,
    "Log": lambda one: one.log,
    "Position": lambda one: f"{one.position:,}",
    "Head": lambda one: f"{one.head or 0:,}",
    "Waiting": lambda one: f"{one.behind_events or 0:,}",
    "For": lambda one: _lasted(one.behind_s),
    STATE: _state,
    "Moved (UTC)": lambda one: _time(one.moved_at),
}
NARROW: Final = {
    **{name: COLUMNS[name] for name in ("Projection", "Position", "Waiting", "For")},
    STATE: _words,
}
"""A terminal of 80 columns has no room for more."""

NUMBERS: Final = frozenset({"Position", "Head", "Waiting", "For"})
STYLES: Final[Mapping[Condition, str]] = {
    Condition.NOT_MOVING: "bold yellow",
    Condition.STOPPED: "bold red",
    Condition.OTHER_VERSION: "bold red",
}
