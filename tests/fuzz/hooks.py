"""What schemathesis loads into its own process: who calls, and a count of what was asked and answered.

Settings come by environment, because another program starts this: see tests/fuzz/run.py.
"""

import atexit
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis

from tests.fuzz.people import ANYBODY, ROLES, Person, Wire

URL = os.environ["FUZZ_URL"]
CALLER = os.environ["FUZZ_CALLER"]
BOSS: dict[str, str] = json.loads(os.environ["FUZZ_BOSS"])
COUNTS = Path(os.environ["FUZZ_COUNTS"])

counted: Counter[str] = Counter()
person = None if CALLER == ANYBODY else Person(Wire(URL), BOSS, ROLES[CALLER])


@schemathesis.auth(refresh_interval=None)
class Signed:
    """The token of whoever calls, whatever became of the one before."""

    def get(self, _case: Any, _context: Any) -> str | None:
        return None if person is None else person.token

    def set(self, case: Any, data: str | None, _context: Any) -> None:
        if data is not None:
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    """JSON Schema calls 4.0 an integer, and no document can say otherwise; ours have no point."""
    return _whole(body)


def _whole(value: Any) -> Any:
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_whole(each) for each in value]
        case dict():
            return {name: _whole(each) for name, each in value.items()}
        case _:
            return value


@schemathesis.hook
def after_call(_context: Any, case: Any, response: Any) -> None:
    counted[f"{response.status_code} {case.operation.label}"] += 1
    if response.status_code == 503 and b"urn:tillroll:behind" not in response.content:
        counted[f"UNEXPECTED 503 {case.operation.label}: {response.content!r}"] += 1
    ended = case.operation.label in ("DELETE /v1/sessions", "DELETE /v1/users/me", "PATCH /v1/users/me")
    if person is not None and (ended or response.status_code == 401):
        person.lose()


@atexit.register
def write_down() -> None:
    COUNTS.write_text(json.dumps(counted))
