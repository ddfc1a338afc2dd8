"""Passwords: argon2id, off the event loop, a bounded number at a time.

Hashing costs 19 MiB and some 20 ms on purpose, so it is the cheapest way to overload the shop. One core is
never hashing; a bounded number waits; the next one is told to come back.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from domain.refusals import Overloaded

T = TypeVar("T")

MEMORY_KIB: Final = 19_456
PASSES: Final = 2
LANES: Final = 1
AT_ONCE: Final = max(1, len(os.sched_getaffinity(0)) - 1)
"""Threads that hash. With one for each core, guesses would take all of them from everybody else."""
MAX_WAITING: Final = 256
"""Callers waiting for a turn, about 3 s of work, before new ones are refused."""


async def _nothing() -> None:
    pass


class Passwords:
    """Hashes and checks passwords. Belongs to one event loop; close it at the end."""

    def __init__(self, *, at_once: int = AT_ONCE, max_waiting: int = MAX_WAITING) -> None:
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="argon2")
        self._turns = asyncio.Semaphore(at_once)
        self._max_inside = at_once + max_waiting
        self._inside = 0
        # Nobody's password: an unknown name is checked against it, and so costs what a known one does.
        self._nobodys = self._hasher.hash(secrets.token_hex())

    async def hash(self, password: str) -> str:
        """An argon2id string with its own salt. Raises Overloaded."""
        async with self._turn():
            return await self._off_the_loop(lambda: self._hasher.hash(password))

    async def matches(
        self, encoded: str | None, password: str, *, before: Callable[[], Awaitable[None]] = _nothing
    ) -> bool:
        """Whether the password is the one; the same work when there is none to compare with (None).

        `before` runs when this check's turn has come and may raise instead: what became forbidden while
        waiting is not checked any more. Raises Overloaded.
        """
        async with self._turn():
            await before()
            good = await self._off_the_loop(lambda: self._check(encoded or self._nobodys, password))
            return good and encoded is not None

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)

    def _check(self, encoded: str, password: str) -> bool:
        try:
            return self._hasher.verify(encoded, password)
        except VerifyMismatchError:
            return False
        except (VerificationError, InvalidHashError) as error:
            raise RuntimeError("a stored password hash cannot be read") from error

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._inside >= self._max_inside:
            raise Overloaded
        self._inside += 1
        try:
            async with self._turns:
                yield
        finally:
            self._inside -= 1

    async def _off_the_loop(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
