"""The command line: `tillroll`. Errors are one clear line on stderr, never a traceback."""

import logging
import os
import sys

import typer

from adapters import (
    cli_audit,
    cli_bench,
    cli_export,
    cli_keys,
    cli_load,
    cli_parked,
    cli_projections,
    cli_proof,
    cli_rebuild,
    cli_replay,
    cli_saga,
    cli_seal,
    cli_site,
    cli_stock,
    cli_users,
    cli_what_if,
)
from adapters.cli_errors import OPERATOR_ERRORS, line_of

app = typer.Typer(
    name="tillroll",
    help="The order back end of a shop, built like a till roll: every sale, in order, nothing erased.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

cli_site.register(app)
cli_load.register(app)
cli_users.register(app)
cli_audit.register(app)
cli_projections.register(app)
cli_bench.register(app)
cli_seal.register(app)
for replaying in (cli_rebuild, cli_proof, cli_what_if, cli_stock, cli_export):
    replaying.register(cli_replay.app)
app.add_typer(cli_replay.app, name="replay")
app.add_typer(cli_saga.app, name="saga")
app.add_typer(cli_parked.app, name="parked")
app.add_typer(cli_keys.app, name="keys")


def main() -> None:
    """The entry point. Exit 1 when a command could not do its work; 130 after Ctrl-C."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    for noisy in ("psycopg.pool", "nats", "uvicorn", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        app()
    except OPERATOR_ERRORS as error:
        sys.stderr.write(f"tillroll: {line_of(error)}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has gone, as `| head` does; there is nobody left to tell.
        os._exit(141)


if __name__ == "__main__":
    main()
