"""An event loop for many simulated processes in one thread: a virtual clock, and the order that is chosen.

Inside a process callbacks run first come, first served, as asyncio promises. Between processes nothing is
promised, so whoever drives the loop chooses who runs next, and may end or stop a process between any two of
its callbacks. Calls that block (a ledger's batch) are jobs of their process, run when they are chosen.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any


class Killed(BaseException):
    """The process that was running has ended in the middle of a blocking call."""


class Job:
    """A blocking call that waits to be run, and the future that waits for it."""

    __slots__ = ("call", "future")

    def __init__(self, call: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        self.call = call
        self.future = future


class Handle:
    """A callback that waits for its turn: asyncio's own, without what one thread and no debugging need."""

    __slots__ = ("args", "callback", "is_cancelled", "when_s")

    def __init__(self, callback: Callable[..., Any], args: tuple[Any, ...], when_s: float = 0.0) -> None:
        self.callback = callback
        self.args = args
        self.is_cancelled = False
        self.when_s = when_s

    def cancel(self) -> None:
        self.is_cancelled = True

    def cancelled(self) -> bool:
        return self.is_cancelled

    def when(self) -> float:
        return self.when_s


class Process:
    """One life of a simulated process; a restart is a new one.

    `log_delay_s`: virtual seconds its blocking calls have paused since the last one ended.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.doomed = False
        self.stopped_until = 0.0
        self.log_delay_s = 0.0
        self.ready: deque[Handle] = deque()
        self.jobs: deque[Job] = deque()
        self.tasks: dict[asyncio.Task[Any], None] = {}

    @property
    def has_work(self) -> bool:
        return bool(self.ready or self.jobs)

    def __repr__(self) -> str:
        return self.name


class SimLoop(asyncio.AbstractEventLoop):
    """`current`: the process whose callback runs now; whatever that callback schedules is its own."""

    def __init__(self, problem: Callable[[Process, str], None]) -> None:
        self.now = 0.0
        self.outside = Process("outside")
        self.current = self.outside
        self.problem = problem
        self._timers: list[tuple[float, int, Process, Handle]] = []
        self._timer_count = 0

    # what asyncio asks of a loop

    def time(self) -> float:
        return self.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, name=name or "task", context=context)
        process = self.current
        process.tasks[task] = None
        task.add_done_callback(lambda done: process.tasks.pop(done, None))
        return task

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Handle:
        del context
        handle = Handle(callback, args)
        self.current.ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Handle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Handle:
        del context
        handle = Handle(callback, args, when)
        self._push(when, self.current, handle)
        return handle

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        del executor
        future = self.create_future()
        self.current.jobs.append(Job(lambda: func(*args), future))
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A failure that nobody waits for. What a process had not yet looked at when it died is nobody's."""
        message = str(context.get("message"))
        if "never retrieved" not in message and self.current.alive:
            self.problem(self.current, f"{message}: {context.get('exception')!r}")

    # what drives it

    def call_for(self, process: Process, delay: float, callback: Callable[..., Any], *args: Any) -> None:
        """Schedules a callback in another process: a message arrives there, or a timer of the world's."""
        if delay <= 0:
            process.ready.append(Handle(callback, args))
        else:
            self._push(self.now + delay, process, Handle(callback, args, self.now + delay))

    def spawn(self, process: Process, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task in another process."""
        before, self.current = self.current, process
        try:
            return self.create_task(coro)
        finally:
            self.current = before

    def run_callback(self, process: Process) -> None:
        """The oldest callback of a process that has one."""
        handle = process.ready.popleft()
        if not handle.is_cancelled:
            before, self.current = self.current, process
            try:
                handle.callback(*handle.args)
            finally:
                self.current = before

    def run_job(self, process: Process) -> None:
        """The oldest blocking call of a process; its answer comes after the pauses it made."""
        job = process.jobs.popleft()
        before, self.current = self.current, process
        process.log_delay_s = 0.0
        try:
            answer = job.call()
        except Killed:
            return
        except Exception as error:  # noqa: BLE001 - as an executor does
            self.call_for(process, process.log_delay_s, _fail, job.future, error)
        else:
            self.call_for(process, process.log_delay_s, _resolve, job.future, answer)
        finally:
            self.current = before

    def fire_due(self) -> bool:
        """Move the clock to the next timer and make everything due then ready; False when there is none."""
        while self._timers:
            when, _, process, handle = heapq.heappop(self._timers)
            if handle.is_cancelled or not process.alive:
                continue
            self.now = max(self.now, when)
            process.ready.append(handle)
            return True
        return False

    def bury(self, process: Process) -> None:
        """Ends a process as kill -9 does: nothing of it runs any more, whatever it was in the middle of."""
        process.alive = False
        process.ready.clear()
        process.jobs.clear()
        before, self.current = self.current, process
        for task in process.tasks:
            # Python runs the coroutine's `finally` blocks; in a dead process they reach nobody.
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            with suppress(BaseException):
                task.get_coro().close()
        process.tasks.clear()
        process.ready.clear()
        self.current = before

    def _push(self, when: float, process: Process, handle: Handle) -> None:
        self._timer_count += 1
        heapq.heappush(self._timers, (when, self._timer_count, process, handle))


def _resolve(future: asyncio.Future[Any], answer: Any) -> None:
    if not future.done():
        future.set_result(answer)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
