"""uvicorn as one part of a process that has others: it leaves signals to whoever runs it.

Its protocol takes the short way where there is one, and refuses what is too much before it looks at it.
"""

import asyncio
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv4Network, ip_network
from types import SimpleNamespace
from typing import Any, Final, cast

import uvicorn
from starlette.responses import Response
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from adapters.http_admission import sender_of
from adapters.http_app import Served
from adapters.http_edge import API_HEADERS, BODY_TIMEOUT_S
from adapters.http_errors import Malformed, TooSlow, problem
from adapters.listening import bound_socket
from domain.refusals import Overloaded, Refusal

__all__ = ["PartServer", "bound_socket", "serve_http"]

GRACE_S: Final = 5
"""Seconds for requests under way when the server stops."""

LISTENERS: Final = 16
"""How often the loop is told of new connections. libuv accepts one for each in a turn of the loop, which
takes tens of milliseconds in a busy shop: with one the last of a thousand new customers waited 7 s."""

DROPPED_BYTES: Final = 64 * 1024
"""The body of a refused request is read and dropped up to this size; whoever sends more is cut off."""


def _written(status: str, refusal: Refusal, headers: Mapping[str, str] | None = None) -> bytes:
    """A problem as it goes through the wire."""
    answer = problem(refusal, headers)
    head = [name + b": " + value for name, value in (*answer.raw_headers, *API_HEADERS)]
    return b"\r\n".join([f"HTTP/1.1 {status}".encode(), *head, b"", bytes(answer.body)])


_MALFORMED: Final = _written("400 Bad Request", Malformed(), {"Connection": "close"})
_TOO_SLOW: Final = _written("408 Request Timeout", TooSlow(), {"Connection": "close"})
_OVERLOADED: Final = _written("503 Service Unavailable", Overloaded())
_OVERLOADED_LAST: Final = _written("503 Service Unavailable", Overloaded(), {"Connection": "close"})

_API_HEAD: Final = b"".join(b"%b: %b\r\n" % header for header in API_HEADERS) + b"\r\n"
_CLOSE: Final = (b"connection", b"close")

_ANSWERED: Final[Any] = SimpleNamespace(
    response_complete=True, disconnected=False, keep_alive=True, message_event=SimpleNamespace(set=bool)
)
"""In the place of uvicorn's own record of a request, where it never came to that."""


class ShopProtocol(HttpToolsProtocol):
    """One connection. Three things are not as uvicorn does them:

    What cannot be read as HTTP never reaches the application, and is answered with a problem all the same.
    What is too much is refused as soon as its head is read. What may go the short way is held until its body
    is here, and then answered without ASGI.
    """

    def __init__(self, *args: Any, served: Served, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._admission = served.admission
        self._fast = served.fast
        self._held: RequestResponseCycle | None = None
        self._too_slow_at: asyncio.TimerHandle | None = None

    def send_400_response(self, msg: str) -> None:
        self.transport.write(_MALFORMED)
        self.transport.close()

    # the short way

    def data_received(self, data: bytes) -> None:
        if self._too_slow_at is not None:
            self._too_slow_at.cancel()
            self._too_slow_at = None
        super().data_received(data)
        if self._held is not None:
            self._too_slow_at = self.loop.call_later(BODY_TIMEOUT_S, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._held = None
        if self._too_slow_at is not None:
            self._too_slow_at.cancel()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if cycle.more_body and not cycle.waiting_for_100_continue and self._fast.takes(_plain(cycle)):
            self._held = cycle
        else:
            super()._start_asgi_task(cycle, app)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        held, self._held = self._held, None
        if held is not None:
            task = self.loop.create_task(self._answer(held))
            task.add_done_callback(self.tasks.discard)
            self.tasks.add(task)

    def _too_slow(self) -> None:
        """The body has not come in time, and its connection is of no more use."""
        self._held = None
        self.transport.write(_TOO_SLOW)
        self.transport.close()

    async def _answer(self, cycle: RequestResponseCycle) -> None:
        response = await self._fast.answer(_plain(cycle), bytes(cycle.body))
        if response is None:
            await cycle.run_asgi(self.app)
        elif not cycle.disconnected:
            self._write(cycle, response)

    def _write(self, cycle: RequestResponseCycle, response: Response) -> None:
        """All of it at once: uvicorn writes the head and the body, each with its own call of the system."""
        cycle.response_started = cycle.response_complete = True
        headers = response.raw_headers if cycle.keep_alive else [*response.raw_headers, _CLOSE]
        head = [b"%b: %b\r\n" % header for header in headers]
        self.transport.write(b"".join([STATUS_LINE[response.status_code], *head, _API_HEAD, response.body]))
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    # refusing

    def on_headers_complete(self) -> None:
        if self._is_too_much():
            self._refuse()
        else:
            super().on_headers_complete()

    def _is_too_much(self) -> bool:
        """Only a look: the application counts a request when the whole of it is here."""
        if not (self.cycle is None or self.cycle.response_complete):
            return False
        path = self.url.partition(b"?")[0].decode("latin-1")
        line = self._admission.line(self.parser.get_method().decode(), path)
        host = self.client[0] if self.client else ""
        return line is not None and not line.has_room(sender_of(self.headers, host))

    def _refuse(self) -> None:
        self._admission.refused += 1
        self.cycle = _ANSWERED
        if self.parser.should_keep_alive() and _is_short(self.headers):
            self.transport.write(_OVERLOADED)
            self.on_response_complete()
            self.flow.pause_reading()
            self.loop.call_later(self._admission.deaf_s(), self._hear_again)
        else:
            self.transport.write(_OVERLOADED_LAST)
            self.transport.close()

    def _hear_again(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()


def _plain(cycle: RequestResponseCycle) -> Scope:
    """Starlette's type of what uvicorn's is too."""
    return cast(Scope, cycle.scope)


def _is_short(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether the body, if there is one, is soon over."""
    for name, value in headers:
        if name == b"transfer-encoding" or (name == b"content-length" and int(value) > DROPPED_BYTES):
            return False
    return True


class PartServer(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_http(served: Served, sock: socket.socket, trusted_proxies: Sequence[str] = ()) -> None:
    """Serves on a bound socket until cancelled, then lets requests under way finish.

    `trusted_proxies`: addresses and networks. The client of a request that comes from one of them is the
    last in X-Forwarded-For that is not one of them; for all others the header means nothing.
    """
    config = uvicorn.Config(
        served.app,
        loop="none",
        # Whatever makes a protocol will do; uvicorn's annotation knows classes only.
        http=partial(ShopProtocol, served=served),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=[network for each in trusted_proxies for network in _as_seen(each)],
        server_header=False,
        date_header=False,
        backlog=2048,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = PartServer(config)
    listening = [sock, *(sock.dup() for _ in range(LISTENERS - 1))]
    serving = asyncio.create_task(server.serve(sockets=listening))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise


def _as_seen(network: str) -> Iterator[str]:
    """A socket that listens on both sees IPv4 addresses as ::ffff:a.b.c.d. Raises ValueError."""
    parsed = ip_network(network)
    yield str(parsed)
    if isinstance(parsed, IPv4Network):
        yield f"::ffff:{parsed.network_address}/{96 + parsed.prefixlen}"
