"""Sells one invoice after the other to a shopper: fills the cart, orders, waits for the decision, is paid."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from time import perf_counter

import msgspec

from adapters.api_call import Answer, ApiCall, ApiError, ApiUnreachable, decode, pause_s
from adapters.api_client import ApiClient, Login
from adapters.retail_calls import (
    PROBE,
    cart_call,
    order_call,
    order_key,
    order_question,
    payment_call,
    probe_key,
)
from adapters.retail_plan import RetailOrder, RetailPlan, Shopper

DECIDED_WITHIN_S = 120.0
"""How long an order may stay undecided."""

ORDERS_PER_INVOICE = 3
"""An order that the shop closed unpaid, because a stopped load was away too long, is placed anew."""

TO_PAY, PAID = 1, 2
_UNDECIDED = 202


class LoadError(Exception):
    """The load cannot go on: one line with the invoice or goods, the call, and what was answered."""


class _Order(msgspec.Struct):
    order_id: str
    amount: int = 0
    status: int = 0


@contextmanager
def about(what: str) -> Iterator[None]:
    """Says what was being done when the server refused or stayed away."""
    try:
        yield
    except (ApiError, ApiUnreachable) as error:
        raise LoadError(f"{what}: {error}") from error


class Till:
    """Takes orders and money for one plan, and counts both. Places of goods in the plan -> `goods_ids`."""

    def __init__(
        self, plan: RetailPlan, client: ApiClient, *, staff: Login, goods_ids: Sequence[int]
    ) -> None:
        self._plan, self._client, self._staff, self._goods_ids = plan, client, staff, goods_ids
        self.paid = self.revenue_pence = self.replayed = 0
        self.place_s: list[float] = []

    async def sell(self, order: RetailOrder, shopper: Shopper, login: Login) -> None:
        """Until the invoice is ordered and paid. Raises ApiError, ApiUnreachable, LoadError."""
        for again in range(ORDERS_PER_INVOICE):
            key = order_key(self._plan, order, again)
            await self._client.send(cart_call(self._goods_ids, order.lines), login)
            call = order_call(shopper, invoice=order.invoice, key=key)
            if await self._pay(await self._place(call, login), order, key):
                return
        raise LoadError(f"invoice {order.invoice}: {ORDERS_PER_INVOICE} orders were closed unpaid")

    async def ask_for_one_more(self, login: Login) -> bool:
        """Whether one more unit of sold-out goods is refused as short."""
        with about("one more order"):
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
