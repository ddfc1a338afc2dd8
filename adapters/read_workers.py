"""All projections built at once, one process each, as many at a time as the machine has cores."""

from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Final

import psycopg

from adapters.postgres_read_schema import session
from adapters.read_build import CannotBuild, Task, build
from adapters.read_sets import positions_of
from adapters.worker_pool import Progress, workers

LOOK_EVERY_S: Final = 0.2


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


def _are_going_on(futures: Sequence[Future[None]]) -> bool:
    """Waits a little. False once all have ended, or one has failed."""
    done, going_on = wait(futures, LOOK_EVERY_S, FIRST_EXCEPTION)
    return bool(going_on) and not any(future.exception() for future in done)


def _tell(positions: Mapping[str, int], tasks: Sequence[Task], progress: Progress) -> None:
    for task in tasks:
        progress(task.projection, positions.get(task.projection, 0), task.until)
