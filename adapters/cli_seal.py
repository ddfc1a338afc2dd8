"""`tillroll seal` and `tillroll verify`: has anyone touched the log?"""

import typer


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
