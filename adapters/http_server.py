"""uvicorn as one part of a process that has others: it leaves signals to whoever runs it."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Network, ip_network
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from adapters.http_edge import API_HEADERS
from adapters.http_errors import Malformed, problem
from adapters.listening import bound_socket

__all__ = ["PartServer", "bound_socket", "serve_http"]

GRACE_S: Final = 5
"""Seconds for requests under way when the server stops."""


class ProblemProtocol(HttpToolsProtocol):
    """What cannot be read as HTTP never reaches the application; it is a problem all the same."""

    def send_400_response(self, msg: str) -> None:
        answer = problem(Malformed(), {"Connection": "close"})
        head = [name + b": " + value for name, value in (*answer.raw_headers, *API_HEADERS)]
        lines = [b"HTTP/1.1 400 Bad Request", *head, b"", bytes(answer.body)]
        self.transport.write(b"\r\n".join(lines))
        self.transport.close()


class PartServer(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_http(app: Any, sock: socket.socket, trusted_proxies: Sequence[str] = ()) -> None:
    """Serves on a bound socket until cancelled, then lets requests under way finish.

    `trusted_proxies`: addresses and networks. The client of a request that comes from one of them is the
    last in X-Forwarded-For that is not one of them; for all others the header means nothing.
    """
    config = uvicorn.Config(
        app,
        loop="none",
        http=ProblemProtocol,
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
