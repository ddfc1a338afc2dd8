"""What runs in one simulated process: the real parts, wired as `adapters/wiring.py` wires them."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from adapters.ledger_codec import CODEC
from adapters.wire_codec import decode_commands, decode_replies
from domain.service import Service
from domain.services import GOODS, INVENTORY, ORDER
from orchestrator.checkout import Checkout, CheckoutTerms
from orchestrator.intake import Intake, Parked, ParkingUnavailable
from orchestrator.inventory_worker import InventoryWorker
from orchestrator.ledger import MANY, Ledger
from orchestrator.loops import wanted
from orchestrator.outcomes import Outcomes
from orchestrator.saga_runner import ReplyDesk, Sender, Timing
from orchestrator.watchdog import Watchdog
from projections.advance import advance
from projections.projection import Projection
from tests.simulation.auditor import PAYMENT_WINDOW, SELL_DEADLINE
from tests.simulation.broker import COMMANDS, REPLIES, SimBroker, SimWire
from tests.simulation.chance import Chance
from tests.simulation.loop import Process, SimLoop
from tests.simulation.store import Disk, ReadModelsAway, Shelf, SimLog, SimStore

PAYMENT_WINDOW_S: Final = int(PAYMENT_WINDOW.total_seconds())
SELL_DEADLINE_S: Final = int(SELL_DEADLINE.total_seconds())
PROJECT_POLL_S: Final = 5.0
BATCH_EVENTS: Final = 7
"""Small, so that a projector stands between two batches often."""

START: Final = datetime.fromisoformat("2026-11-23T14:00:00+00:00")


@dataclass(frozen=True, slots=True)
class Site:
    """What all processes share: the world outside of them.

    `parked`: what consumers could not read or handle, by its place on the wire; `counted`: what they said of
    the messages that they took. `due`: the orchestrators' own list of sagas.
    """

    loop: SimLoop
    chance: Chance
    disks: Mapping[str, Disk]
    shelves: Sequence[Shelf]
    due: Shelf
    broker: SimBroker
    parked: dict[str, Parked]
    counted: Counter[str]
    new_order_id: Callable[[], str]
    rival: Callable[[Process], None]


class Node:
    """One process of some roles. `offset_s`: how wrong its clock is."""

    def __init__(self, site: Site, process: Process, roles: Sequence[str], life: int) -> None:
        self.site = site
        self.process = process
        self.offset_s = 0.0
        self.is_following = False
        self.woken = asyncio.Event()
        self.wire = SimWire(site.broker, process, site.chance, site.loop)
        self.outcomes = Outcomes()
        self.sender = Sender(self.wire)
        self._mark = f"{process.name}.{life}"
        self._ledgers: dict[str, Ledger] = {}
        self._parts: list[Callable[[], Coroutine[Any, Any, None]]] = []
        for role in roles:
            getattr(self, f"_add_{role}")()

    def clock(self) -> datetime:
        return START + timedelta(seconds=self.site.loop.now + self.offset_s)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for part in self._parts:
                tasks.create_task(part())

    def ledger(self, service: Service) -> Ledger:
        known = self._ledgers.get(service.log)
        if known is None:
            site = self.site
            log = SimLog(site.disks[service.log], self.process, site.chance, site.rival)
            many = 1 if site.chance.yes(0.5) else MANY
            known = Ledger(service, log, CODEC, writer=self._mark, pause=self._pause, many=many)
            self._ledgers[service.log] = known
        return known

    def orders(self) -> Ledger:
        if ORDER.log not in self._ledgers:
            ledger = self.ledger(ORDER)
            ledger.listeners += [self.outcomes.on_recorded, self.sender.on_recorded]
            self._parts += [self.sender.run, partial(self.wire.hear_decided, self.outcomes.wake)]
        return self._ledgers[ORDER.log]

    def _pause(self, seconds: float) -> None:
        self.process.log_delay_s += seconds

    # roles

    def _add_api(self) -> None:
        terms = CheckoutTerms(SELL_DEADLINE_S, self.clock, self.site.new_order_id)
        self.inventory = self.ledger(INVENTORY)
        self.checkout = Checkout(self.orders(), self.ledger(GOODS), self.inventory, self.outcomes, terms)

    def _add_inventory(self) -> None:
        worker = InventoryWorker(self.ledger(INVENTORY), self.wire, self.clock, count=self._count)
        self._serve(COMMANDS, worker.handle, decode_commands)

    def _add_orchestrator(self) -> None:
        orders = self.orders()
        desk = ReplyDesk(orders, Timing(PAYMENT_WINDOW_S, self.clock), count=self._count)
        self._serve(REPLIES, desk.handle, decode_replies)
        watchdog = Watchdog(
            orders, due=self._due, send=self.sender.send, clock=self.clock, trouble=self._trouble
        )
        self._parts += [watchdog.run, partial(self._project, [self.site.due])]

    def _add_projector(self) -> None:
        self._parts.append(partial(self._project, self.site.shelves))

    def _serve(
        self,
        stream: str,
        handler: Callable[[Sequence[Any]], Any],
        decode_message: Callable[[bytes], Sequence[Any]],
    ) -> None:
        intake = Intake(
            decode=decode_message, handler=handler, parking=self, clock=self.clock, count=self._count
        )
        self._parts.append(partial(self.wire.serve, stream, intake))

    def _trouble(self) -> str:
        return self.sender.trouble

    async def park(self, parked: Parked) -> None:
        fault = self.site.chance.fault("park")
        if fault == "unavailable":
            raise ParkingUnavailable("simulated")
        self.site.parked.setdefault(parked.place, parked)
        if fault == "crash-after":
            await self.wire.die()

    def _count(self, outcome: str) -> None:
        self.site.counted[outcome] += 1

    async def _due(self, now: datetime, limit: int) -> Sequence[str]:
        rows: list[Any] = [row for rows in self.site.due.tables["order_saga"].values() for row in rows]
        late = [row for row in rows if row.next_try_at is not None and row.next_try_at <= now]
        return [str(row.order_id) for row in sorted(late, key=lambda row: row.next_try_at)[:limit]]

    async def _project(self, shelves: Sequence[Shelf]) -> None:
        """Woken by a commit, and by a clock because the news of a commit can get lost."""
        self.is_following = True
        while wanted():
            self.woken.clear()
            for shelf in shelves:
                while shelf.position < self._head(shelf) and await self._advance(shelf):
                    pass
            with suppress(TimeoutError):
                async with asyncio.timeout(PROJECT_POLL_S):
                    await self.woken.wait()

    def _head(self, shelf: Shelf) -> int:
        return self.site.disks[shelf.projection.log].head

    async def _advance(self, shelf: Shelf) -> int:
        site = self.site
        projection: Projection = shelf.projection
        store = SimStore(shelf, site.disks[projection.log], self.process, site.chance, site.rival)
        call = partial(advance, projection, store, limit=BATCH_EVENTS, until=2**63 - 1)
        try:
            _, count = await site.loop.run_in_executor(None, call)
        except ReadModelsAway:
            return 0
        return int(count)
