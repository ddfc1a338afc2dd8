"""Two API processes on one shop: what ends a session in one ends it in the other as well."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from adapters.embedded_servers import read_running

UP_WITHIN_S = 60.0
DEAD_WITHIN_S = 5.0
"""A second is the promise; a machine under tests may take longer, and how long it took is shown."""


@pytest.fixture
def two(up_factory: Callable[..., Any]) -> Iterator[tuple[str, str]]:
    """Addresses of a shop and of one more api role on its databases."""
    up = up_factory()
    url = up.start()
    running = read_running(up.data)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {
        "TILLROLL_DSN": str(running.dsn),
        "TILLROLL_NATS_URL": str(running.nats_url),
        "TILLROLL_DATA": str(up.data),
    }
    command = [sys.executable, "-m", "adapters.cli", "serve", "api", "--port", str(port)]
    rest = {name: value for name, value in os.environ.items() if not name.startswith("TILLROLL_")}
    with (up.data.parent / "second.log").open("ab") as log:
        second = subprocess.Popen(command, env={**rest, **told}, stdout=log, stderr=log)
    try:
        yield url, f"http://127.0.0.1:{port}"
    finally:
        second.terminate()
        second.wait(30)
        up.end()


async def test_a_session_that_ends_in_one_process_is_dead_in_the_other(
    two: tuple[str, str], shop_at: Any, figure: Callable[[str], None]
) -> None:
    async with aiohttp.ClientSession() as session:
        here, there = (shop_at(session, url) for url in two)
        await here.open()
        await is_up(there)
        waits = [
            await dead_after_s(here, there, way) for way in (log_out, log_out_everywhere, new_role, erase)
        ]
    figure(f"a token revoked in one process was dead in another after {max(waits) * 1000:.0f} ms at most")


async def is_up(shop: Any) -> None:
    ends_at = time.monotonic() + UP_WITHIN_S
    while time.monotonic() < ends_at:
        with suppress(aiohttp.ClientConnectionError):
            if (await shop.anybody.call("GET", "/healthz"))[0] == 200:
                return
        await asyncio.sleep(0.1)
    raise AssertionError("the second api did not come up")


async def dead_after_s(here: Any, there: Any, end: Callable[[Any, Any], Any]) -> float:
    """Seconds from the answer of whoever ended it."""
    person = await here.customer()
    there.anybody.token = person.token
    assert (await there.anybody.call("GET", "/v1/users/me"))[0] == 200
    await end(here, person)
    ended_at = time.monotonic()
    while (await there.anybody.call("GET", "/v1/users/me"))[0] != 401:
        assert time.monotonic() - ended_at < DEAD_WITHIN_S, f"alive after {end.__name__}"
    there.anybody.token = None
    return time.monotonic() - ended_at


async def log_out(_shop: Any, person: Any) -> None:
    assert (await person.call("DELETE", "/v1/sessions"))[0] == 204


async def log_out_everywhere(_shop: Any, person: Any) -> None:
    assert (await person.call("DELETE", "/v1/sessions?all=true"))[0] == 204


async def new_role(shop: Any, person: Any) -> None:
    assert (await shop.staff.call("PATCH", f"/v1/users/{person.user_id}", {"role": 3}))[0] == 200


async def erase(_shop: Any, person: Any) -> None:
    assert (await person.call("DELETE", "/v1/users/me"))[0] == 204
