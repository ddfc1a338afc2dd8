"""`tillroll parked`: messages that were taken off the wire because nobody could read or handle them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import psycopg
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
    print_json,
    table_for,
    told_in_one_line,
)
from adapters.postgres_log_reader import LogUnreadable
from adapters.postgres_parked import PARKING_LOGS, ParkedCounts, ParkedMessage, ParkedMessages, ParkedRow

NOT_FOUND: Final = 1
DEFAULT_LIMIT: Final = 200

SHOWN_BYTES: Final = 512
"""Of a message, to a person; --json has all that is kept."""

BYTES_A_LINE: Final = 16

Name = Annotated[str, typer.Argument(metavar="ID", help="As `tillroll parked list` shows it: order-3.")]
Names = Annotated[list[str], typer.Argument(metavar="ID...", help="As `tillroll parked list` shows them.")]

app = typer.Typer(
    no_args_is_help=True,
    help="Messages that nobody could read or handle, taken off the wire so that the rest flows on.",
)


def register(parent: typer.Typer) -> None:
    """Adds the commands to the command line."""
    parent.add_typer(app, name="parked")


@app.command("list")
def list_command(
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, help="At most so many of each log.")
    ] = DEFAULT_LIMIT,
    as_json: bool = JsonOption,
    data: Path | None = DataOption,
) -> None:
    """What is parked and why, the newest first.

    Nothing is lost with it: what an order still waits for is sent again in a new message.
    """
    rows: list[ParkedRow] = []
    counts: dict[str, ParkedCounts] = {}
    with told_in_one_line():
        for log, dsn in _logs(data).items():
            with _messages(dsn, log) as messages:
                rows += messages.newest(limit)
                counts[log] = messages.counts()
    rows.sort(key=lambda row: row.last_at, reverse=True)
    if as_json:
        print_json({"items": [_plain(row) for row in rows], "logs": msgspec.to_builtins(counts)})
    else:
        _show_list(rows, counts, console())


@app.command()
def show(name: Name, as_json: bool = JsonOption, data: Path | None = DataOption) -> None:
    """One parked message: where it came from, why it is here, and its bytes."""
    with told_in_one_line():
        log, number = _split(name)
        with _messages(_logs(data)[log], log) as messages:
            found = messages.find(number)
    if found is None:
        _not_found(name)
    elif as_json:
        print_json({**_plain(found), "sha256": found.sha256.hex(), "data_hex": found.data.hex()})
    else:
        _show(found, console())


@app.command()
def forget(names: Names, data: Path | None = DataOption) -> None:
    """Delete parked messages that were looked into."""
    with told_in_one_line():
        wanted = [_split(name) for name in names]
        logs = _logs(data)
        gone = {
            name: _forget(logs[log], log, number) for name, (log, number) in zip(names, wanted, strict=True)
        }
    typer.echo(f"{sum(gone.values())} forgotten")
    missing = [name for name, was_there in gone.items() if not was_there]
    if missing:
        _not_found(", ".join(missing))


def _forget(dsn: str, log: str, number: int) -> bool:
    with _messages(dsn, log) as messages:
        return messages.forget(number)


# where they are


def _logs(data: Path | None) -> dict[str, str]:
    found = addresses(data)
    return {log: found[log] for log in PARKING_LOGS}


@contextmanager
def _messages(dsn: str, log: str) -> Iterator[ParkedMessages]:
    """Raises LogUnreadable."""
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=5) as conn:
            yield ParkedMessages(conn, log)
    except psycopg.errors.UndefinedTable:
        raise LogUnreadable(f"the {log} log has no parked messages yet: run `tillroll migrate`") from None
    except psycopg.Error as error:
        why = " ".join(str(error).split())[:300]
        raise LogUnreadable(f"the parked messages of the {log} log cannot be read: {why}") from error


def _split(name: str) -> tuple[str, int]:
    log, _, number = name.rpartition("-")
    if log not in PARKING_LOGS or not is_number(number):
        raise BadArgument(
            f"{name[:40]!r}: expected {' or '.join(PARKING_LOGS)}, then - and a number, such as order-3"
        )
    return log, int(number)


def _not_found(name: str) -> None:
    typer.echo(f"tillroll: no parked message {name}", err=True)
    raise typer.Exit(NOT_FOUND)


# what is printed


def _plain(row: ParkedRow) -> dict[str, Any]:
    fields = ("place", "subject", "reason", "size", "at", "times", "last_at")
    return {"id": row.name, **{field: getattr(row, field) for field in fields}}


def _show_list(rows: Sequence[ParkedRow], counts: dict[str, ParkedCounts], out: Console) -> None:
    if rows:
        out.print(_table(rows, out))
    for log, count in counts.items():
        made_room = f"; {count.dropped:,} older ones made room" if count.dropped else ""
        out.print(Text(f"{log}: {count.kept:,} parked{made_room}"))


def _table(rows: Sequence[ParkedRow], out: Console) -> Table:
    table = table_for(out)
    table.add_column("ID", no_wrap=True)
    table.add_column("Parked (UTC)", no_wrap=True)
    table.add_column("Bytes", justify="right", no_wrap=True)
    table.add_column("Why", ratio=2)
    table.add_column("Subject", ratio=1, overflow="fold")
    for row in rows:
        words = (Text(_harmless(row.reason)), Text(_harmless(row.subject)))
        table.add_row(row.name, _time(row), f"{row.size:,}", *words)
    return table


def _show(message: ParkedMessage, out: Console) -> None:
    times = f", {message.times} times" if message.times > 1 else ""
    facts = {
        "Why": message.reason,
        "Parked": f"{_time(message)} UTC{times}",
        "Subject": message.subject,
        "Place": f"{message.place} (stream and number)",
        "Size": f"{message.size:,} bytes, SHA-256 {message.sha256.hex()}",
    }
    out.print(Text(f"Parked message {message.name}", style="bold"))
    for heading, fact in facts.items():
        out.print(Text.assemble((f"{heading:8}", "dim"), _harmless(fact)))
    shown = message.data[:SHOWN_BYTES]
    for line in _dump(shown):
        out.print(Text(line), soft_wrap=True)
    if message.size > len(shown):
        out.print(
            Text(f"the first {len(shown):,} of {message.size:,} bytes; --json has {len(message.data):,}")
        )


def _dump(data: bytes) -> Iterator[str]:
    """Offset, bytes and letters, as hex dumps have them."""
    for start in range(0, len(data), BYTES_A_LINE):
        part = data[start : start + BYTES_A_LINE]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        yield f"{start:06x}  {part.hex(' '):{3 * BYTES_A_LINE}} {letters}"


def _harmless(text: str) -> str:
    """A stranger's words must not steer the terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _time(row: ParkedRow) -> str:
    return f"{row.last_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
