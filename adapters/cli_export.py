"""`tillroll replay export`: the logs as files for analysts."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from adapters.cli_options import settings_with
from adapters.cli_reading import (
    BadArgument,
    DataOption,
    JsonOption,
    addresses,
    console,
    print_json,
    progress_bars,
    table_for,
    told_in_one_line,
)
from adapters.export_files import CannotExport, Writer, targets
from adapters.export_jsonl import JsonLines
from adapters.export_personal import KeysUnreadable, Unsealing, without_personal
from adapters.export_run import Exported, Fit, Wanted, export
from adapters.key_errors import KeyFileError
from adapters.log_moments import LOGS, NoSuchMoment, parse_until
from adapters.pii_key_file import pii_key_path, read_pii_keys
from adapters.sealing import CannotUnseal, Wrapping

ParquetPath = Annotated[
    Path | None,
    typer.Option("--parquet", metavar="DIR|FILE.parquet", help="Apache Parquet, typed and compressed."),
]
JsonlPath = Annotated[
    Path | None, typer.Option("--jsonl", metavar="DIR|FILE.jsonl", help="JSON Lines: one object a row.")
]
Logs = Annotated[list[str] | None, typer.Option("--log", metavar="LOG", help="Only this log; repeatable.")]
Since = Annotated[
    list[str] | None,
    typer.Option("--since", metavar="LOG=N", help="Of that log, only what comes after position N."),
]
Personal = Annotated[
    bool,
    typer.Option(
        "--personal",
        help="With names and addresses, opened with the key file; those of erased users are gone.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that are there.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command("export")(export_command)


def export_command(
    parquet: ParquetPath = None,
    jsonl: JsonlPath = None,
    log: Logs = None,
    since: Since = None,
    personal: Personal = False,
    force: Force = False,
    as_json: bool = JsonOption,
    data: Path | None = DataOption,
) -> None:
    """The logs as files, one row an event. A folder gets a file for each log, a file gets all of them.

    Without --personal nothing personal leaves. Hashes of passwords and tokens never do.
    """
    with told_in_one_line(CannotExport, CannotUnseal, KeyFileError, KeysUnreadable):
        logs = _checked_logs(log)
        wanted = Wanted(
            files=_files(parquet, jsonl, logs),
            since=_positions(since, logs),
            new_writer=JsonLines if parquet is None else _parquet(),
            force=force,
        )
        dsns = addresses(data)
        with _fit(dsns, data, personal=personal) as fit, progress_bars() as hear:
            done = export(dsns, wanted, fit, hear)
    if as_json:
        print_json(msgspec.to_builtins(done))
    else:
        _show(done, console())


def _checked_logs(given: list[str] | None) -> tuple[str, ...]:
    for log in given or ():
        if log not in LOGS:
            raise BadArgument(f"--log {log[:40]!r}: expected one of {', '.join(LOGS)}")
    return tuple(log for log in LOGS if not given or log in given)


def _files(parquet: Path | None, jsonl: Path | None, logs: tuple[str, ...]) -> dict[str, Path]:
    if parquet is not None and jsonl is None:
        return targets(parquet, ".parquet", logs)
    if jsonl is not None and parquet is None:
        return targets(jsonl, ".jsonl", logs)
    raise BadArgument("say where to: --parquet DIR|FILE.parquet or --jsonl DIR|FILE.jsonl, one of them")


def _positions(given: list[str] | None, logs: tuple[str, ...]) -> dict[str, int]:
    if not given:
        return {}
    try:
        found = dict(parse_until(",".join(given)).positions)
    except NoSuchMoment:
        found = {}
    if not found or not found.keys() <= set(logs):
        raise BadArgument(
            f"--since {','.join(given)[:40]!r}: expected LOG=N for a log that is exported, once"
        )
    return found


def _parquet() -> Callable[[Path], Writer]:
    """Its library takes a second to load and a hundred megabytes, so no other command may wait for it."""
    new_writer: Callable[[Path], Writer] = importlib.import_module("adapters.export_parquet").Parquet
    return new_writer


@contextmanager
def _fit(dsns: dict[str, str], data: Path | None, *, personal: bool) -> Iterator[Fit]:
    """What may leave. Raises KeyFileError, KeysUnreadable."""
    if not personal:
        yield without_personal
        return
    known = read_pii_keys(pii_key_path(settings_with(data)))
    with Unsealing(dsns["user"], Wrapping(known.wrapping)) as unsealing:
        yield unsealing.opened


def _show(done: list[Exported], out: Console) -> None:
    table = table_for(out)
    table.add_column("Log")
    table.add_column("Rows", justify="right", no_wrap=True)
    table.add_column("Positions", no_wrap=True)
    table.add_column("File", overflow="fold")
    for one in done:
        between = f"{one.after + 1} to {one.until}" if one.rows else f"none after {one.after}"
        table.add_row(one.log, f"{one.rows:,}", between, one.file)
    out.print(table)
    going_on = ",".join(f"{one.log}={one.until}" for one in done)
    out.print(f"{sum(one.rows for one in done):,} events. What comes after them: --since {going_on}")
