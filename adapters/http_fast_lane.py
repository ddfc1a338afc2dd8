"""A short way for the two requests that every order makes: PUT /v1/cart and POST /v1/orders.

The server hands over the head and the whole body and gets the whole answer, without ASGI's messages in
between. Only a request that is right in every respect goes this way: signed in, allowed, JSON, of the route's
own model. Anything else goes to the framework as it came, so every error is exactly the framework's.
"""

import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Message, Scope

from adapters import http_cart, http_orders
from adapters.http_admission import Admission, sender_of
from adapters.http_auth import WHO, admit
from adapters.http_bodies import CartLines, NewOrder
from adapters.http_call import SENT, Call
from adapters.http_edge import MAX_BODY_BYTES
from adapters.http_errors import Internal, problem
from adapters.http_metrics import HttpMetrics
from adapters.http_parts import HttpParts
from adapters.paseto_tokens import TokenRefused
from domain.refusals import Overloaded, Refusal

logger = logging.getLogger(__name__)


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
    def __init__(self, app: FastAPI, admission: Admission) -> None:
        self._app = app
        self._admission = admission
        self._parts: HttpParts = app.state.parts
        self._metrics: HttpMetrics = app.state.metrics

    def takes(self, scope: Scope) -> bool:
        """Whether its head may go this way: JSON of a stated, moderate length and nothing in the query."""
        if scope["query_string"] or (scope["method"], scope["path"]) not in LANES:
            return False
        is_json, length = False, b""
        for name, value in scope["headers"]:
            if name == b"content-type":
                is_json = value.strip().lower() == b"application/json"
            elif name == b"content-length":
                length = value
        return is_json and length.isdigit() and len(length) < TOO_LONG

    async def answer(self, scope: Scope, sent: bytes) -> Response | None:
        """Never raises; None for a request that the framework must look at.

        `scope`: one that is taken. `sent`: its whole body.
        """
        began = time.monotonic()
        lane, line = LANES[scope["method"], scope["path"]], self._admission.writes
        sender = sender_of(scope["headers"], "")
        if not line.enter(sender):
            self._admission.refused += 1
            return problem(Overloaded())
        try:
            call = await self._call(lane, scope, sent)
            response = None if call is None else await self._answered(call, lane)
        finally:
            line.leave(sender)
        if response is not None:
            seconds = time.monotonic() - began
            if response.status_code != ACCEPTED:
                line.answered(seconds)
            self._metrics.answered(scope["method"], lane.path, response.status_code, seconds)
        return response

    async def _call(self, lane: Lane, scope: Scope, sent: bytes) -> Call | None:
        """With who calls and what was sent; None for what is not right in every respect."""
        try:
            caller = await admit(Headers(raw=scope["headers"]), WHO[scope["method"], lane.path], self._parts)
            body = lane.model.model_validate_json(sent)
        except (Refusal, TokenRefused, ValidationError):
            return None
        own = {"app": self._app, "route": lane, "tillroll.caller": caller, "tillroll.body": body, SENT: sent}
        return Call({**scope, **own}, _nothing_more)

    async def _answered(self, call: Call, lane: Lane) -> Response:
        try:
            try:
                return await lane.endpoint(call, call.scope["tillroll.body"])
            except Exception as error:
                handle = self._handler(error)
                if handle is None:
                    raise
                response: Response = await handle(call, error)
                return response
        except Exception:
            # As the edge of the framework does it.
            refusal = Internal(id=uuid.uuid4().hex)
            logger.exception("%s %s failed, id %s", call.method, lane.path, refusal.facts["id"])
            return problem(refusal)

    def _handler(self, error: Exception) -> Any | None:
        """The framework's own handler for such an error."""
        known = self._app.exception_handlers
        return next((known[kind] for kind in type(error).__mro__ if kind in known), None)


async def _nothing_more() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}
