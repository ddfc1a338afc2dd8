"""A whole shop as a user runs it: `tillroll up` as a process, spoken to over HTTP."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from adapters.embedded_servers import NotRunning, read_running

STAFF = {"email": "boss@shop.example", "password": "open sesame, please"}
PARCEL = {
    "address": "1 Test Street",
    "signer_name": "A. Buyer",
    "signer_mobile": "13800000000",
    "post": "100000",
}
UP_WITHIN_S = 60.0


class Up:
    """`tillroll up` on a data folder, started as often as a test likes."""

    def __init__(self, data: Path, **settings: str) -> None:
        self.data = data
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TILLROLL_")},
            "TILLROLL_STAFF_EMAIL": STAFF["email"],
            "TILLROLL_STAFF_PASSWORD": STAFF["password"],
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """The URL, once it answers."""
        command = [sys.executable, "-m", "adapters.cli", "up", "--port", "0", "--data", str(self.data)]
        output = self.data.parent / "up.log"
        with output.open("ab") as log:
            self.process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        ends_at = time.monotonic() + UP_WITHIN_S
        while time.monotonic() < ends_at and self.process.poll() is None:
            with suppress(NotRunning):
                running = read_running(self.data)
                if running.pid == self.process.pid and "api_url" in running.notes:
                    return running.notes["api_url"]
            time.sleep(0.05)
        raise AssertionError(f"tillroll up did not come up:\n{output.read_text()[-3000:]}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The exit code."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        return self.process.wait(30)


class Person:
    """Somebody signed in. Calls give (status, JSON body, headers)."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str | None = None) -> None:
        self._session = session
        self._url = url
        self.token = token
        self.user_id = 0
        self.login: dict[str, str] = {}

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        status, raw, answered = await self.raw(method, path, body, **headers)
        return status, msgspec.json.decode(raw) if raw else None, answered

    async def raw(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes, Any]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        data = None if body is None else msgspec.json.encode(body)
        if data is not None:
            sent["Content-Type"] = "application/json"
        async with self._session.request(method, self._url + path, data=data, headers=sent) as answer:
            return answer.status, await answer.read(), answer.headers

    async def fill_cart(self, *lines: tuple[int, int]) -> None:
        items = [{"goods_id": goods_id, "nums": nums, "checked": True} for goods_id, nums in lines]
        status, body, _ = await self.call("PUT", "/v1/cart", {"items": items})
        assert status == 200, body

    async def order(self, **headers: str) -> tuple[int, Any, Any]:
        headers.setdefault("Idempotency_Key", uuid4().hex)
        return await self.call("POST", "/v1/orders", PARCEL, **headers)


class Shop:
    """One running shop, its staff, and how to get customers and goods."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url
        self.staff = Person(session, url)
        self.service = Person(session, url)
        self.anybody = Person(session, url)

    async def open(self) -> None:
        status, body, _ = await self.anybody.call("POST", "/v1/sessions", STAFF)
        assert status == 201, body
        self.staff.token = body["access_token"]

    async def hire_service(self) -> None:
        """Another system of the shop, as a user with the role of a service."""
        person = await self.customer()
        path = f"/v1/users/{person.user_id}"
        status, body, _ = await self.staff.call("PATCH", path, {"role": 3})
        assert status == 200, body
        status, body, _ = await self.anybody.call("POST", "/v1/sessions", person.login)
        assert status == 201, body
        self.service.token = body["access_token"]

    async def customer(self) -> Person:
        person = Person(self.session, self.url)
        login = {"email": f"{uuid4().hex}@shop.example", "password": "a long password"}
        status, body, _ = await person.call("POST", "/v1/users", {**login, "nickname": "Customer"})
        assert status == 201, body
        status, body, _ = await person.call("POST", "/v1/sessions", login)
        assert status == 201, body
        person.token, person.user_id, person.login = body["access_token"], body["user"]["user_id"], login
        return person

    async def customers(self, count: int) -> list[Person]:
        return list(await asyncio.gather(*(self.customer() for _ in range(count))))

    async def goods(self, *, stock: int, price: int = 250) -> int:
        status, body, _ = await self.staff.call("POST", "/v1/goods", {"name": "Teapot", "price": price})
        assert status == 201, body
        goods_id = int(body["goods_id"])
        status, body, _ = await self.staff.call("PUT", f"/v1/inventory/{goods_id}", {"stock": stock})
        assert status == 200, body
        return goods_id

    async def stock(self, goods_id: int) -> int:
        status, body, _ = await self.staff.call("GET", f"/v1/inventory/{goods_id}")
        assert status == 200, body
        return int(body["stock"])

    async def stock_becomes(self, goods_id: int, expected: int, within_s: float = 10.0) -> None:
        ends_at = time.monotonic() + within_s
        while (found := await self.stock(goods_id)) != expected and time.monotonic() < ends_at:
            await asyncio.sleep(0.05)
        assert found == expected


@pytest.fixture(scope="session")
def up_factory() -> Iterator[Callable[..., Up]]:
    """Makes shops, each on a folder of its own; whatever still runs at the end is stopped.

    Not below pytest's own folder: another session that starts closes that to PostgreSQL's account.
    """
    made: list[Up] = []

    def make(**settings: str) -> Up:
        up = Up(Path(tempfile.mkdtemp(prefix="tillroll-")) / "data", **settings)
        made.append(up)
        return up

    yield make
    for up in made:
        if up.process is not None and up.process.poll() is None:
            up.end()
        shutil.rmtree(up.data.parent)


@pytest.fixture(scope="session")
def shop_url(up_factory: Callable[..., Up]) -> str:
    """One shop that the tests of this session share."""
    return up_factory().start()


@pytest_asyncio.fixture
async def shop(shop_url: str) -> AsyncIterator[Shop]:
    connector = aiohttp.TCPConnector(limit=200)
    async with aiohttp.ClientSession(connector=connector) as session:
        opened = Shop(session, shop_url)
        await opened.open()
        yield opened


@pytest.fixture
def shop_at() -> Callable[[aiohttp.ClientSession, str], Shop]:
    return Shop


@pytest.fixture
def lapsing_up(up_factory: Callable[..., Up]) -> Up:
    """A shop whose payment window is one second."""
    return up_factory(TILLROLL_PAYMENT_WINDOW_S="1")
