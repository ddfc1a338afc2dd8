"""A cursor leads to where it was made, or is refused."""

from base64 import urlsafe_b64encode
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.cursors import MAX_CURSOR_CHARS, BadCursor, BigInt, Text, read_cursor, write_cursor

QUESTION = "goods q=mug"
CURSOR = write_cursor(QUESTION, ("mug, red", 12))

letters = st.characters(codec="utf-8")
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=100)
ids = st.integers(0, 2**63 - 1)


def read(cursor: str, question: str = QUESTION) -> tuple[str, int]:
    return read_cursor(cursor, question, tuple[Text, BigInt])


@given(st.text(letters), names, ids)
def test_what_was_written_is_read_and_can_stand_in_an_address(question: str, name: str, number: int) -> None:
    cursor = write_cursor(question, (name, number))
    assert read(cursor, question) == (name, number)
    assert cursor.replace("-", "").replace("_", "").isalnum()


def test_a_moment_is_read_to_the_microsecond() -> None:
    since = datetime(2026, 11, 23, 14, 3, 0, 123456, tzinfo=UTC)
    assert read_cursor(write_cursor("sagas", (since, 9)), "sagas", tuple[datetime, BigInt]) == (since, 9)


def test_a_cursor_of_another_question_is_refused() -> None:
    with pytest.raises(BadCursor, match=r"^This cursor was not given for this list; ask for the first page"):
        read(CURSOR, "goods q=cup")


@given(st.integers(0, len(CURSOR) - 1), st.characters(codec="latin-1"))
def test_a_cursor_with_any_letter_changed_is_refused(place: int, letter: str) -> None:
    mangled = CURSOR[:place] + letter + CURSOR[place + 1 :]
    if mangled != CURSOR:
        with pytest.raises(BadCursor):
            read(mangled)


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda raw: urlsafe_b64encode(raw).decode()))
def test_what_nobody_gave_is_refused(made_up: str) -> None:
    with pytest.raises(BadCursor):
        read(made_up)


@pytest.mark.parametrize(
    "keys",
    [("mug",), ("mug", 12, 1), (12, "mug"), ("mug", -1), ("mug", 2**63), ("mug", 1.5), ("m\0g", 1), {}],
    ids=str,
)
def test_keys_that_no_list_has_are_refused_even_with_a_right_digest(keys: tuple[object, ...]) -> None:
    with pytest.raises(BadCursor):
        read(write_cursor(QUESTION, keys))


@pytest.mark.parametrize(
    "cursor", [CURSOR + "=", CURSOR + " ", CURSOR[:-1], CURSOR * 2, "x" * (MAX_CURSOR_CHARS + 1)]
)
def test_another_spelling_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursor):
        read(cursor)
