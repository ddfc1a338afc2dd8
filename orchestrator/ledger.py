"""The ledger: many callers, one commit.

Callers hand it commands. It drains what waits, loads the streams it does not know in one query, decides
each command in turn, appends all events in one transaction, and only then replaces its cached states
and answers. Cached states are only ever a guess: what a batch writes is checked by the primary key,
what it only reads is checked in the same commit, and a wrong guess is dropped and decided again.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from eventsourcing.persistence import StoredEvent

from domain.recorded import Cause, Recorded
from domain.refusals import Overloaded, Unavailable
from domain.service import Service, States, Written
from orchestrator.batch import Batch, Decided, Versioned
from orchestrator.log import Log, LogConflict, LogUnavailable
from orchestrator.patient_log import PatientLog

logger = logging.getLogger(__name__)

MAX_BATCH: Final = 1_000
"""Commands in one commit."""

MAX_WAITING: Final = 10_000
"""Commands in the queue before new ones are refused at once."""

MAX_STATES: Final = 50_000
"""Folded states kept in memory; the least recently written go first."""

MAX_CONFLICTS: Final = 20
"""Decisions of one batch before its callers are told that the log is too busy."""


CLOSE_TIMEOUT_S: Final = 10.0
"""How long closing waits for those who wait."""


class LedgerBroken(RuntimeError):
    """A bug stopped this batch; its commands were not recorded, and the log says what was."""


@dataclass(frozen=True, slots=True)
class Codec:
    """How a recorded event becomes the library's stored event, and back."""

    encode: Callable[[Recorded], StoredEvent]
    decode: Callable[[StoredEvent], Recorded]


@dataclass(frozen=True, slots=True)
class Done:
    """What a command did. `states`: every stream it read, after it. `position`: of its last event.

    `position` is None when nothing was recorded, because it had been done before.
    """

    written: Written
    states: States
    position: int | None


@dataclass(slots=True)
class _Waiting:
    """One caller: a command with its cause, or streams to read when `command` is None."""

    command: Any
    cause: Cause | None
    streams: tuple[str, ...]
    answer: asyncio.Future[Any]


