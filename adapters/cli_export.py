"""`tillroll replay export`: the logs as files for analysts."""

import typer


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
