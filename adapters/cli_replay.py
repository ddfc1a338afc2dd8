"""`tillroll replay`: what happened to an order, and what was the state of a stream at a moment."""

from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from adapters.cli_reading import (
    MAX_NUMBER,
    BadArgument,
    DataOption,
    JsonOption,
    addresses,
    console,
    is_number,
    print_json,
    told_in_one_line,
)
from adapters.order_story import Story, read_story, timeline_of
from adapters.stream_state import StreamState, read_state
from domain.order import OrderStatus
from domain.services import SERVICES
from domain.streams import category
from orchestrator.timeline import Entry, Waiting

__all__ = ["app", "timeline_of"]

NOT_FOUND: Final = 1

STATUS_WORDS: Final = {
    OrderStatus.NONE.name: "never placed",
    OrderStatus.TO_PAY.name: "to pay",
    OrderStatus.PAID.name: "paid",
    OrderStatus.CLOSED.name: "closed",
}

app = typer.Typer(
    no_args_is_help=True,
    help="What happened, to an order or in any stream; and read models made again from the logs.",
)


@app.command("order")
def replay_order(
    order_id: str = typer.Argument(metavar="ID", help="The order's id."),
    as_json: bool = JsonOption,
    data: Path | None = DataOption,
) -> None:
    """The story of one order, oldest first, and what it waits for."""
    with told_in_one_line():
        _check_order_id(order_id)
        story = read_story(addresses(data), order_id)
    if story is None:
        _not_found(f"there is no order {order_id}")
    elif as_json:
        print_json(msgspec.to_builtins(story))
    else:
        _show_story(story, console())


@app.command("stream")
def replay_stream(
    stream: str = typer.Argument(metavar="STREAM", help="For example stock-12, cart-7 or order-<order id>."),
    at: str | None = typer.Option(None, "--at", metavar="TIME", help="As of then: 2026-11-23T14:03:00Z."),
    version: str | None = typer.Option(None, "--version", metavar="N", help="As of its Nth event."),
    as_json: bool = JsonOption,
    data: Path | None = DataOption,
) -> None:
    """The events of one stream, and the state they make, now or as of a time or version."""
    with told_in_one_line():
        known = _checked_stream(stream)
        moment, number = _moment(at), _version(version)
        if moment is not None and number is not None:
            raise BadArgument("--at and --version exclude each other")
        found = read_state(addresses(data), known, version=number, at=moment)
    if found is None:
        then = f" at {at}" if at else ""
        _not_found(f"there is no stream {stream}{then}")
    elif number is not None and found.events[-1].version < number:
        _not_found(f"stream {stream} has {found.events[-1].version} events only")
    elif as_json:
        print_json(found.plain())
    else:
        _show_stream(found, console())


# what was typed


def _check_order_id(text: str) -> None:
    if not is_number(text):
        raise BadArgument(f"order id {text[:40]!r}: expected a whole number from 1 to {MAX_NUMBER}")


def _checked_stream(text: str) -> str:
    known = sorted({name for service in SERVICES for name in service.categories})
    if category(text) not in known or text == category(text):
        raise BadArgument(f"stream {text!r}: expected one of {', '.join(known)}, then - and an id")
    return text


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadArgument(f"--at {text!r}: expected a time with its zone, such as 2026-11-23T14:03:00Z")
    return moment


def _version(text: str | None) -> int | None:
    if text is None:
        return None
    if not is_number(text):
        raise BadArgument(f"--version {text!r}: expected a whole number from 1")
    return int(text)


# what is printed


def _not_found(what: str) -> None:
    typer.echo(f"tillroll: {what}", err=True)
    raise typer.Exit(NOT_FOUND)


def _show_story(story: Story, out: Console) -> None:
    who = f"user {story.user_id}" if story.user_id else "sold by hand, no order"
    facts = f"amount {story.amount} (minor units)   {STATUS_WORDS[story.status]}   saga {story.step}"
    out.print(Text.assemble((f"Order {story.order_id}", "bold"), f"   {who}   {facts}"))
    if story.waiting is not None:
        out.print(Text(_waits(story.waiting), style="yellow"))
    out.print(_story_table(story.entries, out))


def _waits(waiting: Waiting) -> str:
    next_try = f"; next try at {_time(waiting.next_try_at)}" if waiting.next_try_at else ""
    tries = f"; asked again {waiting.tries} times" if waiting.tries else ""
    error = f"; last error: {waiting.last_error}" if waiting.last_error else ""
    return f"Waits for {waiting.what}, since {_time(waiting.since)}{next_try}{tries}{error}"


def _story_table(entries: tuple[Entry, ...], out: Console) -> Table:
    table = _table(out)
    table.add_column("When (UTC)", no_wrap=True)
    table.add_column("After", justify="right", no_wrap=True)
    table.add_column("Who")
    table.add_column("What", ratio=1)
    table.add_column("Log", no_wrap=True)
    day = ""
    for entry in entries:
        what = _two(entry.what, entry.detail, out)
        # Command ids are long and for programs: --json has them.
        where = Text(f"{entry.log}={entry.position}", style="dim")
        when, day = _when(entry.at, day, out), f"{entry.at:%Y-%m-%d}"
        table.add_row(when, _after(entry.since_before_s), Text(entry.who), what, where)
    return table


def _when(at: datetime, day: str, out: Console) -> str:
    """For a person, the day only where it changes: the words need the room."""
    if not out.is_terminal:
        return _time(at)
    return f"{at:%H:%M:%S}" if f"{at:%Y-%m-%d}" == day else f"{at:%Y-%m-%d\n%H:%M:%S}"


def _show_stream(found: StreamState, out: Console) -> None:
    out.print(Text.assemble((found.stream, "bold"), f"   log {found.log}, {len(found.events)} events"))
    table = _table(out)
    for heading in ("No.", "Position"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("When (UTC)", no_wrap=True)
    table.add_column("Who")
    table.add_column("Event", overflow="fold")
    for event in found.events:
        told = _two(event.event, msgspec.json.encode(event.data).decode(), out)
        place = (str(event.version), str(event.position), _time(event.at))
        table.add_row(*place, Text(event.by), told)
    out.print(table)
    out.print(Text("State after them:", style="bold"))
    out.print(Text(msgspec.json.format(msgspec.json.encode(found.state)).decode()))


def _table(out: Console) -> Table:
    """Lines for a person, columns alone for a pipe."""
    return Table(box=box.SIMPLE_HEAD if out.is_terminal else None, pad_edge=False)


def _two(first: str, second: str, out: Console) -> Text:
    """Two lines in one cell; one line in a pipe, so that each row stays one."""
    return Text.assemble(first, *([("\n" if out.is_terminal else "  "), (second, "dim")] if second else []))


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _after(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
