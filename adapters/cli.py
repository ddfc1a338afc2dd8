"""The command line: `tillroll`. Errors are one clear line on stderr, never a traceback."""

import logging
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

MODULES: Final[Mapping[str, str]] = {
    "up": "cli_site",
    "serve": "cli_site",
    "migrate": "cli_site",
    "dsn": "cli_site",
    "load": "cli_load",
    "demo": "cli_load",
    "user": "cli_users",
    "replay": "cli_replaying",
    "audit": "cli_audit",
    "seal": "cli_seal",
    "verify": "cli_seal",
    "projections": "cli_projections",
    "saga": "cli_saga",
    "parked": "cli_parked",
    "keys": "cli_keys",
    "bench": "cli_bench",
}
"""Where each command is. Only its own module is loaded: all of them together take seconds, and whoever asks
what happened to an order at night should not wait for a web framework."""


class _Commands(TyperGroup):
    """Loads the module of a command when that is asked for."""

    def list_commands(self, _ctx: Any) -> list[str]:
        return list(MODULES)

    def get_command(self, _ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in MODULES:
            return None
        part = typer.Typer(rich_markup_mode=None)
        import_module(f"adapters.{MODULES[cmd_name]}").register(part)
        return typer.main.get_group(part).commands[cmd_name]


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
    """Knowing every error means loading what raises them, so they are asked about when there is one."""
    errors = import_module("adapters.cli_errors")
    if isinstance(error, errors.OPERATOR_ERRORS):
        sys.stderr.write(f"tillroll: {errors.line_of(error)}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
