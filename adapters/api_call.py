"""Calls of our own HTTP API and their answers, as values: what to send, what came, when to try again."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

LONGEST_PAUSE_S = 2.0
TRY_AGAIN = frozenset({429, 502, 503, 504})
"""Answers that say "not now"; every other one is final."""

_FIRST_PAUSE_S = 0.05
_SHOWN_CHARACTERS = 300

T = TypeVar("T")


class Problem(msgspec.Struct, frozen=True):
    """An error of the API, as RFC 9457 writes it; the fields every error has."""

    type: str = ""
    title: str = ""
    detail: str = ""


class ApiCall(msgspec.Struct, frozen=True):
    """One request. `body` is JSON already encoded: a repeat sends the same bytes."""

    method: str
    path: str
    body: bytes | None = None
    key: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """What came back, and how long the attempt that brought it took, in seconds."""

    status: int
    body: bytes
    replayed: bool
    retry_after_s: float
    seconds: float


class ApiError(Exception):
    """The server answered with an error that trying again does not change."""

    def __init__(self, call: ApiCall, status: int, problem: Problem, body: bytes) -> None:
        self.status, self.body = status, body
        self.type, self.title, self.detail = problem.type, problem.title, problem.detail
        words = ", ".join(filter(None, (problem.type, problem.title, problem.detail)))
        line = f"{call.method} {call.path} answered {status}: {words}"
        super().__init__(" ".join(line.split())[:_SHOWN_CHARACTERS])


class ApiUnreachable(Exception):
    """No usable answer came within the time given."""


def encode(value: object) -> bytes:
    """JSON, the same bytes for the same value."""
    return msgspec.json.encode(value)


def decode(call: ApiCall, answer: Answer, kind: type[T]) -> T:
    """The body as `kind`. Raises ApiError when the server answered something else."""
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.DecodeError as error:
        strange = Problem(detail=f"a body that is not as expected: {error}")
        raise ApiError(call, answer.status, strange, answer.body) from error


def pause_s(attempt: int, retry_after_s: float) -> float:
    """How long to wait after attempt number `attempt`, counted from 0: growing, never under Retry-After."""
    return max(retry_after_s, min(LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(attempt, 10)))


def headers_of(call: ApiCall, token: str) -> dict[str, str]:
    """The headers to send; no token, no Authorization."""
    headers = {"Content-Type": "application/json"} if call.body is not None else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if call.key is not None:
        headers["Idempotency-Key"] = call.key
    return headers


def answer_of(status: int, body: bytes, headers: Mapping[str, str], *, seconds: float) -> Answer:
    """The answer, as far as a caller looks at it. Time in seconds."""
    replayed = headers.get("Idempotency-Replayed") == "true"
    return Answer(status, body, replayed, _retry_after_s(headers.get("Retry-After", "")), seconds)


def api_error(call: ApiCall, answer: Answer) -> ApiError:
    """The error an answer says, whether or not it says it in problem+json."""
    try:
        problem = msgspec.json.decode(answer.body, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = Problem(detail=answer.body[:_SHOWN_CHARACTERS].decode(errors="replace"))
    return ApiError(call, answer.status, problem, answer.body)


def _retry_after_s(header: str) -> float:
    # Our server sends seconds; the header's other form, a date, is left to the growing pauses.
    return float(header) if header.isdecimal() else 0.0
