"""The composition root: what each role is made of, and which of its parts run.

Roles that run in one process share its ledgers and its link to the broker. Every part that runs for
ever is a task of one group: the first that fails ends the process, and whoever supervises it starts it
again. Nothing is lost with it.
"""

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

from nats.aio.client import Client

from adapters.grounds import CannotStart, Grounds
from adapters.herald import Herald
from adapters.ids import OrderIds, utc_now
from adapters.ledger_codec import CODEC
from adapters.nats_wire import NATS_ERRORS, NatsWire, WireNames, connect
from adapters.postgres_due import PostgresDue
from adapters.postgres_log import PostgresLog
from adapters.postgres_parked import PostgresParkingLot
from adapters.postgres_projector import Projector
from adapters.settings import Settings
from adapters.wire_codec import decode_commands, decode_replies
from adapters.wire_metrics import WireMetrics
from adapters.wiring_projector import saga_projector
from domain.service import Service
from domain.services import GOODS, INVENTORY, ORDER
from orchestrator.checkout import Checkout, CheckoutTerms
from orchestrator.intake import Handler, Intake
from orchestrator.inventory_worker import COMMAND_OUTCOMES, InventoryWorker
from orchestrator.ledger import Ledger
from orchestrator.outcomes import Outcomes
from orchestrator.saga_runner import REPLY_OUTCOMES, ReplyDesk, Sender, Timing
from orchestrator.watchdog import Watchdog

logger = logging.getLogger(__name__)

CONNECT_EVERY_S: Final = 0.5
CONNECT_FOR_S: Final = 60.0
"""How long a starting role waits for the broker before it gives up."""

DECODE: Final = {"inventory": decode_commands, "orchestrator": decode_replies}
"""Each role reads what it is meant to be told, and nothing else."""


@dataclass(slots=True)
class Plant(Grounds):
    """What the roles of one process that need the broker share, opened on demand and closed together."""

    broker: Client
    wire: NatsWire
    outcomes: Outcomes
    sender: Sender
    numbers: WireMetrics = field(default_factory=WireMetrics)
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    heralds: dict[str, Herald] = field(default_factory=dict)

    def ledger(self, service: Service) -> Ledger:
        """The one ledger of this process over that service's log."""
        known = self.ledgers.get(service.log)
        if known is not None:
            return known
        dsn, limit = self.dsn(service.log), self.settings.queue_limit
        log = PostgresLog(dsn, service.log, tells=False)
        ledger = Ledger(service, log, CODEC, max_waiting=limit, after_commit=self._herald(dsn).tell)
        self.stack.callback(log.close)
        self.stack.push_async_callback(ledger.close)
        self.ledgers[service.log] = ledger
        return ledger

    def _herald(self, dsn: str) -> Herald:
        """The one of this process for the logs of that database."""
        herald = self.heralds.get(dsn)
        if herald is None:
            herald = self.heralds[dsn] = Herald(dsn)
            self.tasks.append(herald.run())
        return herald

    def order_ledger(self) -> Ledger:
        """Its writes wake waiters here and send what they owe, in whichever role they are made."""
        if ORDER.log not in self.ledgers:
            ledger = self.ledger(ORDER)
            ledger.listeners += [self.outcomes.on_recorded, self.sender.on_recorded]
            self.tasks.append(self.sender.run())
            self.tasks.append(self.wire.hear_decided(self.outcomes.wake))
        return self.ledgers[ORDER.log]

    def checkout(self) -> Checkout:
        ids = OrderIds(utc_now)
        terms = CheckoutTerms(self.settings.sell_deadline_s, utc_now, ids.new)
        return Checkout(self.order_ledger(), self.ledger(GOODS), self.ledger(INVENTORY), self.outcomes, terms)

    def intake(self, role: str, service: Service, handler: Handler) -> Intake:
        """What that role cannot read or handle is parked beside the log of its service."""
        lot = PostgresParkingLot(self.dsn(service.log), service.log)
        self.stack.push_async_callback(lot.close)
        return Intake(
            decode=DECODE[role],
            handler=handler,
            parking=lot,
            clock=utc_now,
            count=self.numbers.messages(role),
        )

    def project(self, projector: Projector) -> None:
        """Ends by itself, with its batches committed, once `stopping` is set."""
        self.tasks.append(projector.run(self.stopping))


async def open_plant(settings: Settings, stack: AsyncExitStack) -> Plant:
    """Raises CannotStart when the broker cannot be reached."""
    if not settings.nats_servers:
        raise CannotStart("no broker: set TILLROLL_NATS_URL, or run `tillroll up`")
    client = await _connected(settings)
    stack.push_async_callback(client.close)
    wire = NatsWire(client, WireNames(max_bytes=settings.nats_max_bytes))
    return Plant(settings, stack, client, wire, Outcomes(), Sender(wire))


async def _connected(settings: Settings) -> Client:
    credentials = None if settings.nats_creds is None else str(settings.nats_creds)
    ends_at = asyncio.get_running_loop().time() + CONNECT_FOR_S
    while True:
        try:
            return await connect(settings.nats_servers, credentials)
        except NATS_ERRORS as error:
            if asyncio.get_running_loop().time() > ends_at:
                raise CannotStart(f"the broker cannot be reached: {error or type(error).__name__}") from error
        await asyncio.sleep(CONNECT_EVERY_S)


def add_inventory(plant: Plant) -> None:
    count = plant.numbers.items("inventory", COMMAND_OUTCOMES)
    worker = InventoryWorker(plant.ledger(INVENTORY), plant.wire, utc_now, count=count)
    plant.tasks.append(plant.wire.serve_commands(plant.intake("inventory", INVENTORY, worker.handle)))


def add_orchestrator(plant: Plant) -> None:
    orders = plant.order_ledger()
    timing = Timing(plant.settings.payment_window_s, utc_now)
    desk = ReplyDesk(orders, timing, count=plant.numbers.items("orchestrator", REPLY_OUTCOMES))
    dsn = plant.dsn("order")
    due = PostgresDue(dsn)
    plant.stack.push_async_callback(due.close)
    sender = plant.sender
    watchdog = Watchdog(orders, due=due.due, send=sender.send, clock=utc_now, trouble=lambda: sender.trouble)
    plant.tasks.append(plant.wire.serve_replies(plant.intake("orchestrator", ORDER, desk.handle)))
    plant.project(saga_projector(dsn, stands_by=True))
    plant.tasks.append(watchdog.run())
