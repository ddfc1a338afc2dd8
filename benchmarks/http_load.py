"""A load of HTTP requests from a process of its own: as fast as answers come, or at a constant rate.

Each connection has one request under way at a time and is kept alive. It is a socket, httptools and prepared
bytes: a client library would need more processor time than the server that is measured.

*As fast as answers come* (no rate given): a connection sends its next request when the last one is answered.
*At a constant rate*: request n is due at start + n / rate, whatever the server does. A request that is due
while all connections are waiting is sent later, and its latency counts from when it was due, so that a server
that stalls cannot hide it by being asked less.

All latencies are kept and quantiles are exact: at 8 bytes each, ten million take 80 MB.
"""

import asyncio
import gc
import time
from array import array
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from math import ceil
from multiprocessing import get_context
from typing import Final, NamedTuple, Protocol, cast

import httptools
import uvloop

TICK_S: Final = 0.001
"""At a constant rate, how often it is looked what is due. Latencies count from when it was due, not from the
look, so they are half a millisecond longer than what the server took, one at the most while it has time."""

DRAIN_LIMIT_S: Final = 30.0
START_LIMIT_S: Final = 60.0


class Requests(Protocol):
    """Can be pickled: it is called in the process of the load."""

    def __call__(self, number: int) -> bytes:
        """The whole request, head and body. `number` counts from 0 and never comes twice in a load."""
        ...


