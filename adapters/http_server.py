"""uvicorn as one part of a process that has others: it leaves signals to whoever runs it.

It also refuses what is too much, as soon as a request's head is read: no task, no scope, a fifth of the time
that a refusal takes which is an answer like others.
"""

import asyncio
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv4Network, ip_network
from types import SimpleNamespace
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from adapters.http_admission import Admission, sender_of
from adapters.http_edge import API_HEADERS
from adapters.http_errors import Malformed, problem
from adapters.listening import bound_socket
from domain.refusals import Overloaded, Refusal

__all__ = ["PartServer", "bound_socket", "serve_http"]

GRACE_S: Final = 5
"""Seconds for requests under way when the server stops."""

DROPPED_BYTES: Final = 64 * 1024
"""The body of a refused request is read and dropped up to this size; whoever sends more is cut off."""

PAUSE_S: Final = 0.1
"""A connection is not read for so long after a refusal: who does not heed Retry-After and asks at once again
would keep the processor busy with refusals alone.
"""


def _written(status: str, refusal: Refusal, headers: Mapping[str, str] | None = None) -> bytes:
    """A problem as it goes through the wire."""
    answer = problem(refusal, headers)
    head = [name + b": " + value for name, value in (*answer.raw_headers, *API_HEADERS)]
    return b"\r\n".join([f"HTTP/1.1 {status}".encode(), *head, b"", bytes(answer.body)])


_MALFORMED: Final = _written("400 Bad Request", Malformed(), {"Connection": "close"})
_OVERLOADED: Final = _written("503 Service Unavailable", Overloaded())
_OVERLOADED_LAST: Final = _written("503 Service Unavailable", Overloaded(), {"Connection": "close"})

_ANSWERED: Final[Any] = SimpleNamespace(
    response_complete=True, disconnected=False, keep_alive=True, message_event=SimpleNamespace(set=bool)
)
"""In the place of uvicorn's own record of a request, where it never came to that."""


class ProblemProtocol(HttpToolsProtocol):
    """What cannot be read as HTTP never reaches the application; it is a problem all the same."""

    def __init__(self, *args: Any, admission: Admission | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._admission = admission

    def send_400_response(self, msg: str) -> None:
        self.transport.write(_MALFORMED)
        self.transport.close()

    def on_headers_complete(self) -> None:
        if self._is_too_much():
            self._refuse()
        else:
            super().on_headers_complete()

    def _is_too_much(self) -> bool:
        """Only a look: the application counts a request when the whole of it is here."""
        admission = self._admission
        if admission is None or not (self.cycle is None or self.cycle.response_complete):
            return False
        path = self.url.partition(b"?")[0].decode("latin-1")
        line = admission.line(self.parser.get_method().decode(), path)
        host = self.client[0] if self.client else ""
        return line is not None and not line.has_room(sender_of(self.headers, host))

    def _refuse(self) -> None:
        assert self._admission is not None
        self._admission.refused += 1
        self.cycle = _ANSWERED
        if self.parser.should_keep_alive() and _is_short(self.headers):
            self.transport.write(_OVERLOADED)
            self.on_response_complete()
            self.flow.pause_reading()
            self.loop.call_later(PAUSE_S, self.flow.resume_reading)
        else:
            self.transport.write(_OVERLOADED_LAST)
            self.transport.close()


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


async def serve_http(
    app: Any,
    sock: socket.socket,
    trusted_proxies: Sequence[str] = (),
    admission: Admission | None = None,
) -> None:
    """Serves on a bound socket until cancelled, then lets requests under way finish.

    `admission`: that of the application, if it has one.

    `trusted_proxies`: addresses and networks. The client of a request that comes from one of them is the
    last in X-Forwarded-For that is not one of them; for all others the header means nothing.
    """
    config = uvicorn.Config(
        app,
        loop="none",
        # Whatever makes a protocol will do; uvicorn's annotation knows classes only.
        http=partial(ProblemProtocol, admission=admission),  # type: ignore[arg-type]
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
    serving = asyncio.create_task(server.serve(sockets=[sock]))
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
