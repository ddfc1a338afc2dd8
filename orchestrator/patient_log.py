"""A log called from the event loop: one thread, growing pauses, and an answer when a COMMIT's was lost."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from eventsourcing.persistence import StoredEvent

from orchestrator.log import Log, LogConflict, LogUnavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0)
"""Pauses while the log cannot be reached; after the last one the callers are refused."""


class PatientLog:
    """The log of one ledger."""

    def __init__(self, log: Log, name: str) -> None:
        self.name = name
        self._log = log
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"ledger-{name}")

    async def load(self, since: Mapping[str, int]) -> Sequence[StoredEvent]:
        """Raises LogUnavailable after the last pause."""
        return await self._patiently(lambda: self._log.load(since))

    async def append(self, events: Sequence[StoredEvent], expect: Mapping[str, int]) -> Sequence[int]:
        """Positions of the events, also when the answer to the COMMIT was lost.

        Raises LogConflict only when somebody else's event is in the way, LogUnavailable when the log
        never said.
        """
        for pause_s in RETRY_PAUSES_S:
            try:
                return await self._in_thread(lambda: self._log.append(events, expect))
            except LogConflict:
                positions = await self._positions(events)
                if positions is None:
                    raise
                return positions
            except LogUnavailable as error:
                logger.warning("no answer to a commit of the %s log: %s", self.name, error)
            await asyncio.sleep(pause_s)
            positions = await self._positions(events)
            if positions is not None:
                return positions
        raise LogUnavailable("gave up appending")

    def close(self) -> None:
        self._thread.shutdown(wait=False)

    async def _positions(self, events: Sequence[StoredEvent]) -> Sequence[int] | None:
        """All or none of a commit is stored, and nobody else takes ids meanwhile, so they are a range."""
        first = await self._patiently(lambda: self._log.find(events[0]))
        if first is None:
            return None
        last = await self._patiently(lambda: self._log.find(events[-1]))
        assert last == first + len(events) - 1, "a commit's positions are not contiguous"
        return range(first, first + len(events))

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _patiently(self, call: Callable[[], T]) -> T:
        """For calls that change nothing."""
        for pause_s in RETRY_PAUSES_S:
            try:
                return await self._in_thread(call)
            except LogUnavailable as error:
                logger.warning("the %s log cannot be reached: %s", self.name, error)
            await asyncio.sleep(pause_s)
        return await self._in_thread(call)
