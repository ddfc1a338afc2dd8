"""A connection of the event loop that waits a moment for PostgreSQL before it gives the loop away.

A small commit is answered in half a millisecond. A busy loop says so two milliseconds later, and to register
with it and be woken takes more of the processor than to wait. What takes longer is waited for as usual.
"""

import select
from typing import Any, Final, TypeVar

from psycopg import AsyncConnection
from psycopg.abc import PQGen
from psycopg.rows import TupleRow
from psycopg.waiting import READY_R, WAIT_R

T = TypeVar("T")

WAIT_MS: Final = 1
"""That the loop may stand still for one answer."""


class PromptConnection(AsyncConnection[TupleRow]):
    """Overrides a step of the driver's own, so its version is pinned."""

    async def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN)
        try:
            wants = next(gen)
            while wants == WAIT_R and poll.poll(WAIT_MS):
                wants = gen.send(READY_R)
        except StopIteration as end:
            answer: T = end.value
            return answer
        return await super().wait(_resumed(gen, wants), *args, **kwargs)


def _resumed(gen: PQGen[T], wants: Any) -> PQGen[T]:
    """`gen` for who has not seen that it wants this."""
    while True:
        ready = yield wants
        try:
            wants = gen.send(ready)
        except StopIteration as end:
            answer: T = end.value
            return answer
