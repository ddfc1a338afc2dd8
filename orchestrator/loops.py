"""Loops that run until their task is cancelled."""

import asyncio
from contextlib import suppress


def wanted() -> bool:
    """Whether this task has not been told to stop.

    `while True` is not enough: before Python 3.12 `asyncio.wait_for`, which the broker's client uses for
    every wait, loses a cancellation that comes at the moment its result does (python/cpython#86296).
    """
    task = asyncio.current_task()
    return task is None or not task.cancelling()


async def at_most(wait_s: float, event: asyncio.Event) -> None:
    """Waits for the event, so many seconds at most."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), wait_s)
