"""The ledger: many callers, one commit.

Callers hand it commands. It drains what waits, bounded, and gives it to its bookkeeper as one batch:
1 when one command waits, so nothing is delayed, and hundreds under load, with one commit for all.
"""

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, NamedTuple, cast

from domain.recorded import Cause, Recorded, made
from domain.refusals import Overloaded, Unavailable
from domain.service import Service, States
from orchestrator.bookkeeper import Answer, Bookkeeper, Codec, Done, Request
from orchestrator.log import Log, LogUnavailable
from orchestrator.patient_log import PatientLog

logger = logging.getLogger(__name__)

MAX_BATCH: Final = 500
"""Commands in one commit. Were a thousand callers all in one, the loop would have nothing to do meanwhile."""

MAX_STREAMS: Final = 5_000
"""Streams that the commands of one commit read. An order of 2,000 lines is as much work as a thousand small
ones, and whoever waits behind fifty of them must not wait for all."""

MAX_WAITING: Final = 10_000
"""Commands in the queue before new ones are refused at once."""

CLOSE_TIMEOUT_S: Final = 10.0
"""How long closing waits for those who wait."""


class LedgerBroken(RuntimeError):
    """A bug stopped this batch; the log says what of it was recorded."""


class _Waiting(NamedTuple):
    """What one caller wants done together, and where its answers go."""

    requests: Sequence[Request]
    answers: asyncio.Future[Sequence[Answer]]


class Ledger:
    """One service's ledger in one process. Several processes may have one over the same log.

    `listeners` are told every event that this ledger records, in order, before its caller is answered.
    `writer` is added to the id of every command: two ledgers that decide the same command at the same
    moment must not take each other's event for their own when the answer to a COMMIT was lost. It is made
    up unless given. `after_commit` is called once for every batch that recorded something. `pause` waits so
    many seconds while the log is away.
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
        self._queue: deque[_Waiting] = deque()
        self._waiting = 0
        self._some_wait = asyncio.Event()
        self._thread: Executor = ThreadPoolExecutor(1, thread_name_prefix=f"ledger-{service.log}")
        self._worker: asyncio.Task[None] | None = None
        self._closing = False

    async def submit(self, command: Any, cause: Cause) -> Done:
        """Decides and records one command. Raises Refusal: Overloaded, Unavailable if it cannot be taken."""
        (answer,) = await self._put((self._request(command, cause),))
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Done)
        return answer

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
            self._append(_Waiting((Request(),), last))
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await last
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
        _fail(self._queue, Unavailable)
        self._queue.clear()
        self._thread.shutdown(wait=False)

    def _request(self, command: Any, cause: Cause) -> Request:
        rule = self.service.rules.get(type(command))
        assert rule is not None, f"{self.service.log} has no rule for {type(command)}"
        command_id, caller, correlation, at = cause
        own = made(Cause, (f"{command_id}~{self.writer}", caller, correlation, at))
        return made(Request, (command, own, (), rule.reads(command)))

    async def _put(self, requests: Sequence[Request]) -> Sequence[Answer]:
        if self._closing:
            raise Unavailable
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name=f"ledger-{self.service.log}")
        if self._waiting >= self._max_waiting:
            raise Overloaded
        answers: asyncio.Future[Sequence[Answer]] = asyncio.get_running_loop().create_future()
        self._append(_Waiting(requests, answers))
        return await answers

    def _append(self, waiting: _Waiting) -> None:
        self._queue.append(waiting)
        self._waiting += len(waiting.requests)
        self._some_wait.set()

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        count = streams = 0
        while self._queue and count < MAX_BATCH and streams < MAX_STREAMS:
            batch.append(self._queue.popleft())
            for request in batch[-1].requests:
                streams += len(request.reads)
            count += len(batch[-1].requests)
        self._waiting -= count
        if not self._queue:
            self._some_wait.clear()
        return batch

    async def _work(self) -> None:
        while True:
            await self._some_wait.wait()
            batch = self._next_batch()
            try:
                await self._settle(batch)
            except asyncio.CancelledError:
                _fail(batch, Unavailable)
                raise
            except Exception:
                logger.exception("the %s ledger could not handle a batch", self.service.log)
                _fail(batch, LedgerBroken)

    async def _settle(self, batch: Sequence[_Waiting]) -> None:
        requests = [request for waiting in batch for request in waiting.requests]
        draft = self._books.draft(requests)
        committed = None if draft is None else await self._books.try_commit(draft)
        if committed is None:
            loop = asyncio.get_running_loop()
            committed = await loop.run_in_executor(self._thread, self._books.commit, requests, draft)
        answers = iter(self._books.answers(requests, committed))
        self.commands += len(requests)
        if committed.positions:
            self.commits += 1
            if self._after_commit is not None:
                self._after_commit()
            recorded = committed.recorded() if self.listeners else ()
            for listener in self.listeners:
                listener(recorded)
        for waiting in batch:
            its_own = [next(answers) for _ in waiting.requests]
            if not waiting.answers.done():
                waiting.answers.set_result(its_own)


def _fail(batch: Iterable[_Waiting], error: type[Exception]) -> None:
    for waiting in batch:
        if not waiting.answers.done():
            waiting.answers.set_exception(error())


__all__ = ["Codec", "Done", "Ledger", "LedgerBroken"]
