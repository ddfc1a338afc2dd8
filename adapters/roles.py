"""Runs roles in this process until a signal, or until one of their parts fails."""

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any, Final

from adapters.grounds import CannotStart, Grounds
from adapters.settings import Settings

logger = logging.getLogger(__name__)

API: Final = "api"

PLACES: Final[Mapping[str, tuple[str, str]]] = {
    API: ("wiring_api", "add_api"),
    "inventory": ("wiring", "add_inventory"),
    "orchestrator": ("wiring", "add_orchestrator"),
    "projector": ("wiring_projector", "add_projector"),
    "watchlist": ("wiring_projector", "add_watchlist"),
    "sealer": ("wiring_sealer", "add_sealer"),
}
"""Which module and function of adapters adds each role. Only those of the roles that run are loaded: a
projector starts without a web framework, and a sealer without a broker."""

ROLES: Final = tuple(PLACES)

LAST_BATCH_S: Final = 0.5
"""How long projections have to commit what they have begun."""

ANSWERING: Final = frozenset({API, "inventory", "orchestrator"})
"""Roles that somebody waits for, and that speak with the broker."""

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
        grounds = await _grounds(settings, stack, roles)
        for role in dict.fromkeys(roles):
            if role == API:
                assert sock is not None, "the api role needs a bound socket"
                await _adder(role)(grounds, sock)
            else:
                _adder(role)(grounds)
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        if ANSWERING.intersection(roles):
            sys.setswitchinterval(SWITCH_INTERVAL_S)
        logger.info("running: %s", ", ".join(roles))
        await _run_until(stop, grounds)


async def _grounds(settings: Settings, stack: AsyncExitStack, roles: Sequence[str]) -> Grounds:
    """With a link to the broker where a role needs one. Raises CannotStart."""
    if not ANSWERING.intersection(roles):
        return Grounds(settings, stack)
    plant: Grounds = await import_module("adapters.wiring").open_plant(settings, stack)
    return plant


def _adder(role: str) -> Any:
    module, name = PLACES[role]
    return getattr(import_module(f"adapters.{module}"), name)


async def _run_until(stop: asyncio.Event, grounds: Grounds) -> None:
    """The first task that ends, for whatever reason, ends them all."""
    tasks = [asyncio.create_task(task) for task in grounds.tasks]
    signalled = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait({signalled, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    grounds.stopping.set()
    # A moment for those who can end by themselves; the others are told to.
    await asyncio.wait(tasks, timeout=LAST_BATCH_S)
    for task in (signalled, *tasks):
        task.cancel()
    await asyncio.gather(signalled, *tasks, return_exceptions=True)
    for task in done - {signalled}:
        error = task.exception()
        logger.error("a part of this process failed", exc_info=error)
        raise CannotStart(f"a part of this process failed: {error}") from error
