"""Loops that run until their task is cancelled."""

import asyncio


def wanted() -> bool:
    """Whether this task has not been told to stop.

    `while True` is not enough: before Python 3.12 `asyncio.wait_for`, which the broker's client uses for
    every wait, loses a cancellation that comes at the moment its result does (python/cpython#86296).
    """
    task = asyncio.current_task()
    return task is None or not task.cancelling()
