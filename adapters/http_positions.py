"""Reading what was written: `Tillroll-Position` on writes, `Tillroll-After` on reads.

A position is `<log>=<n>`, several separated by commas. A read that asks for one waits until the read
models are that far. Besides, a user's reads wait for what that user wrote a moment ago through this
process, without being asked to; that is a courtesy, so it never makes a read fail.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from adapters.http_errors import BadHeader, Behind
from adapters.http_fields import AFTER
from adapters.http_parts import Queries
from domain.services import SERVICES

WAIT_S: Final = 2.0
FRESH_S: Final = 10.0
"""How long after a write its writer's reads wait for it, in seconds."""

MAX_WRITERS: Final = 10_000

POSITION_HEADER: Final = "Tillroll-Position"
AFTER_HEADER: Final = "Tillroll-After"

LOGS: Final = frozenset(service.log for service in SERVICES)

_AFTER = re.compile(AFTER)


@dataclass(slots=True)
class _Writes:
    positions: dict[str, int]
    at: float


class Positions:
    """Who wrote what last through this process, and how far the read models were when last asked."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._writers: OrderedDict[int, _Writes] = OrderedDict()
        self._written: dict[str, int] = {}
        self._reached: dict[str, int] = {}

    def wrote(self, user_id: int, log: str, position: int) -> None:
        self._written[log] = max(position, self._written.get(log, 0))
        writes = self._writers.pop(user_id, None) or _Writes({}, 0.0)
        writes.positions[log] = max(position, writes.positions.get(log, 0))
        writes.at = time.monotonic()
        self._writers[user_id] = writes
        if len(self._writers) > MAX_WRITERS:
            self._writers.popitem(last=False)

    async def of_repeat(self, log: str) -> int:
        """A position for a write that recorded nothing, because it had been done before.

        Not before its effect when this process recorded that, or when the read models show it.
        """
        projections = await self._queries.positions()
        projected = [each["position"] for each in projections if each["log"] == log]
        best: int = max([self._written.get(log, 0), *projected])
        return best

    async def see_at_least(self, after: Mapping[str, int]) -> None:
        """Waits for the read models, 2 s at most. Raises Behind."""
        if not await self._reach(after):
            raise Behind

    async def see_own(self, user_id: int) -> None:
        """Waits for what the user wrote in the last 10 s; goes on without it after 2 s."""
        writes = self._writers.get(user_id)
        if writes is None:
            return
        written_at = writes.at
        is_over = time.monotonic() - written_at >= FRESH_S
        # A newer write while this one waited has its own wait to be had.
        if (is_over or await self._reach(dict(writes.positions))) and writes.at == written_at:
            self._writers.pop(user_id, None)

    async def _reach(self, wanted: Mapping[str, int]) -> bool:
        left = {log: n for log, n in wanted.items() if n > self._reached.get(log, 0)}
        if not left:
            return True
        if not await self._queries.wait_for(left, WAIT_S):
            return False
        for log, n in left.items():
            self._reached[log] = max(n, self._reached.get(log, 0))
        return True


def parse_after(text: str) -> dict[str, int]:
    """`<log>=<n>[,<log>=<n>]`. Raises BadHeader."""
    if not _AFTER.fullmatch(text):
        logs = ", ".join(sorted(LOGS))
        raise BadHeader(header=AFTER_HEADER, expected=f"<log>=<n>[,<log>=<n>] with log one of {logs}")
    after: dict[str, int] = {}
    for part in text.split(","):
        log, _, position = part.strip().partition("=")
        after[log] = max(int(position), after.get(log, 0))
    return after
