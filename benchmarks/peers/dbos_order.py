"""The order as a DBOS workflow: sell the stock, write the order, undo what was done when that fails.

    python -m benchmarks.peers.dbos_order --clients 32 --seconds 10 --shape hot --workers 2

Threads call the workflow itself, without HTTP. DBOS is installed into .venv-peers when it is not there.
"""

import sys
from typing import Final

import psycopg

from benchmarks.limit_server import Work, wait_until_alone
from benchmarks.limit_shop import checked_books, open_shop
from benchmarks.peers.environment import peers_python
from benchmarks.peers.figures import Asked, Figures, figures_of
from benchmarks.peers.figures import main as peer_main
from benchmarks.peers.workers import called_by, workers

SESSIONS: Final = 40
"""Of all processes, for DBOS' own tables, and as many for the shop's: the server lets in a hundred."""


def dbos_round(dsn: str, asked: Asked) -> Figures:
    """Raises AssertionError when what was sold is not what was ordered."""
    open_shop(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS dbos CASCADE")
    with workers(_commands(dsn, asked)) as processes:
        before = Work.until_now(dsn)
        called = called_by(processes, asked.seconds)
    wait_until_alone(dsn)
    work = Work.until_now(dsn).since(before)
    return figures_of("dbos", asked, called, work, written=checked_books(dsn).orders)


def _commands(dsn: str, asked: Asked) -> list[list[str]]:
    """One after the other is made ready, so that only the first makes DBOS' own tables."""
    processes = max(1, asked.workers)
    threads = max(1, asked.clients // processes)
    options = {
        "--dsn": dsn,
        "--threads": threads,
        "--sessions": max(1, min(threads, SESSIONS // processes)),
        "--seconds": asked.seconds,
        "--shape": asked.shape,
    }
    words = [str(word) for option in options.items() for word in option]
    program = [str(peers_python()), "-m", "benchmarks.peers.dbos_app"]
    return [[*program, *words, "--executor", str(number)] for number in range(processes)]


if __name__ == "__main__":
    peer_main(__doc__ or "", dbos_round, sys.argv[1:])
