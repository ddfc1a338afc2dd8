"""Both consumers of the wire over a real broker and a real database, for tests to be hostile to."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import psycopg
from nats.aio.client import Client

from adapters.ids import utc_now
from adapters.ledger_codec import CODEC
from adapters.nats_wire import NatsWire, WireNames, connect
from adapters.postgres_log import PostgresLog
from adapters.postgres_parked import ParkedMessage, ParkedMessages, PostgresParkingLot
from adapters.wire_codec import decode as decode_message
from domain.sale import Sale, SaleStatus
from domain.service import Service
from domain.services import INVENTORY, ORDER
from orchestrator.intake import Handler, Intake, ParkingLot
from orchestrator.inventory_worker import InventoryWorker
from orchestrator.ledger import Ledger
from orchestrator.saga_runner import ReplyDesk, Timing

PATIENCE_S: Final = 40.0

GOOD: Final = b'{"v":1,"type":"Rollback","items":[{"order_id":"%d"}]}'
"""A command that bars an order id which nobody has sold for."""


class Shop:
    """Inventory and the orchestrator on one broker and one database, as the composition root makes them."""

    def __init__(self, dsn: str, client: Client, names: WireNames) -> None:
        self.dsn, self.client, self.names = dsn, client, names
        self.wire = NatsWire(client, names)
        self.logs: list[PostgresLog] = []
        self.inventory, self.orders = (self._ledger(service) for service in (INVENTORY, ORDER))
        self.lots: dict[str, ParkingLot] = {
            log: PostgresParkingLot(dsn, log) for log in ("inventory", "order")
        }
        self.counted: Counter[str] = Counter()
        self.tasks: list[asyncio.Task[None]] = []
        self.worker = InventoryWorker(self.inventory, self.wire, utc_now, count=self.count)
        self.desk = ReplyDesk(self.orders, Timing(1_800, utc_now), count=self.count)

    def _ledger(self, service: Service) -> Ledger:
        self.logs.append(PostgresLog(self.dsn, service.log))
        return Ledger(service, self.logs[-1], CODEC)

    def count(self, outcome: str) -> None:
        self.counted[outcome] += 1

    def intake(self, log: str, handler: Handler) -> Intake:
        return Intake(
            decode=decode_message,
            handler=handler,
            parking=self.lots[log],
            clock=utc_now,
            count=self.count,
        )

    def start(self) -> None:
        commands = self.wire.serve_commands(self.intake("inventory", self.worker.handle))
        replies = self.wire.serve_replies(self.intake("order", self.desk.handle))
        self.tasks = [asyncio.create_task(commands), asyncio.create_task(replies)]

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for ledger in (self.inventory, self.orders):
            await ledger.close()
        for log in self.logs:
            log.close()

    async def publish(self, data: bytes, kind: str = "cmd.inventory", **headers: str) -> None:
        """As a stranger who may publish does it."""
        subject = self.names.subject(kind, "anything")
        await self.client.jetstream().publish(subject, data, timeout=20.0, headers=headers or None)

    async def status(self, order_id: int) -> SaleStatus:
        name = f"sale-{order_id}"
        sale: Sale = (await self.inventory.read(name))[name]
        return sale.status

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                self.must_live()
                await asyncio.sleep(0.02)

    async def flows(self, order_id: int) -> None:
        """A good message behind all that was published goes through, and nothing is left hanging."""
        await self.publish(GOOD % order_id)
        async with asyncio.timeout(PATIENCE_S):
            while await self.status(order_id) is not SaleStatus.BARRED:
                await asyncio.sleep(0.05)
            while await self.hanging():
                await asyncio.sleep(0.05)
        self.must_live()

    async def hanging(self) -> int:
        js = self.client.jetstream()
        cmd = await js.consumer_info(self.names.stream("cmd"), "inventory")
        reply = await js.consumer_info(self.names.stream("reply"), "orchestrator")
        infos = (cmd, reply)
        return sum((info.num_pending or 0) + (info.num_ack_pending or 0) for info in infos)

    def must_live(self) -> None:
        for task in self.tasks:
            assert not task.done(), task.exception()
        assert self.client.stats["reconnects"] == 0, "the client went deaf, or the broker threw it out"

    def parked(self, log: str = "inventory") -> list[ParkedMessage]:
        with psycopg.connect(self.dsn) as conn:
            messages = ParkedMessages(conn, log)
            found = [messages.find(row.id) for row in messages.newest(1_000)]
        return [message for message in reversed(found) if message is not None]


@asynccontextmanager
async def a_shop(dsn: str, nats_url: str, prefix: str) -> AsyncIterator[Shop]:
    names = WireNames(prefix=prefix, max_bytes=256 * 2**20)
    async with AsyncExitStack() as stack:
        client = await connect(nats_url)
        stack.push_async_callback(client.close)
        shop = Shop(dsn, client, names)
        for lot in shop.lots.values():
            assert isinstance(lot, PostgresParkingLot)
            stack.push_async_callback(lot.close)
        await shop.wire.set_up_streams()
        for stream in names.streams():
            stack.push_async_callback(client.jetstream().delete_stream, stream)
        stack.push_async_callback(shop.close)
        yield shop
