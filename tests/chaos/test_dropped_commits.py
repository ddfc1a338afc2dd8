"""A thousand COMMIT answers lost on commits that stored something: no order twice, no success told as a no.

Several lanes, as so many processes would be: each has ledgers of its own over the same logs, behind a proxy
that closes the connection instead of passing on the answer to a COMMIT. All of the shop between the HTTP
layer and PostgreSQL is real; only the wire is a call.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import psycopg
from psycopg import conninfo

from adapters.ids import OrderIds, new_command_id, utc_now
from adapters.ledger_codec import CODEC
from adapters.postgres_log import PostgresLog
from adapters.postgres_migrate import migrate_log
from domain import streams
from domain.cart import CartLine, ReplaceCart
from domain.goods import CreateGoods
from domain.key import KeyUse
from domain.order import Contact
from domain.recorded import Cause, Recorded
from domain.refusals import Busy
from domain.saga import Step
from domain.service import Service
from domain.services import GOODS, INVENTORY, ORDER
from domain.stock import SetInv
from orchestrator.checkout import Checkout, CheckoutTerms, Placing
from orchestrator.inventory_worker import InventoryWorker
from orchestrator.ledger import Ledger
from orchestrator.messages import Command, Reply
from orchestrator.outcomes import Outcomes
from orchestrator.saga_runner import ReplyDesk, Sender, Timing
from tests.chaos.proxy import HOST, Proxy, Stream

DROPPED: Final = 1_000
LANES: Final = 8
CUSTOMERS: Final = 3
"""Of each lane, at once: so few that a commit holds few orders, and many commits are needed."""
STOCK: Final = 1_000_000
SHARED_GOODS: Final = 1
"""In every order, so lanes also meet real conflicts, which are not to be confused with lost answers."""
DECIDED_WITHIN_S: Final = 20.0
CONTACT: Final = Contact("1 High Street", "Ann", "07700 900000", "N1")


Handle = Callable[[Sequence[Any]], Awaitable[None]]


@dataclass(slots=True)
class Told:
    """What callers and ledgers were told. `recorded`: events with positions, by log."""

    placings: list[Placing] = field(default_factory=list)
    recorded: dict[str, list[Recorded]] = field(default_factory=dict)


class Lane:
    """A shop of its own over the shared logs. It is the wire between its services, and loses nothing."""

    def __init__(self, number: int, told: Told, ledgers: dict[str, Ledger]) -> None:
        self.number = number
        self._told = told
        self._orders = ledgers[ORDER.log]
        self._outcomes = Outcomes()
        self.sender = Sender(self)
        self._orders.listeners += [self._outcomes.on_recorded, self.sender.on_recorded]
        self._desk = ReplyDesk(self._orders, Timing(1_800, utc_now))
        self._inventory = InventoryWorker(ledgers[INVENTORY.log], self, utc_now)
        terms = CheckoutTerms(30, utc_now, OrderIds(utc_now).new)
        self._checkout = Checkout(
            self._orders, ledgers[GOODS.log], ledgers[INVENTORY.log], self._outcomes, terms
        )
        self._tasks: set[asyncio.Task[None]] = set()

    async def send_commands(self, commands: Sequence[Command]) -> None:
        self._start(self._inventory.handle, commands)

    async def send_replies(self, replies: Sequence[Reply]) -> None:
        self._start(self._desk.handle, replies)

    async def announce(self, order_ids: Sequence[str]) -> None:
        """Nobody waits elsewhere."""

    async def buy_until(self, enough: asyncio.Event, user_id: int) -> None:
        """Order after order, with and without an Idempotency-Key by turns. Any refusal fails the test."""
        number = 0
        while not enough.is_set():
            number += 1
            key = KeyUse(streams.key(f"{user_id}x{number}"), "same request") if number % 2 else None
            await self._buy(user_id, key)

    async def _buy(self, user_id: int, key: KeyUse | None) -> None:
        lines = (CartLine(SHARED_GOODS, 1, checked=True), CartLine(user_id, 2, checked=True))
        await self._orders.submit(ReplaceCart(user_id, lines), self._cause())
        placing = await self._place(user_id, key)
        self._told.placings.append(placing)
        if key is not None:
            again = await self._place(user_id, key)
            assert (again.order_id, again.replayed) == (placing.order_id, True)

    async def _place(self, user_id: int, key: KeyUse | None) -> Placing:
        return await self._checkout.place(
            user_id=user_id,
            contact_for=lambda _: CONTACT,
            use=key,
            cause=self._cause(),
            wait_s=DECIDED_WITHIN_S,
        )

    def _cause(self) -> Cause:
        return Cause(new_command_id(), f"lane-{self.number}", "", utc_now())

    def _start(self, handle: Handle, items: Sequence[Any]) -> None:
        task = asyncio.create_task(self._until_taken(handle, items))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _until_taken(self, handle: Handle, items: Sequence[Any]) -> None:
        """As the real wire gives a message again that a handler could not take."""
        while True:
            try:
                await handle(items)
            except Busy:
                await asyncio.sleep(0.05)
            else:
                return


async def to_postgres(dsn: str) -> Stream:
    parts = conninfo.conninfo_to_dict(dsn)
    return await asyncio.open_unix_connection(f"{parts['host']}/.s.PGSQL.{parts['port']}")


@asynccontextmanager
async def proxied(dsn: str) -> AsyncIterator[tuple[Proxy, str]]:
    proxy = Proxy(partial(to_postgres, dsn), "postgres")
    await proxy.start()
    try:
        yield proxy, conninfo.make_conninfo(dsn, host=HOST, port=proxy.port)
    finally:
        await proxy.stop()


async def ledger(dsn: str, service: Service, told: Told, stack: AsyncExitStack) -> Ledger:
    log = PostgresLog(dsn, service.log)
    stack.callback(log.close)
    opened = Ledger(service, log, CODEC)
    stack.push_async_callback(opened.close)
    opened.listeners.append(told.recorded.setdefault(service.log, []).extend)
    return opened


async def stock_the_shop(dsn: str, told: Told) -> None:
    """Goods for every customer, with nothing lost yet."""
    async with AsyncExitStack() as stack:
        goods = await ledger(dsn, GOODS, told, stack)
        inventory = await ledger(dsn, INVENTORY, told, stack)
        for goods_id in range(1, LANES * CUSTOMERS + 2):
            cause = Cause(f"open-{goods_id}", "staff", "", utc_now())
            await goods.submit(CreateGoods(goods_id, "mug", 250), cause)
            await inventory.submit(SetInv(goods_id, STOCK, goods_exist=True), cause)


async def sell(proxy: Proxy, dsn: str, told: Told, dropped: int) -> None:
    """Until so many answers were dropped and every customer has an answer."""
    enough = asyncio.Event()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as sending:
        runs = []
        async with asyncio.TaskGroup() as buying:
            for number in range(LANES):
                ledgers = {s.log: await ledger(dsn, s, told, stack) for s in (ORDER, INVENTORY, GOODS)}
                lane = Lane(number, told, ledgers)
                runs.append(sending.create_task(lane.sender.run()))
                for customer in range(CUSTOMERS):
                    user_id = 2 + number * CUSTOMERS + customer
                    buying.create_task(lane.buy_until(enough, user_id))
            proxy.drop("stored", dropped)
            while proxy.done["stored dropped"] < dropped:
                await asyncio.sleep(0.05)
            enough.set()
        for run in runs:
            run.cancel()


Rows = dict[tuple[str, int], tuple[int, str, str]]


def rows(dsn: str, log: str) -> Rows:
    """(stream, version) -> (position, event name, correlation), past every cache and proxy."""
    query = (
        "SELECT originator_id, originator_version, notification_id, topic,"
        f" convert_from(state, 'UTF8')::jsonb->>'cor' FROM \"{log}\".events"
    )
    with psycopg.connect(dsn) as conn:
        return {(row[0], row[1]): (row[2], row[3], row[4]) for row in conn.execute(query)}


async def test_a_thousand_lost_commit_answers_make_no_order_twice_and_no_false_no(
    fresh_database: str,
) -> None:
    for log in ("order", "inventory", "goods"):
        migrate_log(fresh_database, log)
    told = Told()
    await stock_the_shop(fresh_database, told)

    async with proxied(fresh_database) as (proxy, dsn):
        await sell(proxy, dsn, told, DROPPED)
        assert proxy.done["stored dropped"] == DROPPED

    ids = [placing.order_id for placing in told.placings]
    assert {placing.saga.step for placing in told.placings} == {Step.AWAITING_PAYMENT}
    assert not any(placing.replayed for placing in told.placings)
    orders, inventory = rows(fresh_database, "order"), rows(fresh_database, "inventory")
    for name in ("OrderStarted", "SellConfirmed", "OrderPlaced", "CheckedOut"):
        assert counted(orders, name) == dict.fromkeys(ids, 1)
    assert counted(inventory, "Sold") == dict.fromkeys(ids, 1)
    assert sold_of_shared(fresh_database) == len(ids)
    assert positions(told.recorded["order"]) == {place: row[0] for place, row in orders.items()}
    assert positions(told.recorded["inventory"]) == {place: row[0] for place, row in inventory.items()}
    about = {position: order_id for position, _, order_id in orders.values()}
    assert [about[placing.position or 0] for placing in told.placings] == ids


def counted(found: Rows, name: str) -> Counter[str]:
    """How many events of this name each order has."""
    return Counter(order_id for _, kind, order_id in found.values() if kind == name)


def positions(recorded: Sequence[Recorded]) -> dict[tuple[str, int], int]:
    """What the ledgers said of the events they wrote; nothing was said twice."""
    said = {(event.originator_id, event.originator_version): event.position for event in recorded}
    assert len(said) == len(recorded)
    return said


def sold_of_shared(dsn: str) -> int:
    query = (
        "SELECT (convert_from(state, 'UTF8')::jsonb->'data'->>'on_hand')::bigint FROM inventory.events"
        " WHERE originator_id = %s ORDER BY originator_version DESC LIMIT 1"
    )
    with psycopg.connect(dsn) as conn:
        row = conn.execute(query, [streams.stock(SHARED_GOODS)]).fetchone()
    assert row is not None
    return STOCK - int(row[0])
