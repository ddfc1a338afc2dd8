"""All projections built at once, one process each, as many at a time as the machine has cores."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Final

import psycopg

from adapters.postgres_read_schema import session
from adapters.read_build import CannotBuild, Task, build, work_for
from adapters.read_sets import positions_of

MAX_WORKERS: Final = 4
"""Each has its batch and its rows in memory: 120 MB at most."""

LOOK_EVERY_S: Final = 0.2

Progress = Callable[[str, int, int], None]
"""Hears what is being done, how far that is, and where it ends."""


def build_all(tasks: Sequence[Task], progress: Progress) -> None:
    """Builds the longest first. Raises CannotBuild, psycopg.Error."""
    waiting = sorted(tasks, key=lambda task: task.until, reverse=True)
    with workers() as pool:
        futures = [pool.submit(build, task) for task in waiting]
        with psycopg.connect(session(tasks[0].read_dsn), autocommit=True) as connection:
            while _are_going_on(futures):
                _tell(positions_of(connection, tasks[0].schema), tasks, progress)
        try:
            for future in futures:
                future.result()
        except BrokenProcessPool as error:
            raise CannotBuild(
                "a process that was building has been killed; is there enough memory?"
            ) from error
        _tell({task.projection: task.until for task in tasks}, tasks, progress)


@contextmanager
def workers() -> Iterator[ProcessPoolExecutor]:
    """Processes of their own, not forks: those would share our connections and threads."""
    count = min(MAX_WORKERS, len(os.sched_getaffinity(0)))
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=work_for, initargs=(os.getpid(),))
    try:
        yield pool
    except BaseException:
        _kill_workers()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _kill_workers() -> None:
    """One has failed, or nobody waits any more: what the others do is of no use."""
    for process in multiprocessing.active_children():
        process.kill()


def _are_going_on(futures: Sequence[Future[None]]) -> bool:
    """Waits a little. False once all have ended, or one has failed."""
    done, going_on = wait(futures, LOOK_EVERY_S, FIRST_EXCEPTION)
    return bool(going_on) and not any(future.exception() for future in done)


def _tell(positions: Mapping[str, int], tasks: Sequence[Task], progress: Progress) -> None:
    for task in tasks:
        progress(task.projection, positions.get(task.projection, 0), task.until)
