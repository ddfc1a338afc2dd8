"""Carries out a retail plan against a running server, through its public HTTP API only.

Safe to run again after a stop anywhere: every write repeats with the key and the bytes of the first time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeVar

import msgspec

from adapters.api_call import LONGEST_PAUSE_S, decode
from adapters.api_client import PATIENCE_S, ApiClient, ApiSettings, Login
from adapters.retail_calls import PROBE, STOCK_CHUNK, goods_call, password_of, stock_call, stock_question
from adapters.retail_plan import RetailOrder, RetailPlan, Shopper, schedule
from adapters.retail_progress import LoadProgress
from adapters.retail_result import LoadResult, Tally, result_of
from adapters.retail_till import LoadError, Till, about

CONCURRENCY = 32
"""Shoppers served at the same time."""

SIGN_UPS_AT_ONCE = 4
"""A sign-up costs the server two password hashes; more at once would keep it from taking orders."""

SETTLED_WITHIN_S = 20.0
"""How long what is read may lag behind the last order."""

T = TypeVar("T")

__all__ = ["CONCURRENCY", "LoadError", "LoadSettings", "load"]


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """Which server, as whom, and how many shoppers at the same time."""

    base_url: str
    staff_email: str
    staff_password: str = field(repr=False)
    concurrency: int = CONCURRENCY
    patience_s: float = PATIENCE_S


class _Goods(msgspec.Struct):
    goods_id: int


class _Stock(msgspec.Struct):
    stock: int


async def load(plan: RetailPlan, settings: LoadSettings, progress: LoadProgress) -> LoadResult:
    """Makes the goods, registers the shoppers, places and pays every order, then checks what is left.

    Raises LoadError when the server refuses something or stays away longer than `patience_s`, and
    BadApiAddress when `base_url` is none.
    """
    started = perf_counter()
    connections = settings.concurrency + SIGN_UPS_AT_ONCE
    async with ApiClient(ApiSettings(settings.base_url, connections, settings.patience_s)) as client:
        run = _Run(plan, settings, client, progress)
        await run.open_shop()
        began = perf_counter()
        await run.take_orders()
        order_seconds = perf_counter() - began
        await run.look_at_stock()
        refused = await run.ask_for_one_more()
    return result_of(
        plan,
        Tally(
            orders=run.till.paid,
            revenue_pence=run.till.revenue_pence,
            replayed=run.till.replayed,
            place_s=run.till.place_s,
            order_seconds=order_seconds,
            seconds=perf_counter() - started,
            leftovers=run.leftovers,
            refused_as_short=refused,
        ),
    )


class _Run:
    """One load on its way, and what it has counted so far."""

    def __init__(
        self, plan: RetailPlan, settings: LoadSettings, client: ApiClient, progress: LoadProgress
    ) -> None:
        self._plan, self._settings, self._client, self._progress = plan, settings, client, progress
        self._staff = Login(settings.staff_email, settings.staff_password)
        self._goods_ids = [0] * len(plan.goods)
        self._sign_ups = asyncio.Semaphore(SIGN_UPS_AT_ONCE)
        self.till = Till(plan, client, staff=self._staff, goods_ids=self._goods_ids)
        self.leftovers: list[tuple[str, int]] = []
        self._settled_by = 0.0

    async def open_shop(self) -> None:
        with about("sign-in as staff"):
            await self._client.reach()
            await self._client.log_in(self._staff)
        # Before anything is made: shoppers of an earlier load under another password cannot be used.
        await self._sign_up(self._plan.shoppers[0])
        await self._each("goods", range(len(self._plan.goods)), self._make_goods)
        starts = range(0, len(self._plan.goods), STOCK_CHUNK)
        await self._each("stock", starts, self._set_stock)

    async def take_orders(self) -> None:
        self._progress.stage("orders", len(self._plan.orders))
        await _spread(schedule(self._plan), self._serve, at_once=self._settings.concurrency)

    async def look_at_stock(self) -> None:
        self._settled_by = perf_counter() + SETTLED_WITHIN_S
        await self._each("check", range(len(self._plan.goods)), self._look)

    async def ask_for_one_more(self) -> bool:
        """Whether one more unit of sold-out goods is refused as short."""
        return await self.till.ask_for_one_more(await self._sign_up(PROBE))

    async def _each(self, stage: str, places: range, work: Callable[[int], Awaitable[None]]) -> None:
        self._progress.stage(stage, len(places))

        async def step(place: int) -> None:
            await work(place)
            self._progress.advance()

        await _spread(places, step, at_once=self._settings.concurrency)

    async def _make_goods(self, place: int) -> None:
        call = goods_call(self._plan, place)
        with about(f"goods {self._plan.goods[place].name!r}"):
            answer = await self._client.send(call, self._staff)
            self._goods_ids[place] = decode(call, answer, _Goods).goods_id

    async def _set_stock(self, start: int) -> None:
        with about(f"opening stock from goods {start} on"):
            await self._client.send(stock_call(self._plan, self._goods_ids, start), self._staff)

    async def _look(self, place: int) -> None:
        call = stock_question(self._goods_ids[place])
        name = self._plan.goods[place].name
        with about(f"goods {name!r}"):
            left = decode(call, await self._client.send(call, self._staff), _Stock).stock
            while left and perf_counter() < self._settled_by:
                await asyncio.sleep(LONGEST_PAUSE_S)
                left = decode(call, await self._client.send(call, self._staff), _Stock).stock
        if left:
            self.leftovers.append((name, left))

    async def _serve(self, row: tuple[int, list[RetailOrder]]) -> None:
        shopper = self._plan.shoppers[row[0]]
        login = await self._sign_up(shopper)
        for order in row[1]:
            with about(f"invoice {order.invoice}"):
                await self.till.sell(order, shopper, login)
            self._progress.advance()

    async def _sign_up(self, shopper: Shopper) -> Login:
        login = Login(shopper.email, password_of(shopper, self._settings.staff_password))
        async with self._sign_ups:
            with about(f"shopper {shopper.email}"):
                is_new = await self._client.register(login, shopper.nickname)
            known = "" if is_new else ", known from a load under this or another staff password"
            with about(f"shopper {shopper.email}{known}"):
                await self._client.log_in(login)
        return login


async def _spread(items: Iterable[T], work: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
    """Works through the items in their order, `at_once` of them at a time; the first error stops all."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(max(1, at_once)):
                group.create_task(worker())
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
