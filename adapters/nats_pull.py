"""Messages of a durable consumer as they are stored, asked for several at a time.

The library's `fetch` asks the broker for every message anew and makes three tasks to wait for it. Here the
broker always has leave to send some more, and every message is handled in a task of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import msgspec
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from adapters.nats_client import NATS_ERRORS
from adapters.nats_delivery import is_stored
from orchestrator.loops import at_most, wanted

WINDOW: Final = 16
"""Messages that are handled, or may come, at the same time: thousands of orders where each holds many."""

EXPIRES_S: Final = 5.0
"""How long the broker has leave to send."""

HEARTBEAT_S: Final = 1.0
SILENT_BEATS: Final = 3
"""After so many heartbeats that did not come the broker is taken to have forgotten us."""

HEARTBEAT: Final = "100"
EXPIRED: Final = "408"
LEFT: Final = "Nats-Pending-Messages"
"""How many messages a request that has expired did not get."""


class Pull:
    """One consumer's messages for one process.

    `take`: handles one message; whatever it raises ends the pull.
    """

    def __init__(
        self, client: Client, stream: str, durable: str, take: Callable[[Msg], Awaitable[None]]
    ) -> None:
        self._client = client
        self._ask_at = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._inbox = client.new_inbox()
        self._take = take
        self._asked = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._heard_at = 0.0
        self._trouble: BaseException | None = None
        self._stirred = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled. Raises NATS_ERRORS when the consumer is gone, or the broker is silent."""
        subscription = await self._client.subscribe(self._inbox, cb=self._hear)
        try:
            while wanted():
                self._stirred.clear()
                if self._trouble is not None:
                    raise self._trouble
                await self._ask()
                await at_most(HEARTBEAT_S, self._stirred)
                self._must_beat()
        finally:
            await _unsubscribe(subscription)
            if not wanted():
                for task in self._under_way:
                    task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    def _due(self) -> int:
        """How many more to ask for: as many as there is room for, once that is half of all."""
        room = WINDOW - self._asked - len(self._under_way)
        return room if room >= WINDOW // 2 else 0

    async def _ask(self) -> None:
        due = self._due()
        if not due:
            return
        self._asked += due
        self._heard_at = asyncio.get_running_loop().time()
        request = {"batch": due, "expires": _ns(EXPIRES_S), "idle_heartbeat": _ns(HEARTBEAT_S)}
        await self._client.publish(self._ask_at, msgspec.json.encode(request), self._inbox)

    def _must_beat(self) -> None:
        """Raises TimeoutError. Nobody beats for whoever has not asked."""
        silent_s = asyncio.get_running_loop().time() - self._heard_at
        if self._asked and silent_s > SILENT_BEATS * HEARTBEAT_S:
            raise TimeoutError(f"no heartbeat in {silent_s:.1f} s")

    async def _hear(self, message: Msg) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        if not is_stored(message):
            self._hear_status(message)
            return
        self._asked -= 1
        task = asyncio.ensure_future(self._take(message))
        self._under_way.add(task)
        task.add_done_callback(self._done)

    def _hear_status(self, message: Msg) -> None:
        """What the broker says of a request. Without a status it is from nobody who should write to us."""
        headers = message.headers or {}
        status = headers.get("Status", HEARTBEAT)
        if status == HEARTBEAT:
            return
        left = headers.get(LEFT, "")
        if status == EXPIRED and left.isdigit():
            self._asked = max(0, self._asked - int(left))
        else:
            code = int(status) if status.isdigit() else None
            self._trouble = nats.js.errors.APIError(code=code, description=headers.get("Description"))
        self._stirred.set()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._trouble = task.exception()
            self._stirred.set()
        elif self._due():
            self._stirred.set()


async def _unsubscribe(subscription: Subscription) -> None:
    with suppress(*NATS_ERRORS):
        await subscription.unsubscribe()


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
