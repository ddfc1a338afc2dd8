"""The OpenAPI document: what every route says of itself, and what holds for all of them.

A route names its answer and its own refusals (`documents`). What follows from the role table, from
having a body or from being a read is added here, so no route can forget to say it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, get_args

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel

from adapters.http_auth import WHO
from adapters.http_errors import (
    PROBLEM_JSON,
    BadHeader,
    BadJson,
    Behind,
    Forbidden,
    Internal,
    Invalid,
    Malformed,
    NotJson,
    TooLarge,
    TooSlow,
    Unauthorized,
    document,
)
from adapters.http_examples import FACTS
from adapters.http_fields import AFTER, without_null
from adapters.http_positions import AFTER_HEADER, POSITION_HEADER
from domain.limits import MAX_AMOUNT
from domain.refusals import KeyReused, Overloaded, Refusal, Unavailable

SCHEME: Final = "paseto"

KEY_PARAMETER: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": (
        "Same key, same request: one effect, and for 7 days one answer, byte for byte. That holds for a 202"
        " too: what became of the order is at its `Location`. What was refused before anything was recorded,"
        " such as an empty cart, used no key. Keys are the caller's own, and each service's."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~](?:[ -~]*[!-~])?$"},
    "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
}
PREFER_PARAMETER: Final = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "`wait=N`: seconds to wait for the outcome, 0 to 30; 5 without it (RFC 7240). Other "
    "preferences are ignored.",
    "schema": {"type": "string"},
    "example": "wait=10",
}
AFTER_PARAMETER: Final = {
    "name": AFTER_HEADER,
    "in": "header",
    "required": False,
    "description": "A `Tillroll-Position`: see at least that, waiting up to 2 s.",
    "schema": {"type": "string", "pattern": AFTER},
    "example": "order=12",
}
POSITION: Final = {
    "description": "Where the write stands, `<log>=<n>`; give it to `Tillroll-After`.",
    "required": True,
    "schema": {"type": "string", "pattern": AFTER},
    "example": "order=12",
}
LOCATION: Final = {
    "description": "Where the order is to be asked for again.",
    "required": True,
    "schema": {"type": "string", "pattern": "^/v1/orders/[0-9]+$"},
    "example": "/v1/orders/7300000000000000001",
}
RETRY_AFTER: Final = {
    "description": "Seconds to wait before trying again.",
    "required": True,
    "schema": {"type": "integer", "minimum": 0},
}
PROBLEM_HEADERS: Final[Mapping[int, Mapping[str, Any]]] = {
    401: {
        "WWW-Authenticate": {
            "description": "How to say who you are.",
            "required": True,
            "schema": {"type": "string", "pattern": "^Bearer "},
        }
    },
    429: {"Retry-After": RETRY_AFTER},
    503: {"Retry-After": RETRY_AFTER},
}
"""What comes with every problem of a status."""

PROBLEM_SCHEMA: Final = {
    "type": "object",
    "description": "RFC 9457. `type` is what programs match; some types have more fields.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "pattern": "^urn:tillroll:[a-z-]+$"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
    },
    "additionalProperties": True,
}


def documents(
    summary: str,
    answer: Any,
    status: int = 200,
    *,
    refuses: Sequence[type[Refusal]] = (),
    keyed: bool = False,
    also: Mapping[int | str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """What a route says of itself, as keyword arguments of the router.

    `answer`: the model of its body, None without one. `keyed`: takes an Idempotency-Key.
    """
    own = (*refuses, KeyReused) if keyed else refuses
    return {
        "summary": summary,
        "status_code": status,
        "response_model": answer,
        "responses": {**_problems(own), **(also or {})},
        "openapi_extra": {"parameters": [KEY_PARAMETER]} if keyed else {},
    }


def answers_with(model: type[BaseModel], description: str) -> dict[str, Any]:
    """One more answer, for `also`."""
    return {"model": model, "description": description}


def _problems(kinds: Iterable[type[Refusal]]) -> dict[int | str, dict[str, Any]]:
    """Refusals by status, each with its example."""
    responses: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        shown = document(kind(**FACTS.get(kind, {})))
        response = responses.setdefault(shown["status"], _problem_response(shown["status"]))
        content = response["content"].setdefault(PROBLEM_JSON, _problem_content())
        content["examples"][kind.name] = {"summary": kind.message(), "value": shown}
        response["description"] = ", ".join(content["examples"])
    return responses


def _problem_response(status: int) -> dict[str, Any]:
    headers = PROBLEM_HEADERS.get(status)
    return {"description": "", "content": {}, **({} if headers is None else {"headers": dict(headers)})}


def _problem_content() -> dict[str, Any]:
    return {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}


# the whole document


def openapi_of(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """The function that FastAPI asks for its document; made once, then kept."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            _complete(made)
            for route, method in _documented(app):
                _show_examples(made, route, method)
            app.openapi_schema = made
        return app.openapi_schema

    return openapi


