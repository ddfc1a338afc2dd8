"""Bytes of messages: one JSON object holding many commands, or many replies, of one kind.

{"v": 1, "type": "Sell", "items": [{"order_id": "...", "lines": [...]}, ...]}
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from domain.sale import Rollback, Sell
from orchestrator.intake import Poison
from orchestrator.messages import RolledBackReply, SellRefusedReply, SoldReply

__all__ = ["KINDS", "Poison", "decode", "encode"]

VERSION: Final = 1

MAX_ITEMS: Final = 200
"""Commands or replies in one message."""

MAX_BYTES: Final = 512 * 1024
"""Of one message, unless a single item is larger; nats-server takes 1 MiB by default."""

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


ORDER_ID: Final = re.compile(r"[1-9][0-9]{0,18}")
"""As the read models keep it: a positive 64-bit number, written in one way only."""

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


def decode(data: bytes) -> list[Any]:
    """Raises Poison with what is wrong."""
    try:
        head = _heads.decode(data)
        if head.v != VERSION:
            raise Poison(f"version {head.v} is not known")
        if head.type not in _items:
            raise Poison(f"type {head.type[:80]!r} is not known")
        return [_sound(_items[head.type].decode(item)) for item in head.items]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Poison(str(error)) from error


def _sound(item: T) -> T:
    """What a well-formed message may still not say. Raises Poison."""
    order_id = getattr(item, "order_id", "")
    if not ORDER_ID.fullmatch(order_id):
        raise Poison(f"order id {order_id[:40]!r} is not a positive number")
    if isinstance(item, Sell) and not all(line.nums > 0 and line.goods_id > 0 for line in item.lines):
        raise Poison(f"order {order_id} has a line without goods or units")
    return item
