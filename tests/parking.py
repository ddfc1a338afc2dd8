"""What a consumer needs besides a broker, in memory: a parking lot, and an intake over a handler."""

from collections import Counter
from dataclasses import dataclass, field

from adapters.ids import utc_now
from adapters.wire_codec import decode
from orchestrator.intake import Handler, Intake, Parked


@dataclass
class MemoryParking:
    """Keeps what is parked, and counts what became of every message."""

    parked: list[Parked] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)

    async def park(self, parked: Parked) -> None:
        self.parked.append(parked)

    def intake(self, handler: Handler) -> Intake:
        return Intake(decode=decode, handler=handler, parking=self, clock=utc_now, count=self._count)

    def _count(self, outcome: str) -> None:
        self.counted[outcome] += 1
