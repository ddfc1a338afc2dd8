"""The faults, each with the words that the table in docs/faults.md says of it, and who injects them.

A fault is over when what it broke is whole again: killed processes are started, stopped ones go on.
"""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import nats
import nats.errors
import nats.js.errors
import psutil

from adapters.server_account import EmbeddedServerError
from tests.chaos.notes import Notes
from tests.chaos.proxy import Proxy
from tests.chaos.shop import ROLES, RoleChild, Shop

STREAMS: Final = ("TILLROLL_CMD", "TILLROLL_REPLY")
STOPPED_S: Final = (1.0, 7.0)
"""Longer than PostgreSQL lets a transaction idle (5 s), at times."""
SERVER_STOPPED_S: Final = (0.5, 3.0)
START_TRIES: Final = 5
INSIST_EVERY_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class Fault:
    """`weight`: how often, against the others of its kind. `kills` and `wipes` count towards the totals."""

    name: str
    how: str
    weight: int
    inject: Callable[[Shop, random.Random], Awaitable[bool]]
    kills: bool = False
    wipes: bool = False


# processes


async def _role(shop: Shop, chance: random.Random, act: Callable[[RoleChild], Awaitable[None]]) -> bool:
    """False when the process that was chosen is in the middle of another fault."""
    child = chance.choice(shop.children)
    if child.lock.locked():
        return False
    async with child.lock:
        await act(child)
    return True


async def kill_role(shop: Shop, chance: random.Random) -> bool:
    async def act(child: RoleChild) -> None:
        await asyncio.to_thread(child.kill)
        child.start()

    return await _role(shop, chance, act)


