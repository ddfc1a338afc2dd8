"""The ledger: many callers, one commit.

Callers hand it commands. It drains what waits, bounded, and gives it to its bookkeeper as one batch:
1 when one command waits, so nothing is delayed, and hundreds under load, with one commit for all.

While many wait, a commit keeps nobody waiting but who is in it: meanwhile the callers of the batch before are
told, and the batch after is decided. That never rests on what is not in the log yet: a batch that would read
what is being written is left in the queue.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, cast

from domain.recorded import Cause, Recorded, made
from domain.refusals import Overloaded, Unavailable
from domain.service import Service, States
from orchestrator.batch import Committed, Draft
from orchestrator.bookkeeper import Answer, Bookkeeper, Codec, Done, Request
from orchestrator.ledger_queue import Answers, Caller, Queue, Taken
from orchestrator.log import Log, LogUnavailable
from orchestrator.patient_log import PatientLog

logger = logging.getLogger(__name__)

MAX_WAITING: Final = 10_000
"""Commands in the queue before new ones are refused at once."""

MANY: Final = 100
"""Commands in the queue from which on the next batch is decided during a commit. Fewer are left to gather: a
commit of few costs nearly what one of many does."""

CLOSE_TIMEOUT_S: Final = 10.0
"""How long closing waits for those who wait."""


class LedgerBroken(RuntimeError):
    """A bug stopped this batch; the log says what of it was recorded."""


class Ledger:
    """One service's ledger in one process. Several processes may have one over the same log.

    `listeners` are told every event that this ledger records, in order, before its caller is answered.
    `writer` is added to the id of every command: two ledgers that decide the same command at the same
    moment must not take each other's event for their own when the answer to a COMMIT was lost. It is made
    up unless given. `after_commit` is called once for every batch that recorded something. `pause` waits so
    many seconds while the log is away. `many`: see MANY.
    """

    def __init__(
        self,
        service: Service,
        log: Log,
        codec: Codec,
        *,
        max_waiting: int = MAX_WAITING,
        writer: str = "",
        after_commit: Callable[[], None] | None = None,
        pause: Callable[[float], None] = time.sleep,
        many: int = MANY,
    ) -> None:
        self.service = service
        self.writer = writer or secrets.token_hex(3)
        self.listeners: list[Callable[[Sequence[Recorded]], None]] = []
        self.commits = 0
        self.commands = 0
        self._log = PatientLog(log, service.log, pause)
        self._books = Bookkeeper(service, self._log, codec)
        self._max_waiting = max_waiting
        self._after_commit = after_commit
        self._many = many
        self._queue = Queue()
        self._thread: Executor = ThreadPoolExecutor(1, thread_name_prefix=f"ledger-{service.log}")
        self._worker: asyncio.Task[None] | None = None
        self._untold: Taken | None = None
        self._ahead: Taken | None = None
        self._closing = False

    async def submit(self, command: Any, cause: Cause) -> Done:
        """Decides and records one command. Raises Refusal: Overloaded, Unavailable if it cannot be taken."""
        (answer,) = await self._put((self._request(command, cause),))
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Done)
        return answer

    def begin(self, command: Any, cause: Cause, answers: Answers) -> None:
        """The same for who does not wait for it here: `answers` is told. Raises Overloaded, Unavailable."""
        self._enter((self._request(command, cause),), answers)

    async def submit_all(self, commands: Iterable[tuple[Any, Cause]]) -> Sequence[Done | Exception]:
        """The same of many, each for itself: what it did, or why not. Raises Overloaded, Unavailable for all.

        Most of what one command costs alone is its way into the queue and back.
        """
        requests = [self._request(command, cause) for command, cause in commands]
        return cast(Sequence[Done | Exception], await self._put(requests) if requests else ())

    async def read(self, *streams: str) -> States:
        """Folded states, as fresh as the log. Raises Overloaded, Unavailable."""
        (answer,) = await self._put((Request(streams=streams),))
        if isinstance(answer, Exception):
            raise answer
        assert not isinstance(answer, Done)
        return answer

    async def changed(self, after: int | None) -> tuple[int, Collection[str]]:
        """The last position, and the streams with events after the given one; None for the last one alone.

        Raises Unavailable.
        """
        if self._closing:
            raise Unavailable
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._log.changed, after)
        except LogUnavailable as error:
            raise Unavailable from error

    def peek(self, stream: str) -> Any | None:
        """The state as this process last saw it, or None. Only for what a commit checks afterwards."""
        return self._books.peek(stream)

    async def close(self) -> None:
        """Answers everybody who waits, bounded in time, and takes nobody new."""
        worker, self._worker, self._closing = self._worker, None, True
        if worker is not None:
            last: asyncio.Future[Sequence[Answer]] = asyncio.get_running_loop().create_future()
            self._queue.put(Caller((Request(),), last))
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await last
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
        self._queue.fail(Unavailable)
        self._thread.shutdown(wait=False)

    def _request(self, command: Any, cause: Cause) -> Request:
        rule = self.service.rules.get(type(command))
        assert rule is not None, f"{self.service.log} has no rule for {type(command)}"
        command_id, caller, correlation, at = cause
        own = made(Cause, (f"{command_id}~{self.writer}", caller, correlation, at))
        return made(Request, (command, own, rule, rule.reads(command), ()))

    async def _put(self, requests: Sequence[Request]) -> Sequence[Answer]:
        answers: asyncio.Future[Sequence[Answer]] = asyncio.get_running_loop().create_future()
        self._enter(requests, answers)
        return await answers

    def _enter(self, requests: Sequence[Request], answers: Answers) -> None:
        if self._closing:
            raise Unavailable
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name=f"ledger-{self.service.log}")
        if self._queue.waiting >= self._max_waiting:
            raise Overloaded
        self._queue.put(Caller(requests, answers))

    # batch after batch

    async def _work(self) -> None:
        """Three of them may be in hand: the one before, whose callers are not told yet, the one that is being
        committed, and the one ahead."""
        batch: Taken | None = None
        try:
            while True:
                if self._ahead is None and self._queue.waiting < self._many:
                    self._tell()
                if self._ahead is None:
                    await self._queue.wait()
                batch, self._ahead = self._ahead or self._queue.take(), None
                await self._settle(batch)
        except asyncio.CancelledError:
            for left in (self._untold, batch, self._ahead):
                if left is not None:
                    left.fail(Unavailable)
            raise

    async def _settle(self, batch: Taken) -> None:
        try:
            batch.committed = await self._committed(batch)
        except Exception:
            logger.exception("the %s ledger could not handle a batch", self.service.log)
            batch.fail(LedgerBroken)
        else:
            self._books.remember(batch.committed)
            self._untold = batch

    async def _committed(self, batch: Taken) -> Committed:
        draft = batch.draft or self._books.draft(batch.requests)
        committed = None if draft is None else await self._tried(draft)
        if committed is None:
            # The thread may forget what the answers need.
            self._tell()
            loop = asyncio.get_running_loop()
            committed = await loop.run_in_executor(self._thread, self._books.commit, batch.requests, draft)
        return committed

    async def _tried(self, draft: Draft) -> Committed | None:
        """None when the log is not known to have taken it. Once it is on its way, there is time."""
        if self._untold is None:
            return await self._books.try_commit(draft)
        commit = asyncio.create_task(self._books.try_commit(draft))
        try:
            await asyncio.sleep(0)
            self._tell()
            self._ahead = self._decided_ahead(draft)
            return await commit
        finally:
            commit.cancel()

    def _decided_ahead(self, under_way: Draft) -> Taken | None:
        if self._queue.waiting < self._many:
            return None
        batch = self._queue.take()
        # Whatever a bug does here it does again when it is this batch's turn, and is told there.
        with suppress(Exception):
            batch.draft = self._books.draft(batch.requests, under_way)
        if batch.draft is None:
            self._queue.put_back(batch)
            return None
        return batch

    def _tell(self) -> None:
        """Listeners and callers of what was committed last, unless they have been told."""
        batch, self._untold = self._untold, None
        if batch is None or batch.committed is None:
            return
        try:
            answers = iter(self._books.answers(batch.requests, batch.committed))
            self._count(batch.requests, batch.committed)
            batch.answer(answers)
        except Exception:
            logger.exception("the %s ledger could not tell what it recorded", self.service.log)
            batch.fail(LedgerBroken)

    def _count(self, requests: Sequence[Request], committed: Committed) -> None:
        self.commands += len(requests)
        if not committed.positions:
            return
        self.commits += 1
        if self._after_commit is not None:
            self._after_commit()
        recorded = committed.recorded() if self.listeners else ()
        for listener in self.listeners:
            listener(recorded)


__all__ = ["Codec", "Done", "Ledger", "LedgerBroken"]
