"""Runs roles in this process until a signal, or until one of their parts fails."""

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

from adapters.settings import Settings
from adapters.wiring import (
    CannotStart,
    Plant,
    add_inventory,
    add_orchestrator,
    add_projector,
    add_sealer,
    open_plant,
)
from adapters.wiring_api import add_api

logger = logging.getLogger(__name__)

API: Final = "api"

ADD: Final[Mapping[str, Callable[[Plant], None]]] = {
    "inventory": add_inventory,
    "orchestrator": add_orchestrator,
    "projector": add_projector,
    "sealer": add_sealer,
}

ROLES: Final = (API, *ADD)

LAST_BATCH_S: Final = 0.5
"""How long projections have to commit what they have begun."""

ANSWERING: Final = frozenset({API, "inventory", "orchestrator"})
"""Roles that somebody waits for."""

SWITCH_INTERVAL_S: Final = 0.0002
"""How long a thread that has an answer from Postgres waits for the busy event loop to give way, where
somebody waits. Python's own 5 ms, several times a commit, was most of an order's time; projections alone do
a seventh more with it."""

GC_THRESHOLDS: Final = (100_000, 20, 50)
"""Python's collector looks for cycles every 700 new objects; ours are values without cycles, and an order
of a thousand lines is thousands of them. Measured on large carts: a third of the API's time."""


async def run_roles(settings: Settings, roles: Sequence[str], sock: socket.socket | None) -> None:
    """Returns after SIGTERM or SIGINT. `sock`: bound, for the api role. Raises CannotStart."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        plant = await open_plant(settings, stack)
        for role in dict.fromkeys(roles):
            if role == API:
                assert sock is not None, "the api role needs a bound socket"
                await add_api(plant, sock)
            else:
                ADD[role](plant)
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        if ANSWERING.intersection(roles):
            sys.setswitchinterval(SWITCH_INTERVAL_S)
        logger.info("running: %s", ", ".join(roles))
        await _run_until(stop, plant)


async def _run_until(stop: asyncio.Event, plant: Plant) -> None:
    """The first task that ends, for whatever reason, ends them all."""
    tasks = [asyncio.create_task(task) for task in plant.tasks]
    signalled = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait({signalled, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    plant.stopping.set()
    # A moment for those who can end by themselves; the others are told to.
    await asyncio.wait(tasks, timeout=LAST_BATCH_S)
    for task in (signalled, *tasks):
        task.cancel()
    await asyncio.gather(signalled, *tasks, return_exceptions=True)
    for task in done - {signalled}:
        error = task.exception()
        logger.error("a part of this process failed", exc_info=error)
        raise CannotStart(f"a part of this process failed: {error}") from error
