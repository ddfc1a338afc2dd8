"""The watchdog: wakes every saga that has waited too long, whatever was lost on the way.

It asks a list of sagas that are due (fed from the order log), then looks at the saga itself, so a list
that is behind only costs a look. Two watchdogs at once are safe: what one has just sent again, the
other one's decision leaves alone.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from domain import streams
from domain.recorded import Cause
from domain.refusals import Busy
from domain.saga import NEW, NoteResend, Saga
from domain.saga_owed import owed
from domain.saga_timing import wake
from orchestrator.ledger import Ledger
from orchestrator.loops import wanted
from orchestrator.messages import Command

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 0.5
MAX_WOKEN_AT_ONCE: Final = 500
CALLER = "watchdog"

Due = Callable[[datetime, int], Awaitable[Sequence[str]]]
"""Order ids of sagas that should be woken at this time, at most so many, longest waiting first."""


class Watchdog:
    """`trouble` says why what was sent last did not go out: it is told beside whom we wait for."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        due: Due,
        send: Callable[[Command], None],
        clock: Callable[[], datetime],
        trouble: Callable[[], str] = str,
    ) -> None:
        self._ledger = ledger
        self._due = due
        self._send = send
        self._trouble = trouble
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled. A list or log that cannot be reached is tried again at the next look."""
        while wanted():
            try:
                woken = await self.look()
            except (Busy, OSError) as error:
                logger.warning("the watchdog could not look: %s", error)
                woken = 0
            if woken < MAX_WOKEN_AT_ONCE:
                await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> int:
        """Wakes what is due now; returns how many sagas were looked at. Raises Busy, OSError."""
        order_ids = await self._due(self._clock(), MAX_WOKEN_AT_ONCE)
        if order_ids:
            names = [streams.saga(order_id) for order_id in order_ids]
            states = await self._ledger.read(*names)
            await asyncio.gather(*(self._wake(states[name]) for name in names))
        return len(order_ids)

    async def _wake(self, saga: Saga) -> None:
        now = self._clock()
        command = wake(saga, now)
        if command is None or saga == NEW:
            return
        trouble = self._trouble()
        if isinstance(command, NoteResend) and trouble:
            blame = f"the broker does not take our messages ({trouble}); {command.error}"
            command = replace(command, error=blame)
        # Tries are counted anew in each step and by each retry; only the moment tells two commands apart.
        command_id = f"{type(command).__name__}-{saga.order_id}-{now:%Y%m%dT%H%M%S.%f}"
        cause = Cause(command_id, CALLER, saga.order_id, now)
        done = await self._ledger.submit(command, cause)
        again = owed(saga)
        if isinstance(command, NoteResend) and done.written and again is not None:
            self._send(again)
