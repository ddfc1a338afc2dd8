"""`tillroll replay stock`: the level of one goods over time."""

import typer


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