async def stop_role(shop: Shop, chance: random.Random) -> bool:
    seconds = chance.uniform(*STOPPED_S)

    async def act(child: RoleChild) -> None:
        child.send(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            child.send(signal.SIGCONT)

    return await _role(shop, chance, act)


async def restart_role(shop: Shop, chance: random.Random) -> bool:
    async def act(child: RoleChild) -> None:
        await asyncio.to_thread(child.end)
        child.start()

    return await _role(shop, chance, act)


# PostgreSQL


async def _start(start: Callable[[], None]) -> None:
    """A server that was killed may need a second try: its port or its memory is not free yet."""
    for _ in range(START_TRIES):
        try:
            await asyncio.to_thread(start)
        except EmbeddedServerError:
            await asyncio.sleep(0.5)
        else:
            return
    await asyncio.to_thread(start)


async def kill_postgres(shop: Shop, chance: random.Random) -> bool:
    if shop.postgres_lock.locked():
        return False
    async with shop.postgres_lock:
        shop.kill_postgres()
        await asyncio.sleep(chance.uniform(0.0, 1.5))
        await _start(shop.postgres.start)
    return True


async def restart_postgres(shop: Shop, _: random.Random) -> bool:
    if shop.postgres_lock.locked():
        return False
    async with shop.postgres_lock:
        await asyncio.to_thread(shop.postgres.stop)
        await _start(shop.postgres.start)
    return True


async def stop_postgres(shop: Shop, chance: random.Random) -> bool:
    if shop.postgres_lock.locked():
        return False
    async with shop.postgres_lock:
        stopped = shop.postgres_processes()
        _tell(stopped, signal.SIGSTOP)
        try:
            await asyncio.sleep(chance.uniform(*SERVER_STOPPED_S))
        finally:
            _tell(stopped, signal.SIGCONT)
    return True


def _tell(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


# NATS


async def _with_nats_down(shop: Shop, act: Callable[[], Awaitable[None]]) -> bool:
    """Kills the broker after `act` and starts it again."""
    if shop.nats_lock.locked():
        return False
    async with shop.nats_lock:
        await act()
        shop.kill_nats()
        await _start(shop.nats.start)
    return True


async def kill_nats(shop: Shop, chance: random.Random) -> bool:
    return await _with_nats_down(shop, lambda: asyncio.sleep(0))


async def restart_nats(shop: Shop, _: random.Random) -> bool:
    if shop.nats_lock.locked():
        return False
    async with shop.nats_lock:
        await asyncio.to_thread(shop.nats.stop)
        await _start(shop.nats.start)
    return True


async def stop_nats(shop: Shop, chance: random.Random) -> bool:
    if shop.nats_lock.locked():
        return False
    async with shop.nats_lock:
        server = [psutil.Process(shop.nats.pid)] if shop.nats.is_alive() else []
        _tell(server, signal.SIGSTOP)
        try:
            await asyncio.sleep(chance.uniform(*SERVER_STOPPED_S))
        finally:
            _tell(server, signal.SIGCONT)
    return True


async def wipe_while_down(shop: Shop, chance: random.Random) -> bool:
    if shop.nats_lock.locked():
        return False
    async with shop.nats_lock:
        shop.kill_nats()
        await asyncio.sleep(chance.uniform(0.0, 1.0))
        shop.wipe_store()
        await _start(shop.nats.start)
    return True


async def wipe_while_running(shop: Shop, chance: random.Random) -> bool:
    async def act() -> None:
        shop.wipe_store()
        await asyncio.sleep(chance.uniform(0.5, 3.0))

    return await _with_nats_down(shop, act)


async def delete_streams(shop: Shop, _: random.Random) -> bool:
    if shop.nats_lock.locked() or not shop.nats.is_alive():
        return False
    async with shop.nats_lock:
        try:
            client = await nats.connect(shop.nats.url, allow_reconnect=False, connect_timeout=2)
        except (nats.errors.Error, OSError):
            return False
        for stream in STREAMS:
            with suppress(nats.errors.Error, nats.js.errors.Error):
                await client.jetstream().delete_stream(stream)
        await client.close()
    return True


# the network


def _proxied(
    pick: Callable[[Shop, random.Random], Proxy], order: Callable[[Proxy, random.Random], object]
) -> Callable[[Shop, random.Random], Awaitable[bool]]:
    async def inject(shop: Shop, chance: random.Random) -> bool:
        order(pick(shop, chance), chance)
        return True

    return inject


def _any(shop: Shop, chance: random.Random) -> Proxy:
    return chance.choice(shop.proxies)


def _writer(shop: Shop, chance: random.Random) -> Proxy:
    """To PostgreSQL from a role that appends to logs."""
    return shop.to_postgres[chance.choice([role for role in ROLES if role != "projector"])]


def _projector(shop: Shop, _: random.Random) -> Proxy:
    """The orchestrator has projections too."""
    return shop.to_postgres["projector"]


def _publisher(shop: Shop, chance: random.Random) -> Proxy:
    return shop.to_nats[chance.choice(["api", "inventory", "orchestrator"])]


def _consumer(shop: Shop, chance: random.Random) -> Proxy:
    return shop.to_nats[chance.choice(["inventory", "orchestrator"])]


def _drop(kind: str, low: int, high: int) -> Callable[[Proxy, random.Random], object]:
    return lambda proxy, chance: proxy.drop(kind, chance.randint(low, high))


KILLS: Final = (
    Fault("role process killed", "kill -9, started again at once", 20, kill_role, kills=True),
    Fault("PostgreSQL killed", "kill -9 of the server and all its children", 2, kill_postgres, kills=True),
    Fault("NATS killed", "kill -9", 2, kill_nats, kills=True),
    Fault(
        "broker wiped while down",
        "kill -9, JetStream's folder deleted, started again",
        1,
        wipe_while_down,
        kills=True,
        wipes=True,
    ),
    Fault(
        "broker wiped while running",
        "JetStream's folder deleted under the running server, kill -9 after 0.5-3 s",
        1,
        wipe_while_running,
        kills=True,
        wipes=True,
    ),
)

OTHERS: Final = (
    Fault("streams deleted", "both streams deleted through JetStream's API", 1, delete_streams, wipes=True),
    Fault("role process stopped", "SIGSTOP for 1-7 s, then SIGCONT", 4, stop_role),
    Fault("role process restarted", "SIGTERM, then started", 1, restart_role),
    Fault("PostgreSQL stopped", "SIGSTOP of all its processes for 0.5-3 s", 1, stop_postgres),
    Fault("PostgreSQL restarted", "fast shutdown, then started", 1, restart_postgres),
    Fault("NATS stopped", "SIGSTOP for 0.5-3 s", 1, stop_nats),
    Fault("NATS restarted", "SIGTERM, then started", 1, restart_nats),
    Fault(
        "COMMIT answers of appends lost", "proxy: 3-20 of them", 6, _proxied(_writer, _drop("stored", 3, 20))
    ),
    Fault("other COMMIT answers lost", "proxy: 1-8 of them", 3, _proxied(_projector, _drop("commit", 1, 8))),
    Fault("PubAcks lost", "proxy: 1-3 of them", 3, _proxied(_publisher, _drop("pub ack", 1, 3))),
    Fault("acks lost", "proxy: 1-8 of them", 2, _proxied(_consumer, _drop("ack", 1, 8))),
    Fault("deliveries lost", "proxy: 1-3 of them", 1, _proxied(_consumer, _drop("delivery", 1, 3))),
    Fault(
        "messages lost on the way in", "proxy: 1-3 of them", 2, _proxied(_publisher, _drop("publish", 1, 3))
    ),
    Fault(
        "messages doubled",
        "proxy: 20-100 of them",
        4,
        _proxied(_publisher, lambda proxy, chance: proxy.double("publish", chance.randint(20, 100))),
    ),
    Fault(
        "connections reset",
        "proxy: about half of a role's connections to one server",
        3,
        _proxied(_any, lambda proxy, _: proxy.reset(0.5)),
    ),
    Fault(
        "black hole",
        "proxy: nothing passes between a role and one server for 1-6 s",
        2,
        _proxied(_any, lambda proxy, chance: proxy.hold(chance.uniform(1, 6))),
    ),
    Fault(
        "slow network",
        "proxy: 5-50 ms before every write, for 2-5 s",
        1,
        _proxied(
            _any, lambda proxy, chance: proxy.slow_down(chance.uniform(0.005, 0.05), chance.uniform(2, 5))
        ),
    ),
    Fault(
        "bytes in small pieces",
        "proxy: writes of 1-60 bytes, for 2-5 s",
        1,
        _proxied(_any, lambda proxy, chance: proxy.slice(chance.uniform(2, 5))),
    ),
)

EVERY: Final = (*KILLS, *OTHERS)


class Injector:
    """Two schedules side by side, kills and everything else: the seed chooses faults, not moments."""

    def __init__(
        self, shop: Shop, notes: Notes, seed: int, *, kill_every_s: float, other_every_s: float
    ) -> None:
        self.injected: Counter[str] = Counter()
        self._shop = shop
        self._notes = notes
        self._seed = seed
        self._schedules = ((KILLS, kill_every_s), (OTHERS, other_every_s))

    @property
    def kills(self) -> int:
        return sum(self.injected[fault.name] for fault in EVERY if fault.kills)

    @property
    def wipes(self) -> int:
        return sum(self.injected[fault.name] for fault in EVERY if fault.wipes)

    async def run(self, seconds: float) -> None:
        """Returns when the last fault is over and everything runs again.

        Raises an ExceptionGroup when something cannot be made whole again, as a server that does not start.
        """
        ends_at = asyncio.get_running_loop().time() + seconds
        async with asyncio.TaskGroup() as tasks:
            for faults, every_s in self._schedules:
                tasks.create_task(self._keep_injecting(tasks, faults, every_s, ends_at))
        for proxy in self._shop.proxies:
            proxy.behave()

    async def _keep_injecting(
        self, tasks: asyncio.TaskGroup, faults: tuple[Fault, ...], every_s: float, ends_at: float
    ) -> None:
        """Every fault once first, in an order of the seed's, then by weight."""
        chance = random.Random(f"{self._seed} {faults[0].name}")
        first = chance.sample(faults, len(faults))
        weights = [fault.weight for fault in faults]
        while asyncio.get_running_loop().time() < ends_at:
            insists = bool(first)
            fault = first.pop() if first else chance.choices(faults, weights)[0]
            tasks.create_task(self._inject(fault, random.Random(chance.random()), insists=insists))
            await asyncio.sleep(chance.uniform(0.5, 1.5) * every_s)

    async def _inject(self, fault: Fault, chance: random.Random, *, insists: bool) -> None:
        """What it would hit may be in the middle of another fault: then it waits, or is left out."""
        began = time.monotonic()
        while not (done := await fault.inject(self._shop, chance)) and insists:
            await asyncio.sleep(INSIST_EVERY_S)
        if done:
            self.injected[fault.name] += 1
            self._notes.write("fault", {"name": fault.name, "lasted_s": round(time.monotonic() - began, 2)})