def _documented(app: FastAPI) -> Iterable[tuple[APIRoute, str]]:
    routes = (route for route in app.routes if isinstance(route, APIRoute) and route.include_in_schema)
    return ((route, method.lower()) for route in routes for method in route.methods or ())


def _complete(made: dict[str, Any]) -> None:
    components = made["components"]
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    components["schemas"]["Problem"] = PROBLEM_SCHEMA
    components["securitySchemes"] = {
        SCHEME: {"type": "http", "scheme": "bearer", "bearerFormat": "PASETO v4.public"}
    }
    _write_whole_limits(made)
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            _complete_operation(operation, method.upper(), path)


def _write_whole_limits(part: Any) -> None:
    """The framework holds limits as floating-point numbers, which round 2^63 - 1 up, one too many."""
    if isinstance(part, list):
        for each in part:
            _write_whole_limits(each)
    elif isinstance(part, dict):
        for name in ("minimum", "maximum"):
            if isinstance(part.get(name), float):
                part[name] = min(int(part[name]), MAX_AMOUNT)
        for each in part.values():
            _write_whole_limits(each)


def _complete_operation(operation: dict[str, Any], method: str, path: str) -> None:
    who = WHO[method, path]
    is_api = path.startswith("/v1/")
    if who is not None:
        operation["security"] = [{SCHEME: []}]
        operation["description"] = "Roles: " + ", ".join(role.name.lower() for role in sorted(who)) + "."
    for parameter in operation.get("parameters", ()):
        # It may be left out, but there is no way to write null in an address.
        parameter["schema"] = without_null(parameter["schema"])
    if is_api and method == "GET":
        operation.setdefault("parameters", []).append(AFTER_PARAMETER)
    if is_api and method != "GET":
        _add_position(operation)
    responses = operation["responses"]
    # The framework's own way to say 422 is not how it is said here.
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    _merge(responses, _problems(_common(operation, method, path)))


def _common(operation: Mapping[str, Any], method: str, path: str) -> list[type[Refusal]]:
    """What may happen on this route because of what it is, whatever it does."""
    who = WHO[method, path]
    is_api = path.startswith("/v1/")
    kinds: list[type[Refusal]] = [Internal, Malformed, TooLarge]
    if who is not None:
        kinds += [Unauthorized, Forbidden]
    if "requestBody" in operation:
        kinds += [BadJson, TooSlow, NotJson]
    if "requestBody" in operation or operation.get("parameters"):
        kinds.append(Invalid)
    if _has_header(operation):
        kinds.append(BadHeader)
    if is_api:
        kinds += [Unavailable, Overloaded, *([Behind] if method == "GET" else [])]
    return kinds


def _has_header(operation: Mapping[str, Any]) -> bool:
    return any(parameter["in"] == "header" for parameter in operation.get("parameters", ()))


def _add_position(operation: dict[str, Any]) -> None:
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            response.setdefault("headers", {})[POSITION_HEADER] = POSITION
        if status == "202":
            response["headers"]["Location"] = LOCATION


def _merge(responses: dict[str, Any], more: Mapping[int | str, Mapping[str, Any]]) -> None:
    for status, response in more.items():
        known = responses.setdefault(str(status), _problem_response(int(status)))
        shown = response["content"][PROBLEM_JSON]
        content = known["content"].setdefault(PROBLEM_JSON, {**shown, "examples": {}})
        content["examples"] |= shown["examples"]
        known["description"] = ", ".join(content["examples"])


def _show_examples(document: dict[str, Any], route: APIRoute, method: str) -> None:
    """Bodies and answers show the example of their model, nulls and all: the framework leaves those out."""
    operation = document["paths"][route.path_format][method]
    for status, model in _answer_models(route).items():
        _show(document, operation["responses"][str(status)], model)
    if route.body_field is not None:
        _show(document, operation["requestBody"], route.body_field.field_info.annotation)


def _answer_models(route: APIRoute) -> dict[int | str, Any]:
    others = {status: said["model"] for status, said in route.responses.items() if "model" in said}
    if route.response_model is None or route.status_code is None:
        return others
    return {route.status_code: route.response_model, **others}


def _show(document: dict[str, Any], body: dict[str, Any], model: Any) -> None:
    kinds: tuple[type[BaseModel], ...] = get_args(model) or (model,)
    examples = [_examples(kind) for kind in kinds]
    for kind, shown in zip(kinds, examples, strict=True):
        document["components"]["schemas"][kind.__name__]["examples"] = shown
    body["content"]["application/json"]["example"] = examples[0][0]


def _examples(model: type[BaseModel]) -> list[Any]:
    extra: Any = model.model_config["json_schema_extra"]
    examples: list[Any] = extra["examples"]
    return examples
