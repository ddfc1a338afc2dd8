"""Log-ins: what their time tells, how many guesses at passwords are checked, and what others feel of a flood.

The shop has to believe X-Forwarded-For from this machine, or it takes everybody here for one address.
"""

import asyncio
import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final
from uuid import uuid4

import aiohttp

from adapters.api_call import ApiCall, encode
from adapters.api_client import ApiClient, ApiSettings, Login
from adapters.bench_guesses import CHECKED, Elsewhere, Flood, Flooded, elsewhere, guess
from adapters.bench_http import PARCEL, open_shop, sign_up
from adapters.retail_result import percentile

CUSTOMERS: Final = 8

MOST_DIFFERENCE_PERCENT: Final = 5.0
MOST_CHECKED: Final = 100
MOST_P99_RATIO: Final = 2.0


@dataclass(frozen=True, slots=True)
class LoginPlan:
    """`tries`: log-ins timed of each kind. `guesses`: sent of each kind. `round_s`: in seconds."""

    tries: int = 500
    guesses: int = 10_000
    rounds: int = 3
    round_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Times:
    """Of log-ins with a wrong password, medians in milliseconds."""

    known_ms: float
    unknown_ms: float

    @property
    def difference_percent(self) -> float:
        return 100 * abs(self.known_ms / self.unknown_ms - 1)


@dataclass(frozen=True, slots=True)
class Others:
    """What customers felt, without and with guessing. Times in milliseconds, over all rounds."""

    quiet_requests: int
    flooded_requests: int
    quiet_p99_ms: float
    flooded_p99_ms: float
    guesses: int

    @property
    def ratio(self) -> float:
        return self.flooded_p99_ms / self.quiet_p99_ms


@dataclass(frozen=True, slots=True)
class LoginFigures:
    """`one_account`, `many_accounts`: guesses from one address at one account, and at an account each."""

    times: Times
    one_account: Flooded
    many_accounts: Flooded
    others: Others


async def bench_logins(url: str, staff: Login, plan: LoginPlan) -> LoginFigures:
    """Raises ApiError, ApiUnreachable, aiohttp.ClientError."""
    with elsewhere(url) as guessers:
        async with ApiClient(ApiSettings(url, connections=CUSTOMERS + 8)) as client:
            customers = await sign_up(client, CUSTOMERS)
            goods = await open_shop(client, staff)
            times = await _times(client, url, plan.tries)
            one_account = await guessers.flood(Flood("203.0.113.1", one_account=True, guesses=plan.guesses))
            many_accounts = await guessers.flood(
                Flood("203.0.113.2", one_account=False, guesses=plan.guesses)
            )
            others = await _others(guessers, plan, _Shoppers(client, customers, goods))
    return LoginFigures(times, one_account, many_accounts, others)


# what the time of an answer tells


async def _times(client: ApiClient, url: str, tries: int) -> Times:
    """Alternating, and each kind first as often as the other, so that both see the same machine."""
    known = await _registered(client, tries)
    unknown = [f"nobody-{uuid4().hex}@bench.example" for _ in range(tries)]
    addresses = _addresses()
    seconds: dict[str, float] = {}
    async with aiohttp.ClientSession() as http:
        for n, pair in enumerate(zip(known, unknown, strict=True)):
            for email in pair if n % 2 else reversed(pair):
                seconds[email] = await _timed(http, url, email, next(addresses))
    return Times(
        *(1000 * statistics.median(seconds[email] for email in emails) for emails in (known, unknown))
    )


async def _timed(http: aiohttp.ClientSession, url: str, email: str, address: str) -> float:
    began = perf_counter()
    status = await guess(http, url, email, address)
    assert status == CHECKED, f"a log-in was answered {status}, so its time tells nothing"
    return perf_counter() - began


async def _registered(client: ApiClient, count: int) -> list[str]:
    """Not signed in: that would be half the work again."""
    logins = [Login(f"known-{uuid4().hex}@bench.example", uuid4().hex) for _ in range(count)]
    for login in logins:
        await client.register(login, "Bench")
    return [login.email for login in logins]


def _addresses() -> Iterator[str]:
    """From the network that RFC 2544 keeps for measurements."""
    return (f"198.18.{high}.{low}" for high in range(256) for low in range(256))


# what others feel


@dataclass(frozen=True, slots=True)
class _Shoppers:
    """Customers who fill their carts, look at them and order, as fast as they are answered."""

    client: ApiClient
    customers: Sequence[Login]
    goods: Sequence[int]

    async def shop_for(self, seconds: float) -> list[float]:
        """How long each request took, in seconds."""
        ends_at = perf_counter() + seconds
        times: list[float] = []
        await asyncio.gather(*(self._shop(customer, ends_at, times) for customer in self.customers))
        return times

    async def _shop(self, customer: Login, ends_at: float, times: list[float]) -> None:
        while perf_counter() < ends_at:
            items: list[dict[str, Any]] = [
                {"goods_id": goods_id, "nums": 1, "checked": True}
                for goods_id in random.sample(self.goods, 2)
            ]
            for call in (
                ApiCall("PUT", "/v1/cart", encode({"items": items})),
                ApiCall("GET", "/v1/cart"),
                ApiCall("POST", "/v1/orders", PARCEL, key=uuid4().hex),
            ):
                began = perf_counter()
                await self.client.send(call, customer)
                times.append(perf_counter() - began)


async def _others(guessers: Elsewhere, plan: LoginPlan, shoppers: _Shoppers) -> Others:
    await shoppers.shop_for(plan.round_s / 2)
    quiet: list[float] = []
    flooded: list[float] = []
    guesses = 0
    for n in range(plan.rounds):
        quiet += await shoppers.shop_for(plan.round_s)
        flood = Flood(f"203.0.113.{10 + n}", one_account=False, seconds=plan.round_s)
        times, flooding = await asyncio.gather(shoppers.shop_for(plan.round_s), guessers.flood(flood))
        flooded += times
        guesses += flooding.guesses
    return Others(len(quiet), len(flooded), _p99_ms(quiet), _p99_ms(flooded), guesses)


def _p99_ms(times: list[float]) -> float:
    return 1000 * percentile(sorted(times), 99)
