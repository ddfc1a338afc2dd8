"""Today's decisions over the logs, of a running shop or of one at rest: each read once, to where it ended."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from adapters.postgres_log_reader import LogReader
from domain.recorded import Recorded
from domain.service import Service
from domain.services import SERVICES
from orchestrator.redecide import Difference, Redecider

PROGRESS_EVERY_EVENTS: Final = 1_000
MAX_KEPT_DIFFERENCES: Final = 10_000
"""Differences kept of each log; all of them are counted."""

Progress = Callable[[str, int, int], None]
"""Hears what is being read, how far that is, and where it ends."""


@dataclass(frozen=True, slots=True)
class Redecided:
    """One log, decided once more up to a position. `found`: how many commands differ."""

    log: str
    position: int
    commands: int
    found: int
    differences: tuple[Difference, ...]


def redecide(
    dsns: Mapping[str, str], logs: Collection[str], progress: Progress = lambda *_: None
) -> tuple[Redecided, ...]:
    """Reads only. Raises LogUnreadable."""
    wanted = [service for service in SERVICES if service.log in logs]
    return tuple(_redecide(LogReader(dsns[one.log], one.log), one, progress) for one in wanted)


def _redecide(reader: LogReader, service: Service, progress: Progress) -> Redecided:
    redecider = Redecider(service, reader.read_stream)
    until, found = reader.last_position(), 0
    kept: list[Difference] = []
    for difference in _differences(redecider, told(reader, until, progress)):
        found += 1
        if len(kept) < MAX_KEPT_DIFFERENCES:
            kept.append(difference)
    return Redecided(service.log, until, redecider.commands, found, tuple(kept))


def _differences(redecider: Redecider, events: Iterator[Recorded]) -> Iterator[Difference]:
    for recorded in events:
        yield from redecider.see(recorded)
    yield from redecider.end()


def told(reader: LogReader, until: int, progress: Progress) -> Iterator[Recorded]:
    """The events of a log up to a position, and how far that is. Raises LogUnreadable."""
    what = f"{reader.log} log"
    progress(what, 0, until)
    for number, recorded in enumerate(reader.read_all(until=until)):
        if number % PROGRESS_EVERY_EVENTS == 0:
            progress(what, recorded.position, until)
        yield recorded
    progress(what, until, until)
