"""The pieces of an audit, done by several processes at once where the logs are long enough for it to pay."""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import contextmanager
from functools import partial
from multiprocessing.shared_memory import SharedMemory
from struct import Struct
from typing import Final, Protocol

from adapters.audit_events import Hear
from adapters.audit_walk import Walked
from adapters.worker_pool import Progress, workers

ALONE_EVENTS: Final = 20_000
"""Up to so many events are read here: processes take a second until they have started."""

LOOK_EVERY_S: Final = 0.2

_POSITION: Final = Struct("q")


class Task(Protocol):
    """A piece of work on one log, from the position `after` to `until`; it can be sent to another process."""

    @property
    def name(self) -> str: ...
    @property
    def after(self) -> int: ...
    @property
    def until(self) -> int: ...

    def run(self, hear: Hear) -> Walked: ...


def run_all(tasks: Sequence[Task], progress: Progress) -> list[Walked]:
    """In the order of the tasks. Raises what a task raises, as soon as it does; BrokenProcessPool."""
    lengths = [task.until - task.after for task in tasks]
    if sum(lengths) <= ALONE_EVENTS:
        return [task.run(_telling(task, progress)) for task in tasks]
    longest_first = sorted(range(len(tasks)), key=lengths.__getitem__, reverse=True)
    with _board(len(tasks)) as board, workers() as pool:
        futures = {place: pool.submit(_run, tasks[place], board.name, place) for place in longest_first}
        while _are_going_on(list(futures.values())):
            _tell(board, tasks, progress)
        walked = [futures[place].result() for place in range(len(tasks))]
        _tell(board, tasks, progress)
    return walked


def _run(task: Task, board: str, place: int) -> Walked:
    """In a process that works for this one."""
    memory = SharedMemory(board)
    try:
        hear = partial(_POSITION.pack_into, _places(memory), place * _POSITION.size)
        return task.run(hear)
    finally:
        memory.close()


@contextmanager
def _board(places: int) -> Iterator[SharedMemory]:
    """Where each task notes how far it is, and this process looks."""
    memory = SharedMemory(create=True, size=places * _POSITION.size)
    try:
        yield memory
    finally:
        memory.close()
        memory.unlink()


def _places(memory: SharedMemory) -> memoryview:
    assert memory.buf is not None, "it is open"
    return memory.buf


def _tell(memory: SharedMemory, tasks: Sequence[Task], progress: Progress) -> None:
    for place, task in enumerate(tasks):
        (position,) = _POSITION.unpack_from(_places(memory), place * _POSITION.size)
        progress(task.name, max(position - task.after, 0), task.until - task.after)


def _telling(task: Task, progress: Progress) -> Hear:
    return lambda position: progress(task.name, max(position - task.after, 0), task.until - task.after)


def _are_going_on(futures: Sequence[Future[Walked]]) -> bool:
    """Waits a little. False once all have ended, or one has failed."""
    done, going_on = wait(futures, LOOK_EVERY_S, FIRST_EXCEPTION)
    return bool(going_on) and not any(future.exception() for future in done)
