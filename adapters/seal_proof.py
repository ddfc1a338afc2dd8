"""Proof that one event stands in a log as it was sealed: its bytes, its way to the seal's root, the seal."""

from struct import pack, unpack_from

import msgspec

from adapters.postgres_seals import LOWEST, SealedLog
from adapters.seal_files import SealText
from adapters.seal_key import SealKeys
from orchestrator.merkle import leaf_hash, path_of, root_from

FORMAT = "tillroll-proof/1"


class NotProved(Exception):
    """There is nothing to prove, or it is not so; the text says which, in one line."""


class ProvedEvent(msgspec.Struct, frozen=True):
    """The columns of an event as they were hashed. `state`: its bytes, which are JSON, as text."""

    position: int
    version: int
    stream: str
    name: str
    state: str


class Proof(msgspec.Struct, frozen=True):
    """`index`: the event's place among the `seal.count` events of the seal. `path`: hashes, lowest first."""

    format: str
    event: ProvedEvent
    index: int
    path: list[str]
    seal: SealText
    public_key: str


def prove(sealed: SealedLog, position: int, keys: SealKeys) -> Proof:
    """Raises NotProved, LogUnreadable."""
    seal = sealed.covering(position)
    if seal is None:
        raise NotProved(_why_not(sealed, position))
    after = LOWEST if seal.number == 1 else seal.covers.first - 1
    rows = list(sealed.rows(after, seal.covers.last))
    index = next((place for place, row in enumerate(rows) if _fields(row)[0] == pack(">q", position)), None)
    if index is None:
        raise NotProved(f"log {sealed.log} has no event at position {position}")
    leaves = [leaf_hash(row) for row in rows]
    path = path_of(leaves, index)
    is_so = root_from(leaves[index], index, seal.covers.count, path) == seal.covers.root
    if not is_so or not keys.is_signed(seal.key_id, seal.signature, seal.body):
        raise NotProved(
            f"log {sealed.log}: what stands there is not what seal {seal.number} says: run `tillroll verify`"
        )
    hashes = [each.hex() for each in path]
    event = _event(rows[index])
    return Proof(FORMAT, event, index, hashes, SealText.of(seal), keys.public[seal.key_id].hex())


def _why_not(sealed: SealedLog, position: int) -> str:
    if 0 < position <= sealed.head():
        return f"position {position} of log {sealed.log} is not sealed yet: run `tillroll seal`"
    return f"log {sealed.log} has no position {position}; its last one is {sealed.head()}"


def _event(row: bytes) -> ProvedEvent:
    position, version, stream, name, state = _fields(row)
    numbers = (int.from_bytes(position, signed=True), int.from_bytes(version, signed=True))
    return ProvedEvent(*numbers, stream.decode(), name.decode(), state.decode())


def _fields(row: bytes) -> list[bytes]:
    """Of a leaf's bytes: five, each behind its length."""
    fields: list[bytes] = []
    at = 2
    while at < len(row):
        (length,) = unpack_from(">i", row, at)
        fields.append(row[at + 4 : at + 4 + length])
        at += 4 + length
    return fields
