"""The keys of access tokens: which one signs, and for how long each is believed.

    file written      signs from        the next one signs from        15 minutes and 5 seconds later
        |-- next --------|---- signing ---------|------- accepted -----------------|-- retired

A key is believed as soon as it stands in the ring: processes learn of a new ring at different times and
their clocks differ, so one may sign with a key that another does not sign with yet.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from adapters.paseto_key import SigningKey

ACCESS_TTL_S: Final = 900
"""How long an access token is good for, in seconds."""

CLOCK_SKEW_S: Final = 5
"""How far ahead the clock of the process that made a token may be, in seconds."""

OVERLAP: Final = timedelta(seconds=ACCESS_TTL_S + CLOCK_SKEW_S)
"""How long a key is believed after the next one signs: until its last token has expired everywhere."""

MAX_KEYS: Final = 16

EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Since when a key signs that came alone."""

NEVER: Final = datetime(9999, 12, 31, tzinfo=UTC)


class KeyState(StrEnum):
    NEXT = "next"
    SIGNING = "signing"
    ACCEPTED = "accepted"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class RingKey:
    """`signs_from` and `accepted_until` are in UTC; the newest key is accepted until NEVER."""

    key: SigningKey
    signs_from: datetime
    accepted_until: datetime = NEVER

    @property
    def key_id(self) -> str:
        return self.key.key_id


class KeyRing:
    """`keys`: oldest first."""

    def __init__(self, keys: Iterable[tuple[datetime, SigningKey]]) -> None:
        """`keys`: each with the moment from which it signs. Raises ValueError."""
        dated = sorted(keys, key=lambda pair: pair[0])
        starts = [signs_from for signs_from, _ in dated]
        if not 1 <= len(dated) <= MAX_KEYS:
            raise ValueError(f"expected 1 to {MAX_KEYS} keys")
        if len(set(starts)) < len(dated) or len({key.key_id for _, key in dated}) < len(dated):
            raise ValueError("the same key or the same time stands there twice")
        ends = [*(start + OVERLAP for start in starts[1:]), NEVER]
        self.keys: Final = tuple(
            RingKey(key, start, end) for (start, key), end in zip(dated, ends, strict=True)
        )
        self._by_id = {each.key_id: each for each in self.keys}

    def signing(self, now: datetime) -> RingKey:
        """The newest whose time has come. The oldest signs before its time rather than nobody."""
        return next((each for each in reversed(self.keys) if each.signs_from <= now), self.keys[0])

    def get(self, key_id: str) -> RingKey | None:
        return self._by_id.get(key_id)

    def kept(self, now: datetime) -> list[tuple[datetime, SigningKey]]:
        """All but those that are retired."""
        return [(each.signs_from, each.key) for each in self.keys if now < each.accepted_until]

    def state(self, each: RingKey, now: datetime) -> KeyState:
        if each is self.signing(now):
            return KeyState.SIGNING
        if now < each.signs_from:
            return KeyState.NEXT
        return KeyState.ACCEPTED if now < each.accepted_until else KeyState.RETIRED


class Rings(Protocol):
    """Where a ring comes from that may change: adapters.token_key_file. Neither raises."""

    def current(self) -> KeyRing:
        """Asked for every token. The same object until the keys change."""
        ...

    def again(self) -> KeyRing:
        """Asked when a key is unknown, so that the answer may be newer than the current one."""
        ...


class FixedRing:
    """A ring that never changes: of one key."""

    def __init__(self, key: SigningKey) -> None:
        self._ring = KeyRing([(EVER, key)])

    def current(self) -> KeyRing:
        return self._ring

    again = current
