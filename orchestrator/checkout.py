"""Placing an order: cart and offers read, the order started, its outcome awaited.

This is the one use case that reads two services. It commits in one of them only: the offers of the
goods service go into the command as evidence.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, get_args

from domain import streams
from domain.cart import Cart
from domain.key import UNUSED, Key, Keyed, KeyUse, NoteUndecided
from domain.order import NONE, Contact, Order, OrderPlaced
from domain.order import evolve as evolve_order
from domain.recorded import Cause, Recorded
from domain.refusals import CartChanged, IdTaken
from domain.saga import NEW, Offer, Saga, SagaEvent, StartOrder, Step
from domain.saga import evolve as evolve_saga
from orchestrator.ledger import Done, Ledger
from orchestrator.offers import Offers
from orchestrator.outcomes import Outcomes, Waiter

MAX_TRIES: Final = 5
"""Starts of one order while its cart keeps changing."""

NOTED: Final = ".undecided"
"""Ends the id of the command that notes a 202: another one than the order's, in the same key's stream."""

SAGA_EVENTS: Final = frozenset(get_args(SagaEvent))

LOOK_INTO_LOG_EVERY_S: Final = 1.0
"""The fallback of a wait that nobody ends: the news was lost, or another process died with it."""


@dataclass(frozen=True, slots=True)
class Placing:
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
    def __init__(self, orders: Ledger, goods: Ledger, outcomes: Outcomes, terms: CheckoutTerms) -> None:
        self._orders = orders
        self._goods = Offers(goods)
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
            order_id = self._terms.new_order_id()
            waiter = self._outcomes.wait_for(order_id)
            try:
                offers = await self._offers(user_id, fresh=attempt > 0)
                command = StartOrder(order_id, user_id, offers, contact_for(order_id), *self._times())
                done = await self._start(command, use, cause)
                if use is not None and not done.written:
                    return await self._replayed(done, use, cause, wait_s)
                placing = await self._await_outcome(order_id, done, waiter, wait_s)
                return await self._answered(placing, use, cause)
            except (CartChanged, IdTaken):
                continue
            finally:
                self._outcomes.drop(order_id, waiter)
        raise CartChanged

    async def outcome(self, order_id: str, wait_s: float = 0.0) -> Placing | None:
        """The order as the log has it now, after waiting for its outcome; None for an unknown id."""
        waiter = self._outcomes.wait_for(order_id)
        try:
            placing = await self._look(order_id, replayed=True)
            if placing.saga.step is Step.SELLING and wait_s > 0:
                placing = await self._wait(placing, waiter, wait_s)
        finally:
            self._outcomes.drop(order_id, waiter)
        return None if placing.saga == NEW else placing

    def _times(self) -> tuple[datetime, datetime]:
        """Now, and when inventory must have answered."""
        now = self._terms.clock()
        return now, now + timedelta(seconds=self._terms.sell_deadline_s)

    async def _start(self, command: StartOrder, use: KeyUse | None, cause: Cause) -> Done:
        own = cause._replace(correlation=command.order_id)
        return await self._orders.submit(command if use is None else Keyed(command, use), own)

    async def _offers(self, user_id: int, *, fresh: bool) -> tuple[Offer, ...]:
        """What the goods service asks for everything that is checked.

        The cart as last seen will do for a start: the commit checks it, and `fresh` is for the next try.
        """
        name = streams.cart(user_id)
        cart: Cart | None = None if fresh else self._orders.peek(name)
        if cart is None:
            cart = (await self._orders.read(name))[name]
        return await self._goods.of([line.goods_id for line in cart.checked()])

    async def _replayed(self, done: Done, use: KeyUse, cause: Cause, wait_s: float) -> Placing:
        key: Key = done.states[use.stream]
        placing = await self.outcome(key.about, 0.0 if key.undecided else wait_s)
        assert placing is not None, f"key {key} names an order that was never started"
        return (
            replace(placing, undecided=True) if key.undecided else await self._answered(placing, use, cause)
        )

    async def _answered(self, placing: Placing, use: KeyUse | None, cause: Cause) -> Placing:
        """What the customer is told. With a key, "undecided" is recorded before it is said."""
        undecided = placing.saga.step is Step.SELLING
        if use is not None and undecided:
            noted_by = f"{cause.command_id}{NOTED}"
            own = cause._replace(command_id=noted_by, correlation=placing.order_id)
            await self._orders.submit(NoteUndecided(use.stream), own)
        elif use is not None:
            key: Key = self._orders.peek(use.stream) or UNUSED
            undecided = key.undecided
        return replace(placing, undecided=True) if undecided else placing

    async def _await_outcome(self, order_id: str, done: Done, waiter: Waiter, wait_s: float) -> Placing:
        saga: Saga = done.states[streams.saga(order_id)]
        started = Placing(order_id, saga, NONE, replayed=False, position=done.position)
        return await self._wait(started, waiter, wait_s)

    async def _wait(self, placing: Placing, waiter: Waiter, wait_s: float) -> Placing:
        """Ends with the outcome, or with the order undecided when the time is up."""
        clock = asyncio.get_running_loop().time
        ends_at = clock() + wait_s
        try:
            while placing.saga.step is Step.SELLING:
                left_s = ends_at - clock()
                events = await _told(waiter, max(0.0, min(left_s, LOOK_INTO_LOG_EVERY_S)))
                if events:
                    return _after(placing, events)
                seen = await self._look(placing.order_id, replayed=placing.replayed)
                placing = replace(seen, position=placing.position)
                if left_s <= LOOK_INTO_LOG_EVERY_S:
                    break
                self._outcomes.drop(placing.order_id, waiter)
                waiter = self._outcomes.wait_for(placing.order_id)
        finally:
            self._outcomes.drop(placing.order_id, waiter)
        return placing

    async def _look(self, order_id: str, *, replayed: bool) -> Placing:
        saga_name, order_name = streams.saga(order_id), streams.order(order_id)
        states = await self._orders.read(saga_name, order_name)
        return Placing(order_id, states[saga_name], states[order_name], replayed, None)


async def _told(waiter: Waiter, within_s: float) -> tuple[Recorded, ...]:
    """What decided the order; nothing when nobody has told how, or the time is up.

    By a timer that ends the wait: `asyncio.wait` takes four times as long.
    """
    alarm = asyncio.get_running_loop().call_later(within_s, _ring, waiter)
    try:
        return await waiter
    finally:
        alarm.cancel()


def _ring(waiter: Waiter) -> None:
    if not waiter.done():
        waiter.set_result(())


def _after(placing: Placing, events: Sequence[Recorded]) -> Placing:
    """The order after the events that decided it, without asking the log."""
    saga, order = placing.saga, placing.order
    for recorded in events:
        if isinstance(recorded.event, OrderPlaced):
            order = evolve_order(order, recorded.event)
        elif type(recorded.event) in SAGA_EVENTS:
            saga = evolve_saga(saga, recorded.event)
    return Placing(placing.order_id, saga, order, placing.replayed, events[-1].position)
