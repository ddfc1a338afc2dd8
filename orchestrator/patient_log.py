"""A log with patience: growing pauses while it is away, and an answer when that of a COMMIT was lost."""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, TypeVar

from orchestrator.log import Log, LogConflict, LogUnavailable, Since, Stored

logger = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0)
"""Pauses while the log cannot be reached; after the last one the callers are refused."""


class PatientLog:
    """The log of one ledger. Blocks, but for `try_append`; called from the ledger's own thread."""

    def __init__(self, log: Log, name: str, pause: Callable[[float], None] = time.sleep) -> None:
        self.name = name
        self._log = log
        self._pause = pause

    def load(self, since: Since) -> Sequence[Stored]:
        """Raises LogUnavailable after the last pause."""
        return self._patiently(lambda: self._log.load(since))

    async def try_append(self, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int] | None:
        """Positions of the events; None when that did not work, or nobody knows. In the event loop."""
        return await self._log.try_append(events, expect)

    def append(self, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int]:
        """Positions of the events, also when the answer to the COMMIT was lost, of this or an earlier call.

        Raises LogConflict only when somebody else's event is in the way, LogUnavailable when the log
        never said.
        """
        for pause_s in RETRY_PAUSES_S:
            try:
                return self._log.append(events, expect)
            except LogConflict:
                positions = self._positions(events)
                if positions is None:
                    raise
                return positions
            except LogUnavailable as error:
                logger.warning("no answer to a commit of the %s log: %s", self.name, error)
            self._pause(pause_s)
            positions = self._positions(events)
            if positions is not None:
                return positions
        raise LogUnavailable("gave up appending")

    def changed(self, after: int | None) -> tuple[int, Collection[str]]:
        """Raises LogUnavailable after the last pause."""
        return self._patiently(lambda: self._log.changed(after))

    def _positions(self, events: Sequence[Stored]) -> Sequence[int] | None:
        """All or none of a commit is stored, and nobody else takes ids meanwhile, so they are a range."""
        first = self._patiently(lambda: self._log.find(events[0]))
        last = None if first is None else self._patiently(lambda: self._log.find(events[-1]))
        if first is None or last != first + len(events) - 1:
            return None
        return range(first, first + len(events))

    def _patiently(self, call: Callable[[], T]) -> T:
        """For calls that change nothing."""
        for pause_s in RETRY_PAUSES_S:
            try:
                return call()
            except LogUnavailable as error:
                logger.warning("the %s log cannot be reached: %s", self.name, error)
            self._pause(pause_s)
        return call()
