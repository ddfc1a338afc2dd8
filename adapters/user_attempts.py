"""Failed log-ins: after a few, the account and the address they came from wait, twice as long each time.

An account may fail 5 times, an address 30, before either waits: 1 s, then 2 s, and so on up to 15 minutes.
So an hour has room for 17 guesses at one account and 42 from one address. A success forgives the account,
never the address, or whoever has an account of their own could guess at others for ever.

Every time here is the caller's clock, never the database's: what is remembered in this process and what
all processes share must be compared with one clock, and tests must be able to set it. Clocks of a site
differ by milliseconds, delays are seconds.
"""

import asyncio
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address
from math import ceil
from typing import Final, Literal, Protocol

from domain.refusals import Busy

Kind = Literal["account", "address"]

FREE_FAILURES: Final[Mapping[Kind, int]] = {"account": 5, "address": 30}
"""How often each may fail before it waits. Many people share an address, few an account."""

FIRST_DELAY_S: Final = 1
LONGEST_DELAY_S: Final = 900
FORGOTTEN_AFTER: Final = timedelta(days=1)
"""Since the last failure."""

CLOCKS_APART_S: Final = 900
"""A wait that is this much longer than any delay was set by a clock that was wrong, and does not count."""

MAX_SUBJECTS: Final = 100_000
"""Remembered in one process; the one that failed longest ago is forgotten first."""

NO_ADDRESS: Final = "none"

REFUSALS_PER_S: Final = 50
"""Measured: at 200 a second the p99 of all others' requests was 2.3 times what it is without them, at 50
1.4 times."""

MAX_PACED: Final = 250
"""Refusals that wait to be told, 5 s of them; those beyond are told at once."""


class TooManyAttempts(Busy):
    """Too many failed attempts for this account, or from this address; wait before the next one."""

    name = "too-many-attempts"


@dataclass(frozen=True, slots=True)
class Subject:
    """Who failed. `digest`: a keyed hash, so that what is kept names nobody; also of accounts nobody has."""

    kind: Kind
    digest: str


@dataclass(frozen=True, slots=True)
class Failures:
    """Of one subject, in a row."""

    count: int
    last_at: datetime


class AttemptLimits(Protocol):
    async def check(self, subjects: Sequence[Subject]) -> None:
        """Raises TooManyAttempts while any of them has to wait."""

    async def failed(self, subjects: Sequence[Subject]) -> None:
        """One more failure for each of them."""

    async def succeeded(self, account: Subject) -> None:
        """Forgives the account. An address is not forgiven."""


class MemoryAttempts:
    """AttemptLimits of one process, gone when it ends."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._failures: OrderedDict[Subject, Failures] = OrderedDict()

    async def check(self, subjects: Sequence[Subject]) -> None:
        known = {subject: self._failures[subject] for subject in subjects if subject in self._failures}
        must_not_wait(known, self._clock())

    async def failed(self, subjects: Sequence[Subject]) -> None:
        now = self._clock()
        for subject in set(subjects):
            before = self._failures.pop(subject, None)
            self._failures[subject] = one_more(before, now)
        while len(self._failures) > MAX_SUBJECTS:
            self._failures.popitem(last=False)

    async def succeeded(self, account: Subject) -> None:
        self._failures.pop(account, None)


class Pace:
    """Refusals are told one after the other, so many a second, whoever asks. Belongs to one event loop.

    A refusal costs a guesser nothing, and he asks again as soon as he hears it: the faster the answer, the
    more of this process's time is his. One that comes alone is told at once.
    """

    def __init__(self) -> None:
        self._waiting = 0
        self._next_at = 0.0

    async def keep(self) -> None:
        """Returns when the next refusal may be told."""
        if self._waiting >= MAX_PACED:
            return
        now = asyncio.get_running_loop().time()
        told_at = max(self._next_at, now)
        self._next_at = told_at + 1 / REFUSALS_PER_S
        self._waiting += 1
        try:
            await asyncio.sleep(told_at - now)
        finally:
            self._waiting -= 1


def must_not_wait(known: Mapping[Subject, Failures], now: datetime) -> None:
    """Raises TooManyAttempts with the longest wait of these."""
    longest_s = max((wait_s(subject.kind, failures, now) for subject, failures in known.items()), default=0.0)
    if longest_s > 0:
        raise TooManyAttempts(retry_after_s=ceil(longest_s))


def wait_s(kind: Kind, failures: Failures, now: datetime) -> float:
    """Seconds until the next attempt may be made; 0 when it may be now."""
    delay_s = _delay_s(failures.count - FREE_FAILURES[kind])
    left_s = delay_s - (now - failures.last_at).total_seconds()
    is_sane = left_s <= delay_s + CLOCKS_APART_S
    return left_s if delay_s and is_sane and left_s > 0 else 0.0


def one_more(before: Failures | None, now: datetime) -> Failures:
    if before is None or before.last_at < now - FORGOTTEN_AFTER:
        return Failures(1, now)
    return Failures(before.count + 1, now)


def _delay_s(beyond: int) -> int:
    """Seconds to wait after the failure that used up the free ones (0), and after those that follow it."""
    if beyond < 0:
        return 0
    return min(FIRST_DELAY_S << min(beyond, LONGEST_DELAY_S.bit_length()), LONGEST_DELAY_S)


def address_digest(client_host: str, key: bytes) -> str:
    """Keyed hash of where a request came from.

    A customer has a whole /64 of IPv6 and can change the rest at will, so that counts as one address. What
    is no address at all is one too: whoever can make it up must not get a new one with every request.
    """
    text = b"address " + _network(client_host).encode()
    return hmac.new(key, text, hashlib.sha256).hexdigest()


def _network(client_host: str) -> str:
    try:
        address = ip_address(client_host)
    except ValueError:
        return NO_ADDRESS
    if not isinstance(address, IPv6Address):
        return str(address)
    # A socket that listens on both sees IPv4 addresses in this form.
    return str(address.ipv4_mapped or f"{IPv6Address(int(address) >> 64 << 64)}/64")