class Ledger:
    """One service's ledger in one process. Several processes may have one over the same log."""

    def __init__(self, service: Service, log: Log, codec: Codec, *, max_waiting: int = MAX_WAITING) -> None:
        self.service = service
        self.listeners: list[Callable[[Sequence[Recorded]], None]] = []
        self._log = PatientLog(log, service.log)
        self._codec = codec
        self._known: OrderedDict[str, Versioned] = OrderedDict()
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(max_waiting)
        self._worker: asyncio.Task[None] | None = None
        self._closing = False
        self.commits = 0
        self.commands = 0

    # callers

    async def submit(self, command: Any, cause: Cause) -> Done:
        """Decides and records one command. Raises Refusal: Overloaded, Unavailable if it cannot be taken."""
        assert type(command) in self.service.rules, f"{self.service.log} has no rule for {type(command)}"
        done: Done = await self._put(_Waiting(command, cause, (), _future()))
        return done

    async def read(self, *streams: str) -> States:
        """Folded states, as fresh as the log."""
        states: States = await self._put(_Waiting(None, None, streams, _future()))
        return states

    def peek(self, stream: str) -> Any | None:
        """The state as this process last saw it, or None. Only for what a commit checks afterwards."""
        known = self._known.get(stream)
        return None if known is None else known.state

    async def _put(self, waiting: _Waiting) -> Any:
        if self._closing:
            raise Unavailable
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name=f"ledger-{self.service.log}")
        try:
            self._queue.put_nowait(waiting)
        except asyncio.QueueFull:
            raise Overloaded from None
        return await waiting.answer

    async def close(self) -> None:
        """Answers everybody who waits, bounded in time, and takes nobody new."""
        self._closing = True
        if self._worker is not None:
            last = _Waiting(None, None, (), _future())
            await self._queue.put(last)
            await asyncio.wait({last.answer}, timeout=CLOSE_TIMEOUT_S)
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        self._log.close()

    # the loop

    async def _work(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < MAX_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            try:
                await self._handle(batch)
            except asyncio.CancelledError:
                _refuse(batch, Unavailable)
                raise
            except Exception:
                logger.exception("the %s ledger could not handle a batch", self.service.log)
                _refuse(batch, LedgerBroken)

    async def _handle(self, batch: Sequence[_Waiting]) -> None:
        """Decides until a commit holds. Every way out answers every caller."""
        for _ in range(MAX_CONFLICTS):
            try:
                decided, work = await self._decide(batch)
                positions = await self._commit(work)
            except LogConflict:
                continue
            except LogUnavailable as error:
                logger.warning("the %s log cannot be reached: %s", self.service.log, error)
                _refuse(batch, Unavailable)
                return
            self._settle(batch, decided, work, positions)
            return
        logger.warning("the %s ledger gave up after %d conflicts", self.service.log, MAX_CONFLICTS)
        _refuse(batch, Unavailable)

    async def _decide(self, batch: Sequence[_Waiting]) -> tuple[list[Decided | None], Batch]:
        rules = self.service.rules
        commands = [waiting.command for waiting in batch if waiting.command is not None]
        reads = [name for waiting in batch for name in waiting.streams]
        first = [name for command in commands for name in rules[type(command)].reads(command)]
        await self._load(first, fresh=reads)
        await self._load(
            name
            for command in commands
            for name in rules[type(command)].reads_then(command, _StatesOf(self._known))
        )
        work = Batch(self.service, self._known)
        return [_attempt(work, waiting) for waiting in batch], work

    async def _load(self, names: Iterable[str], fresh: Iterable[str] = ()) -> None:
        """Brings streams into memory: those not known, and of the `fresh` ones what is new in the log."""
        since = {name: 0 for name in names if name not in self._known}
        for name in fresh:
            known = self._known.get(name)
            since[name] = 0 if known is None else known.version
        if since:
            await self._catch_up(since)

    async def _catch_up(self, since: Mapping[str, int]) -> bool:
        """Folds what the log has after the given versions; says whether there was anything."""
        news = await self._log.load(since)
        for name in since:
            if name not in self._known:
                self._known[name] = Versioned(0, self.service.initial(name))
        for stored in news:
            self._fold(self._codec.decode(stored))
        return bool(news)

    def _fold(self, recorded: Recorded) -> None:
        stream = recorded.originator_id
        known = self._known[stream]
        if recorded.originator_version == known.version + 1:
            state = self.service.evolve(stream, known.state, recorded.event)
            self._known[stream] = Versioned(recorded.originator_version, state)

    # the commit

    async def _commit(self, work: Batch) -> Sequence[int]:
        """Positions of the batch's events. Raises LogConflict when a state it was based on is outdated."""
        expect = work.only_read()
        if not work.recorded:
            if expect and await self._catch_up(expect):
                raise LogConflict
            return ()
        stored = [self._codec.encode(recorded) for recorded in work.recorded]
        try:
            return await self._log.append(stored, expect)
        except (LogConflict, LogUnavailable):
            self._forget((*work.after, *expect))
            raise

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            self._known.pop(name, None)

    def _settle(
        self,
        batch: Sequence[_Waiting],
        decided: Sequence[Decided | None],
        work: Batch,
        positions: Sequence[int],
    ) -> None:
        """After the commit: the cache first, then the listeners, then the callers."""
        for name, after in work.after.items():
            self._known[name] = after
            self._known.move_to_end(name)
        self.commits += bool(positions)
        self.commands += len(batch)
        if positions:
            placed = zip(work.recorded, positions, strict=True)
            recorded = [replace(event, position=position) for event, position in placed]
            for listener in self.listeners:
                listener(recorded)
        for waiting, outcome in zip(batch, decided, strict=True):
            self._answer(waiting, outcome, positions)
        self._trim()

    def _answer(self, waiting: _Waiting, outcome: Decided | None, positions: Sequence[int]) -> None:
        if waiting.answer.done():
            return
        if outcome is None:
            known = self._known
            waiting.answer.set_result({name: known[name].state for name in waiting.streams})
        elif outcome.refusal is not None:
            waiting.answer.set_exception(outcome.refusal)
        else:
            written = outcome.written
            last = positions[outcome.first + len(written) - 1] if written else None
            waiting.answer.set_result(Done(written, outcome.states, last))

    def _trim(self) -> None:
        while len(self._known) > MAX_STATES:
            self._known.popitem(last=False)


class _StatesOf(Mapping[str, Any]):
    """States without their versions, looked up only where a rule asks."""

    def __init__(self, known: Mapping[str, Versioned]) -> None:
        self._known = known

    def __getitem__(self, name: str) -> Any:
        return self._known[name].state

    def __iter__(self) -> Any:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


def _attempt(work: Batch, waiting: _Waiting) -> Decided | None:
    """A bug in deciding one command is that caller's alone."""
    if waiting.cause is None:
        return None
    try:
        return work.decide(waiting.command, waiting.cause)
    except Exception as error:
        logger.exception("could not decide %s", type(waiting.command).__name__)
        return Decided(refusal=error)


def _refuse(batch: Iterable[_Waiting], why: Callable[[], Exception]) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(why())
