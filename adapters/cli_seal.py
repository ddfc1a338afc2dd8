"""`tillroll seal` and `tillroll verify`: has anyone touched the log?"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.text import Text

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
from adapters.ids import utc_now
from adapters.key_errors import KeyFileError
from adapters.log_errors import LogUnreadable
from adapters.postgres_seals import SealedLog
from adapters.seal_files import BadSealFile, SealText, read_seals, read_witnesses, write_seals
from adapters.seal_key import SealKeys, public_keys, replace_key, seal_key_path, seal_keys
from adapters.seal_ranges import Fault
from adapters.seal_verify import Held, LogVerdict, Verified, verify
from adapters.sealer import LogSealer, SealsDiffer
from adapters.settings import LOGS, Settings
from orchestrator.seals import Seal

FAULTS_EXIT: Final = 1
SHOWN_FAULTS: Final = 50
ANOTHER_SEALS_S: Final = 600.0
"""How long `seal` waits, for itself or for another sealer that has the log."""

LOOK_AGAIN_S: Final = 0.01

BAD_FILES: Final = (BadSealFile, KeyFileError, SealsDiffer)

KeyOption = Annotated[
    str | None,
    typer.Option("--public-key", metavar="FILE|HEX", help="Verify by this key, not the shop's own."),
]
LogOption = Annotated[list[str] | None, typer.Option("--log", metavar="LOG", help="This log only.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command("seal")(seal_command)
    app.command("verify")(verify_command)


# seal


def seal_command(
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="Write the newest seals, to hold elsewhere."),
    ] = None,
    public_key: Annotated[
        bool, typer.Option("--public-key", help="Print what an auditor needs to verify, and do nothing else.")
    ] = False,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Another key seals from now on. Restart the sealer role after.")
    ] = False,
    as_json: bool = JsonOption,
    data: Path | None = DataOption,
) -> None:
    """Seal what is not sealed yet, in every log. The sealer role does it by itself, within two seconds.

    Exit code 0: all is sealed, 2: could not run.
    """
    with told_in_one_line(*BAD_FILES):
        settings = settings_with(data)
        if public_key or new_key:
            keys = replace_key(settings) if new_key else seal_keys(settings)
            typer.echo(keys.told(), nl=False)
            return
        keys = seal_keys(settings)
        seals = _seal_all(addresses(data), keys, settings.data)
        if export is not None:
            write_seals(export, seals, keys.public)
    if as_json:
        print_json({"seals": [SealText.of(seal) for seal in seals]})
    else:
        _show_seals(seals, console())


def _seal_all(dsns: Mapping[str, str], keys: SealKeys, data: Path) -> list[Seal]:
    seals = [_seal_one(LogSealer(dsns[log], log, keys, data, utc_now), dsns[log]) for log in LOGS]
    return [seal for seal in seals if seal is not None]


def _seal_one(sealer: LogSealer, dsn: str) -> Seal | None:
    with SealedLog(dsn, sealer.log) as sealed:
        head = sealed.head()
    ends_at = time.monotonic() + ANOTHER_SEALS_S
    try:
        while (seal := sealer.seal()) is None or seal.covers.last < head:
            if head == 0:
                return None
            if time.monotonic() > ends_at:
                raise LogUnreadable(f"log {sealer.log}: another sealer has it and does not go on")
            time.sleep(LOOK_AGAIN_S)
        return seal
    finally:
        sealer.close()


def _show_seals(seals: list[Seal], out: Console) -> None:
    table = table_for(out)
    table.add_column("Log")
    for heading in ("Seals", "Up to position"):
        table.add_column(heading, justify="right")
    table.add_column("Newest at (UTC)")
    table.add_column("Its hash", overflow="fold")
    for seal in seals:
        at = f"{seal.sealed_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        table.add_row(seal.log, f"{seal.number:,}", f"{seal.covers.last:,}", at, seal.digest.hex())
    out.print(table)


# verify


def verify_command(
    log: LogOption = None,
    since: Annotated[
        Path | None,
        typer.Option("--since", metavar="FILE", help="What these exported seals cover was verified before."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="FILE", help="Exported seals that were held elsewhere."),
    ] = None,
    public_key: KeyOption = None,
    as_json: bool = JsonOption,
    data: Path | None = DataOption,
) -> None:
    """Has anyone touched the logs? Every seal, signature and sealed event is checked; nothing is changed.

    Read models are not sealed, they follow from the logs: `tillroll audit` compares them.

    Exit code 0: untouched, 1: something differs, 2: could not run.
    """
    with told_in_one_line(*BAD_FILES):
        settings = settings_with(data)
        dsns = addresses(data)
        logs = _logs(log)
        held = _held(settings, logs, (since, against))
        earlier = read_seals(since) if since else {}
        keys = verifying_keys(settings, public_key)
        with progress_bars() as progress:
            found = verify({name: dsns[name] for name in logs}, keys, held, earlier, progress)
    if as_json:
        print_json({"clean": found.is_clean, **msgspec.to_builtins(found)})
    else:
        _show(found, console())
    if not found.is_clean:
        raise typer.Exit(FAULTS_EXIT)


def _logs(chosen: list[str] | None) -> list[str]:
    wrong = [name for name in chosen or () if name not in LOGS]
    if wrong:
        raise BadArgument(f"--log {wrong[0]!r}: there is no such log; the logs are {', '.join(LOGS)}")
    return list(dict.fromkeys(chosen or LOGS))


def _held(settings: Settings, logs: list[str], files: tuple[Path | None, Path | None]) -> list[Held]:
    """Seals outside the database: files that were named, and what the sealer left beside it."""
    named = [Held(str(path), read_seals(path)) for path in dict.fromkeys(files) if path is not None]
    return [*named, Held("the sealer's witness", read_witnesses(settings.data, logs))]


def verifying_keys(settings: Settings, public_key: str | None) -> SealKeys:
    """Raises KeyFileError; a key is never made here: what it had not signed would look forged."""
    if public_key is not None:
        return public_keys(public_key)
    path = seal_key_path(settings)
    if not path.exists():
        raise KeyFileError(f"{path}: there is no key to verify by; name one with --public-key")
    return public_keys(str(path))


def _show(found: Verified, out: Console) -> None:
    table = table_for(out)
    table.add_column("Log")
    for heading in ("Seals", "Events read again", "Verified before", "Not sealed yet"):
        table.add_column(heading, justify="right")
    table.add_column("Sealed until (UTC)", no_wrap=True)
    table.add_column("Verdict", no_wrap=True)
    for verdict in found.logs:
        table.add_row(*_cells(verdict), _verdict(verdict))
    out.print(table)
    faults = [fault for verdict in found.logs for fault in verdict.faults]
    for fault in faults[:SHOWN_FAULTS]:
        out.print(Text(f"{fault.log}: {_told(fault)}", style="red"))
    out.print(_last_line(found))


def _cells(verdict: LogVerdict) -> list[str]:
    numbers = (verdict.seals, verdict.events, verdict.skipped, verdict.unsealed)
    at = f"{verdict.sealed_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if verdict.sealed_at else "never"
    return [verdict.log, *(f"{number:,}" for number in numbers), at]


def _verdict(verdict: LogVerdict) -> Text:
    if verdict.found:
        return Text(f"{verdict.found:,} wrong", style="bold red")
    return Text("untouched", style="green")


def _told(fault: Fault) -> str:
    return f"{fault.what} (seal {fault.seal})" if fault.seal else fault.what


def _last_line(found: Verified) -> Text:
    events = sum(verdict.events for verdict in found.logs)
    if found.is_clean:
        oldest = min((v.sealed_at for v in found.logs if v.sealed_at), default=None)
        until = f" Sealed until {oldest:%H:%M:%S} UTC at least." if oldest and _is_today(oldest) else ""
        text = f"Untouched: {events:,} events are what was sealed.{until} Read models: `tillroll audit`."
        return Text(text, style="bold green")
    count = sum(verdict.found for verdict in found.logs)
    places = "1 place differs" if count == 1 else f"{count:,} places differ"
    return Text(f"TOUCHED: {places} from what was sealed.", style="bold red")


def _is_today(at: datetime) -> bool:
    return at.astimezone(UTC).date() == utc_now().date()
