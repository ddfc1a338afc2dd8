"""Sealed texts open under their own key, about their own thing, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.sealing import CannotUnseal, PersonKey, Wrapping, derived, is_sealed, new_key, wrapping_name

ANN, BOB = PersonKey(new_key()), PersonKey(new_key())
ABOUT = "user-7.email"
OLD, NEW = b"o" * 32, b"n" * 32


@given(st.text())
def test_a_sealed_text_comes_back_and_cannot_be_read(text: str) -> None:
    sealed = ANN.seal(ABOUT, text)
    assert is_sealed(sealed)
    assert sealed.isascii()
    assert len(text) < 4 or text not in sealed
    assert ANN.unseal(ABOUT, sealed) == text


def test_the_same_text_never_looks_the_same_twice() -> None:
    assert ANN.seal(ABOUT, "ann@example.com") != ANN.seal(ABOUT, "ann@example.com")


@pytest.mark.parametrize(
    ("key", "about"),
    [(BOB, ABOUT), (ANN, "user-8.email"), (ANN, "user-7.nickname"), (ANN.for_order("1"), ABOUT)],
)
def test_another_key_or_another_place_opens_nothing(key: PersonKey, about: str) -> None:
    sealed = ANN.seal(ABOUT, "ann@example.com")
    with pytest.raises(CannotUnseal):
        key.unseal(about, sealed)


def test_damage_shows() -> None:
    sealed = ANN.seal(ABOUT, "ann@example.com")
    swapped = "A" if sealed[20] != "A" else "B"
    for damaged in (sealed[:20] + swapped + sealed[21:], sealed[:-4], "sealed1.", "sealed1.!", "sealed1.AAA"):
        with pytest.raises(CannotUnseal):
            ANN.unseal(ABOUT, damaged)


def test_what_was_recorded_before_there_was_sealing_is_given_back() -> None:
    assert ANN.unseal(ABOUT, "ann@example.com") == "ann@example.com"


def test_the_key_of_one_order_opens_no_other() -> None:
    sealed = ANN.for_order("1").seal("order-1.address", "1 Harbour Street")
    assert ANN.for_order("1").unseal("order-1.address", sealed) == "1 Harbour Street"
    for key in (ANN, ANN.for_order("2"), BOB.for_order("1")):
        with pytest.raises(CannotUnseal):
            key.unseal("order-1.address", sealed)


def test_a_request_is_named_the_same_under_one_key_and_otherwise_under_another() -> None:
    assert ANN.fingerprint(b"POST") == ANN.fingerprint(b"POST")
    assert len({ANN.fingerprint(b"POST"), ANN.fingerprint(b"PUT"), BOB.fingerprint(b"POST")}) == 3
    assert len(ANN.fingerprint(b"")) == 32


def test_derived_keys_are_hkdf_expand() -> None:
    """By another implementation: HKDF-Expand of RFC 5869 with `tillroll <purpose>` as its info."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    assert derived(OLD, "email") == HKDFExpand(SHA256(), 32, b"tillroll email").derive(OLD)


# keys that wrap keys


def test_a_wrapped_key_is_bound_to_whose_it_is() -> None:
    wrapping = Wrapping((NEW,))
    wrapped = wrapping.wrap("user-7", ANN.key)
    assert wrapping.unwrap("user-7", wrapped) == ANN.key
    assert ANN.key.hex() not in wrapped
    with pytest.raises(CannotUnseal, match="user-8 is damaged"):
        wrapping.unwrap("user-8", wrapped)


def test_every_key_of_the_file_unwraps_and_the_first_wraps() -> None:
    wrapped = Wrapping((OLD,)).wrap("user-7", ANN.key)
    both = Wrapping((NEW, OLD))
    assert both.unwrap("user-7", wrapped) == ANN.key
    assert not both.is_current(wrapped)
    again = both.wrap("user-7", ANN.key)
    assert both.is_current(again)
    assert Wrapping((NEW,)).unwrap("user-7", again) == ANN.key


def test_a_key_that_is_gone_from_the_file_is_named() -> None:
    wrapped = Wrapping((OLD,)).wrap("user-7", ANN.key)
    with pytest.raises(CannotUnseal, match=wrapping_name(OLD)):
        Wrapping((NEW,)).unwrap("user-7", wrapped)


def test_a_key_that_came_into_the_file_later_is_looked_for_there() -> None:
    asked: list[int] = []

    def reload() -> tuple[bytes, ...]:
        asked.append(1)
        return (NEW, OLD)

    running = Wrapping((OLD,), reload)
    wrapped = Wrapping((NEW,)).wrap("user-7", ANN.key)
    assert running.unwrap("user-7", wrapped) == ANN.key
    assert running.unwrap("user-7", wrapped) == ANN.key
    assert len(asked) == 1


def test_wrapping_is_done_with_the_key_that_is_first_in_the_file_now() -> None:
    running = Wrapping((OLD,), lambda: (NEW, OLD))
    assert running.wrap("user-8", BOB.key).startswith(wrapping_name(NEW))
