"""`tillroll bench`: all its measurements together. Not part of the tests: machines differ."""

from collections.abc import Mapping
from typing import ClassVar, Final

import typer

from adapters.cli_places import Place, PlacedCommands

PLACES: Final[Mapping[str, Place]] = {
    "engine": Place(
        "cli_bench_orders",
        "The whole saga without HTTP: two goods an order, real baskets, or refusals of what is sold out.",
    ),
    "limit": Place(
        "cli_bench_orders",
        "What the same order costs as one hand-written SQL function, driven by pgbench.",
    ),
    "orders": Place(
        "cli_bench_orders",
        "Placing orders over HTTP on a whole shop, carts filled before; the load is a process of its own.",
    ),
    "compare": Place(
        "cli_bench_orders",
        "Engine, HTTP, the SQL limit and peers in turn, with the goals: tables, JSON and a chart; an hour.",
    ),
    "http": Place(
        "cli_bench_shop",
        "Orders of two lines over HTTP, cart included: one customer alone, then many at once.",
    ),
    "logins": Place(
        "cli_bench_shop",
        "What a log-in's time tells, how many guesses are checked, and what others feel of a flood of them.",
    ),
    "tokens": Place(
        "cli_bench_shop",
        "Making an access token, checking one that is new, and one that was seen before.",
    ),
}


class _Benches(PlacedCommands):
    places: ClassVar = PLACES


app = typer.Typer(
    cls=_Benches,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Measurements on a fresh shop of this machine.",
)


@app.callback()
def benches() -> None:
    """Measurements on a fresh shop of this machine."""


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="bench")
