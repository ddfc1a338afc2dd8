"""Seals: signed statements of what a log held, each one building on the one before.

A seal covers the positions from the one after the seal before up to its own last; in it are the number of
events, the root of their Merkle tree, and the hash of the seal before. So one old seal, kept anywhere,
vouches for everything up to it. Nothing here reads or writes anything; who signs is passed in.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import SequenceMatcher
from hashlib import sha256
from struct import pack
from typing import Final

from orchestrator.merkle import root_of

FORMAT: Final = "tillroll-seal/1"
NO_SEAL: Final = bytes(32)
"""The hash of the seal before the first one."""

MARK_BYTES: Final = 8
"""Of a leaf's hash that is kept beside its seal. Marks prove nothing: they only help to name the place."""

Signs = Callable[[bytes], bytes]
IsSigned = Callable[[str, bytes, bytes], bool]
"""Whether a signature is that of the key of this id over these bytes."""


def leaf_of(position: int, version: int, stream: bytes, name: bytes, state: bytes) -> bytes:
    """An event's leaf: five fields, each behind its length, so that no two events have the same bytes.

    It is what PostgreSQL sends for such a row of a binary COPY, so nothing is put together to hash a log.
    """
    fields = (pack(">q", position), pack(">q", version), stream, name, state)
    return pack(">h", len(fields)) + b"".join(pack(">i", len(field)) + field for field in fields)


@dataclass(frozen=True, slots=True)
class Range:
    """What a seal says of a log: `count` events at positions up to `last`, `first` being where it begins."""

    first: int
    last: int
    count: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Seal:
    """`number`: 1 and up. `previous`: the hash of the seal before. `key_id`: of the key that signed."""

    log: str
    number: int
    covers: Range
    previous: bytes
    sealed_at: datetime
    key_id: str
    signature: bytes = b""

    @property
    def body(self) -> bytes:
        """What is signed: lines of text, so that a person can read it and any program can make it."""
        at = self.sealed_at.astimezone(UTC)
        lines = (
            FORMAT,
            f"log={self.log}",
            f"number={self.number}",
            f"first={self.covers.first}",
            f"last={self.covers.last}",
            f"count={self.covers.count}",
            f"root={self.covers.root.hex()}",
            f"previous={self.previous.hex()}",
            f"sealed_at={at:%Y-%m-%dT%H:%M:%S.%f}Z",
            f"key={self.key_id}",
        )
        return "\n".join(lines).encode()

    @property
    def digest(self) -> bytes:
        """What the next seal names as the one before it."""
        return sha256(self.body + b"\n" + self.signature).digest()


def next_seal(
    log: str, before: Seal | None, leaves: Sequence[bytes], last: int, at: datetime, key_id: str, sign: Signs
) -> Seal:
    """`leaves`: hashes of all events behind the seal before, up to position `last`."""
    number, first, previous = (1, 1, NO_SEAL) if before is None else _after(before)
    covers = Range(first, last, len(leaves), root_of(leaves))
    unsigned = Seal(log, number, covers, previous, at, key_id)
    return Seal(log, number, covers, previous, at, key_id, sign(unsigned.body))


def _after(before: Seal) -> tuple[int, int, bytes]:
    return before.number + 1, before.covers.last + 1, before.digest


def wrong_in_chain(before: Seal | None, seal: Seal, is_signed: IsSigned) -> str | None:
    """Why a seal cannot be the one after another, or None."""
    number, first, previous = (1, 1, NO_SEAL) if before is None else _after(before)
    if seal.number != number:
        return f"seal {number} is missing; seal {seal.number} comes where it must be"
    if not is_signed(seal.key_id, seal.signature, seal.body):
        return f"seal {seal.number} was changed, or never signed by key {seal.key_id}"
    if seal.previous != previous:
        return f"seal {seal.number} was made after another seal {number - 1} than the one that is here"
    if seal.covers.first != first or seal.covers.last < first:
        return f"seal {seal.number} begins at position {seal.covers.first}, not at {first}"
    return None


def marks_of(leaves: Iterable[bytes]) -> bytes:
    return b"".join(leaf[:MARK_BYTES] for leaf in leaves)


def split_marks(marks: bytes) -> list[bytes]:
    return [marks[at : at + MARK_BYTES] for at in range(0, len(marks), MARK_BYTES)]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a log differs from its seal. `after` and `before`: positions that are as they were sealed."""

    after: int
    before: int
    what: str


def places(covers: Range, marks: Sequence[bytes], found: Sequence[tuple[int, bytes]]) -> list[Place]:
    """What was done to a range whose root is another one now, as far as the marks tell.

    `marks`: those that were sealed; `found`: position and leaf hash of every event that is there now.
    """
    if len(marks) != covers.count:
        return [Place(covers.first - 1, covers.last + 1, _differing(covers, len(found)))]
    now = [leaf[:MARK_BYTES] for _, leaf in found]
    matcher = SequenceMatcher(a=marks, b=now, autojunk=False)
    changes = [_place(covers, found, change) for change in matcher.get_opcodes() if change[0] != "equal"]
    return changes or [Place(covers.first - 1, covers.last + 1, _differing(covers, len(found)))]


def _place(
    covers: Range, found: Sequence[tuple[int, bytes]], change: tuple[str, int, int, int, int]
) -> Place:
    _, sealed_from, sealed_to, now_from, now_to = change
    after = found[now_from - 1][0] if now_from else covers.first - 1
    before = found[now_to][0] if now_to < len(found) else covers.last + 1
    positions = [position for position, _ in found[now_from:now_to]]
    return Place(after, before, _told(sealed_to - sealed_from, positions, after, before))


def _told(sealed: int, positions: list[int], after: int, before: int) -> str:
    between = f"between positions {after} and {before}"
    if not positions:
        return f"{_events(sealed)} missing {between}"
    named = ", ".join(map(str, positions[:5])) + (" and more" if len(positions) > 5 else "")
    if sealed == 0:
        return f"{_events(len(positions))} inserted at position {named}"
    if sealed == len(positions):
        return f"{_events(sealed)} changed at position {named}"
    return f"{_events(sealed)} sealed {between}, {_events(len(positions))} there now: {named}"


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count:,} events"


def _differing(covers: Range, found: int) -> str:
    return (
        f"positions {covers.first} to {covers.last} are not what was sealed:"
        f" {covers.count:,} events then, {found:,} now"
    )
