"""A flood of guesses at passwords over HTTP, as fast as they go, in a process of its own.

In the process that measures, the flood would slow the clock it is measured with. Each guess says where it
comes from in X-Forwarded-For, so the shop has to believe this machine.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from math import inf
from multiprocessing import get_context
from time import perf_counter
from typing import Final
from uuid import uuid4

import aiohttp

from adapters.api_call import encode

AT_ONCE: Final = 16
CHECKED: Final = 401
"""What a guess is answered whose password was looked at."""


@dataclass(frozen=True, slots=True)
class Flood:
    """From one address at one account, or at an account each. Ends after `guesses`, or after `seconds`."""

    address: str
    one_account: bool
    guesses: int | None = None
    seconds: float = inf


@dataclass(frozen=True, slots=True)
class Flooded:
    """How many guesses were answered with which status."""

    seconds: float
    statuses: dict[int, int]

    @property
    def guesses(self) -> int:
        return sum(self.statuses.values())

    @property
    def checked(self) -> int:
        return self.statuses.get(CHECKED, 0)


class Elsewhere:
    """The process that guesses."""

    def __init__(self, pool: ProcessPoolExecutor, url: str) -> None:
        self._pool = pool
        self._url = url

    async def flood(self, flood: Flood) -> Flooded:
        """Raises aiohttp.ClientError when the shop stops to answer."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, _flood, self._url, flood)


@contextmanager
def elsewhere(url: str) -> Iterator[Elsewhere]:
    # Spawned: a forked one would have our connections.
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        yield Elsewhere(pool, url)


async def guess(http: aiohttp.ClientSession, url: str, email: str, address: str) -> int:
    """The status that a wrong password is answered with. Raises aiohttp.ClientError."""
    body = encode({"email": email, "password": "not the password"})
    headers = {"Content-Type": "application/json", "X-Forwarded-For": address}
    async with http.post(f"{url}/v1/sessions", data=body, headers=headers) as response:
        await response.read()
        return response.status


def _flood(url: str, flood: Flood) -> Flooded:
    return asyncio.run(_guess_all(url, flood))


async def _guess_all(url: str, flood: Flood) -> Flooded:
    began = perf_counter()
    statuses: Counter[int] = Counter()
    emails = islice(_emails(flood.one_account), flood.guesses)

    async def one_by_one(http: aiohttp.ClientSession) -> None:
        for email in emails:
            statuses[await guess(http, url, email, flood.address)] += 1
            if perf_counter() - began > flood.seconds:
                return

    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(one_by_one(http) for _ in range(AT_ONCE)))
    return Flooded(perf_counter() - began, dict(statuses))


def _emails(one_account: bool) -> Iterator[str]:
    """Nobody has these; the shop counts before it knows that."""
    run = uuid4().hex
    return (f"victim-{run}-{0 if one_account else n}@bench.example" for n in count())
