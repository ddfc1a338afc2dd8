"""Columns of a commit as PostgreSQL receives arrays: in binary, a column at a time.

psycopg looks at every element twice, which takes 1.0 us an event of four columns; here it is 0.45.

What `array_recv` reads (PostgreSQL, src/backend/utils/adt/arrayfuncs.c), all of it big-endian: the number of
dimensions, whether there are nulls, the type of the elements, then the length and the first index of the only
dimension, then of each element its length in bytes and its bytes.
"""

import struct
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import Final

import psycopg
from psycopg.types.string import BytesBinaryDumper

TEXT: Final = 25
BIGINT: Final = 20
BYTEA: Final = 17
"""Types, by their rows in pg_type."""

_HEAD: Final = struct.Struct(">iiIii")
_LENGTH: Final = struct.Struct(">i")
_LENGTHS: Final = [_LENGTH.pack(length) for length in range(4_096)]


class BinaryArray(bytes):
    """Sent as it is. The statement says what it is an array of: `%b::text[]`."""


class _Dumper(BytesBinaryDumper):
    oid = 0


psycopg.adapters.register_dumper(BinaryArray, _Dumper)


def text_array(texts: Iterable[str]) -> BinaryArray:
    return _array(TEXT, [text.encode() for text in texts])


def bytea_array(values: Sequence[bytes]) -> BinaryArray:
    return _array(BYTEA, values)


def bigint_array(numbers: Sequence[int]) -> BinaryArray:
    """Raises struct.error for a number of more than 64 bits."""
    count = len(numbers)
    elements = struct.pack(">" + "iq" * count, *chain.from_iterable(zip(repeat(8), numbers, strict=False)))
    return BinaryArray(_HEAD.pack(1, 0, BIGINT, count, 1) + elements)


def _array(kind: int, elements: Sequence[bytes]) -> BinaryArray:
    lengths, known = _LENGTHS, len(_LENGTHS)
    return BinaryArray(
        b"".join(
            [
                _HEAD.pack(1, 0, kind, len(elements), 1),
                *[
                    (lengths[len(each)] if len(each) < known else _LENGTH.pack(len(each))) + each
                    for each in elements
                ],
            ]
        )
    )
