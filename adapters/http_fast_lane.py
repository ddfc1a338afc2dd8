"""A short way for the two requests that every order makes: PUT /v1/cart and POST /v1/orders.

Only a request that is right in every respect takes it: signed in, allowed, JSON, of the route's own model.
Anything else is handed to the framework as it came, so every error is exactly the framework's. What the
short way leaves out are layers that do nothing for these routes; they were a third of the API's time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from adapters import http_cart, http_orders
from adapters.http_auth import WHO, admit
from adapters.http_bodies import CartLines, NewOrder
from adapters.http_call import Call
from adapters.http_edge import BODY_TIMEOUT_S, MAX_BODY_BYTES, Edge
from adapters.http_parts import HttpParts
from adapters.paseto_tokens import TokenRefused
from domain.refusals import Refusal


@dataclass(frozen=True, slots=True)
class Lane:
    """`path` is what metrics call the route."""

    path: str
    model: type[BaseModel]
    endpoint: Callable[[Call, Any], Awaitable[Response]]


LANES: Final[Mapping[tuple[str, str], Lane]] = {
    ("PUT", "/v1/cart"): Lane("/v1/cart", CartLines, http_cart.replace),
    ("POST", "/v1/orders"): Lane("/v1/orders", NewOrder, http_orders.place),
}

TOO_LONG: Final = len(str(MAX_BODY_BYTES))
"""Digits of a Content-Length that the framework should look at."""


class FastLane:
    """ASGI application around the framework's."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._parts: HttpParts = app.state.parts
        self._edge = Edge(self._answer, app.state.metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lane = LANES.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if lane is None or not _is_plain(scope):
            await self._app(scope, receive, send)
            return
        first = await _first(receive)
        again = _Again(first, receive)
        ready = await self._ready(lane, scope, first)
        if ready is None:
            await self._app(scope, again, send)
        else:
            await self._edge(ready, again, send)

    async def _ready(self, lane: Lane, scope: Scope, first: Message | None) -> Scope | None:
        """The scope with who calls and what was sent; None for what is not right in every respect."""
        if first is None or first["type"] != "http.request" or first.get("more_body", False):
            return None
        try:
            caller = await admit(Headers(scope=scope), WHO[scope["method"], lane.path], self._parts)
            body = lane.model.model_validate_json(first.get("body", b""))
        except (Refusal, TokenRefused, ValidationError):
            return None
        own = {"app": self._app, "route": lane, "tillroll.caller": caller, "tillroll.body": body}
        return {**scope, **own}

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(scope, receive)
        try:
            response = await scope["route"].endpoint(call, scope["tillroll.body"])
        except Exception as error:
            handle = self._handler(error)
            if handle is None:
                raise
            response = await handle(call, error)
        await response(scope, receive, send)

    def _handler(self, error: Exception) -> Any | None:
        """The framework's own handler for such an error."""
        known = self._app.exception_handlers
        return next((known[kind] for kind in type(error).__mro__ if kind in known), None)


class _Again:
    """Gives the message that was read already, then what follows."""

    def __init__(self, first: Message | None, receive: Receive) -> None:
        self._first = first
        self._receive = receive

    async def __call__(self) -> Message:
        first, self._first = self._first, None
        return await self._receive() if first is None else first


async def _first(receive: Receive) -> Message | None:
    """The first part of the body; None when it does not come, which the framework then finds out too."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await receive()
    except TimeoutError:
        return None


def _is_plain(scope: Scope) -> bool:
    """JSON of a stated, moderate length and nothing in the query."""
    headers = Headers(scope=scope)
    length = headers.get("content-length", "")
    is_json = headers.get("content-type", "").strip().lower() == "application/json"
    return is_json and length.isdecimal() and len(length) < TOO_LONG and not scope["query_string"]
