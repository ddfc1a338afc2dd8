"""Processes that work for this one, as many as the machine has cores.

A light module, and so should be those of the work: each process loads them anew before it begins.
"""

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Final

from adapters.child_launcher import PR_SET_PDEATHSIG

MAX_WORKERS: Final = 4
"""Each has its batch and its rows in memory: 120 MB at most."""

Progress = Callable[[str, int, int], None]
"""Hears what is being done, how far that is, and where it ends."""


def worker_count(own_cores: int = 0) -> int:
    """One at least. `own_cores`: how many this process keeps busy itself."""
    return max(1, min(MAX_WORKERS, len(os.sched_getaffinity(0)) - own_cores))


@contextmanager
def workers(own_cores: int = 0) -> Iterator[ProcessPoolExecutor]:
    """Processes of their own, not forks: those would share our connections and threads."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        worker_count(own_cores), mp_context=context, initializer=_work_for, initargs=(os.getpid(),)
    )
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


def _work_for(parent: int) -> None:
    """For a process that works for another: be killed when that one is gone, however it went.

    Python's collector is off: it looks for cycles among rows and events, which are values and have none.
    Measured: a fifth of a builder's time.
    """
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
