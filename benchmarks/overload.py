"""Ten times more orders than the shop can place: what is accepted, how fast, and who gets through.

    python -m benchmarks.overload --seconds 20 --times 10

A whole shop as `up` runs it. Three loads, each from processes of their own on the same two cores:

*peak*: as many customers at once as place most orders, each waiting for the answer before the next.
*overload*: that rate times `--times`, due whatever the shop does, every order from another customer. Who is
refused tries again later with the same cart.
*greedy*: one customer alone floods with that rate, cart after cart, while others place half of what the
shop can.
"""

import argparse
import json
import logging
import sys
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Final

import psutil

from adapters.settings import load_settings
from adapters.site import Site, fresh_site
from benchmarks.http_load import Load, Loaded, loaded, request
from benchmarks.http_orders import ORDER, PlaceOrder, orders_written, ready
from benchmarks.stocked import GOODS_COUNT

PEAK_CLIENTS: Final = 256
CONNECTIONS: Final = 1_024
"""Of the overload. More requests than these are never under way, but all that are due are counted."""

PEAK_PER_S: Final = 2_400
"""Customers ready for each second of a load that places all it can; a shop that places more is an error."""

WARM_UP_S: Final = 2.0
CREATED, OK, OVERLOADED = 201, 200, 503


@dataclass(slots=True)
class TryAgain:
    """Each customer orders once; who is refused stands in line again. IndexError when all have ordered."""

    tokens: Sequence[str]
    waiting: deque[int] = field(default_factory=deque)
    asked: dict[int, int] = field(default_factory=dict)

    def __call__(self, number: int) -> bytes:
        if not self.asked and not self.waiting:
            self.waiting.extend(range(len(self.tokens)))
        customer = self.waiting.popleft()
        self.asked[number] = customer
        bearer = f"authorization: Bearer {self.tokens[customer]}"
        return request("POST", "/v1/orders", ORDER, bearer, f"idempotency-key: {customer}")

    def heard(self, number: int, status: int) -> None:
        customer = self.asked.pop(number, None)
        if status == OVERLOADED and customer is not None:
            self.waiting.append(customer)


@dataclass(frozen=True, slots=True)
class Flood:
    """One customer, one cart after the other."""

    token: str

    def __call__(self, number: int) -> bytes:
        body = b'{"items":[{"goods_id":%d,"nums":1,"checked":true}]}' % (number % GOODS_COUNT + 1)
        return request("PUT", "/v1/cart", body, f"authorization: Bearer {self.token}")


@dataclass(frozen=True, slots=True)
class Phase:
    """`due_per_s`: 0 for as fast as answers come. Rates and milliseconds are of what came while it counted.

    Milliseconds count since the request was sent: a load waits for a free connection before. `due_p99_ms`
    counts since it was due, and is None at a rate that nobody can keep up with. `load_cores`: what making the
    load took of the two.
    """

    name: str
    due_per_s: float
    accepted_per_s: float
    refused_per_s: float
    p50_ms: float
    p99_ms: float
    due_p99_ms: float | None
    refused_p99_ms: float
    others: int
    unanswered: int
    load_cores: float
    memory_mb: float


def measured(seconds: float, times: float) -> list[Phase]:
    """Raises AssertionError when an order that was answered is not there."""
    peak = Load(PEAK_CLIENTS, seconds, None, WARM_UP_S)
    wanted = int(PEAK_PER_S * (seconds + WARM_UP_S))
    with fresh_site(load_settings(), "overload") as site:
        port, tokens, warm = ready(site, wanted * 5 // 2 + 1, "spread")
        first, second, half_as_many = tokens[:wanted], tokens[wanted : 2 * wanted], tokens[2 * wanted :]
        phases = [_phase("peak", peak, loaded(port, PlaceOrder(first), peak), site)]
        rate = phases[0].accepted_per_s
        over = Load(CONNECTIONS, seconds, times * rate, WARM_UP_S, finishes=False)
        phases.append(_phase(f"{times:g} times as many", over, loaded(port, TryAgain(second), over), site))
        half = Load(PEAK_CLIENTS, seconds, rate / 2, WARM_UP_S)
        with ThreadPoolExecutor(1) as pool:
            flood = pool.submit(loaded, port, Flood(tokens[-1]), over)
            others = loaded(port, PlaceOrder(half_as_many), half)
            phases.append(_phase("one floods", over, flood.result(), site, OK))
        phases.append(_phase("others beside it", half, others, site))
        dsn = site.settings.dsn("order")
        assert dsn is not None
        answered = sum(each.accepted_per_s * seconds for each in phases if each.name != "one floods")
        assert orders_written(dsn) >= warm + round(answered), "an order that was answered is not there"
    return phases


def _phase(name: str, load: Load, result: Loaded, site: Site, accepted: int = CREATED) -> Phase:
    came, due = result.came.get, result.answers.get(accepted)
    got, refused = result.since_sent.get(accepted), result.since_sent.get(OVERLOADED)
    known = came(accepted, 0) + came(OVERLOADED, 0)
    return Phase(
        name=name,
        due_per_s=load.rate or 0.0,
        accepted_per_s=came(accepted, 0) / result.seconds,
        refused_per_s=came(OVERLOADED, 0) / result.seconds,
        p50_ms=got.p50_ms if got else 0.0,
        p99_ms=got.p99_ms if got else 0.0,
        due_p99_ms=due.p99_ms if due and load.finishes else None,
        refused_p99_ms=refused.p99_ms if refused else 0.0,
        others=sum(result.came.values()) - known,
        unanswered=result.unanswered,
        load_cores=result.cpu_s / (result.seconds + WARM_UP_S),
        memory_mb=max(psutil.Process(pid).memory_info().rss for pid in site.role_pids) / 1e6,
    )


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load")
    parser.add_argument("--times", type=float, default=10.0, help="the peak, that is due in an overload")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    logging.getLogger().setLevel(logging.WARNING)
    phases = measured(args.seconds, args.times)
    if args.json:
        sys.stdout.write(json.dumps([asdict(phase) for phase in phases]) + "\n")
        return
    sys.stdout.write(
        f"{'':20}{'due/s':>8}{'accepted/s':>12}{'refused/s':>11}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'since due':>11}{'refused p99':>13}{'others':>8}{'no answer':>11}{'load cores':>12}{'MB':>7}\n"
    )
    for one in phases:
        since_due = "-" if one.due_p99_ms is None else f"{one.due_p99_ms:,.0f}"
        sys.stdout.write(
            f"{one.name:20}{one.due_per_s:8,.0f}{one.accepted_per_s:12,.0f}{one.refused_per_s:11,.0f}"
            f"{one.p50_ms:9,.0f}{one.p99_ms:9,.0f}{since_due:>11}{one.refused_p99_ms:13,.0f}{one.others:8,}"
            f"{one.unanswered:11,}{one.load_cores:12.2f}{one.memory_mb:7,.0f}\n"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
