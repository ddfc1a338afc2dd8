"""Logs and read models in memory, with everything that can go wrong between a process and its database."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from eventsourcing.popo import POPOApplicationRecorder

from adapters.event_codec import decode
from domain.recorded import Recorded
from orchestrator.log import LogConflict, LogUnavailable, RecorderLog, Since, Stored
from projections.projection import Projection, Rows, Table
from tests.simulation.chance import Chance
from tests.simulation.loop import Killed, Process

Committed = Callable[[str, Sequence[Recorded]], None]


class Disk:
    """What one log really holds: the library's recorder, and the same events as they are read from it.

    `under_way`: commits that nobody heard the end of.
    """

    def __init__(self, name: str, chance: Chance, committed: Committed) -> None:
        self.name = name
        self.recorder = POPOApplicationRecorder()
        self.log = RecorderLog(self.recorder)
        self.under_way: list[tuple[Sequence[Stored], Mapping[str, int]]] = []
        self.is_down = False
        self.events: list[Recorded] = []
        self._chance = chance
        self._committed = committed

    @property
    def head(self) -> int:
        return len(self.events)

    def commit(self, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int]:
        positions = self.log.append(events, expect)
        notes = self.recorder.select_notifications(positions[0], len(positions))
        commit = [decode(note) for note in notes]
        self.events += commit
        self._committed(self.name, commit)
        return positions

    def end_what_is_under_way(self) -> None:
        """Whoever wants the log's lock waits until those who had it have committed, or not."""
        while self.under_way:
            events, expect = self.under_way.pop()
            if self._chance.yes(0.5):
                try:
                    self.commit(events, expect)
                except LogConflict:
                    continue


class SimLog:
    """A log as one process sees it: the port of the ledger, over a connection that can break at any time."""

    def __init__(
        self, disk: Disk, process: Process, chance: Chance, rival: Callable[[Process], None]
    ) -> None:
        self._disk = disk
        self._process = process
        self._chance = chance
        self._rival = rival

    async def try_append(self, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int] | None:
        """Another of the process' callbacks may run before it, and before its answer is heard."""
        try:
            return await asyncio.get_running_loop().run_in_executor(None, self.append, events, expect)
        except (LogConflict, LogUnavailable):
            return None

    def append(self, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int]:
        fault = self._chance.fault("commit")
        if fault == "rival":
            self._rival(self._process)
        self._disk.end_what_is_under_way()
        if fault == "unavailable" or self._disk.is_down:
            raise LogUnavailable("simulated")
        if fault in ("answer-late", "crash-during"):
            self._disk.under_way.append((events, expect))
        elif fault != "crash-before":
            positions = self._disk.commit(events, expect)
        if fault.startswith("crash"):
            self._process.alive = False
            raise Killed
        if fault.startswith("answer"):
            raise LogUnavailable("simulated")
        return positions

    def load(self, since: Since) -> Sequence[Stored]:
        if self._chance.fault("load") or self._disk.is_down:
            raise LogUnavailable("simulated")
        return self._disk.log.load(since)

    def find(self, event: Stored) -> int | None:
        if self._chance.fault("load") or self._disk.is_down:
            raise LogUnavailable("simulated")
        self._disk.end_what_is_under_way()
        return self._disk.log.find(event)

    def changed(self, after: int | None) -> tuple[int, Collection[str]]:
        if self._chance.fault("load") or self._disk.is_down:
            raise LogUnavailable("simulated")
        return self._disk.log.changed(after)


class ReadModelsAway(Exception):
    """The read models cannot be reached, or did not say whether they took a batch."""


class Shelf:
    """What the read models really hold of one projection. `went_back`: its position once became less."""

    def __init__(self, projection: Projection) -> None:
        self.projection = projection
        self.tables: dict[str, dict[int, Rows]] = {table.name: {} for table in projection.tables}
        self.position = 0
        self.went_back = False
        self.owner: Process | None = None


class SimStore:
    """The projection's port, as one process sees it."""

    def __init__(
        self,
        shelf: Shelf,
        disk: Disk,
        process: Process,
        chance: Chance,
        rival: Callable[[Process], None],
    ) -> None:
        self._shelf = shelf
        self._disk = disk
        self._process = process
        self._chance = chance
        self._rival = rival
        self._rows: list[tuple[str, Mapping[int, Rows]]] = []
        self._position: int | None = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._rows, self._position = [], None
        try:
            yield
            self._commit()
        finally:
            if self._shelf.owner is self._process:
                self._shelf.owner = None

    def _commit(self) -> None:
        if not self._rows and self._position is None:
            return
        fault = self._chance.fault("project")
        if fault == "rival":
            self._rival(self._process)
        if fault == "unavailable":
            raise ReadModelsAway
        if fault != "crash-before":
            self._keep()
        if fault.startswith("crash"):
            self._process.alive = False
            raise Killed
        if fault == "answer-lost":
            raise ReadModelsAway

    def _keep(self) -> None:
        for table, after in self._rows:
            standing = self._shelf.tables[table]
            for key, rows in after.items():
                if rows:
                    standing[key] = rows
                else:
                    standing.pop(key, None)
        if self._position is not None:
            self._shelf.went_back |= self._position < self._shelf.position
            self._shelf.position = self._position

    def take_position(self) -> tuple[int, bool]:
        owner = self._shelf.owner
        if owner is not None and owner.alive and owner is not self._process:
            return self._shelf.position, False
        self._shelf.owner = self._process
        return self._shelf.position, True

    def batch_end(self, after: int, until: int, limit: int) -> tuple[int, int]:
        if self._disk.is_down:
            raise ReadModelsAway
        end = min(self._disk.head, until, after + limit)
        return (end, end - after) if end > after else (after, 0)

    def batch_events(self, after: int, end: int) -> Sequence[Recorded]:
        return self._disk.events[after:end]

    def load(self, table: Table, keys: set[int]) -> dict[int, Rows]:
        standing = self._shelf.tables[table.name]
        return {key: standing[key] for key in sorted(keys) if key in standing}

    def replace(self, table: Table, before: Mapping[int, Rows], after: Mapping[int, Rows]) -> None:
        del before
        self._rows.append((table.name, after))

    def save_position(self, position: int) -> None:
        self._position = position
