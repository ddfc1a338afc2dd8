"""The sealer: follows each log and seals what is new, about once a second. The `sealer` role.

Any number of processes may run it: one seals a log at a time, the others look on. It never seals over a seal
that is not the one it left: whoever rewrote seals would have theirs continued otherwise.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Final

from adapters.log_errors import LogUnreadable
from adapters.postgres_seals import LOWEST, SealedLog
from adapters.seal_files import BadSealFile, read_seals, witness_path, write_seals
from adapters.seal_key import SealKeys
from orchestrator.seals import Seal, marks_of, next_seal

LOOK_EVERY_S: Final = 0.8
"""Each look costs a commit for every log that grew. An event waits for its seal that long, then until what
came with it is hashed, which took 0.3 s at most (make bench-seals); promised are 2 s together."""

LEAST_PAUSE_S: Final = 0.1
MAX_EVENTS: Final = 20_000
"""Of one seal: a large log that was never sealed is sealed in pieces, each in bounded memory."""

RETRY_S: Final = 2.0

_log = logging.getLogger(__name__)


class SealsDiffer(Exception):
    """The newest seal in the database is not a successor of the one that was left; the text says which."""


class LogSealer:
    """Seals one log. `data`: the folder in whose `seals` a witness is left. One thread at a time."""

    def __init__(self, dsn: str, log: str, keys: SealKeys, data: Path, clock: Callable[[], datetime]) -> None:
        self.log = log
        self._dsn = dsn
        self._keys = keys
        self._witness = witness_path(data, log)
        self._clock = clock
        self._sealed: SealedLog | None = None
        self._last: Seal | None = None

    def seal(self) -> Seal | None:
        """Seals the next piece, if there is one and nobody else is at it; the newest seal there is.

        Raises LogUnreadable, SealsDiffer, BadSealFile, KeyFileError.
        """
        sealed = self._opened()
        if self._last is not None and sealed.head() <= self._last.covers.last:
            return self._last
        made = None
        with sealed.taken() as is_ours:
            if is_ours:
                before = self._checked(sealed, sealed.last())
                made = self._next(sealed, before)
        if made is not None:
            # After the commit, so that there never is a witness of a seal that was not kept.
            write_seals(self._witness, [made], self._keys.public)
        if is_ours:
            self._last = made or before
        return self._last

    def close(self) -> None:
        if self._sealed is not None:
            self._sealed.__exit__()
            self._sealed = None

    def _next(self, sealed: SealedLog, before: Seal | None) -> Seal | None:
        after = LOWEST if before is None else before.covers.last
        found = list(sealed.leaves(after, sealed.head(), MAX_EVENTS))
        if not found:
            return None
        leaves = [leaf for _, leaf in found]
        last = found[-1][0]
        seal = next_seal(self.log, before, leaves, last, self._clock(), self._keys.key_id, self._keys.sign)
        sealed.append(seal, marks_of(leaves))
        return seal

    def _checked(self, sealed: SealedLog, last: Seal | None) -> Seal | None:
        """What stands in the database follows from what we left there. Raises SealsDiffer, BadSealFile."""
        known = self._last or (read_seals(self._witness).get(self.log) if self._witness.exists() else None)
        if known is None or last == known:
            return last
        standing = sealed.numbered(known.number)
        if standing is not None and standing.digest == known.digest:
            return last
        raise SealsDiffer(
            f"log {self.log}: seal {known.number} is not the one that was left there; nothing is sealed over"
            " it: run `tillroll verify`"
        )

    def _opened(self) -> SealedLog:
        if self._sealed is None:
            self._sealed = SealedLog(self._dsn, self.log)
        return self._sealed


class Sealer:
    """Follows all logs until it is cancelled. `dsns`: by log."""

    def __init__(
        self, dsns: Mapping[str, str], keys: SealKeys, data: Path, clock: Callable[[], datetime]
    ) -> None:
        self._logs = [LogSealer(dsn, log, keys, data, clock) for log, dsn in dsns.items()]
        self._told: dict[str, str] = {}

    async def run(self) -> None:
        with ExitStack() as stack:
            for each in self._logs:
                stack.callback(each.close)
            while True:
                began = time.monotonic()
                pause_s = LEAST_PAUSE_S
                for each in self._logs:
                    pause_s = max(pause_s, await asyncio.to_thread(self._follow, each))
                await asyncio.sleep(max(pause_s, began + LOOK_EVERY_S - time.monotonic()))

    def _follow(self, each: LogSealer) -> float:
        """Seals what is new. Returns how long to wait before the next look."""
        try:
            number = -1
            while (seal := each.seal()) is not None and seal.number != number:
                number = seal.number
        except (LogUnreadable, SealsDiffer, BadSealFile) as error:
            each.close()
            self._tell(each.log, str(error))
            return RETRY_S
        self._tell(each.log, "")
        return 0.0

    def _tell(self, log: str, error: str) -> None:
        """Once, however often it is tried again."""
        if error and error != self._told.get(log):
            _log.error("sealing: %s", error)
        if not error and self._told.get(log):
            _log.info("sealing of log %s goes on", log)
        self._told[log] = error
