"""A broker in memory that may lose, repeat, reorder, delay or forget everything, and the links to it."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from adapters.wire_codec import encode
from orchestrator.intake import Intake
from orchestrator.loops import wanted
from orchestrator.messages import Command, Reply, Undelivered
from tests.simulation.chance import Chance
from tests.simulation.loop import Process, SimLoop

COMMANDS: Final = "cmd"
REPLIES: Final = "reply"
ACK_WAIT_S: Final = 30.0
FETCHERS: Final = 2
"""Fetch loops of one process on one stream."""

DAY_S: Final = 86_400.0


@dataclass(slots=True)
class Message:
    """As the broker keeps it. `available_at`: when it may be handed out (again), in the loop's seconds."""

    place: str
    subject: str
    data: bytes
    available_at: float
    deliveries: int = 0
    gone: bool = False


@dataclass(slots=True)
class Stream:
    name: str
    messages: list[Message] = field(default_factory=list)
    waiting: deque[tuple[Process, asyncio.Future[Any]]] = field(default_factory=deque)
    stored: int = 0


class SimBroker:
    """`down_until`: it takes nothing before. `history`: whatever it has ever stored."""

    def __init__(
        self,
        loop: SimLoop,
        chance: Chance,
        acknowledged: Callable[[bytes], None],
        dropped: Callable[[str], None],
    ) -> None:
        self.acknowledged = acknowledged
        self.dropped = dropped
        self.down_until = 0.0
        self.streams = {name: Stream(name) for name in (COMMANDS, REPLIES)}
        self.history: list[tuple[str, str, bytes]] = []
        self.listeners: list[tuple[Process, Callable[[str], None]]] = []
        self._loop = loop
        self._chance = chance

    @property
    def is_down(self) -> bool:
        return self._loop.now < self.down_until

    def store(self, name: str, subject: str, data: bytes, delay_s: float = 0.0) -> None:
        stream = self.streams[name]
        stream.stored += 1
        place = f"{name}/{stream.stored}"
        stream.messages.append(Message(place, subject, data, self._loop.now + delay_s))
        self.history.append((name, subject, data))
        self.look(stream, delay_s)

    def look(self, stream: Stream, delay_s: float) -> None:
        """Hands out what waits, now or after a while."""
        self._loop.call_for(self._loop.outside, delay_s, self._hand_out, stream)

    def next(self, name: str, process: Process) -> asyncio.Future[Any]:
        """The next message of a stream for this process; the future is its own."""
        future = self._loop.create_future()
        stream = self.streams[name]
        stream.waiting.append((process, future))
        if stream.messages:
            self.look(stream, 0.0)
        return future

    def wipe(self) -> None:
        """Its disk is deleted."""
        for stream in self.streams.values():
            stream.messages.clear()

    def release(self) -> None:
        """Whatever was delayed for days comes now."""
        for stream in self.streams.values():
            for message in stream.messages:
                message.available_at = min(message.available_at, self._loop.now)
            self.look(stream, 0.0)

    def repeat(self, count: int) -> None:
        """Some of the messages that it ever had are stored again."""
        for _ in range(min(count, len(self.history))):
            self.store(*self.history[self._chance.pick(len(self.history))])

    @property
    def is_drained(self) -> bool:
        """Every message that came was taken."""
        return not any(stream.messages for stream in self.streams.values())

    def announce(self, order_ids: Sequence[str]) -> None:
        for process, wake in self.listeners:
            if process.alive and not self._chance.fault("announce"):
                for order_id in order_ids:
                    self._loop.call_for(process, 0.0, wake, order_id)

    def _hand_out(self, stream: Stream) -> None:
        if self.is_down:
            self.look(stream, self.down_until - self._loop.now)
            return
        now = self._loop.now
        while True:
            while stream.waiting and not _still_waits(*stream.waiting[0]):
                stream.waiting.popleft()
            ready = [message for message in stream.messages if message.available_at <= now]
            if not stream.waiting or not ready:
                return
            at = self._chance.pick(len(ready)) if self._chance.fault("deliver") else 0
            message = ready[at]
            process, future = stream.waiting.popleft()
            message.deliveries += 1
            message.available_at = now + ACK_WAIT_S
            self.look(stream, ACK_WAIT_S)
            self._loop.call_for(process, 0.0, _arrive, future, message)

    def end(self, message: Message) -> None:
        """The broker never hands it out again."""
        message.gone = True
        for stream in self.streams.values():
            if message in stream.messages:
                stream.messages.remove(message)


