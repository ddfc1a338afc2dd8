"""What the audit has folded of a read model, until it is compared: rows by key, in little memory."""

from collections.abc import Iterator
from typing import Any, Final, Protocol

import msgspec

from domain.recorded import Recorded
from projections.projection import Rows, Table, apply, key_of


class Folded(Protocol):
    def see(self, recorded: Recorded) -> None: ...
    def keys(self) -> set[int]: ...
    def take(self, stream: int) -> Rows: ...
    def left(self) -> Iterator[Rows]: ...


def folded(table: Table) -> Folded:
    return _Packed(table) if table.forgets else _Rows(table)


class _Rows:
    """Rows that the next event of their key changes."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._rows: dict[int, Rows] = {}

    def see(self, recorded: Recorded) -> None:
        apply(self._table, self._rows, recorded)

    def keys(self) -> set[int]:
        return set(self._rows)

    def take(self, stream: int) -> Rows:
        return self._rows.pop(stream, ())

    def left(self) -> Iterator[Rows]:
        return iter(self._rows.values())


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[tuple[Any, ...], ...]).decode

_NOTHING: Final = _pack(())


class _Packed:
    """Rows that nobody looks at before they are compared, as bytes: a fifth of the room.

    A shop's orders have dozens of lines each, and every value of Python's is 30 bytes or more.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._packed: dict[int, bytes] = {}

    def see(self, recorded: Recorded) -> None:
        if type(recorded.event) in self._table.events:
            rows = self._table.evolve((), recorded)
            self._packed[key_of(recorded)] = _pack(rows)

    def keys(self) -> set[int]:
        return set(self._packed)

    def take(self, stream: int) -> Rows:
        return _unpack(self._packed.pop(stream, _NOTHING))

    def left(self) -> Iterator[Rows]:
        return map(_unpack, self._packed.values())
