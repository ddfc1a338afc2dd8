"""One request on its way: let in, looked at, and answered with the position of what it wrote."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from adapters.http_auth import WHO, Caller, Who, admit
from adapters.http_errors import BadHeader, NotJson, Unauthorized, problem
from adapters.http_parts import HttpParts
from adapters.http_positions import AFTER_HEADER, POSITION_HEADER, Positions, parse_after
from adapters.sealing import PersonKey
from domain import streams
from domain.key import KeyUse
from domain.recorded import Cause
from domain.refusals import Refusal

KEY_HEADER: Final = "Idempotency-Key"
REPLAYED_HEADER: Final = "Idempotency-Replayed"
MAX_KEY_CHARS: Final = 255
DIGEST_CHARS: Final = 32

SENT: Final = "tillroll.sent"
"""In the scope of a request whose whole body was there before it was looked at: that body."""

FIXED: Final = frozenset(path for _, path in WHO if "{" not in path)

_encode = msgspec.json.Encoder().encode


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON of plain values and the domain's dataclasses; times in RFC 3339, UTC."""
    return Response(_encode(content), status, headers, "application/json")


class Call(Request):
    """A request together with the parts that answer it and, once it is let in, who sent it."""

    @property
    def parts(self) -> HttpParts:
        parts: HttpParts = self.app.state.parts
        return parts

    @property
    def positions(self) -> Positions:
        positions: Positions = self.app.state.positions
        return positions

    @property
    def visitor(self) -> Caller | None:
        caller: Caller | None = self.scope["tillroll.caller"]
        return caller

    @property
    def caller(self) -> Caller:
        caller = self.visitor
        assert caller is not None, "this route is open to anybody, so it has no certain caller"
        return caller

    @property
    def host(self) -> str:
        """Where the request comes from, as far as proxies that are trusted say."""
        return "" if self.client is None else self.client.host

    async def person_key(self) -> PersonKey:
        """What the caller's personal data is sealed with. Raises Unauthorized for one just erased."""
        key = await self.parts.personal.key_of(self.caller.user_id)
        if key is None:
            raise Unauthorized
        return key

    async def body(self) -> bytes:
        sent: bytes | None = self.scope.get(SENT)
        return await super().body() if sent is None else sent

    async def json(self) -> Any:
        """UTF-8 only: Python's own reader would guess UTF-16 and more, and takes NaN. Raises ValueError."""
        return json.loads((await self.body()).decode(), parse_constant=_no_number)

    def cause(self, correlation: str = "") -> Cause:
        """`correlation`: the order id, where there is one."""
        return Cause(self.parts.new_command_id(), self.caller.name, correlation, self.parts.clock())

    async def key_use(self) -> KeyUse | None:
        """What the Idempotency-Key says; None without one. Raises BadHeader, Unauthorized.

        The request is named under its caller's own key: bodies hold personal data, and few possible ones
        could be tried until one fits. Nothing can be tried any more when that key is destroyed.
        """
        keys = self.headers.getlist(KEY_HEADER)
        if not keys:
            return None
        key = keys[0]
        if not (len(keys) == 1 and 1 <= len(key) <= MAX_KEY_CHARS and key.isascii() and key.isprintable()):
            raise BadHeader(header=KEY_HEADER, expected=f"1 to {MAX_KEY_CHARS} printable ASCII characters")
        digest = _digest(f"{self.caller.name}\n{key}".encode())
        request = f"{self.method}\n{self.scope['path']}\n".encode() + await self.body()
        return KeyUse(streams.key(digest), (await self.person_key()).fingerprint(request))

    async def wrote(self, log: str, position: int | None, *, by: int | None = None) -> dict[str, str]:
        """Headers of a write's answer. `position`: None when nothing had to be recorded.

        `by`: the user whose reads should see it, where that is not the caller.
        """
        if position is None:
            position = await self.positions.of_repeat(log)
        self.positions.wrote(self.caller.user_id if by is None else by, log, position)
        return {POSITION_HEADER: f"{log}={position}"}

    async def refused(self, refusal: Refusal, log: str, position: int | None) -> Response:
        """A no that is recorded, and so has a position."""
        return problem(refusal, await self.wrote(log, position))


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:DIGEST_CHARS]


class GuardedRoute(APIRoute):
    """A route that lets in whom the table names; one that is not in the table cannot be made."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """`/v1/inventory/sell` is an address of its own, also for the methods that it does not take."""
        if scope["path"] in FIXED and self.path_format != scope["path"]:
            return Match.NONE, {}
        return super().matches(scope)

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle = super().get_route_handler()
        who = WHO[_method_of(self), self.path_format]
        look = _look_at(self)

        async def guarded(request: Request) -> Response:
            call = Call(request.scope, request.receive)
            await _let_in(call, who)
            await look(call)
            return await handle(call)

        return guarded


def _method_of(route: APIRoute) -> str:
    """Every route here has one."""
    (method,) = sorted(route.methods or ())
    return method


async def _let_in(call: Call, who: Who) -> None:
    call.scope["tillroll.caller"] = await admit(call.headers, who, call.parts)


def _look_at(route: APIRoute) -> Callable[[Call], Awaitable[None]]:
    """What is checked before the framework reads the request."""
    known = frozenset(field.alias for field in route.dependant.query_params)
    has_body = route.body_field is not None
    is_read = _method_of(route) == "GET" and route.path_format.startswith("/v1/")

    async def look(call: Call) -> None:
        if call.scope["query_string"]:
            _must_know(call, known)
        if has_body:
            _must_be_json(call)
        elif is_read:
            await _see_enough(call)

    return look


def _must_know(call: Call, known: frozenset[str]) -> None:
    """A misspelt filter must not silently give the whole list."""
    unknown = [name for name in call.query_params if name not in known]
    if unknown:
        raise RequestValidationError(
            [{"type": "extra_forbidden", "loc": ("query", name), "msg": ""} for name in unknown]
        )


def _must_be_json(call: Call) -> None:
    media_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise NotJson


async def _see_enough(call: Call) -> None:
    after = call.headers.get(AFTER_HEADER)
    if after is not None:
        await call.positions.see_at_least(parse_after(after))
    elif call.visitor is not None:
        await call.positions.see_own(call.visitor.user_id)