class Hearing(Requests, Protocol):
    """Requests that depend on what became of the ones before."""

    def heard(self, number: int, status: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Load:
    """`rate`: requests a second; None for as fast as answers come. `warm_up_s`: answered, but not counted.

    `most`: requests after which a load without a rate is over, if that is before its time. `finishes`: what
    was due and could not be sent in time is sent after it; for a rate that nobody can keep up with it is not.
    """

    connections: int
    seconds: float
    rate: float | None = None
    warm_up_s: float = 1.0
    most: int | None = None
    finishes: bool = True


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds. `count`: how many answers they are taken from."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of it, by status. `seconds`: of the counted part.

    `unanswered`: were due, and had no answer when patience ended or their connection did. `came`: all answers
    that came in the counted part, whenever they were due; `since_sent`: what these took since they were sent.
    `broken`: connections that the server closed; each is made anew.
    `cpu_s`: of the load's own process, warm-up included.
    """

    seconds: float
    answers: Mapping[int, Latencies]
    since_sent: Mapping[int, Latencies]
    came: Mapping[int, int]
    unanswered: int
    broken: int
    cpu_s: float

    def count(self, status: int) -> int:
        return self.answers[status].count if status in self.answers else 0

    @property
    def others(self) -> Mapping[int, int]:
        """Answers that were no 201, by status."""
        return {status: each.count for status, each in self.answers.items() if status != 201}


def loaded(port: int, requests: Requests, load: Load) -> Loaded:
    """Loads the server at 127.0.0.1:`port` from a new process.

    Raises OSError when nobody listens there; IndexError when `requests` has run out of customers, as a load
    that goes on with fewer would measure something else.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        patience = START_LIMIT_S + load.warm_up_s + load.seconds + DRAIN_LIMIT_S
        return pool.submit(_load, port, requests, load).result(patience)


def _load(port: int, requests: Requests, load: Load) -> Loaded:
    gc.disable()
    return uvloop.run(_Generator(port, requests, load).run())


@dataclass(slots=True)
class _Counted:
    """By status, seconds that each counted answer took. `from_s`, `until_s`: on the clock of the loop."""

    from_s: float
    until_s: float
    seconds: dict[int, "array[float]"] = field(default_factory=dict)
    since_sent: dict[int, "array[float]"] = field(default_factory=dict)
    came: dict[int, int] = field(default_factory=dict)

    def add(self, status: int, due: float, sent: float, now: float, *, by_due: bool) -> None:
        """At a constant rate what was due in the window counts, else what was answered in it."""
        if self.from_s <= now < self.until_s:
            self.came[status] = self.came.get(status, 0) + 1
            self.since_sent.setdefault(status, array("d")).append(now - sent)
        if self.from_s <= (due if by_due else now) < self.until_s:
            self.seconds.setdefault(status, array("d")).append(now - due)


class _Generator:
    def __init__(self, port: int, requests: Requests, load: Load) -> None:
        self._port = port
        self._requests = requests
        self._load = load
        self._hears: Callable[[int, int], None] | None = getattr(requests, "heard", None)
        self._number = 0
        self._free: deque[_Connection] = deque()
        self._due: deque[float] = deque()
        self._busy = 0
        self._broken = 0
        self._unanswered = 0
        self._counted = _Counted(0.0, 0.0)
        self._over = False
        self._failed: IndexError | None = None
        self._quiet = asyncio.Event()
        self._connecting: set[asyncio.Task[None]] = set()

    async def run(self) -> Loaded:
        connections = [await self._connect() for _ in range(self._load.connections)]
        begun, cpu = time.perf_counter(), time.process_time()
        start = begun + self._load.warm_up_s
        self._counted = _Counted(start, start + self._load.seconds)
        for connection in connections:
            self._use(connection)
        await (self._wait_for_end() if self._load.rate is None else self._at_rate(begun, self._load.rate))
        self._over = True
        if self._failed is not None:
            raise self._failed
        unsent = 0 if self._load.finishes else len(self._due)
        if unsent:
            self._due.clear()
        await self._drain()
        answers = {status: _latencies(times) for status, times in self._counted.seconds.items()}
        unanswered = self._unanswered + self._busy + len(self._due) + unsent
        return Loaded(
            self._load.seconds,
            answers,
            {status: _latencies(times) for status, times in self._counted.since_sent.items()},
            self._counted.came,
            unanswered,
            self._broken,
            time.process_time() - cpu,
        )

    def answered(self, connection: "_Connection", asked: "_Asked", status: int, *, usable: bool) -> None:
        if self._hears is not None:
            self._hears(asked.number, status)
        by_due = self._load.rate is not None
        self._counted.add(status, asked.due, asked.sent, time.perf_counter(), by_due=by_due)
        self._busy -= 1
        if usable:
            self._use(connection)
        if not self._busy:
            self._quiet.set()

    def lost(self, connection: "_Connection", *, was_busy: bool) -> None:
        """The server closed it. What was under way on it has no answer; others go on, on a new one."""
        self._broken += 1
        if was_busy:
            self._busy -= 1
            self._unanswered += 1
        if connection in self._free:
            self._free.remove(connection)
        if self._over and not self._busy:
            self._quiet.set()
        elif not self._over:
            task = asyncio.create_task(self._replace())
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    def _use(self, connection: "_Connection") -> None:
        if self._due:
            self._send(connection, self._due.popleft())
        elif self._load.rate is None and not self._over and not self._has_sent_most():
            self._send(connection, time.perf_counter())
        else:
            self._free.append(connection)

    def _send(self, connection: "_Connection", due: float) -> None:
        number, self._number = self._number, self._number + 1
        try:
            request = self._requests(number)
        except IndexError as error:
            # The event loop would only log it, and the load would go on with one connection less.
            self._failed = error
            return
        self._busy += 1
        connection.send(_Asked(number, due, time.perf_counter()), request)

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
        return connection

    async def _replace(self) -> None:
        """Fewer connections are left when the server is gone; what is due then stays unanswered."""
        with suppress(OSError):
            self._use(await self._connect())

    def _has_sent_most(self) -> bool:
        return self._load.most is not None and self._number >= self._load.most

    async def _wait_for_end(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._counted.until_s - time.perf_counter()):
                while self._busy or not self._has_sent_most():
                    self._quiet.clear()
                    await self._quiet.wait()

    async def _at_rate(self, begun: float, rate: float) -> None:
        told = 0
        while (now := time.perf_counter()) < self._counted.until_s:
            due = int((now - begun) * rate) + 1
            self._due.extend(begun + number / rate for number in range(told, due))
            told = max(told, due)
            while self._due and self._free:
                self._send(self._free.popleft(), self._due.popleft())
            await asyncio.sleep(TICK_S)

    async def _drain(self) -> None:
        """Until all that was due is answered, or patience ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_LIMIT_S):
                while self._busy:
                    self._quiet.clear()
                    await self._quiet.wait()


class _Asked(NamedTuple):
    """A request under way, with times of the loop's clock."""

    number: int
    due: float
    sent: float


class _Connection(asyncio.Protocol):
    """One request under way at a time."""

    def __init__(self, generator: _Generator) -> None:
        self._generator = generator
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._asked: _Asked | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are transports by what they can do, not by class; they send without delay.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._generator.lost(self, was_busy=self._asked is not None)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def send(self, asked: _Asked, request: bytes) -> None:
        assert self._transport is not None
        assert self._asked is None, "one at a time"
        self._asked = asked
        self._transport.write(request)

    def on_message_complete(self) -> None:
        asked, self._asked = self._asked, None
        assert asked is not None, "an answer that nobody asked for"
        usable = self._parser.should_keep_alive()
        self._generator.answered(self, asked, self._parser.get_status_code(), usable=usable)


def post(path: str, body: bytes, *headers: str) -> bytes:
    return request("POST", path, body, *headers)


def request(method: str, path: str, body: bytes, *headers: str) -> bytes:
    """A whole request with a JSON body. `headers`: lines without their ends."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "host: 127.0.0.1",
        "content-type: application/json",
        f"content-length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _latencies(times: "array[float]") -> Latencies:
    ordered = sorted(times)
    shares = (0.5, 0.9, 0.99, 0.999, 1.0)
    return Latencies(len(ordered), *(ordered[ceil(len(ordered) * share) - 1] * 1e3 for share in shares))
