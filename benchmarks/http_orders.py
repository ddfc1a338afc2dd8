"""Orders over HTTP on a whole shop: API, inventory, orchestrator, projector and sealer, as `up` runs them.

    python -m benchmarks.http_orders --clients 32 --seconds 8 --shape spread
    python -m benchmarks.http_orders --rate 400

Customers are signed in, have asked for their profile and filled their carts before the clock starts, and all
goods that can be wanted are ordered once, so that every role has them in memory as the limit's PostgreSQL
has. Then each customer places one order of two goods, from a load process of its own. `--rate`: orders a
second, due whatever the shop does.
"""

import argparse
import asyncio
import json
import logging
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import psycopg

from adapters.settings import load_settings
from adapters.site import Site, fresh_site
from benchmarks.http_customers import open_customers
from benchmarks.http_load import Load, Requests, loaded, request
from benchmarks.limit_server import Work, tree_cpu_s
from benchmarks.peers.figures import CLIENTS, SECONDS, SHAPES, Figures, figures_of_load
from benchmarks.settled import settle
from benchmarks.stocked import GOODS_COUNT

CUSTOMERS_PER_S: Final = 2_400
"""Ready for each second of a round: more than can be served."""

SPARE: Final = 64
FILLING: Final = 32
FILL_LIMIT_S: Final = 300.0
_BOOKS: Final = """
SELECT (SELECT count(*) FROM "order".events WHERE topic = 'OrderPlaced'),
       (SELECT coalesce(sum((convert_from(state, 'UTF8')::json -> 'data' ->> 'nums')::int), 0)
          FROM inventory.events WHERE topic = 'StockSold')
"""
ORDER: Final = (
    b'{"address":"1 High Street, London","signer_name":"Ann Example","signer_mobile":"07700900000",'
    b'"post":"leave at the door"}'
)


@dataclass(frozen=True, slots=True)
class FillCart:
    """The request of the customer with that number: two goods, checked.

    `in_turn`: the goods one after the other, instead of as the shape wants them.
    """

    tokens: Sequence[str]
    shape: str
    in_turn: bool = False

    def __call__(self, number: int) -> bytes:
        one, other = (2 * number + 1, 2 * number + 2) if self.in_turn else _two_goods(self.shape)
        line = '{"goods_id":%d,"nums":1,"checked":true}'
        body = f'{{"items":[{line % one},{line % other}]}}'.encode()
        return request("PUT", "/v1/cart", body, _bearer(self.tokens[number]))


def _two_goods(shape: str) -> Sequence[int]:
    return (1, 2) if shape == "hot" else random.sample(range(1, GOODS_COUNT + 1), 2)


@dataclass(frozen=True, slots=True)
class AskProfile:
    """What a shop's page asks after a log-in. It leaves in memory what a log-in would: the customer's key."""

    tokens: Sequence[str]

    def __call__(self, number: int) -> bytes:
        return request("GET", "/v1/users/me", b"", _bearer(self.tokens[number]))


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    tokens: Sequence[str]

    def __call__(self, number: int) -> bytes:
        return request(
            "POST", "/v1/orders", ORDER, _bearer(self.tokens[number]), f"idempotency-key: {number}"
        )


def _bearer(token: str) -> str:
    return f"authorization: Bearer {token}"


@dataclass(frozen=True, slots=True)
class HttpAsked:
    shape: str
    clients: int
    seconds: float
    rate: float | None


def http_round(asked: HttpAsked) -> Figures:
    """Raises AssertionError when an order that was answered is not there, or more was sold than ordered."""
    load = Load(asked.clients, asked.seconds, asked.rate)
    wanted = (
        int((asked.rate * 1.05 if asked.rate else CUSTOMERS_PER_S) * (asked.seconds + load.warm_up_s)) + 64
    )
    with fresh_site(load_settings(), "bench") as site:
        port, tokens, warm = ready(site, wanted, asked.shape)
        dsn = site.settings.dsn("order")
        assert dsn is not None
        sys.stderr.write("placing\n")
        before, own = Work.until_now(dsn), _roles_cpu_s(site)
        result = loaded(port, PlaceOrder(tokens), load)
        own = _roles_cpu_s(site) - own
        work = Work.until_now(dsn).since(before)
        written = orders_written(dsn) - warm
    assert written >= result.count(201), f"{written} orders written, {result.count(201)} answered"
    return figures_of_load("http", asked.shape, asked.clients, result, work, own_cpu_s=own, written=written)


def ready(site: Site, customers: int, shape: str) -> tuple[int, list[str], int]:
    """The shop's port, the tokens of customers with full carts, and how many orders came before them."""
    warm = 1 if shape == "hot" else GOODS_COUNT // 2
    tokens = asyncio.run(open_customers(site.settings, warm + customers))
    early, tokens = tokens[:warm], tokens[warm:]
    port = int(site.url.rpartition(":")[2])
    all_answered(200, port, FillCart(early, shape, in_turn=True), warm)
    all_answered(201, port, PlaceOrder(early), warm)
    all_answered(200, port, AskProfile(tokens), customers)
    all_answered(200, port, FillCart(tokens, shape), customers)
    dsn = site.settings.dsn("order")
    assert dsn is not None
    settle(dsn)
    return port, tokens, warm


def all_answered(status: int, port: int, requests: Requests, wanted: int) -> None:
    """Before the clock starts. Raises AssertionError when one is answered otherwise."""
    made = loaded(port, requests, Load(FILLING, FILL_LIMIT_S, None, 0.0, wanted))
    assert made.count(status) == wanted, f"not all {status}: {made.answers}, {made.unanswered} unanswered"


def orders_written(dsn: str) -> int:
    """Orders that were placed; each took two units. Raises AssertionError when stock says otherwise."""
    with psycopg.connect(dsn) as connection:
        placed, taken = connection.execute(_BOOKS).fetchone() or (0, 0)
    assert taken == 2 * placed, f"{placed} orders of two goods took {taken} units"
    return int(placed)


def _roles_cpu_s(site: Site) -> float:
    """Of the processes of the shop's roles."""
    return sum(tree_cpu_s(pid) for pid in site.role_pids)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="spread")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--rate", type=float, help="orders a second; as fast as answers come if not given")
    args = parser.parse_args(arguments)
    logging.getLogger().setLevel(logging.WARNING)
    figures = http_round(HttpAsked(args.shape, args.clients, args.seconds, args.rate))
    sys.stdout.write(json.dumps(asdict(figures)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
