"""Who is let in at all, and a short way for the two requests of every order: PUT /v1/cart, POST /v1/orders.

Only a request that is right in every respect takes it: signed in, allowed, JSON, of the route's own model.
Anything else is handed to the framework as it came, so every error is exactly the framework's. What the
short way leaves out are layers that do nothing for these routes; they were a third of the API's time.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters import http_cart, http_orders
from adapters.http_admission import Admission, sender_of
from adapters.http_auth import WHO, admit
from adapters.http_bodies import CartLines, NewOrder
from adapters.http_call import Call
from adapters.http_edge import BODY_TIMEOUT_S, MAX_BODY_BYTES, Edge
from adapters.http_errors import problem
from adapters.http_parts import HttpParts
from adapters.paseto_tokens import TokenRefused
from domain.refusals import Overloaded, Refusal


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


ACCEPTED: Final = 202
"""An order that is not decided yet."""


class FastLane:
    """ASGI application around the framework's."""

    def __init__(self, app: FastAPI, admission: Admission) -> None:
        self._app = app
        self._admission = admission
        self._parts: HttpParts = app.state.parts
        self._edge = Edge(self._answer, app.state.metrics)
        self._too_much = Edge(_overloaded, app.state.metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        lane = LANES.get((scope["method"], scope["path"]))
        if lane is not None and _is_plain(scope):
            # Not counted before it is here: a body that drips in is no work, and must not keep others out.
            sent = await _sent(receive)
            receive = _Again(sent, receive)
            begin: ASGIApp = partial(self._short, lane, _body(sent))
        else:
            begin = self._app
        line = self._admission.line(scope["method"], scope["path"])
        if line is None:
            await begin(scope, receive, send)
            return
        sender = sender_of(scope["headers"], (scope.get("client") or ("",))[0])
        if not line.enter(sender):
            self._admission.refused += 1
            await self._too_much(scope, receive, send)
            return
        try:
            await begin(scope, receive, send)
        finally:
            line.leave(sender)

    async def _short(
        self, lane: Lane, body: bytes | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        ready = None if body is None else await self._ready(lane, scope, body)
        if ready is None:
            await self._app(scope, receive, send)
        else:
            await self._edge(ready, receive, send)

    async def _ready(self, lane: Lane, scope: Scope, sent: bytes) -> Scope | None:
        """The scope with who calls and what was sent; None for what is not right in every respect."""
        try:
            caller = await admit(Headers(scope=scope), WHO[scope["method"], lane.path], self._parts)
            body = lane.model.model_validate_json(sent)
        except (Refusal, TokenRefused, ValidationError):
            return None
        own = {"app": self._app, "route": lane, "tillroll.caller": caller, "tillroll.body": body}
        return {**scope, **own}

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.monotonic()
        call = Call(scope, receive)
        try:
            response = await scope["route"].endpoint(call, scope["tillroll.body"])
        except Exception as error:
            handle = self._handler(error)
            if handle is None:
                raise
            response = await handle(call, error)
        if response.status_code != ACCEPTED:
            self._admission.writes.answered(time.monotonic() - began)
        await response(scope, receive, send)

    def _handler(self, error: Exception) -> Any | None:
        """The framework's own handler for such an error."""
        known = self._app.exception_handlers
        return next((known[kind] for kind in type(error).__mro__ if kind in known), None)


class _Again:
    """Gives the messages that were read already, then what follows."""

    def __init__(self, sent: Sequence[Message], receive: Receive) -> None:
        self._sent = deque(sent)
        self._receive = receive

    async def __call__(self) -> Message:
        return self._sent.popleft() if self._sent else await self._receive()


async def _overloaded(scope: Scope, receive: Receive, send: Send) -> None:
    await problem(Overloaded())(scope, receive, send)


async def _sent(receive: Receive) -> Sequence[Message]:
    """The body's parts, as many as come, each in time; the framework finds out what is missing."""
    sent: list[Message] = []
    try:
        while not sent or sent[-1].get("more_body", False):
            async with asyncio.timeout(BODY_TIMEOUT_S):
                sent.append(await receive())
    except TimeoutError:
        pass
    return sent


def _body(sent: Sequence[Message]) -> bytes | None:
    """None for a body that is not whole."""
    if not sent or sent[-1]["type"] != "http.request" or sent[-1].get("more_body", False):
        return None
    return sent[0].get("body", b"") if len(sent) == 1 else b"".join(part.get("body", b"") for part in sent)


def _is_plain(scope: Scope) -> bool:
    """JSON of a stated, moderate length and nothing in the query."""
    headers = Headers(scope=scope)
    length = headers.get("content-length", "")
    is_json = headers.get("content-type", "").strip().lower() == "application/json"
    return is_json and length.isdecimal() and len(length) < TOO_LONG and not scope["query_string"]
