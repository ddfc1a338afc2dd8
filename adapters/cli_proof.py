"""`tillroll replay proof`: evidence for one event that anybody can check without our code."""

from pathlib import Path

import typer

from adapters.cli_options import settings_with
from adapters.cli_reading import BadArgument, DataOption, addresses, is_number, print_json, told_in_one_line
from adapters.cli_seal import BAD_FILES, KeyOption, verifying_keys
from adapters.postgres_seals import SealedLog
from adapters.seal_proof import NotProved, prove
from adapters.settings import LOGS

NOT_PROVED = 1


def register(app: typer.Typer) -> None:
    """Adds the command to `tillroll replay`."""
    app.command("proof")(proof_command)


def proof_command(
    event: str = typer.Argument(metavar="LOG=POSITION", help="For example order=123."),
    public_key: KeyOption = None,
    data: Path | None = DataOption,
) -> None:
    """Proof that an event was sealed, as JSON; docs/check_proof.py checks it without Tillroll.

    Exit code 0: proved, 1: no such event, not sealed yet or not as it was sealed, 2: could not run.
    """
    with told_in_one_line(*BAD_FILES):
        log, position = _place(event)
        keys = verifying_keys(settings_with(data), public_key)
        with SealedLog(addresses(data)[log], log) as sealed:
            try:
                print_json(prove(sealed, position, keys))
            except NotProved as error:
                typer.echo(f"tillroll: {error}", err=True)
                raise typer.Exit(NOT_PROVED) from None


def _place(text: str) -> tuple[str, int]:
    log, _, number = text.partition("=")
    if log not in LOGS or not is_number(number):
        raise BadArgument(
            f"{text[:60]!r}: expected a log ({', '.join(LOGS)}), = and a position, such as order=123"
        )
    return log, int(number)
