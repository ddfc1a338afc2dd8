"""`tillroll replay`: all its commands together."""

import typer

from adapters import cli_export, cli_proof, cli_rebuild, cli_replay, cli_stock, cli_what_if

for part in (cli_stock, cli_rebuild, cli_what_if, cli_proof, cli_export):
    part.register(cli_replay.app)


def register(parent: typer.Typer) -> None:
    """Adds the commands to the command line."""
    parent.add_typer(cli_replay.app, name="replay")
