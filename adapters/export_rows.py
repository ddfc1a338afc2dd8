"""One row an event, as analysts get it: where it stands, who caused it, and what they ask for most, typed.

Texts are texts; positions, versions, ids of users and goods, units and amounts are 64-bit integers; `at` is
UTC with microseconds. Amounts are minor units. What an event does not say is null.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from domain import streams
from domain.events import NAMES
from domain.recorded import Recorded

Plain = dict[str, Any]
"""An event's own fields as JSON has them."""

BY_KEY: Final[Mapping[str, str]] = {
    "order": "order_id",
    "saga": "order_id",
    "sale": "order_id",
    "user": "user_id",
    "cart": "user_id",
    "goods": "goods_id",
    "stock": "goods_id",
}
"""What the key of a stream is, by its category."""


class Row(NamedTuple):
    """`nums`: units of the event, of all its lines together; those of an adjustment may be negative.

    `data`: the event's fields as JSON text, without what must not leave.
    """

    log: str
    position: int
    stream: str
    category: str
    key: str
    version: int
    name: str
    at: datetime
    caller: str
    command_id: str
    correlation: str
    order_id: str | None
    user_id: int | None
    goods_id: int | None
    nums: int | None
    amount: int | None
    on_hand: int | None
    data: str


def plain(recorded: Recorded) -> Plain:
    """The event's fields, to be made fit to leave, then given to `row_of`."""
    fields: Plain = msgspec.to_builtins(recorded.event)
    return fields


def row_of(log: str, recorded: Recorded, data: Plain) -> Row:
    stream, version, event, cause, position = recorded
    category, key = streams.category(stream), streams.key_of(stream)
    said = {**data, **data.get("placed", {}), **data.get("payment", {})}
    if category in BY_KEY:
        said[BY_KEY[category]] = key
    return Row(
        log,
        position,
        stream,
        category,
        key,
        version,
        NAMES[type(event)],
        cause.at,
        cause.caller,
        cause.command_id,
        cause.correlation,
        _text(said.get("order_id")),
        _number(said.get("user_id")),
        _number(said.get("goods_id")),
        _units(said),
        _number(said.get("amount")),
        _number(said.get("on_hand")),
        msgspec.json.encode(data).decode(),
    )


def _units(said: Plain) -> int | None:
    if "lines" in said:
        return sum(int(line["nums"]) for line in said["lines"])
    return _number(said.get("nums", said.get("delta")))


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _number(value: Any) -> int | None:
    """None as well for a key that is no number: nobody decided such an event."""
    is_number = isinstance(value, int) or (isinstance(value, str) and value.isdecimal())
    return int(value) if is_number else None
