"""Bytes of messages: one JSON object holding many commands, or many replies, of one kind.

{"v": 1, "type": "Sell", "items": [{"order_id": "...", "lines": [...]}, ...]}
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from domain.limits import MAX_LINES, MAX_NUMS
from domain.refusals import Short
from domain.sale import Line, Rollback, Sell
from orchestrator.intake import Poison
from orchestrator.messages import RolledBackReply, SellRefusedReply, SoldReply

__all__ = ["KINDS", "Poison", "decode", "encode"]

VERSION: Final = 1

MAX_ITEMS: Final = 200
"""Commands or replies in one message. A message of more would fill the ledger's queue again and again."""

MAX_BYTES: Final = 128 * 1024
"""Of one message, unless a single item is larger: some 5,000 lines, which a ledger commits in a moment.
nats-server takes 1 MiB by default."""

KINDS: Mapping[str, type[Any]] = {
    "Sell": Sell,
    "Rollback": Rollback,
    "Sold": SoldReply,
    "SellRefused": SellRefusedReply,
    "RolledBack": RolledBackReply,
}

NAMES: Mapping[type[Any], str] = {kind: name for name, kind in KINDS.items()}


T = TypeVar("T")


class _Head(msgspec.Struct):
    v: int
    type: str
    items: list[msgspec.Raw]


MAX_ID: Final = 2**63 - 1
"""The largest number that the read models can keep. What is larger would stop them, so it stays outside."""

ORDER_ID: Final = re.compile(r"[1-9][0-9]{0,18}")
"""A positive number, written in one way only."""

REASON: Final = re.compile(r"[a-z][a-z-]{0,39}")
"""The name of a refusal. It ends in the log and the read models, where not every text can be kept."""

_encoder = msgspec.json.Encoder()
_heads = msgspec.json.Decoder(_Head)
_items = {name: msgspec.json.Decoder(kind) for name, kind in KINDS.items()}


def encode(items: Sequence[Any]) -> Iterator[tuple[str, list[Any], bytes]]:
    """(type name, items, bytes) for each message needed; items of one type together, in their order."""
    for kind in dict.fromkeys(map(type, items)):
        name = NAMES[kind]
        for chunk in _chunks([item for item in items if type(item) is kind]):
            payload = b'{"v":%d,"type":"%s","items":[%s]}'
            yield (
                name,
                [i for i, _ in chunk],
                payload
                % (
                    VERSION,
                    name.encode(),
                    b",".join(data for _, data in chunk),
                ),
            )


def _chunks(items: Sequence[Any]) -> Iterator[list[tuple[Any, bytes]]]:
    chunk: list[tuple[Any, bytes]] = []
    size = 0
    for item in items:
        data = _encoder.encode(item)
        if chunk and (len(chunk) >= MAX_ITEMS or size + len(data) > MAX_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append((item, data))
        size += len(data)
    if chunk:
        yield chunk


COMMAND_TYPES: Final = frozenset({"Sell", "Rollback"})
REPLY_TYPES: Final = frozenset({"Sold", "SellRefused", "RolledBack"})


def decode_commands(data: bytes) -> list[Any]:
    """What inventory takes. Raises Poison with what is wrong."""
    return decode(data, COMMAND_TYPES)


def decode_replies(data: bytes) -> list[Any]:
    """What an orchestrator takes. Raises Poison with what is wrong."""
    return decode(data, REPLY_TYPES)


def decode(data: bytes, types: Collection[str] = KINDS.keys()) -> list[Any]:
    """Raises Poison with what is wrong."""
    if not data:
        raise Poison("the message is empty")
    try:
        head = _heads.decode(data)
        if head.v != VERSION:
            raise Poison(f"version {str(head.v)[:20]} is not known")
        if head.type not in _items:
            raise Poison(f"type {head.type[:80]!r} is not known")
        if head.type not in types:
            raise Poison(f"a {head.type} has no business here: expected {' or '.join(sorted(types))}")
        if len(head.items) > MAX_ITEMS:
            raise Poison(f"{len(head.items)} items are more than {MAX_ITEMS}")
        return [_sound(_items[head.type].decode(item)) for item in head.items]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Poison(str(error)) from error


def _sound(item: T) -> T:
    """What a well-formed message may still not say. Raises Poison."""
    order_id = getattr(item, "order_id", "")
    if not ORDER_ID.fullmatch(order_id) or int(order_id) > MAX_ID:
        raise Poison(f"order id {order_id[:40]!r} is not a positive 64-bit number")
    match item:
        case Sell(lines=lines):
            _must_be_lines(order_id, lines)
        case SellRefusedReply(reason=reason, short=short):
            _must_be_refusal(order_id, reason, short)
    return item


def _must_be_lines(order_id: str, lines: Sequence[Line]) -> None:
    if not 0 < len(lines) <= MAX_LINES:
        raise Poison(f"order {order_id} has {len(lines)} lines, not 1 to {MAX_LINES}")
    for line in lines:
        if not (0 < line.nums <= MAX_NUMS and 0 < line.goods_id <= MAX_ID):
            raise Poison(f"order {order_id} has a line without goods or units, or with too many")


def _must_be_refusal(order_id: str, reason: str, short: Sequence[Short]) -> None:
    if not REASON.fullmatch(reason):
        raise Poison(f"order {order_id} is refused for {reason[:40]!r}, which names no refusal")
    if len(short) > MAX_LINES:
        raise Poison(f"order {order_id} is short of {len(short)} goods, more than {MAX_LINES}")
    numbers = (number for one in short for number in (one.goods_id, one.wanted, one.available))
    if not all(0 <= number <= MAX_ID for number in numbers):
        raise Poison(f"order {order_id} is short of a number that is not one of units")
