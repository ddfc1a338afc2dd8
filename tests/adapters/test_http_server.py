"""Whom the server takes its clients for, and how soon it takes them, over real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any, cast

import aiohttp
import pytest
import uvloop

from adapters.http_admission import Admission
from adapters.http_app import Served
from adapters.http_fast_lane import FastLane
from adapters.http_server import bound_socket, serve_http

FORWARDED = "X-Forwarded-For"


async def who_are_you(scope: Any, _receive: Any, send: Any) -> None:
    """An application that says what it was told of its client."""
    text = scope["client"][0].encode("utf-8", "surrogateescape")
    length = (b"content-length", str(len(text)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": text})


class NoShortWay:
    def takes(self, _scope: Any) -> bool:
        return False


@asynccontextmanager
async def served(host: str, trusted_proxies: Sequence[str]) -> AsyncIterator[str]:
    sock = bound_socket(host, 0)
    sock.listen()
    shop = Served(who_are_you, Admission(1), cast(FastLane, NoShortWay()))
    server = asyncio.create_task(serve_http(shop, sock, trusted_proxies))
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.cancel()
        with suppress(asyncio.CancelledError):
            await server


async def client_of(url: str, *forwarded: str) -> str:
    async with (
        aiohttp.ClientSession() as http,
        http.get(url, headers=[(FORWARDED, value) for value in forwarded]) as response,
    ):
        return await response.text("utf-8", "surrogateescape")


async def test_nobody_is_believed_unless_named() -> None:
    async with served("127.0.0.1", ()) as url:
        assert await client_of(url) == "127.0.0.1"
        assert await client_of(url, "203.0.113.9") == "127.0.0.1"


async def test_only_those_named_are_believed() -> None:
    async with served("127.0.0.1", ["10.0.0.7", "127.0.0.2"]) as url:
        assert await client_of(url, "203.0.113.9") == "127.0.0.1"


@pytest.mark.parametrize("trusted", ["127.0.0.1", "127.0.0.0/8"])
@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ([], "127.0.0.1"),
        (["203.0.113.9"], "203.0.113.9"),
        (["2001:db8::9"], "2001:db8::9"),
        (["203.0.113.9:4711"], "203.0.113.9"),
        (["[2001:db8::9]:4711"], "2001:db8::9"),
        # What stands further left came from the client, who can write what he likes.
        (["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        (["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9, 127.0.0.1"], "203.0.113.9"),
        (["127.0.0.1, 127.0.0.1"], "127.0.0.1"),
        ([""], "127.0.0.1"),
        (["203.0.113.9, "], "127.0.0.1"),
        # No address; whoever counts by address must expect that.
        (["203.0.113.9, unknown"], "unknown"),
        (["' OR 1=1 --"], "' OR 1=1 --"),
        (["x" * 2000], "x" * 2000),
    ],
)
async def test_of_what_a_trusted_proxy_says_the_last_that_is_no_proxy_counts(
    trusted: str, forwarded: list[str], client: str
) -> None:
    async with served("127.0.0.1", [trusted]) as url:
        assert await client_of(url, *forwarded) == client


async def test_a_proxy_is_known_also_by_a_socket_that_listens_on_both_kinds_of_address() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("there is no IPv6 here")
    async with served("::", ["127.0.0.0/8"]) as url:
        assert await client_of(url) == "::ffff:127.0.0.1"
        assert await client_of(url, "203.0.113.9") == "203.0.113.9"


async def turns_until_all_are_answered(customers: int) -> int:
    """Turns of the loop, from when so many new connections, each with its request, wait to be accepted."""
    async with served("127.0.0.1", ()) as url:
        await client_of(url)
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        with ExitStack() as stack:
            waiting = [stack.enter_context(socket.create_connection(address, 5)) for _ in range(customers)]
            for each in waiting:
                each.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                each.setblocking(False)
            turns = 0
            while waiting:
                await asyncio.sleep(0)
                turns += 1
                waiting = [each for each in waiting if not _has_answer(each)]
    return turns


def _has_answer(connection: socket.socket) -> bool:
    with suppress(BlockingIOError):
        return connection.recv(64).startswith(b"HTTP/1.1 200")
    return False


def test_new_customers_are_accepted_many_in_one_turn_of_a_busy_loop() -> None:
    """A turn of the loop is tens of milliseconds in a busy shop; with one listener each would take one."""
    assert uvloop.run(turns_until_all_are_answered(320)) < 100
