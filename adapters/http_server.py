"""uvicorn as one part of a process that has others: it leaves signals to whoever runs it."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn

GRACE_S: Final = 5
"""Seconds for requests under way when the server stops."""


class PartServer(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_http(app: Any, sock: socket.socket) -> None:
    """Serves on a bound socket until cancelled, then lets requests under way finish."""
    config = uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
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


def bound_socket(host: str, port: int) -> socket.socket:
    """Raises OSError when the address cannot be had.

    The protocol is named because asyncio turns Nagle's algorithm off only where it is.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
