"""Carries out a retail plan against a running server, through its public HTTP API only.

Safe to run again after a stop anywhere: every write repeats with the key and the bytes of the first time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from time import perf_counter
from typing import TypeVar

import msgspec

from adapters.api_call import LONGEST_PAUSE_S, Answer, ApiCall, ApiError, ApiUnreachable, decode, pause_s
from adapters.api_client import PATIENCE_S, ApiClient, ApiSettings, Login
from adapters.retail_calls import (
    PROBE,
    STOCK_CHUNK,
    cart_call,
    goods_call,
    order_call,
    order_key,
    order_question,
    password_of,
    payment_call,
    probe_key,
    stock_call,
    stock_question,
)
from adapters.retail_plan import RetailOrder, RetailPlan, Shopper
from adapters.retail_progress import LoadProgress
from adapters.retail_result import LoadResult, Tally, result_of

CONCURRENCY = 32
"""Shoppers served at the same time."""

SIGN_UPS_AT_ONCE = 4
"""A sign-up costs the server two password hashes; more at once would keep it from taking orders."""

DECIDED_WITHIN_S = 120.0
"""How long an order may stay undecided."""

SETTLED_WITHIN_S = 20.0
"""How long what is read may lag behind the last order."""

ORDERS_PER_INVOICE = 3
"""An order that the shop closed unpaid, because a stopped load was away too long, is placed anew."""

TO_PAY, PAID, CLOSED = 1, 2, 3
_UNDECIDED = 202

T = TypeVar("T")


class LoadError(Exception):
    """The load cannot go on: one line with the invoice or goods, the call, and what was answered."""


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


class _Order(msgspec.Struct):
    order_id: str
    amount: int = 0
    status: int = 0


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
            orders=run.paid,
            revenue_pence=run.revenue_pence,
            replayed=run.replayed,
            place_s=run.place_s,
            order_seconds=order_seconds,
            seconds=perf_counter() - started,
            leftovers=run.leftovers,
            refused_as_short=refused,
        ),
    )


def schedule(plan: RetailPlan) -> list[tuple[int, list[RetailOrder]]]:
    """Shoppers with their orders in file order; who has the most goes first.

    One shopper's orders share a cart and run one after the other, so the longest row of them decides when
    the load ends, if it starts late.
    """
    rows: dict[int, list[RetailOrder]] = {}
    for order in plan.orders:
        rows.setdefault(order.shopper, []).append(order)
    return sorted(rows.items(), key=lambda row: (-len(row[1]), row[0]))


class _Run:
    """One load on its way, and what it has counted so far."""

    def __init__(
        self, plan: RetailPlan, settings: LoadSettings, client: ApiClient, progress: LoadProgress
    ) -> None:
        self._plan, self._settings, self._client, self._progress = plan, settings, client, progress
        self._staff = Login(settings.staff_email, settings.staff_password)
        self._goods_ids = [0] * len(plan.goods)
        self._sign_ups = asyncio.Semaphore(SIGN_UPS_AT_ONCE)
        self.paid = self.revenue_pence = self.replayed = 0
        self.place_s: list[float] = []
        self.leftovers: list[tuple[str, int]] = []
        self._settled_by = 0.0

    async def open_shop(self) -> None:
        with _about("sign-in as staff"):
            await self._client.reach()
            await self._client.log_in(self._staff)
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
        login = await self._sign_up(PROBE)
        with _about("one more order"):
            await self._client.send(cart_call(self._goods_ids, [(0, 1)]), login)
            call = order_call(PROBE, invoice="probe", key=probe_key(self._plan))
            try:
                await self._placed(call, await self._client.send(call, login), login)
            except ApiError as error:
                if error.type != "urn:tillroll:stock-short":
                    raise
                await self._client.send(cart_call(self._goods_ids, []), login)
                return True
        return False

    async def _each(self, stage: str, places: range, work: Callable[[int], Awaitable[None]]) -> None:
        self._progress.stage(stage, len(places))

        async def step(place: int) -> None:
            await work(place)
            self._progress.advance()

        await _spread(places, step, at_once=self._settings.concurrency)

    async def _make_goods(self, place: int) -> None:
        call = goods_call(self._plan, place)
        with _about(f"goods {self._plan.goods[place].name!r}"):
            answer = await self._client.send(call, self._staff)
            self._goods_ids[place] = decode(call, answer, _Goods).goods_id

    async def _set_stock(self, start: int) -> None:
        with _about(f"opening stock from goods {start} on"):
            await self._client.send(stock_call(self._plan, self._goods_ids, start), self._staff)

    async def _look(self, place: int) -> None:
        call = stock_question(self._goods_ids[place])
        name = self._plan.goods[place].name
        with _about(f"goods {name!r}"):
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
            with _about(f"invoice {order.invoice}"):
                await self._sell(order, shopper, login)
            self._progress.advance()

    async def _sign_up(self, shopper: Shopper) -> Login:
        login = Login(shopper.email, password_of(shopper, self._settings.staff_password))
        async with self._sign_ups:
            with _about(f"shopper {shopper.email}"):
                is_new = await self._client.register(login, shopper.nickname)
            known = "" if is_new else ", known from a load under this or another staff password"
            with _about(f"shopper {shopper.email}{known}"):
                await self._client.log_in(login)
        return login

    async def _sell(self, order: RetailOrder, shopper: Shopper, login: Login) -> None:
        for again in range(ORDERS_PER_INVOICE):
            key = order_key(self._plan, order, again)
            await self._client.send(cart_call(self._goods_ids, order.lines), login)
            call = order_call(shopper, invoice=order.invoice, key=key)
            if await self._pay(await self._place(call, login), order, key):
                return
        raise LoadError(f"invoice {order.invoice}: {ORDERS_PER_INVOICE} orders were closed unpaid")

    async def _place(self, call: ApiCall, login: Login) -> _Order:
        answer = await self._client.send(call, login)
        placed = await self._placed(call, answer, login)
        if not answer.replayed:
            self.place_s.append(answer.seconds)
            return placed
        # Placed by an earlier run: the cart was filled for nothing, and the order may have moved on since.
        self.replayed += 1
        await self._client.send(cart_call(self._goods_ids, []), login)
        return await self._decided(placed.order_id, login)

    async def _placed(self, call: ApiCall, answer: Answer, login: Login) -> _Order:
        placed = decode(call, answer, _Order)
        if answer.status == _UNDECIDED:
            return await self._decided(placed.order_id, login)
        return placed

    async def _decided(self, order_id: str, login: Login) -> _Order:
        """The order once the shop has decided on it. Raises ApiError when it was refused."""
        give_up_at = perf_counter() + DECIDED_WITHIN_S
        for attempt in count():
            if (order := await self._seen(order_id, login)) is not None:
                return order
            if perf_counter() > give_up_at:
                break
            await asyncio.sleep(pause_s(attempt, 0.0))
        raise LoadError(f"order {order_id} is undecided after {DECIDED_WITHIN_S:.0f} s")

    async def _seen(self, order_id: str, login: Login) -> _Order | None:
        call = order_question(order_id)
        try:
            answer = await self._client.send(call, login)
        except ApiError as error:
            # The shop gave us this id, so what answers "not found" has only not read that far yet.
            if error.status == 404:
                return None
            raise
        return None if answer.status == _UNDECIDED else decode(call, answer, _Order)

    async def _pay(self, placed: _Order, order: RetailOrder, trade_id: str) -> bool:
        """Pays the order unless an earlier run did; False when the shop has closed it."""
        if placed.amount != order.amount_pence:
            raise LoadError(_wrong_amount(placed, order))
        if placed.status == TO_PAY:
            call = payment_call(placed.order_id, amount_pence=order.amount_pence, trade_id=trade_id)
            try:
                placed = decode(call, await self._client.send(call, self._staff), _Order)
            except ApiError as error:
                if error.type == "urn:tillroll:order-closed":
                    return False
                raise
        if placed.status == PAID:
            self.paid += 1
            self.revenue_pence += placed.amount
        return placed.status == PAID


def _wrong_amount(placed: _Order, order: RetailOrder) -> str:
    costs = f"order {placed.order_id} costs {placed.amount:,} pence"
    return f"invoice {order.invoice}: {costs}, the file says {order.amount_pence:,}"


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


@contextmanager
def _about(what: str) -> Iterator[None]:
    """Says what was being done when the server refused or stayed away."""
    try:
        yield
    except (ApiError, ApiUnreachable) as error:
        raise LoadError(f"{what}: {error}") from error
