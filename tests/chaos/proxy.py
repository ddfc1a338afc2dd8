"""A TCP proxy between Tillroll's processes and a server, which misbehaves on command. 127.0.0.1 only.

It passes bytes on, and can hold them for seconds, slow them down, cut them into small pieces, reset
connections, and, knowing a little of PostgreSQL and NATS, make single messages disappear:

- `drop("stored")`, `drop("commit")`: the next COMMIT that appended to a log (or any other) is executed by
  the server, and its client's connection is closed instead of the answer;
- `drop("pub ack")`, `drop("ack")`, `drop("delivery")`, `drop("publish")`: the next such NATS message is lost;
- `double("publish")`: it is sent twice.

Everything it did is counted in `done`.
"""

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final

from tests.chaos.protocols import NatsFrames, Piece, PostgresAnswers

HOST: Final = "127.0.0.1"
CHUNK_BYTES: Final = 65_536
LOOK_S: Final = 0.05
"""How long a held connection waits before it looks whether it still is."""
STOP_LOOKS: Final = 100
MAX_PIECES: Final = 400
"""Small pieces of one write; the rest goes out at once, or a large basket would take minutes."""

_RESET: Final = struct.pack("ii", 1, 0)

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Stream]]
Read = Callable[[bytes], Iterable[Piece]]


class Link:
    """One client's connection and ours to the server for it."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._writers = (client, server)

    def cut(self) -> None:
        """Both ends see a reset at once, whatever was still under way."""
        for writer in self._writers:
            connection = writer.get_extra_info("socket")
            with suppress(OSError, AttributeError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


class Proxy:
    """Listens between `start` and `stop`. `kind`: "postgres", "nats", or "" for bytes of any kind.

    `connect` is asked for every client anew, so the server may move. `prefix`: of the wire's subjects.
    """

    def __init__(self, connect: Connect, kind: str = "", *, seed: int = 0, prefix: str = "tillroll") -> None:
        self.port = 0
        self.done: Counter[str] = Counter()
        self.links: set[Link] = set()
        self._connect = connect
        self._kind = kind
        self._prefix = prefix
        self._chance = random.Random(seed)
        self._to_drop: Counter[str] = Counter()
        self._to_double: Counter[str] = Counter()
        self._held_until = self._slow_until = self._sliced_until = 0.0
        self._delay_s = 0.0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """The port."""
        self._server = await asyncio.start_server(self._accept, HOST, self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def stop(self) -> None:
        """Not by cancelling: asyncio's streams would print a traceback for each connection."""
        if self._server is not None:
            self._server.close()
        self.behave()
        for _ in range(STOP_LOOKS):
            if not self._tasks:
                return
            self.reset()
            await asyncio.sleep(LOOK_S)

    # commands

    def drop(self, kind: str, count: int = 1) -> None:
        """The next `count` messages of this kind do not arrive."""
        self._to_drop[kind] += count

    def double(self, kind: str, count: int = 1) -> None:
        """The next `count` messages of this kind arrive twice."""
        self._to_double[kind] += count

    def reset(self, share: float = 1.0) -> int:
        """Cuts about this share of the connections; how many."""
        chosen = [link for link in self.links if self._chance.random() < share]
        for link in chosen:
            link.cut()
        self.done["reset"] += len(chosen)
        return len(chosen)

    def hold(self, seconds: float) -> None:
        """A black hole: nothing passes either way, and new connections are not answered."""
        self._held_until = max(self._held_until, _now() + seconds)
        self.done["hold"] += 1

    def slow_down(self, delay_s: float, seconds: float) -> None:
        """Every write waits `delay_s` first."""
        self._delay_s, self._slow_until = delay_s, _now() + seconds
        self.done["slow"] += 1

    def slice(self, seconds: float) -> None:
        """Every write arrives in small pieces."""
        self._sliced_until = _now() + seconds
        self.done["slice"] += 1

    def behave(self) -> None:
        """Nothing of what was ordered goes on."""
        self._to_drop.clear()
        self._to_double.clear()
        self._held_until = self._slow_until = self._sliced_until = 0.0

    # passing on

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._wait_while_held()
            with suppress(OSError):
                await self._join((reader, writer), await self._connect())
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _join(self, client: Stream, server: Stream) -> None:
        link = Link(client[1], server[1])
        self.links.add(link)
        upward, downward = self._readers()
        pumps = [
            asyncio.create_task(self._pump(client[0], server[1], upward, link)),
            asyncio.create_task(self._pump(server[0], client[1], downward, link)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.links.discard(link)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            server[1].transport.abort()

    def _readers(self) -> tuple[Read, Read]:
        """How the bytes from the client and those from the server are read."""
        if self._kind == "postgres":
            answers = PostgresAnswers()

            def listen(data: bytes) -> Iterator[Piece]:
                answers.hear_client(data)
                yield Piece(data)

            return listen, answers.feed
        if self._kind == "nats":
            return NatsFrames(self._prefix).feed, NatsFrames(self._prefix).feed
        return _as_it_is, _as_it_is

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, read: Read, link: Link
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                for piece in read(data):
                    if not await self._pass(piece, writer):
                        link.cut()
                        return

    async def _pass(self, piece: Piece, writer: asyncio.StreamWriter) -> bool:
        """False when the connection must end instead."""
        if self._takes(self._to_drop, piece.kind):
            self.done[f"{piece.kind} dropped"] += 1
            return self._kind == "nats"
        await self._send(piece.data, writer)
        if self._takes(self._to_double, piece.kind):
            self.done[f"{piece.kind} doubled"] += 1
            await self._send(piece.data, writer)
        return True

    def _takes(self, armed: Counter[str], kind: str) -> bool:
        if not kind or armed[kind] <= 0:
            return False
        armed[kind] -= 1
        return True

    async def _send(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        if not data:
            return
        await self._wait_while_held()
        if _now() < self._slow_until:
            await asyncio.sleep(self._delay_s)
        for part in self._parts(data):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        self.done["bytes"] += len(data)

    def _parts(self, data: bytes) -> Iterator[bytes]:
        start = 0
        for _ in range(MAX_PIECES if _now() < self._sliced_until else 0):
            if start >= len(data):
                return
            size = self._chance.randint(1, 60)
            yield data[start : start + size]
            start += size
        if start < len(data):
            yield data[start:]

    async def _wait_while_held(self) -> None:
        while _now() < self._held_until:
            await asyncio.sleep(min(LOOK_S, max(0.0, self._held_until - _now())))


def _as_it_is(data: bytes) -> Iterator[Piece]:
    yield Piece(data)


def _now() -> float:
    return asyncio.get_running_loop().time()
