"""Everything that is answered as a problem (RFC 9457): its status, its name, and what else it says.

    400 bad-request bad-json     401 unauthorized bad-credentials      403 forbidden
        bad-header
    404 not-found, Absent        405 method-not-allowed                409 Clash
    413 body-too-large           415 not-json                          422 invalid, Unfit
    429 too-many-attempts        500 internal                          503 Busy, behind, not-ready
        too-many-open-orders

A refusal's docstring is the detail, its facts become fields. Nothing internal is ever told.
"""

import logging
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec
import psycopg
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from adapters.cursors import BadCursor
from adapters.http_invalid import Wrong, in_plain_words, is_malformed_json
from adapters.open_orders import TooManyOpenOrders
from adapters.paseto_tokens import TokenRefused
from adapters.postgres_log_reader import LogUnreadable
from adapters.postgres_queries import ReadsUnavailable
from adapters.sealing import CannotUnseal
from adapters.user_attempts import TooManyAttempts
from adapters.user_passwords import BadCredentials
from domain.refusals import Absent, Busy, Clash, Refusal, Unavailable, Unfit

logger = logging.getLogger(__name__)

PROBLEM_JSON: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1
"""What a busy shop asks its callers to wait, in seconds."""


class Problem(Refusal):
    """Something is wrong with the request itself, before anything was decided."""

    status: ClassVar[int] = 400


class NotFound(Problem):
    """There is nothing at this address."""

    name, status = "not-found", 404


class MethodNotAllowed(Problem):
    """This address does not take this method."""

    name, status = "method-not-allowed", 405


class Malformed(Problem):
    """This is not an HTTP request, or its head is larger than 64 KiB."""

    name, status = "bad-request", 400


class BadJson(Problem):
    """The body is not JSON in UTF-8."""

    name, status = "bad-json", 400


class TooSlow(Problem):
    """The body of the request did not arrive in time."""

    name, status = "request-timeout", 408


class BadHeader(Problem):
    """A header of the request cannot be understood."""

    name, status = "bad-header", 400


class Unauthorized(Problem):
    """A valid access token is needed: Authorization: Bearer <token>."""

    name, status = "unauthorized", 401


class Forbidden(Problem):
    """Your role does not allow this."""

    name, status = "forbidden", 403


class TooLarge(Problem):
    """The body is larger than 1 MiB."""

    name, status = "body-too-large", 413


class NotJson(Problem):
    """The body must be sent as Content-Type: application/json."""

    name, status = "not-json", 415


class Invalid(Problem):
    """Some fields of the request are wrong."""

    name, status = "invalid", 422


class Internal(Problem):
    """Something went wrong on our side; the id stands in our log."""

    name, status = "internal", 500


class Behind(Problem):
    """The read models are not as far as Tillroll-After asks, and did not get there in 2 s; try again."""

    name, status = "behind", 503


class NotReady(Problem):
    """Some part of the shop does not work."""

    name, status = "not-ready", 503


STATUS: Final[Mapping[type[Refusal], int]] = {
    BadCredentials: 401,
    TooManyAttempts: 429,
    TooManyOpenOrders: 429,
    Absent: 404,
    Clash: 409,
    Unfit: 422,
    Busy: 503,
}


def status_of(kind: type[Refusal]) -> int:
    if issubclass(kind, Problem):
        return kind.status
    return next(STATUS[base] for base in kind.__mro__ if base in STATUS)


def document(refusal: Refusal) -> dict[str, Any]:
    """The problem document of a refusal; the same refusal always gives the same bytes."""
    return {
        "type": f"urn:tillroll:{refusal.name}",
        "title": refusal.name.replace("-", " ").capitalize(),
        "status": status_of(type(refusal)),
        "detail": refusal.message(),
        **refusal.facts,
    }


def problem(refusal: Refusal, headers: Mapping[str, str] | None = None) -> Response:
    """The answer that says a refusal."""
    content = document(refusal)
    own = {**_own_headers(content["status"], refusal), **(headers or {})}
    return Response(msgspec.json.encode(content), content["status"], own, PROBLEM_JSON)


def _own_headers(status: int, refusal: Refusal) -> dict[str, str]:
    if status in (429, 503):
        return {"Retry-After": str(refusal.facts.get("retry_after_s", RETRY_AFTER_S))}
    if status == 401:
        return {"WWW-Authenticate": 'Bearer realm="tillroll"'}
    return {}


# handlers


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    if isinstance(error, Forbidden):
        who = "; ".join(getattr(error, "__notes__", ()))
        logger.warning("forbidden to %s: %s %s", who, request.method, _route(request))
    return problem(error)


def _route(request: Request) -> str:
    """As the table has it: an address holds what a stranger likes, also a new line."""
    return str(getattr(request.scope.get("route"), "path", "no route"))


async def _token_refused(request: Request, error: Exception) -> Response:
    # One line, so that guessing shows in the log; never the token itself.
    logger.warning("token refused: %s, %s %s", error, request.method, _route(request))
    return problem(Unauthorized())


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = error.errors()
    if is_malformed_json(errors):
        return problem(BadJson(errors=[in_plain_words(errors[0])]))
    return problem(Invalid(errors=[in_plain_words(each) for each in errors]))


async def _bad_cursor(_request: Request, _error: Exception) -> Response:
    return problem(Invalid(errors=[Wrong("query.cursor", "is not a cursor of this list")]))


async def _database_away(_request: Request, error: Exception) -> Response:
    logger.warning("a read model or an id could not be had: %s", error)
    return problem(Unavailable())


async def _cannot_unseal(_request: Request, error: Exception) -> Response:
    logger.error("personal data cannot be read: %s", error)
    return problem(Unavailable())


async def _log_unreadable(_request: Request, error: Exception) -> Response:
    logger.warning("a log could not be read: %s", error)
    return problem(Unavailable())


async def _framework_said_no(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    match error.status_code:
        case 404:
            return problem(NotFound())
        case 405:
            return problem(MethodNotAllowed(), {"Allow": ", ".join(_methods_here(request))})
        case 408:
            return problem(TooSlow(), {"Connection": "close"})
        case 413:
            return problem(TooLarge())
        case _:
            # What is left is a body that the framework could not read, such as endless nesting.
            return problem(BadJson())


def _methods_here(request: Request) -> list[str]:
    """Every method this address takes; the framework names those of one route only."""
    routes = [route for route in request.app.routes if getattr(route, "methods", None)]
    here = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in here for method in route.methods})


def answer_problems(app: FastAPI) -> None:
    """Every error of the application is answered as a problem document."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(TokenRefused, _token_refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(BadCursor, _bad_cursor)
    app.add_exception_handler(HTTPException, _framework_said_no)
    app.add_exception_handler(ReadsUnavailable, _database_away)
    app.add_exception_handler(psycopg.OperationalError, _database_away)
    app.add_exception_handler(CannotUnseal, _cannot_unseal)
    app.add_exception_handler(LogUnreadable, _log_unreadable)
