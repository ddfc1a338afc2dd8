"""What schemathesis loads into its own process: who calls, and a count of what was asked and answered.

Settings come by environment, because another program starts this: see tests/fuzz/run.py.
"""

import atexit
import json
import os
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any, Final

import schemathesis
from schemathesis.generation.meta import TestPhase

from adapters.http_fields import MAX_ID
from tests.fuzz.furnish import fill_cart
from tests.fuzz.people import ANYBODY, ROLES, Person, Wire
from tests.fuzz.real_ids import RealIds

SHOP: Final = json.loads(os.environ["FUZZ_SHOP"])
CALLER: Final = os.environ["FUZZ_CALLER"]
COUNTS: Final = Path(os.environ["FUZZ_COUNTS"])
ENDS_SESSIONS: Final = ("DELETE /v1/sessions", "DELETE /v1/users/me", "PATCH /v1/users/me")

counted: Counter[str] = Counter()
numbers: Final = count(1)
wire = Wire(SHOP["url"])
person = None if CALLER == ANYBODY else Person(wire, SHOP["boss"], ROLES[CALLER])
real = RealIds(SHOP["goods"], SHOP["orders"])


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
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Histories name what they made themselves; and the real goods must outlast the deletions."""
    route = case.operation.label
    if route == "PATCH /v1/users/{user_id}" and str(case.path_parameters["user_id"]) == str(SHOP["boss_id"]):
        # All others of the caller's role are made by this one.
        case.path_parameters["user_id"] = MAX_ID
    is_history = case.meta.phase.name is TestPhase.STATEFUL
    if is_history and case.headers and "Idempotency-Key" in case.headers:
        # A history that is run twice would be answered with what the first run has made, and deleted since.
        case.headers["Idempotency-Key"] = f"{case.headers['Idempotency-Key'][:200]}{next(numbers)}"
    if route == "DELETE /v1/goods/{goods_id}" or is_history:
        return
    if route == "POST /v1/orders" and person is not None and person.role == ROLES["customer"]:
        # An order empties the cart, so each needs another.
        fill_cart(wire, person, real.goods[:2])
    case.path_parameters = real.within(case.path_parameters)
    case.body = real.within(case.body)
    if case.headers and "Tillroll-After" in case.headers:
        case.headers["Tillroll-After"] = real.after(case.headers["Tillroll-After"])


@schemathesis.hook
def after_call(_context: Any, case: Any, response: Any) -> None:
    route = case.operation.label
    counted[f"{response.status_code} {route}"] += 1
    if response.status_code == 503 and b"urn:tillroll:behind" not in response.content:
        counted[f"UNEXPECTED 503 {route}: {response.content!r}"] += 1
    _learn(route, response)
    if person is not None and (route in ENDS_SESSIONS or response.status_code == 401):
        person.lose()


def _learn(route: str, response: Any) -> None:
    real.position = response.headers.get("tillroll-position", [real.position])[0]
    if (route, response.status_code) == ("POST /v1/orders", 201):
        real.orders.append(json.loads(response.content)["order_id"])


@atexit.register
def write_down() -> None:
    COUNTS.write_text(json.dumps(counted))
