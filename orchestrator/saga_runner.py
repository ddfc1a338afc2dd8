"""Runs the order saga: what a committed event makes owed goes out, what comes back moves the saga on.

Nothing here remembers anything that matters. Whatever is lost with this process is still owed by the
saga's step, and the watchdog sends it again. Safe to run twice: a reply that moves nothing is ignored.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar, assert_never

from domain import streams
from domain.recorded import Cause, Recorded
from domain.saga import ConfirmReturn, ConfirmSell, DenySell, Saga, Step
from domain.saga_owed import OWING, owed_after
from domain.streams import key_of
from orchestrator.ledger import Done, Ledger
from orchestrator.loops import wanted
from orchestrator.messages import (
    Command,
    Reply,
    RolledBackReply,
    SellRefusedReply,
    SoldReply,
    Undelivered,
    Wire,
    count_nothing,
)
from orchestrator.outcomes import decided_orders

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_OUTBOUND: Final = 20_000
"""Commands waiting to go out; past that they are left to the watchdog."""

MAX_SENT_AT_ONCE: Final = 500

CALLER = "inventory"


class Sender:
    """Sends what committed saga events owe, many at a time. Runs wherever the order ledger writes.

    `trouble`: why the last commands did not go out; empty when they did.
    """

    def __init__(self, wire: Wire) -> None:
        self.trouble = ""
        self._wire = wire
        self._outbound = _Outbox[Command]()
        self._decided = _Outbox[str]()

    def on_recorded(self, events: Sequence[Recorded]) -> None:
        """Listener of the order ledger; never waits."""
        for recorded in events:
            if type(recorded.event) in OWING:
                command = owed_after(key_of(recorded.originator_id), recorded.event)
                assert command is not None
                self._outbound.put(command)
        for order_id in decided_orders(events):
            self._decided.put(order_id)

    def send(self, command: Command) -> None:
        self._outbound.put(command)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send_commands())
            tasks.create_task(self._announce())

    async def _send_commands(self) -> None:
        while wanted():
            commands = await self._outbound.take(MAX_SENT_AT_ONCE)
            try:
                await self._wire.send_commands(commands)
            except Undelivered as error:
                self.trouble = str(error)
                logger.warning(
                    "%d commands did not go out; the watchdog sends them again: %s", len(commands), error
                )
            else:
                self.trouble = ""

    async def _announce(self) -> None:
        while wanted():
            order_ids = await self._decided.take(MAX_SENT_AT_ONCE)
            try:
                await self._wire.announce(order_ids)
            except Undelivered:
                logger.debug("an announcement was lost; whoever waits looks into the log")


class _Outbox(Generic[T]):
    """What waits to go out, bounded. Taken many at a time, which `asyncio.Queue` has no word for."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self._some = asyncio.Event()

    def put(self, item: T) -> None:
        if len(self._items) >= MAX_OUTBOUND:
            logger.warning("too much is waiting to go out; the watchdog will send it")
            return
        self._items.append(item)
        self._some.set()

    async def take(self, limit: int) -> list[T]:
        """Some, as soon as there are any."""
        await self._some.wait()
        taken, self._items = self._items[:limit], self._items[limit:]
        if not self._items:
            self._some.clear()
        return taken


@dataclass(frozen=True, slots=True)
class Timing:
    """`payment_window_s`: seconds from placing an order to its closing if nobody pays."""

    payment_window_s: int
    clock: Callable[[], datetime]


REPLY_OUTCOMES: Final[Mapping[str, str]] = {
    "applied": "it moved its saga on",
    "ignored-unknown-order": "no such order was ever started; anything may be on the wire",
    "ignored-late-or-repeated": "its saga has heard it, or has moved on without it",
}
"""Every word that the reply desk counts, and what it says of one reply."""


class ReplyDesk:
    """The orchestrator's side of the wire: replies in, saga events out."""

    def __init__(
        self, ledger: Ledger, timing: Timing, *, count: Callable[[str], None] = count_nothing
    ) -> None:
        self._ledger = ledger
        self._timing = timing
        self._count = count

    async def handle(self, replies: Sequence[Reply]) -> None:
        """Raises Busy when the log could not take one of them; then all come again."""
        now = self._timing.clock()
        commands = [(self._command(reply, now), _cause(reply, now)) for reply in replies]
        answers = await self._ledger.submit_all(commands)
        for reply, answer in zip(replies, answers, strict=True):
            if isinstance(answer, Exception):
                raise answer
            self._count(_outcome(reply.order_id, answer))

    def _command(self, reply: Reply, now: datetime) -> ConfirmSell | DenySell | ConfirmReturn:
        match reply:
            case SoldReply(order_id):
                window = timedelta(seconds=self._timing.payment_window_s)
                return ConfirmSell(order_id, now, now + window)
            case SellRefusedReply(order_id, reason, short):
                return DenySell(order_id, reason, short)
            case RolledBackReply(order_id, returned):
                return ConfirmReturn(order_id, returned)
            case _:
                assert_never(reply)


def _cause(reply: Reply, now: datetime) -> Cause:
    return Cause(f"{type(reply).__name__}-{reply.order_id}", CALLER, reply.order_id, now)


def _outcome(order_id: str, done: Done) -> str:
    if done.written:
        return "applied"
    saga: Saga = done.states[streams.saga(order_id)]
    return "ignored-unknown-order" if saga.step is Step.NEW else "ignored-late-or-repeated"
