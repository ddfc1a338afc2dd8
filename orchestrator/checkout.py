"""Placing an order: cart and offers read, the order started, its outcome awaited.

This is the one use case that reads three services. It commits in one of them only: the offers of the goods
service, and what inventory's books say of goods that were short, go into the command as evidence.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from domain import streams
from domain.cart import Cart
from domain.goods import Offer
from domain.key import UNUSED, Key, Keyed, KeyUse, NoteUndecided
from domain.order import NONE, Contact, Order
from domain.recorded import Cause
from domain.refusals import CartChanged, IdTaken
from domain.saga import NEW, Saga, StartOrder, Step
from domain.stock import Level
from orchestrator.ledger import Done, Ledger
from orchestrator.offers import Offers
from orchestrator.outcomes import Outcomes, Waiter
from orchestrator.shortages import Shortages
from orchestrator.start import Start

MAX_TRIES: Final = 5
"""Starts of one order while its cart keeps changing."""

NOTED: Final = ".undecided"
"""Ends the id of the command that notes a 202: another one than the order's, in the same key's stream."""

UNDECIDED: Final = frozenset({Step.NEW, Step.SELLING})


class Placing(NamedTuple):
    """An order as far as it is decided. `order` is empty until it is placed; `position` is its start's.

    `undecided`: whether that is what its customer is told. With a key it stays the answer.
    """

    order_id: str
    saga: Saga
    order: Order
    replayed: bool
    position: int | None
    undecided: bool = False


@dataclass(frozen=True, slots=True)
class CheckoutTerms:
    """`sell_deadline_s`: seconds inventory has to answer before the order is given up."""

    sell_deadline_s: int
    clock: Callable[[], datetime]
    new_order_id: Callable[[], str]


class Checkout:
    """`orders`: what it writes. `goods`, `inventory`: only read."""

    def __init__(
        self,
        orders: Ledger,
        goods: Ledger,
        inventory: Ledger,
        outcomes: Outcomes,
        terms: CheckoutTerms,
    ) -> None:
        self._orders = orders
        self._goods = Offers(goods)
        self._shortages = Shortages(orders, inventory)
        self._outcomes = outcomes
        self._terms = terms

    async def place(
        self,
        *,
        user_id: int,
        contact_for: Callable[[str], Contact],
        use: KeyUse | None,
        cause: Cause,
        wait_s: float,
    ) -> Placing:
        """Starts the order and waits for its outcome, `wait_s` seconds at most.

        `contact_for`: where the parcel goes, sealed for the order id that it is given.

        Raises the refusals of StartOrder, KeyReused, Busy. A used key gives the order it was used for, and if
        that was undecided when it was answered first, it is undecided in every later answer.
        """
        for attempt in range(MAX_TRIES):
            order_id, begun_at = self._terms.new_order_id(), asyncio.get_running_loop().time()
            start = Start(order_id, self._outcomes, wait_s)
            try:
                offers, levels = await self._evidence(user_id, fresh=attempt > 0)
                command = StartOrder(order_id, user_id, offers, contact_for(order_id), *self._times(), levels)
                own = Cause(cause.command_id, cause.caller, order_id, cause.at)
                self._orders.begin(command if use is None else Keyed(command, use), own, start)
                done = await start.done_and_decided()
                if use is not None and not done.written:
                    return await self._replayed(done, use, cause, wait_s)
                saga: Saga = done.states[streams.saga(order_id)]
                placing = Placing(order_id, saga, NONE, False, done.position)
                placing = await self._wait(placing, start.waiter, start.ends_at)
                self._shortages.note(placing.saga.short, begun_at)
                return placing if use is None else await self._answered(placing, use, cause)
            except (CartChanged, IdTaken):
                continue
            finally:
                start.drop()
        raise CartChanged

    async def outcome(self, order_id: str, wait_s: float = 0.0) -> Placing | None:
        """The order as the log has it now, after waiting for its outcome; None for an unknown id."""
        waiter = self._outcomes.wait_for(order_id)
        try:
            placing = await self._look(order_id, replayed=True)
            if placing.saga.step is Step.SELLING and wait_s > 0:
                self._outcomes.look_within(waiter, wait_s)
                placing = await self._wait(placing, waiter, asyncio.get_running_loop().time() + wait_s)
        finally:
            self._outcomes.drop(order_id, waiter)
        return None if placing.saga == NEW else placing

    def _times(self) -> tuple[datetime, datetime]:
        """Now, and when inventory must have answered."""
        now = self._terms.clock()
        return now, now + timedelta(seconds=self._terms.sell_deadline_s)

    async def _evidence(self, user_id: int, *, fresh: bool) -> tuple[tuple[Offer, ...], tuple[Level, ...]]:
        """What goods and inventory say of everything that is checked.

        The cart as last seen will do for a start: the commit checks it, and `fresh` is for the next try.
        """
        name = streams.cart(user_id)
        cart: Cart | None = None if fresh else self._orders.peek(name)
        if cart is None:
            cart = (await self._orders.read(name))[name]
        goods_ids = [line.goods_id for line in cart.checked()]
        looked = self._shortages.look(goods_ids)
        offers = self._goods.known(goods_ids)
        if offers is None:
            offers = await self._goods.of(goods_ids)
        return offers, () if looked is None else await looked

    async def _replayed(self, done: Done, use: KeyUse, cause: Cause, wait_s: float) -> Placing:
        key: Key = done.states[use.stream]
        placing = await self.outcome(key.about, 0.0 if key.undecided else wait_s)
        assert placing is not None, f"key {key} names an order that was never started"
        return (
            placing._replace(undecided=True) if key.undecided else await self._answered(placing, use, cause)
        )

    async def _answered(self, placing: Placing, use: KeyUse, cause: Cause) -> Placing:
        """What the customer of a key is told: "undecided" is recorded before it is said."""
        undecided = placing.saga.step is Step.SELLING
        if undecided:
            noted_by = f"{cause.command_id}{NOTED}"
            own = Cause(noted_by, cause.caller, placing.order_id, cause.at)
            await self._orders.submit(NoteUndecided(use.stream), own)
        else:
            key: Key = self._orders.peek(use.stream) or UNUSED
            undecided = key.undecided
        return placing._replace(undecided=True) if undecided else placing

    async def _wait(self, placing: Placing, waiter: Waiter, ends_at: float) -> Placing:
        """Ends with the outcome, or with the order undecided at `ends_at`. `waiter`: will be woken."""
        try:
            while placing.saga.step is Step.SELLING:
                position = await waiter
                decided = None if position is None else self._decided(placing, position)
                if decided is not None:
                    return decided
                seen = await self._look(placing.order_id, replayed=placing.replayed)
                placing = seen._replace(position=position or placing.position)
                left_s = ends_at - asyncio.get_running_loop().time()
                if left_s <= 0:
                    break
                self._outcomes.drop(placing.order_id, waiter)
                waiter = self._outcomes.wait_for(placing.order_id)
                self._outcomes.look_within(waiter, left_s)
        finally:
            self._outcomes.drop(placing.order_id, waiter)
        return placing

    def _decided(self, placing: Placing, position: int) -> Placing | None:
        """As this process has just recorded it; None when it does not remember enough."""
        saga: Saga | None = self._orders.peek(streams.saga(placing.order_id))
        order: Order = self._orders.peek(streams.order(placing.order_id)) or NONE
        if saga is None or saga.step in UNDECIDED or (saga.pay_before is not None and order.placed is None):
            return None
        return Placing(placing.order_id, saga, order, placing.replayed, position)

    async def _look(self, order_id: str, *, replayed: bool) -> Placing:
        saga_name, order_name = streams.saga(order_id), streams.order(order_id)
        states = await self._orders.read(saga_name, order_name)
        return Placing(order_id, states[saga_name], states[order_name], replayed, None)
