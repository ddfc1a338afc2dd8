"""The start of an order, for whoever waits for its outcome.

The ledger's answer to a start that was recorded wakes nobody: its customer waits for more. To be woken for
it, and to wait again, took a thirtieth of an order's time.
"""

import asyncio
from collections.abc import Sequence

from domain import streams
from domain.saga import Saga, Step
from orchestrator.bookkeeper import Answer, Done
from orchestrator.outcomes import Outcomes


class Start:
    """Hears the ledger's answer, in place of a future. To be made before the order starts, so that its end
    cannot be missed, and to be `dropped` after it.

    `wait_s`: seconds from the answer on that an outcome is waited for. `ends_at`: when they are over, on the
    loop's clock.
    """

    def __init__(self, order_id: str, outcomes: Outcomes, wait_s: float) -> None:
        self.waiter = outcomes.wait_for(order_id)
        self.ends_at = 0.0
        self._order_id = order_id
        self._outcomes = outcomes
        self._wait_s = wait_s
        self._answer: Answer | None = None
        self._told: asyncio.Future[None] | None = None

    async def done_and_decided(self) -> Done:
        """What the start did, once nothing more is to come, or somebody has woken the waiter.

        Raises what the ledger refused it for.
        """
        await self.waiter
        if self._answer is None:
            # Another process has decided it, and said so before our own ledger has told us of its commit.
            self._told = asyncio.get_running_loop().create_future()
            await self._told
        if isinstance(self._answer, Exception):
            raise self._answer
        assert isinstance(self._answer, Done)
        return self._answer

    def drop(self) -> None:
        self._outcomes.drop(self._order_id, self.waiter)

    # as a future

    def done(self) -> bool:
        """Whether nobody wants to hear it any more."""
        return self.waiter.cancelled() or (self._told is not None and self._told.done())

    def set_result(self, answers: Sequence[Answer], /) -> None:
        (answer,) = answers
        self._hear(answer)

    def set_exception(self, error: Exception, /) -> None:
        self._hear(error)

    def _hear(self, answer: Answer) -> None:
        self._answer = answer
        if self._goes_on(answer):
            self.ends_at = asyncio.get_running_loop().time() + self._wait_s
            self._outcomes.look_within(self.waiter, self._wait_s)
        elif not self.waiter.done():
            self.waiter.set_result(None)
        if self._told is not None:
            self._told.set_result(None)

    def _goes_on(self, answer: Answer) -> bool:
        """Whether an outcome is to come."""
        if not isinstance(answer, Done) or not answer.written:
            return False
        saga: Saga = answer.states[streams.saga(self._order_id)]
        return saga.step is Step.SELLING
