"""`tillroll replay redecide` and `replay what-if`: today's decisions over what was recorded."""

import typer


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
