"""The workload: customers, staff and operators who ask the shop for things, and note what it promised them.

It decides nothing about right and wrong except this: what was answered must stand in the log, and a refusal
must be one that its caller can expect. Everything else is the auditor's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from domain import streams
from domain.cart import CartLine, CloseCart, ReplaceCart
from domain.key import KeyUse
from domain.order import Contact, Order, OrderStatus, Payment, PayOrder
from domain.recorded import Cause
from domain.refusals import Busy, Refusal
from domain.saga import CancelOrder, Saga, Step
from domain.saga_acts import CompensateSaga, RetrySaga
from domain.stock import AdjustStock
from orchestrator.checkout import Placing
from tests.simulation.auditor import CLIENTS, Auditor, OrderBook, Violation
from tests.simulation.chance import Chance
from tests.simulation.loop import SimLoop
from tests.simulation.node import PAYMENT_WINDOW_S, Node

T = TypeVar("T")

ALWAYS_RECORDED: Final = frozenset({"adjust", "retry"})
"""What has an effect each time it is asked for."""

REQUEST_TIMEOUT_S: Final = 7.0
WAIT_S: Final = 4.0

EXPECTED: Final = {
    "place": {"cart-empty", "cart-changed", "order-under-way", "account-closed", "goods-unavailable"},
    "pay": {"no-such-order", "already-paid"},
    "cancel": {"no-such-order", "already-paid", "order-closed"},
    "cart": {"account-closed"},
    "close": set(),
    "adjust": {"stock-short"},
    "retry": {"no-such-order", "nothing-owed"},
    "compensate": {"no-such-order", "already-paid", "order-closed", "nothing-owed"},
}
"""Refusals that a caller who did nothing wrong may hear."""


class NoAnswer(Exception):
    """The request or its answer was lost, or the shop is too busy: nobody knows what happened."""


@dataclass(slots=True)
class Shoppers:
    """How much goes on in one history.

    `small`: one order each of one unit, whose cart is full already; the first is cancelled once it is placed.
    """

    customers: int = 2
    orders_each: int = 2
    goods: tuple[int, ...] = (1, 2)
    small: bool = False


@dataclass(slots=True)
class Workload:
    loop: SimLoop
    chance: Chance
    auditor: Auditor
    apis: Callable[[], list[Node]]
    shoppers: Shoppers
    left: int = 0
    promised: dict[str, str] = field(default_factory=dict)
    commands: int = 0

    # how the outside talks to the shop

    async def ask(
        self, what: str, handler: Callable[[Node, Cause], Awaitable[T]], about: str = ""
    ) -> T | Refusal:
        """One request to one of the API processes. Raises NoAnswer; a refusal nobody expects is a bug."""
        apis = self.apis()
        fault = self.chance.fault("request")
        if not apis or fault == "lost":
            await asyncio.sleep(REQUEST_TIMEOUT_S)
            raise NoAnswer
        node = apis[self.chance.pick(len(apis))]
        self.commands += 1
        cause = Cause(f"{CLIENTS}{self.commands}", "user-1", "", node.clock())
        self.auditor.hears(cause.command_id)
        answered: asyncio.Future[Any] = self.loop.create_future()
        self.loop.call_for(node.process, 0.0, self._begin, partial(handler, node, cause), answered)
        await asyncio.wait({answered}, timeout=REQUEST_TIMEOUT_S)
        if not answered.done() or fault == "answer-lost":
            raise NoAnswer
        answer = answered.result()
        if isinstance(answer, Busy):
            raise NoAnswer
        if isinstance(answer, Refusal):
            if answer.name not in EXPECTED[what] or not self._is_true(answer.name, about):
                raise Violation("no caller hears a wrong no", f"{what}: {answer.name} {about}")
        elif isinstance(answer, Exception):
            raise Violation("no caller hears of a bug", f"{what}: {answer!r}")
        elif what in ALWAYS_RECORDED and cause.command_id not in self.auditor.asked:
            raise Violation("what was answered is in the log", f"{what} by {cause.command_id}")
        found: T | Refusal = answer
        return found

    def _begin(self, call: Callable[[], Any], answered: asyncio.Future[Any]) -> None:
        """In the API's process: its answer travels back to ours."""
        task = self.loop.create_task(call())
        task.add_done_callback(lambda done: self._answer(done, answered))

    def _answer(self, done: asyncio.Task[Any], answered: asyncio.Future[Any]) -> None:
        answer = done.exception() or done.result() if not done.cancelled() else NoAnswer()
        self.loop.call_for(self.loop.outside, 0.0, _hear, answered, answer)

    def _is_true(self, refusal: str, order_id: str) -> bool:
        """Whether the log bears out a refusal that says how an order stands, now and for ever."""
        book = self.auditor.orders.get(order_id)
        true = {
            "already-paid": book is not None and book.step == "PAID",
            "order-closed": book is not None and book.step in ("ROLLING_BACK", "CLOSED"),
        }
        return true.get(refusal, True)

    async def surely(
        self, what: str, handler: Callable[[Node, Cause], Awaitable[T]], about: str = ""
    ) -> T | Refusal:
        """Asks until there is an answer, as every client with an Idempotency-Key may."""
        pause_s = 0.5
        while True:
            try:
                return await self.ask(what, handler, about)
            except NoAnswer:
                await asyncio.sleep(pause_s)
                pause_s = min(8.0, pause_s * 2)

    # who asks

    def begin(self, spawn: Callable[[Any], Any]) -> None:
        for user_id in range(1, self.shoppers.customers + 1):
            customer = self._small_customer if self.shoppers.small else self._customer
            self._count_in(spawn, customer(user_id))
        if not self.shoppers.small:
            self._count_in(spawn, self._staff())

    def _count_in(self, spawn: Callable[[Any], Any], coro: Coroutine[Any, Any, None]) -> None:
        spawn(self.counted(coro))

    def counted(self, coro: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
        """The same, waited for at the end of the history."""
        self.left += 1
        return self._counted(coro)

    async def _counted(self, coro: Coroutine[Any, Any, None]) -> None:
        await coro
        self.left -= 1

    async def _customer(self, user_id: int) -> None:
        for number in range(1 + self.chance.pick(self.shoppers.orders_each)):
            await asyncio.sleep(self.chance.between(0.0, 4.0))
            await self.fill_cart(user_id)
            ordered = self.order(user_id, f"user {user_id} order {number}")
            if self.chance.yes(0.1):
                order_id, _ = await asyncio.gather(ordered, self._close_soon(user_id))
            else:
                order_id = await ordered
            if order_id is not None:
                await self._after(user_id, order_id)

    async def _close_soon(self, user_id: int) -> None:
        """The customer leaves while the order is under way."""
        await asyncio.sleep(self.chance.between(0.0, 1.0))
        await self.close_account(user_id)

    async def _small_customer(self, user_id: int) -> None:
        order_id = await self.order(user_id, f"user {user_id}")
        if order_id is not None and user_id == 1:
            await self.cancel(order_id)

    async def fill_cart(self, user_id: int) -> None:
        goods = self.shoppers.goods
        count = 1 + self.chance.pick(len(goods))
        lines = tuple(CartLine(goods_id, 1 + self.chance.pick(2), True) for goods_id in goods[:count])
        command = ReplaceCart(user_id, lines)
        await self.surely("cart", lambda node, cause: node.orders().submit(command, cause))

    async def order(self, user_id: int, tag: str) -> str | None:
        """Presses the button, sometimes twice; returns the order's id once it is placed or undecided."""
        contact = Contact(tag, "Ann", "07700 900000", "N1")
        use = KeyUse(_key(tag), tag)

        async def place(node: Node, cause: Cause) -> Placing:
            return await node.checkout.place(
                user_id=user_id, contact_for=lambda _: contact, use=use, cause=cause, wait_s=WAIT_S
            )

        presses = [self.surely("place", place) for _ in range(1 + self.chance.yes(0.3))]
        answers = await asyncio.gather(*presses)
        placings = [answer for answer in answers if isinstance(answer, Placing)]
        for placing in placings:
            self._note_placing(tag, placing)
        return placings[0].order_id if placings else None

    def _note_placing(self, tag: str, placing: Placing) -> None:
        """The promise of an answer is checked against the log as the auditor knows it."""
        book = self._book("place", placing.order_id)
        if {self.promised.setdefault(tag, placing.order_id), self.auditor.keys.get(_key(tag))} != {
            placing.order_id
        }:
            raise Violation("one order for one press of the button", f"{tag}: order {placing.order_id}")
        if placing.order.placed is not None and book.state == "":
            raise Violation("what was answered is in the log", f"order {placing.order_id} was not placed")
        if placing.saga.step is Step.REFUSED and book.step != "REFUSED":
            raise Violation("what was answered is in the log", f"order {placing.order_id} was not refused")

    def _book(self, what: str, order_id: str) -> OrderBook:
        book = self.auditor.orders.get(order_id)
        if book is None or book.step == "NEW":
            raise Violation("what was answered is in the log", f"{what}: no order {order_id}")
        return book

    async def _after(self, user_id: int, order_id: str) -> None:
        """Pays in time, at the last moment, late or twice; cancels; both at once; or forgets about it."""
        plan = self.chance.pick(8)
        if plan == 0:
            return
        if plan in (1, 2):
            await asyncio.sleep(PAYMENT_WINDOW_S + self.chance.between(-4.0, 4.0))
        else:
            await asyncio.sleep(self.chance.between(0.0, 2.0))
        pay, cancel = partial(self.pay, order_id), partial(self.cancel, order_id)
        acts: dict[int, list[Callable[[], Awaitable[None]]]] = {
            3: [cancel],
            4: [partial(pay, "A"), cancel],
            5: [partial(pay, "A"), partial(pay, "A")],
            6: [partial(pay, "A"), partial(pay, "B")],
            7: [cancel, partial(pay, "A"), partial(self.close_account, user_id)],
        }
        await asyncio.gather(*(act() for act in acts.get(plan, [partial(pay, "A")])))

    async def pay(self, order_id: str, trade: str) -> None:
        book = self._book("pay", order_id)
        trade_id = f"{order_id}-{trade}"

        async def pay(node: Node, cause: Cause) -> Order:
            payment = Payment("alipay", trade_id, book.amount, node.clock())
            done = await node.orders().submit(PayOrder(order_id, payment), cause)
            order: Order = done.states[streams.order(order_id)]
            return order

        order = await self.surely("pay", pay, order_id)
        if isinstance(order, Refusal):
            return
        known = book.trades if order.status is OrderStatus.PAID else book.refunds
        if trade_id not in known:
            raise Violation("what was answered is in the log", f"payment {trade_id}")

    async def cancel(self, order_id: str) -> None:
        async def cancel(node: Node, cause: Cause) -> Saga:
            done = await node.orders().submit(CancelOrder(order_id), cause)
            saga: Saga = done.states[streams.saga(order_id)]
            return saga

        saga = await self.surely("cancel", cancel, order_id)
        if isinstance(saga, Saga) and self._book("cancel", order_id).step not in ("ROLLING_BACK", "CLOSED"):
            raise Violation("what was answered is in the log", f"order {order_id} was not cancelled")

    async def close_account(self, user_id: int) -> None:
        await self.surely("close", lambda node, cause: node.orders().submit(CloseCart(user_id), cause))

    async def _staff(self) -> None:
        """Counts stock, and sends orders back or on that wait for too long."""
        for _ in range(self.chance.pick(6)):
            await asyncio.sleep(self.chance.between(0.0, 10.0))
            orders = list(self.auditor.orders)
            act = self.chance.pick(4)
            if act in (0, 3):
                await self.adjust()
            elif orders:
                await self.operate(orders[self.chance.pick(len(orders))], compensate=act == 1)

    async def adjust(self) -> None:
        goods_id = self.shoppers.goods[self.chance.pick(len(self.shoppers.goods))]
        command = AdjustStock(goods_id, 1 - 2 * self.chance.pick(2), "counted", True)
        try:
            # Without a key a count that got no answer is not sent again.
            await self.ask("adjust", lambda node, cause: node.inventory.submit(command, cause))
        except NoAnswer:
            return

    async def operate(self, order_id: str, *, compensate: bool) -> None:
        kind = CompensateSaga if compensate else RetrySaga
        what = "compensate" if compensate else "retry"
        answer = await self.surely(
            what,
            lambda node, cause: node.orders().submit(
                kind(order_id, node.clock(), "it waits too long"), cause
            ),
            order_id,
        )
        given_up = self._book(what, order_id).step in ("ROLLING_BACK", "CLOSED")
        if compensate and not isinstance(answer, Refusal) and not given_up:
            raise Violation("what was answered is in the log", f"order {order_id} was not compensated")


def _key(tag: str) -> str:
    """The stream of the key of one press of the button."""
    return streams.key(tag.replace(" ", ""))


def _hear(answered: asyncio.Future[Any], answer: Any) -> None:
    if not answered.done():
        answered.set_result(answer)


__all__ = ["Shoppers", "Workload"]
