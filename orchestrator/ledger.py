"""The ledger: many callers, one commit.

Callers hand it commands. It drains what waits, bounded, and gives it to its bookkeeper as one batch:
1 when one command waits, so nothing is delayed, and hundreds under load, with one commit for all.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

from domain.recorded import Cause, Recorded
from domain.refusals import Overloaded, Unavailable
from domain.service import Service, States
from orchestrator.bookkeeper import Answer, Bookkeeper, Codec, Done, Request
from orchestrator.log import Log
from orchestrator.patient_log import PatientLog

logger = logging.getLogger(__name__)

MAX_BATCH: Final = 1_000
"""Commands in one commit."""

MAX_WAITING: Final = 10_000
"""Commands in the queue before new ones are refused at once."""

CLOSE_TIMEOUT_S: Final = 10.0
"""How long closing waits for those who wait."""


class LedgerBroken(RuntimeError):
    """A bug stopped this batch; the log says what of it was recorded."""


_Waiting = tuple[Request, asyncio.Future[Any]]


class Ledger:
    """One service's ledger in one process. Several processes may have one over the same log.

    `listeners` are told every event that this ledger records, in order, before its caller is answered.
    `writer` is added to the id of every command: two ledgers that decide the same command at the same
    moment must not take each other's event for their own when the answer to a COMMIT was lost. It is made
    up unless given. `pause` waits so many seconds while the log is away.
    """

    def __init__(
        self,
        service: Service,
        log: Log,
        codec: Codec,
        *,
        max_waiting: int = MAX_WAITING,
        writer: str = "",
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.service = service
        self.writer = writer or secrets.token_hex(3)
        self.listeners: list[Callable[[Sequence[Recorded]], None]] = []
        self.commits = 0
        self.commands = 0
        self._books = Bookkeeper(service, PatientLog(log, service.log, pause), codec)
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(max_waiting)
        self._thread: Executor = ThreadPoolExecutor(1, thread_name_prefix=f"ledger-{service.log}")
        self._worker: asyncio.Task[None] | None = None
        self._closing = False

    async def submit(self, command: Any, cause: Cause) -> Done:
        """Decides and records one command. Raises Refusal: Overloaded, Unavailable if it cannot be taken."""
        assert type(command) in self.service.rules, f"{self.service.log} has no rule for {type(command)}"
        own = Cause(f"{cause.command_id}~{self.writer}", cause.caller, cause.correlation, cause.at)
        done: Done = await self._put(Request(command, own))
        return done

    async def read(self, *streams: str) -> States:
        """Folded states, as fresh as the log. Raises Overloaded, Unavailable."""
        states: States = await self._put(Request(streams=streams))
        return states

    def peek(self, stream: str) -> Any | None:
        """The state as this process last saw it, or None. Only for what a commit checks afterwards."""
        return self._books.peek(stream)

    async def close(self) -> None:
        """Answers everybody who waits, bounded in time, and takes nobody new."""
        worker, self._worker, self._closing = self._worker, None, True
        if worker is not None:
            last = asyncio.get_running_loop().create_future()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._queue.put((Request(), last))
                    await last
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
        while not self._queue.empty():
            _tell([self._queue.get_nowait()], [Unavailable()])
        self._thread.shutdown(wait=False)

    async def _put(self, request: Request) -> Any:
        if self._closing:
            raise Unavailable
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name=f"ledger-{self.service.log}")
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait((request, answer))
        except asyncio.QueueFull:
            raise Overloaded from None
        return await answer

    async def _work(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < MAX_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            try:
                await self._settle(batch)
            except asyncio.CancelledError:
                _tell(batch, [Unavailable() for _ in batch])
                raise
            except Exception:
                logger.exception("the %s ledger could not handle a batch", self.service.log)
                _tell(batch, [LedgerBroken() for _ in batch])

    async def _settle(self, batch: Sequence[_Waiting]) -> None:
        requests = [request for request, _ in batch]
        loop = asyncio.get_running_loop()
        settled = await loop.run_in_executor(self._thread, self._books.settle, requests)
        self.commands += len(batch)
        if settled.recorded:
            self.commits += 1
            for listener in self.listeners:
                listener(settled.recorded)
        _tell(batch, settled.answers)


def _tell(batch: Sequence[_Waiting], answers: Sequence[Answer]) -> None:
    for (_, waiting), answer in zip(batch, answers, strict=True):
        if waiting.done():
            continue
        if isinstance(answer, Exception):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)


__all__ = ["Codec", "Done", "Ledger", "LedgerBroken"]
