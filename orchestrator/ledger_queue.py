"""What waits for a ledger, and the batches that are taken from it."""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from orchestrator.batch import Committed, Draft
from orchestrator.bookkeeper import Answer, Request

MAX_BATCH: Final = 350
"""Commands in one commit. A thousand callers are in three batches then: one is being committed, one decided,
and one with the other services."""

MAX_STREAMS: Final = 5_000
"""Streams that the commands of one commit read. An order of 2,000 lines is as much work as a thousand small
ones, and whoever waits behind fifty of them must not wait for all."""


class Answers(Protocol):
    """Where a caller's answers go: a future does, and whatever has these of its methods."""

    def done(self) -> bool: ...
    def set_result(self, result: Sequence[Answer], /) -> None: ...
    def set_exception(self, error: Exception, /) -> None: ...


class Caller(NamedTuple):
    """What one caller wants done together, and where its answers go."""

    requests: Sequence[Request]
    answers: Answers

    def fail(self, error: type[Exception]) -> None:
        """Unless it has been answered, or went away."""
        if not self.answers.done():
            self.answers.set_exception(error())


@dataclass(slots=True)
class Taken:
    """A batch, and how far it is."""

    callers: Sequence[Caller]
    requests: Sequence[Request]
    draft: Draft | None = None
    committed: Committed | None = None

    def answer(self, answers: Iterator[Answer]) -> None:
        """`answers`: one for each request, in order."""
        for caller in self.callers:
            its_own = [next(answers) for _ in caller.requests]
            if not caller.answers.done():
                caller.answers.set_result(its_own)

    def fail(self, error: type[Exception]) -> None:
        for caller in self.callers:
            caller.fail(error)


class Queue:
    """`waiting`: so many requests."""

    def __init__(self) -> None:
        self.waiting = 0
        self._callers: deque[Caller] = deque()
        self._some_wait = asyncio.Event()

    def put(self, caller: Caller) -> None:
        self._callers.append(caller)
        self._count(len(caller.requests))

    async def wait(self) -> None:
        """Until somebody does."""
        await self._some_wait.wait()

    def take(self) -> Taken:
        callers: list[Caller] = []
        count = streams = 0
        while self._callers and count < MAX_BATCH and streams < MAX_STREAMS:
            callers.append(self._callers.popleft())
            for request in callers[-1].requests:
                streams += len(request.reads)
            count += len(callers[-1].requests)
        self._count(-count)
        return Taken(callers, [request for caller in callers for request in caller.requests])

    def put_back(self, taken: Taken) -> None:
        """Before all who came since."""
        self._callers.extendleft(reversed(taken.callers))
        self._count(len(taken.requests))

    def fail(self, error: type[Exception]) -> None:
        """All who wait."""
        for caller in self._callers:
            caller.fail(error)
        self._callers.clear()
        self._count(-self.waiting)

    def _count(self, more: int) -> None:
        self.waiting += more
        if self._callers:
            self._some_wait.set()
        else:
            self._some_wait.clear()
