"""`tillroll replay stream`: one stream as of a version or a moment."""

from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from adapters.cli_reading import (
    BadArgument,
    DataOption,
    JsonOption,
    addresses,
    console,
    is_number,
    moment_of,
    not_found,
    print_json,
    table_for,
    told_in_one_line,
)
from adapters.cli_story import two
from adapters.story_words import clock
from adapters.stream_state import StreamState, read_state, sealed
from domain.services import SERVICES
from domain.streams import category

PersonalOption: Final = typer.Option(
    False, "--personal", help="Show sealed personal fields as they are stored."
)


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command("stream")(replay_stream)


def replay_stream(
    stream: str = typer.Argument(metavar="STREAM", help="For example stock-12, cart-7 or order-<order id>."),
    at: str | None = typer.Option(None, "--at", metavar="TIME", help="As of then: 2026-11-23T14:03:00Z."),
    version: str | None = typer.Option(None, "--version", metavar="N", help="As of its Nth event."),
    personal: bool = PersonalOption,
    as_json: bool = JsonOption,
    data: Path | None = DataOption,
) -> None:
    """The events of one stream, and the state they make, now or as of a time or version."""
    with told_in_one_line():
        known = _checked_stream(stream)
        moment, number = moment_of("--at", at), _version(version)
        if moment is not None and number is not None:
            raise BadArgument("--at and --version exclude each other")
        found = _read(known, number, moment, personal=personal, data=data)
    if found is None:
        then = f" at {at}" if at else ""
        not_found(f"there is no stream {stream}{then}")
    elif number is not None and found.events[-1].version < number:
        not_found(f"stream {stream} has {found.events[-1].version} events only")
    elif as_json:
        print_json(found.plain())
    else:
        _show_stream(found, console())


def _read(
    stream: str, version: int | None, at: datetime | None, *, personal: bool, data: Path | None
) -> StreamState | None:
    found = read_state(addresses(data), stream, version=version, at=at)
    return found if found is None or personal else sealed(found)


# what was typed


def _checked_stream(text: str) -> str:
    known = sorted({name for service in SERVICES for name in service.categories})
    if category(text) not in known or text == category(text):
        raise BadArgument(f"stream {text!r}: expected one of {', '.join(known)}, then - and an id")
    return text


def _version(text: str | None) -> int | None:
    if text is None:
        return None
    if not is_number(text):
        raise BadArgument(f"--version {text!r}: expected a whole number from 1")
    return int(text)


# what is printed


def _show_stream(found: StreamState, out: Console) -> None:
    out.print(Text.assemble((found.stream, "bold"), f"   log {found.log}, {len(found.events)} events"))
    table = table_for(out)
    for heading in ("No.", "Position"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("When (UTC)", no_wrap=True)
    table.add_column("Who")
    table.add_column("Event", overflow="fold")
    for event in found.events:
        told = two(event.event, msgspec.json.encode(event.data).decode(), out)
        place = (str(event.version), str(event.position), clock(event.at))
        table.add_row(*place, Text(event.by), told)
    out.print(table)
    out.print(Text("State after them:", style="bold"))
    out.print(Text(msgspec.json.format(msgspec.json.encode(found.state)).decode()))
