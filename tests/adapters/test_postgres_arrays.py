"""Arrays made here are those that psycopg makes, and PostgreSQL takes them for what they are."""

import struct
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.postgres_arrays import BinaryArray, bigint_array, bytea_array, text_array

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=20)
NUMBERS = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20)


@pytest.fixture(scope="module")
def connection(postgres_dsn: str) -> Any:
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        yield connection


def taken(connection: psycopg.Connection[Any], array: BinaryArray, kind: str) -> Any:
    row = connection.execute(f"SELECT array_agg(each) FROM unnest(%b::{kind}[]) AS each", (array,)).fetchone()
    assert row is not None
    return row[0] or []


LONG = ["", "x", "é" * 3_000, "y" * 4_095, "z" * 4_096]
"""Around the length up to which lengths are kept."""


@given(texts=TEXTS)
def test_texts(connection: psycopg.Connection[Any], texts: Sequence[str]) -> None:
    assert taken(connection, text_array(texts), "text") == texts


@given(values=st.lists(st.binary(max_size=50), max_size=20))
def test_bytes(connection: psycopg.Connection[Any], values: Sequence[bytes]) -> None:
    assert taken(connection, bytea_array(values), "bytea") == values


@given(numbers=NUMBERS)
def test_numbers(connection: psycopg.Connection[Any], numbers: Sequence[int]) -> None:
    assert taken(connection, bigint_array(numbers), "bigint") == numbers


def test_long_ones(connection: psycopg.Connection[Any]) -> None:
    assert taken(connection, text_array(LONG), "text") == LONG
    data = [text.encode() for text in LONG]
    assert taken(connection, bytea_array(data), "bytea") == data


@pytest.mark.parametrize(
    ("make", "values"),
    [(text_array, ["a\0b"]), (text_array, ["\ud800"]), (bigint_array, [2**63])],
    ids=["a zero byte", "half a character", "more than 64 bits"],
)
def test_what_postgres_cannot_keep_is_an_error(
    connection: psycopg.Connection[Any], make: Callable[[Any], BinaryArray], values: Sequence[Any]
) -> None:
    with pytest.raises((psycopg.DataError, UnicodeEncodeError, struct.error)):
        taken(connection, make(values), "text")
