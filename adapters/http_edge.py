"""The outermost layer of the application, as plain ASGI: it costs some microseconds a request.

It bounds bodies, adds the security headers, counts, and answers what nobody foresaw with an id that
also stands in the log.
"""

import asyncio
import logging
import time
import uuid
from typing import Final

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.http_errors import Internal, Problem, TooLarge, problem
from adapters.http_metrics import HttpMetrics

logger = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 1024 * 1024

BODY_TIMEOUT_S: Final = 20.0
"""How long each part of a body may take to arrive."""

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_COMMON: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    # Browsers believe it only over TLS, which somebody else speaks in front of this (RFC 6797, 8.1).
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
]
API_HEADERS: Final = [
    *_COMMON,
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
DOCS_HEADERS: Final = [
    *_COMMON,
    # The page starts itself with a script inside it; everything it loads comes from here.
    (
        b"content-security-policy",
        b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        b"img-src 'self' data:; frame-ancestors 'none'",
    ),
]
DOCS_PATHS: Final = ("/docs", "/static-offline-docs")


class Edge:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        exchange = _Exchange(scope, receive, send)
        await exchange.run(self._app)
        self._metrics.answered(_method(scope), _template(scope), exchange.status, time.perf_counter() - began)


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.status = 0
        self._scope = scope
        self._receive = receive
        self._send = send
        self._read = 0
        self._is_read = False
        self._headers = DOCS_HEADERS if scope["path"].startswith(DOCS_PATHS) else API_HEADERS

    async def run(self, app: ASGIApp) -> None:
        if _announces_too_much(self._scope):
            await self._answer(TooLarge())
            return
        try:
            await app(self._scope, self.receive, self.send)
        except Exception:
            # The one place where a bug in answering a request ends; the caller learns an id, the log all.
            refusal = Internal(id=uuid.uuid4().hex)
            logger.exception(
                "%s %s failed, id %s", _method(self._scope), _template(self._scope), refusal.facts["id"]
            )
            if self.status:
                raise
            await self._answer(refusal)

    async def _answer(self, refusal: Problem) -> None:
        await problem(refusal)(self._scope, self._receive, self.send)

    async def receive(self) -> Message:
        """Raises HTTPException, which the framework lets through, when more came than is taken."""
        message = await self._next()
        self._read += len(message.get("body", b""))
        if self._read > MAX_BODY_BYTES:
            raise HTTPException(TooLarge.status)
        return message

    async def _next(self) -> Message:
        """A body that stops half way must not hold its connection for ever. Raises HTTPException."""
        if self._is_read:
            return await self._receive()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408) from None
        self._is_read = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], *self._headers]
        await self._send(message)


def _announces_too_much(scope: Scope) -> bool:
    length = Headers(scope=scope).get("content-length", "")
    # The server has refused what is no number; a long row of digits is too much in any case.
    return length.isdecimal() and (len(length) > 18 or int(length) > MAX_BODY_BYTES)


def _template(scope: Scope) -> str:
    """The route's template: ids in metric labels would grow without end."""
    return str(getattr(scope.get("route"), "path", "unmatched"))


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in METHODS else "other"
