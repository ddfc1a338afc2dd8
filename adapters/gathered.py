"""Look-ups of many callers in one query: who asks while one is under way waits for the next, all together."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Gathered(Generic[Key, Value]):
    """`look`: what is there of all these keys; those with nothing may be missing. Belongs to one event loop.

    Every answer is at least as fresh as its question: nobody joins a query that was sent before they asked.
    """

    def __init__(self, look: Callable[[Collection[Key]], Awaitable[Mapping[Key, Value]]]) -> None:
        self._look = look
        self._asked: dict[Key, asyncio.Future[Value | None]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def of(self, key: Key) -> Value | None:
        """None when there is nothing. Raises what `look` raises."""
        answer = self._asked.get(key)
        if answer is None:
            answer = self._asked[key] = asyncio.get_running_loop().create_future()
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_for_all(), name="gathered")
        return await asyncio.shield(answer)

    async def _look_for_all(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, {}
                try:
                    _answer(asked, await self._look(asked.keys()))
                except BaseException as error:
                    _refuse(asked, error)
                    if not isinstance(error, Exception):
                        raise
        finally:
            self._looking = None


def _answer(asked: Mapping[Key, "asyncio.Future[Value | None]"], found: Mapping[Key, Value]) -> None:
    for key, answer in asked.items():
        if not answer.done():
            answer.set_result(found.get(key))


def _refuse(asked: Mapping[Key, "asyncio.Future[Value | None]"], error: BaseException) -> None:
    for answer in asked.values():
        if not answer.done():
            answer.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            # Whoever asked may be gone by now; that is no error of theirs.
            answer.exception()
