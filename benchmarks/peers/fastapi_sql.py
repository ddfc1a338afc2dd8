"""A plain FastAPI and psycopg endpoint around the hand-written SQL order: a shop without history over HTTP.

    python -m benchmarks.peers.fastapi_sql --clients 32 --seconds 10 --shape spread --workers 2

One process of uvicorn on uvloop, or several on the same socket; the load comes from another process.
"""

import random
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from benchmarks.http_load import Load, loaded, post
from benchmarks.limit_server import Work, tree_cpu_s, wait_until_alone
from benchmarks.limit_shop import GOODS, checked_books, open_shop
from benchmarks.peers.figures import Asked, Figures, figures_of_load
from benchmarks.peers.figures import main as peer_main
from benchmarks.peers.workers import worker

SESSIONS: Final = 32
"""Of all workers together. Fewer make smaller groups of orders that share an fsync."""

BACKLOG: Final = 2_048
USERS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Orders:
    """Two goods an order: any two, or the same two in every order."""

    shape: str

    def __call__(self, number: int) -> bytes:
        one, other = (1, 2) if self.shape == "hot" else random.sample(range(1, GOODS + 1), 2)
        body = b'{"user":%d,"lines":[{"goods":%d,"nums":1},{"goods":%d,"nums":1}]}'
        return post("/orders", body % (number % USERS + 1, one, other))


def fastapi_round(dsn: str, asked: Asked) -> Figures:
    """Raises AssertionError when what was sold is not what was ordered."""
    load = Load(asked.clients, asked.seconds)
    open_shop(dsn)
    with _serving(dsn, max(1, asked.workers)) as (port, pids):
        before, own = Work.until_now(dsn), _cpu_s(pids)
        result = loaded(port, Orders(asked.shape), load)
        own = _cpu_s(pids) - own
    wait_until_alone(dsn)
    work = Work.until_now(dsn).since(before)
    written = checked_books(dsn).orders
    assert written >= result.count(201), f"{written} orders written, {result.count(201)} answered"
    return figures_of_load(
        "fastapi_sql", asked.shape, asked.clients, result, work, own_cpu_s=own, written=written
    )


@contextmanager
def _serving(dsn: str, workers: int) -> Iterator[tuple[int, list[int]]]:
    """The port, and the ids of the processes, all of them ready."""
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listening, ExitStack() as stack:
        command = _command(dsn, listening, SESSIONS // workers)
        started = [stack.enter_context(worker(command, [listening.fileno()])) for _ in range(workers)]
        yield listening.getsockname()[1], [process.pid for process in started]


def _command(dsn: str, listening: socket.socket, sessions: int) -> list[str]:
    options = {"--dsn": dsn, "--listening": listening.fileno(), "--sessions": sessions}
    words = [str(word) for option in options.items() for word in option]
    return [sys.executable, "-m", "benchmarks.peers.fastapi_app", *words]


def _cpu_s(pids: Sequence[int]) -> float:
    return sum(map(tree_cpu_s, pids))


if __name__ == "__main__":
    peer_main(__doc__ or "", fastapi_round, sys.argv[1:])
