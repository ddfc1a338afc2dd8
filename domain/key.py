"""Idempotency key: the same request with the same key has one effect and one answer.

The key is a stream of the log that takes the effect, written in the same commit, so it can neither be
lost nor expire between the two (draft-ietf-httpapi-idempotency-key-header, section 2.6).
"""

from dataclasses import dataclass, replace
from typing import Any

from domain.refusals import KeyReused

# state


@dataclass(frozen=True, slots=True)
class Key:
    """`undecided`: a 202 was answered, and stays the key's answer."""

    fingerprint: str = ""
    about: str = ""
    undecided: bool = False


UNUSED = Key()


# commands


@dataclass(frozen=True, slots=True)
class KeyUse:
    """What a command says of its key. `stream`: the key's stream; `fingerprint`: hash of the request."""

    stream: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Keyed:
    """A command that came with an Idempotency-Key."""

    command: Any
    use: KeyUse


@dataclass(frozen=True, slots=True)
class NoteUndecided:
    """The request with this key is about to be answered by a 202. `stream`: the key's."""

    stream: str


# events


@dataclass(frozen=True, slots=True)
class KeyUsed:
    """`about`: what the answer can be made from again, such as the order id."""

    fingerprint: str
    about: str


@dataclass(frozen=True, slots=True)
class AnsweredUndecided:
    """From now on the key's answer is that 202."""


def evolve(key: Key, event: KeyUsed | AnsweredUndecided) -> Key:
    match event:
        case KeyUsed(fingerprint, about):
            return Key(fingerprint, about)
        case AnsweredUndecided():
            return replace(key, undecided=True)


def decide_undecided(key: Key) -> tuple[AnsweredUndecided, ...]:
    """Once is enough. A key that nobody used has no answer to keep."""
    return () if key.undecided or key == UNUSED else (AnsweredUndecided(),)


def is_repeat(key: Key, use: KeyUse) -> bool:
    """Raises KeyReused when the key was used with another request."""
    if key == UNUSED:
        return False
    if key.fingerprint != use.fingerprint:
        raise KeyReused
    return True
