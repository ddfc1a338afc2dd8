"""`tillroll replay proof`: evidence for one event that anybody can check without our code."""

import typer


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
