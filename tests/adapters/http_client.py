"""A caller of the API over a real socket, who holds every answer against the OpenAPI document."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from adapters.http_admission import Admission
from adapters.http_app import create_app, served
from adapters.http_server import bound_socket, serve_http
from adapters.settings import Settings
from domain.user import Role
from tests.adapters.http_shop import Shop, open_shop

_DOCUMENT: list[Any] = []

CONTACT = {"address": "1 Harbour Street", "signer_name": "Ann", "signer_mobile": "130", "post": ""}


@dataclass(frozen=True)
class Answered:
    status: int
    headers: Any
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def name(self) -> str:
        """The name of a problem."""
        return str(self.json["type"]).removeprefix("urn:tillroll:")


class Client:
    def __init__(self, shop: Shop, app: FastAPI, http: aiohttp.ClientSession, base: str) -> None:
        self.shop = shop
        self.app = app
        self.http = http
        self.base = base

    async def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str
    ) -> Answered:
        """`headers`: with _ for -. A body that is bytes is sent as it is."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        data = json.dumps(body) if isinstance(body, dict | list) else body
        async with self.http.request(method, self.base + path, data=data, headers=sent) as response:
            answered = Answered(response.status, response.headers, await response.read())
        self._must_be_documented(method, path, answered)
        return answered

    async def user(self, role: Role = Role.CUSTOMER) -> str:
        """An access token of a new user."""
        return await self.shop.user(role)

    async def goods(self, staff: str, *, stock: int, price: int = 1250, name: str = "Blue mug") -> int:
        """New goods with this many units on hand."""
        created = await self.call("POST", "/v1/goods", {"name": name, "price": price}, token=staff)
        goods_id = int(created.json["goods_id"])
        await self.call("PUT", f"/v1/inventory/{goods_id}", {"stock": stock}, token=staff)
        return goods_id

    async def fill_cart(self, customer: str, *lines: tuple[int, int]) -> None:
        items = [{"goods_id": goods_id, "nums": nums} for goods_id, nums in lines]
        filled = await self.call("PUT", "/v1/cart", {"items": items}, token=customer)
        assert filled.status == 200, filled.raw

    async def order(self, customer: str, *lines: tuple[int, int], **headers: str) -> Answered:
        await self.fill_cart(customer, *lines)
        return await self.call("POST", "/v1/orders", CONTACT, token=customer, **headers)

    def _must_be_documented(self, method: str, path: str, answered: Answered) -> None:
        route = self._route(method, path.partition("?")[0])
        if route is None:
            return
        documented = _document(self.app.openapi)["paths"][route.path_format][method.lower()]["responses"]
        assert str(answered.status) in documented, f"{method} {path}: {answered.status} is not documented"
        content = documented[str(answered.status)].get("content", {})
        if "application/problem+json" in answered.headers.get("Content-Type", ""):
            assert answered.name in content["application/problem+json"]["examples"], answered.raw
        elif "application/json" in content:
            TypeAdapter(_model(route, answered.status)).validate_json(answered.raw, strict=True)

    def _route(self, method: str, path: str) -> APIRoute | None:
        routes = [route for route in self.app.routes if isinstance(route, APIRoute)]
        here = [r for r in routes if r.include_in_schema and r.path_regex.match(path)]
        fixed = [route for route in here if route.path_format == path]
        return next((route for route in fixed or here if method in (route.methods or ())), None)


def _document(made_by: Callable[[], Any]) -> Any:
    """Made once: it is the same for every shop, and takes longer to make than most tests."""
    if not _DOCUMENT:
        _DOCUMENT.append(made_by())
    return _DOCUMENT[0]


def _model(route: APIRoute, status: int) -> Any:
    return route.response_model if status == route.status_code else route.responses[status]["model"]


@asynccontextmanager
async def open_client(admission: Admission | None = None) -> AsyncIterator[Client]:
    """`admission`: as a shop's settings have it, unless given."""
    admission = admission or Admission(Settings().max_requests)
    sock = bound_socket("127.0.0.1", 0)
    # asyncio does this only for sockets made with IPPROTO_TCP; without it every call takes 40 ms.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # From now on callers wait in the backlog instead of being refused while the server starts.
    sock.listen()
    async with open_shop() as shop:
        app = create_app(shop.parts())
        server = asyncio.create_task(serve_http(served(app, admission), sock))
        try:
            # Its connections are closed before the server stops, which would wait for them.
            async with aiohttp.ClientSession() as http:
                yield Client(shop, app, http, f"http://127.0.0.1:{sock.getsockname()[1]}")
        finally:
            server.cancel()
            with suppress(asyncio.CancelledError):
                await server
