"""Orders of two lines over HTTP: how long one takes when nothing else happens, and how many go through.

The load comes from this process, the shop runs in its own; both share the machine. Filling the cart is
part of the work, but only POST /v1/orders is timed as placing.
"""

import asyncio
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final
from uuid import uuid4

import msgspec

from adapters.api_call import ApiCall, encode
from adapters.api_client import ApiClient, ApiSettings, Login
from adapters.retail_result import percentile

GOODS: Final = 1_000
STOCK: Final = 10**9
PARCEL: Final = encode(
    {"address": "1 Bench Street", "signer_name": "B", "signer_mobile": "13800000000", "post": "100000"}
)


class _Goods(msgspec.Struct):
    goods_id: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one phase. Times in milliseconds."""

    callers: int
    orders: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_s(self) -> float:
        return self.orders / self.seconds


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """`rounds`: how often each phase is run, idle and busy alternating."""

    idle_orders: int = 200
    busy_orders: int = 3_000
    callers: int = 32
    rounds: int = 3


async def bench(url: str, staff: Login, plan: BenchPlan) -> tuple[list[Figures], list[Figures]]:
    """Idle and busy figures, one of each a round. Raises ApiError, ApiUnreachable."""
    async with ApiClient(ApiSettings(url, connections=plan.callers + 8)) as client:
        goods = await open_shop(client, staff)
        buyers = await sign_up(client, plan.callers)
        await _run(client, buyers, goods, plan.callers * 5)
        idle: list[Figures] = []
        busy: list[Figures] = []
        for _ in range(plan.rounds):
            idle.append(await _run(client, buyers[:1], goods, plan.idle_orders))
            busy.append(await _run(client, buyers, goods, plan.busy_orders))
    return idle, busy


def median_of(figures: Sequence[Figures], name: str) -> float:
    return statistics.median(float(getattr(figure, name)) for figure in figures)


async def open_shop(client: ApiClient, staff: Login) -> list[int]:
    """Ids of goods that never run out. Raises ApiError, ApiUnreachable."""
    calls = [
        ApiCall("POST", "/v1/goods", encode({"name": f"Bench goods {n}", "price": 100 + n}))
        for n in range(GOODS)
    ]
    answers = await asyncio.gather(*(client.send(call, staff) for call in calls))
    ids = [msgspec.json.decode(answer.body, type=_Goods).goods_id for answer in answers]
    items = [{"goods_id": goods_id, "stock": STOCK} for goods_id in ids]
    await client.send(ApiCall("PUT", "/v1/inventory", encode({"items": items})), staff)
    return ids


async def sign_up(client: ApiClient, count: int) -> list[Login]:
    """New customers, signed in. Raises ApiError, ApiUnreachable."""

    async def one() -> Login:
        login = Login(f"bench-{uuid4().hex}@bench.example", uuid4().hex)
        await client.register(login, "Bench")
        await client.log_in(login)
        return login

    return [await one() for _ in range(count)]


async def _run(client: ApiClient, buyers: Sequence[Login], goods: Sequence[int], orders: int) -> Figures:
    left = iter(range(orders))
    times: list[float] = []

    async def buy(buyer: Login) -> None:
        for _ in left:
            times.append(await _order(client, buyer, random.sample(goods, 2)))

    began = perf_counter()
    await asyncio.gather(*map(buy, buyers))
    seconds = perf_counter() - began
    times.sort()
    p50_ms, p99_ms = percentile(times, 50) * 1000, percentile(times, 99) * 1000
    return Figures(len(buyers), len(times), seconds, p50_ms, p99_ms)


async def _order(client: ApiClient, buyer: Login, goods: Sequence[int]) -> float:
    """Seconds that placing took."""
    items: list[dict[str, Any]] = [{"goods_id": g, "nums": 1, "checked": True} for g in goods]
    await client.send(ApiCall("PUT", "/v1/cart", encode({"items": items})), buyer)
    placing = await client.send(ApiCall("POST", "/v1/orders", PARCEL, key=uuid4().hex), buyer)
    return placing.seconds