def _still_waits(process: Process, future: asyncio.Future[Any]) -> bool:
    return process.alive and not future.done()


def _arrive(future: asyncio.Future[Any], message: Message) -> None:
    if not future.done():
        future.set_result(message)


class SimDelivery:
    """One handing out of a message, to one process."""

    def __init__(self, message: Message, link: "SimWire") -> None:
        self.subject = message.subject
        self.data = message.data
        self.deliveries = message.deliveries
        self.place = message.place
        self._message = message
        self._link = link

    async def ack(self) -> None:
        fault = self._link.chance.fault("ack")
        if fault == "crash-before":
            await self._link.die()
        if fault == "lost" or self._link.broker.is_down:
            raise Undelivered("simulated")
        if fault == "forgotten":
            self._message.available_at = self._link.loop.now + self._link.chance.between(0.0, DAY_S)
        else:
            self._link.broker.end(self._message)
        self._link.broker.acknowledged(self.data)
        if fault == "crash-after":
            await self._link.die()

    async def again(self, after_s: float) -> None:
        await self._said()
        self._message.available_at = self._link.loop.now + after_s
        self._link.broker.look(self._link.broker.streams[self.place.partition("/")[0]], after_s)

    async def drop(self) -> None:
        await self._said()
        self._link.broker.dropped(self.place)
        self._link.broker.end(self._message)

    async def _said(self) -> None:
        fault = self._link.chance.fault("answer")
        if fault == "crash-before":
            await self._link.die()
        if fault == "lost" or self._link.broker.is_down:
            raise Undelivered("simulated")


class SimWire:
    """The wire as one process sees it: the port of the orchestrator, and the loops that serve it."""

    def __init__(self, broker: SimBroker, process: Process, chance: Chance, loop: SimLoop) -> None:
        self.broker = broker
        self.process = process
        self.chance = chance
        self.loop = loop

    async def die(self) -> None:
        """The process ends here: it never gets past this point."""
        self.process.doomed = True
        await self.loop.create_future()

    async def send_commands(self, commands: Sequence[Command]) -> None:
        await self._send(COMMANDS, commands)

    async def send_replies(self, replies: Sequence[Reply]) -> None:
        await self._send(REPLIES, replies)

    async def announce(self, order_ids: Sequence[str]) -> None:
        if self.broker.is_down:
            raise Undelivered("simulated")
        self.broker.announce(order_ids)

    async def hear_decided(self, wake: Callable[[str], None]) -> None:
        self.broker.listeners.append((self.process, wake))
        await self.loop.create_future()

    async def serve(self, stream: str, intake: Intake) -> None:
        """Until cancelled, as the real wire does: several fetch loops, one message at a time each."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(FETCHERS):
                tasks.create_task(self._fetch(stream, intake))

    async def _fetch(self, stream: str, intake: Intake) -> None:
        while wanted():
            message = await self.broker.next(stream, self.process)
            await intake.take(SimDelivery(message, self))

    async def _send(self, stream: str, items: Sequence[Any]) -> None:
        refused = False
        for name, _, payload in encode(items):
            refused |= not await self._publish(stream, f"{stream}.{name.lower()}", payload)
        if refused:
            raise Undelivered("simulated")

    async def _publish(self, stream: str, subject: str, payload: bytes) -> bool:
        """Whether the broker said that it has the message."""
        fault = self.chance.fault("publish")
        if fault == "crash-before":
            await self.die()
        if fault == "refused" or self.broker.is_down:
            return False
        if fault != "lost":
            self.broker.store(stream, subject, payload, self._delay_s(fault))
        if fault == "twice":
            self.broker.store(stream, subject, payload, self.chance.between(0.0, 60.0))
        if fault == "crash-after":
            await self.die()
        return fault != "answer-lost"

    def _delay_s(self, fault: str) -> float:
        if fault == "delayed":
            return self.chance.between(0.0, 40.0)
        return self.chance.between(0.5, 3.0) * DAY_S if fault == "delayed-days" else 0.0
