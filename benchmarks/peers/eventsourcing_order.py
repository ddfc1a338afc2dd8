"""The order with eventsourcing as its documentation shows it: two goods and an order, saved together.

    python -m benchmarks.peers.eventsourcing_order --clients 32 --seconds 10 --shape hot --workers 2

Threads call the application itself, without HTTP. Where all want the same goods, their streams get long, and
the application takes snapshots, as the documentation advises for such.
"""

import sys

import psycopg
from psycopg.sql import SQL, Identifier

from benchmarks.limit_server import Work, wait_until_alone
from benchmarks.limit_shop import GOODS, PLENTY
from benchmarks.peers.eventsourcing_shop import SCHEMA, Shop, checked_orders, environment
from benchmarks.peers.figures import Asked, Figures, figures_of
from benchmarks.peers.figures import main as peer_main
from benchmarks.peers.workers import called_by, workers


def eventsourcing_round(dsn: str, asked: Asked) -> Figures:
    """Raises AssertionError when what was sold is not what was ordered."""
    _open_shop(dsn)
    with workers(_commands(dsn, asked)) as processes:
        before = Work.until_now(dsn)
        called = called_by(processes, asked.seconds)
    wait_until_alone(dsn)
    work = Work.until_now(dsn).since(before)
    with Shop(environment(dsn)) as shop:
        written = checked_orders(shop, PLENTY)
    return figures_of("eventsourcing", asked, called, work, written=written)


def _open_shop(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(Identifier(SCHEMA)))
        connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(SCHEMA)))
        with Shop(environment(dsn)) as shop:
            shop.stock_up(GOODS, PLENTY)
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")


def _commands(dsn: str, asked: Asked) -> list[list[str]]:
    processes = max(1, asked.workers)
    options = {
        "--dsn": dsn,
        "--threads": max(1, asked.clients // processes),
        "--seconds": asked.seconds,
        "--shape": asked.shape,
    }
    words = [str(word) for option in options.items() for word in option]
    snapshots = ["--snapshots"] if asked.shape == "hot" else []
    return [[sys.executable, "-m", "benchmarks.peers.eventsourcing_app", *words, *snapshots]] * processes


if __name__ == "__main__":
    peer_main(__doc__ or "", eventsourcing_round, sys.argv[1:])
