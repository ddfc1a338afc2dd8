"""Idempotency key: the same request with the same key has one effect and one answer.

The key is a stream of the log that takes the effect, written in the same commit, so it can neither be
lost nor expire between the two (draft-ietf-httpapi-idempotency-key-header, section 2.6).
"""

from dataclasses import dataclass
from typing import Any

from domain.refusals import KeyReused

# state


@dataclass(frozen=True, slots=True)
class Key:
    fingerprint: str = ""
    about: str = ""


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


# events


@dataclass(frozen=True, slots=True)
class KeyUsed:
    """`about`: what the answer can be made from again, such as the order id."""

    fingerprint: str
    about: str


def evolve(_key: Key, event: KeyUsed) -> Key:
    return Key(event.fingerprint, event.about)


def is_repeat(key: Key, use: KeyUse) -> bool:
    """Raises KeyReused when the key was used with another request."""
    if key == UNUSED:
        return False
    if key.fingerprint != use.fingerprint:
        raise KeyReused
    return True
