"""`tillroll replay`: all its commands together."""

from collections.abc import Mapping
from typing import ClassVar, Final

import typer

from adapters.cli_places import Place, PlacedCommands

PLACES: Final[Mapping[str, Place]] = {
    "order": Place(
        "cli_replay",
        "The story of one order, oldest first, what it waits for, and what may be done about it.",
    ),
    "stock": Place(
        "cli_stock",
        "The stock of one goods as a ledger, newest last: every setting, adjustment, sale and return.",
    ),
    "stream": Place(
        "cli_stream", "The events of one stream, and the state they make, now or as of a time or version."
    ),
    "refunds": Place(
        "cli_refunds", "Money that came for closed orders, the newest first: who must get how much back."
    ),
    "rebuild": Place(
        "cli_rebuild",
        "Make the read models again from the logs, compare them with the live ones, and swap them.",
    ),
    "diff": Place(
        "cli_rebuild",
        "Do the live read models equal their logs? Made again beside them, compared row by row, and dropped.",
    ),
    "redecide": Place(
        "cli_what_if", "Would every recorded command be decided today as it was then? Nothing is changed."
    ),
    "what-if": Place(
        "cli_what_if",
        "Which orders would have ended otherwise under other settings, or another rule? Nothing is changed.",
    ),
    "proof": Place(
        "cli_proof",
        "Proof that an event was sealed, as JSON; docs/check_proof.py checks it without Tillroll.",
    ),
    "export": Place("cli_export", "The logs as files, one row an event."),
}


class _Replaying(PlacedCommands):
    places: ClassVar = PLACES


app = typer.Typer(
    cls=_Replaying,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="What happened, to an order or in any stream; and read models made again from the logs.",
)


@app.callback()
def replay() -> None:
    """What happened, to an order or in any stream; and read models made again from the logs."""


def register(parent: typer.Typer) -> None:
    """Adds the commands to the command line."""
    parent.add_typer(app, name="replay")
