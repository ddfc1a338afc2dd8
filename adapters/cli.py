"""The command line: `tillroll`. Errors are one clear line on stderr, never a traceback."""

import gc
import logging
import os
import sys
from collections.abc import Mapping
from typing import ClassVar, Final

import typer

from adapters.cli_errors import OPERATOR_ERRORS, is_one_of, line_of
from adapters.cli_places import Place, PlacedCommands

GC_THRESHOLD: Final = 100_000
"""New objects between two looks for cycles. Loading modules makes many objects and hardly a cycle: with
Python's own 700, a seventh of a short command's time goes into looking."""

PLACES: Final[Mapping[str, Place]] = {
    "up": Place(
        "cli_site",
        "Run everything in the foreground: PostgreSQL, NATS, the API and every other role.",
    ),
    "serve": Place(
        "cli_serve", "Run roles in this process, on servers that exist (TILLROLL_DSN, TILLROLL_NATS_URL)."
    ),
    "migrate": Place(
        "cli_site",
        "Make or bring up to date all schemas; with TILLROLL_STAFF_EMAIL and _PASSWORD the staff account"
        " too.",
    ),
    "dsn": Place("cli_serve", "Print the address of the running embedded PostgreSQL, for psql and friends."),
    "load": Place("cli_load", "Place and pay every order of a retail file on a running server."),
    "demo": Place(
        "cli_load", "A whole shop on a fresh data folder: real orders over HTTP, then the audit of the books."
    ),
    "user": Place("cli_users", "Accounts, and what a person may ask of the shop."),
    "replay": Place(
        "cli_replaying",
        "What happened, to an order or in any stream; and read models made again from the logs.",
    ),
    "audit": Place(
        "cli_audit",
        "Do the books balance? Every event and every read-model row is checked; nothing is changed.",
    ),
    "seal": Place("cli_seal", "Seal what is not sealed yet, in every log."),
    "verify": Place(
        "cli_seal",
        "Has anyone touched the logs? Every seal, signature and sealed event is checked; nothing is changed.",
    ),
    "projections": Place(
        "cli_projections",
        "How far is each read model behind its log, and what keeps those that do not move?",
    ),
    "saga": Place("cli_saga", "Orders under way: what they wait for, and what to do about it."),
    "parked": Place(
        "cli_parked",
        "Messages that nobody could read or handle, taken off the wire so that the rest flows on.",
    ),
    "keys": Place("cli_keys", "Keys of access tokens and of personal data."),
    "bench": Place("cli_bench", "Measurements on a fresh shop of this machine."),
}


class _Commands(PlacedCommands):
    places: ClassVar = PLACES


app = typer.Typer(
    name="tillroll",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def tillroll() -> None:
    """The order back end of a shop, built like a till roll: every sale, in order, nothing erased."""


def main() -> None:
    """The entry point. Exit 1 when a command could not do its work; 130 after Ctrl-C."""
    gc.set_threshold(GC_THRESHOLD)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    for noisy in ("psycopg.pool", "nats", "uvicorn", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has gone, as `| head` does; there is nobody left to tell.
        os._exit(141)
    except Exception as error:
        _end_if_told(error)
        raise


def _end_if_told(error: Exception) -> None:
    if is_one_of(error, OPERATOR_ERRORS):
        sys.stderr.write(f"tillroll: {line_of(error)}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
