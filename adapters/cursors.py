"""Where a page of a list ended, as a word that callers hand back unread.

A cursor belongs to the question it was given for: with another filter, or a letter changed, it is refused.
Its digest is no secret and keeps nobody out. Somebody who makes one up reaches another place in a list that
he may read anyway: what he may read is never taken from a cursor.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2s
from typing import Annotated, Any, Final, TypeVar

import msgspec

MAX_CURSOR_CHARS: Final = 4_096

_DIGEST_BYTES: Final = 9
"""A multiple of 3, so that digest and keys never share a letter."""

BigInt = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Text = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*$")]

Keys = TypeVar("Keys", bound=tuple[Any, ...])


class BadCursor(ValueError):
    """This cursor was not given for this list; ask for the first page again."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def write_cursor(question: str, keys: tuple[Any, ...]) -> str:
    """`question`: the list and its filters; `keys`: what the list is ordered by, of the last item shown."""
    body = msgspec.json.encode(keys)
    return urlsafe_b64encode(_digest(question, body) + body).decode().rstrip("=")


def read_cursor(cursor: str, question: str, kind: type[Keys]) -> Keys:
    """The keys written for the same question; `kind` is their tuple type. Raises BadCursor."""
    try:
        raw = _raw(cursor)
        keys: Keys = msgspec.json.decode(raw[_DIGEST_BYTES:], type=kind)
    except (ValueError, msgspec.DecodeError):
        raise BadCursor from None
    # Written again it must be the same: there is one spelling for each place.
    if write_cursor(question, keys) != cursor:
        raise BadCursor
    return keys


def _raw(cursor: str) -> bytes:
    if len(cursor) > MAX_CURSOR_CHARS:
        raise BadCursor
    return urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))


def _digest(question: str, body: bytes) -> bytes:
    text = question.encode() + b"\0" + body
    return blake2s(text, digest_size=_DIGEST_BYTES, key=b"tillroll cursor").digest()
