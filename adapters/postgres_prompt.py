"""A connection of the event loop that waits a moment for PostgreSQL before it gives the loop away.

A small commit is answered in half a millisecond. A busy loop says so two milliseconds later, and to register
with it and be woken takes more of the processor than to wait. What takes longer is waited for as usual.

A large commit does not fit into the socket. PostgreSQL takes it out again in a fraction of a millisecond; a
busy loop would hand over the next part milliseconds later, two or three times. Its answer is waited for as
usual.
"""

import select
from typing import Any, Final, TypeVar

from psycopg import AsyncConnection
from psycopg.abc import PQGen
from psycopg.rows import TupleRow
from psycopg.waiting import READY_R, READY_W, WAIT_R, WAIT_RW, Ready

T = TypeVar("T")

WAIT_MS: Final = 1
"""That the loop may stand still for one answer, or for one part to be taken."""

MOST_PARTS: Final = 16
"""Of some 100 KB. The loop hands over what is left."""


class PromptConnection(AsyncConnection[TupleRow]):
    """Overrides a step of the driver's own, so its version is pinned."""

    async def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN)
        try:
            wants = next(gen)
            if wants == WAIT_RW:
                wants = self._handed_over(gen, wants)
            else:
                while wants == WAIT_R and poll.poll(WAIT_MS):
                    wants = gen.send(READY_R)
        except StopIteration as end:
            answer: T = end.value
            return answer
        return await super().wait(_resumed(gen, wants), *args, **kwargs)

    def _handed_over(self, gen: PQGen[T], wants: Any) -> Any:
        """What `gen` wants once PostgreSQL has it all. Raises StopIteration, as `gen` does."""
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN | select.POLLOUT)
        for _ in range(MOST_PARTS):
            if wants != WAIT_RW:
                break
            ready = poll.poll(WAIT_MS)
            if not ready:
                break
            ((_, events),) = ready
            # A connection that broke off is read, which says so.
            wants = gen.send(
                Ready(READY_W * bool(events & select.POLLOUT) + READY_R * bool(events & ~select.POLLOUT))
            )
        return wants


def _resumed(gen: PQGen[T], wants: Any) -> PQGen[T]:
    """`gen` for who has not seen that it wants this."""
    while True:
        ready = yield wants
        try:
            wants = gen.send(ready)
        except StopIteration as end:
            answer: T = end.value
            return answer
