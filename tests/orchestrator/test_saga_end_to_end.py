"""A whole shop in one process over real PostgreSQL and NATS: orders end well whatever the wire does."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.client import Client

from adapters.event_codec import decode
from adapters.ids import OrderIds
from adapters.ledger_codec import CODEC
from adapters.nats_wire import NatsWire, WireNames, connect
from adapters.postgres_log import PostgresLog
from adapters.postgres_migrate import migrate_log
from domain import streams
from domain.cart import CartLine, ReplaceCart
from domain.goods import ChangeGoods, CreateGoods
from domain.key import KeyUse
from domain.order import Contact, Order, OrderStatus, Payment, PayOrder
from domain.recorded import Cause, Recorded
from domain.refusals import AlreadyPaid, CartEmpty, OrderAlreadyClosed, Short
from domain.saga import CancelOrder, Saga, Step, evolve
from domain.saga_timing import wakes_at
from domain.sale import Rollback, RolledBack, Sale, SaleStatus, Sell
from domain.service import Service
from domain.services import GOODS, INVENTORY, ORDER
from domain.stock import SetInv, Stock, StockReturned, StockSold
from orchestrator.checkout import Checkout, CheckoutTerms, Placing
from orchestrator.inventory_worker import InventoryWorker
from orchestrator.ledger import Ledger
from orchestrator.messages import Command, Reply
from orchestrator.outcomes import Outcomes
from orchestrator.saga_runner import ReplyDesk, Sender, Timing
from orchestrator.watchdog import Watchdog
from tests.parking import MemoryParking

PATIENCE_S = 20.0
CONTACT = Contact("1 High Street", "Ann", "07700 900000", "N1")
USER = 7
START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)


class ShopClock:
    """Runs with real time, and jumps ahead where a test says so."""

    def __init__(self) -> None:
        self.ahead = START - datetime.now(UTC)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def jump(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


class RepeatingWire(NatsWire):
    """Everything is sent twice; what `drops` says is not sent at all."""

    copies = 1
    drops: Callable[[Any], bool] = staticmethod(lambda _item: False)

    async def send_commands(self, commands: Sequence[Command]) -> None:
        for _ in range(self.copies):
            await super().send_commands([one for one in commands if not self.drops(one)])

    async def send_replies(self, replies: Sequence[Reply]) -> None:
        for _ in range(self.copies):
            await super().send_replies([one for one in replies if not self.drops(one)])


class DueSagas:
    """Sagas that should be woken, by a fold of the order log as it is committed."""

    def __init__(self) -> None:
        self.sagas: dict[str, Saga] = {}
        self.since: dict[str, datetime] = {}

    def on_recorded(self, events: Sequence[Recorded]) -> None:
        for recorded in [each for each in events if streams.category(each.originator_id) == "saga"]:
            order_id = streams.key_of(recorded.originator_id)
            before = self.sagas.get(order_id, Saga())
            self.sagas[order_id] = evolve(before, recorded.event)
            if before.step is not self.sagas[order_id].step:
                self.since[order_id] = recorded.cause.at

    async def __call__(self, now: datetime, limit: int) -> Sequence[str]:
        at = {order_id: wakes_at(saga, self.since[order_id]) for order_id, saga in self.sagas.items()}
        return [order_id for order_id, when in at.items() if when is not None and when <= now][:limit]


class Shop:
    """The composition of one process, for a test to talk to."""

    def __init__(self, dsn: str, client: Client, prefix: str) -> None:
        self.client, self.prefix = client, prefix
        self.clock = ShopClock()
        self.wire = wire = RepeatingWire(client, WireNames(prefix, max_bytes=16 * 2**20))
        self.logs = {service.log: PostgresLog(dsn, service.log) for service in (GOODS, INVENTORY, ORDER)}
        self.goods, self.inventory, self.orders = map(self.ledger, (GOODS, INVENTORY, ORDER))
        self.outcomes, self.due, self.sender = Outcomes(), DueSagas(), Sender(wire)
        self.parking = MemoryParking()
        self.orders.listeners += [
            self.outcomes.on_recorded,
            self.due.on_recorded,
            self.sender.on_recorded,
        ]
        terms = CheckoutTerms(30, self.clock, OrderIds(self.clock).new)
        self.checkout = Checkout(self.orders, self.goods, self.inventory, self.outcomes, terms)
        self.worker = InventoryWorker(self.inventory, wire, self.clock)
        self.desk = ReplyDesk(self.orders, Timing(1_800, self.clock))
        self.watchdog = Watchdog(self.orders, due=self.due, send=self.sender.send, clock=self.clock)

    def ledger(self, service: Service) -> Ledger:
        return Ledger(service, self.logs[service.log], CODEC)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.sender.run())
            tasks.create_task(self.wire.serve_commands(self.parking.intake(self.worker.handle)))
            tasks.create_task(self.wire.serve_replies(self.parking.intake(self.desk.handle)))
            tasks.create_task(self.watchdog.run())

    async def close(self) -> None:
        for ledger in (self.goods, self.inventory, self.orders):
            await ledger.close()
        for log in self.logs.values():
            log.close()

    # what shoppers and staff do

    def cause(self) -> Cause:
        return Cause(uuid4().hex, f"user-{USER}", "", self.clock())

    async def stocked(self, goods_id: int, units: int, price: int = 250) -> None:
        await self.goods.submit(CreateGoods(goods_id, f"goods {goods_id}", price), self.cause())
        await self.inventory.submit(SetInv(goods_id, units, goods_exist=True), self.cause())

    async def placing(
        self, lines: dict[int, int], *, wait_s: float = PATIENCE_S, user_id: int = USER, key: str = ""
    ) -> Placing:
        cart = tuple(CartLine(goods_id, nums, checked=True) for goods_id, nums in lines.items())
        await self.orders.submit(ReplaceCart(user_id, cart), self.cause())
        use = KeyUse(f"key-{key}", "print") if key else None
        return await self.checkout.place(
            user_id=user_id, contact_for=lambda _: CONTACT, use=use, cause=self.cause(), wait_s=wait_s
        )

    async def paid(self, order_id: str, amount: int, trade_id: str = "T-1") -> None:
        payment = Payment("alipay", trade_id, amount, self.clock())
        await self.orders.submit(PayOrder(order_id, payment), self.cause())

    async def cancelled(self, order_id: str) -> None:
        await self.orders.submit(CancelOrder(order_id), self.cause())

    # how things stand

    async def on_hand(self, goods_id: int) -> int:
        name = streams.stock(goods_id)
        stock: Stock = (await self.inventory.read(name))[name]
        return stock.on_hand

    async def saga(self, order_id: str) -> Saga:
        name = streams.saga(order_id)
        saga: Saga = (await self.orders.read(name))[name]
        return saga

    async def order(self, order_id: str) -> Order:
        name = streams.order(order_id)
        order: Order = (await self.orders.read(name))[name]
        return order

    async def sale(self, order_id: str) -> Sale:
        name = streams.sale(order_id)
        sale: Sale = (await self.inventory.read(name))[name]
        return sale

    async def reaches(self, order_id: str, step: Step) -> Saga:
        async with asyncio.timeout(PATIENCE_S):
            while (saga := await self.saga(order_id)).step is not step:
                await asyncio.sleep(0.02)
        return saga

    def counts(self) -> dict[str, int | None]:
        return {name: log.recorder.max_notification_id() for name, log in self.logs.items()}

    async def broker_forgets(self) -> None:
        await deleted_streams(self.client, self.prefix)

    def events(self, log: str, *names: str) -> list[Any]:
        return [decode(stored).event for stored in self.logs[log].load(dict.fromkeys(names, 0))]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pauses, shorter."""
    monkeypatch.setattr("adapters.nats_wire.RETRY_AFTER_S", 0.1)
    monkeypatch.setattr("adapters.nats_pull.EXPIRES_S", 1.0)
    monkeypatch.setattr("adapters.nats_pull.HEARTBEAT_S", 0.25)
    monkeypatch.setattr("orchestrator.watchdog.LOOK_EVERY_S", 0.05)


@pytest.fixture
async def shop(fresh_database: str, nats_url: str, wire_prefix: str) -> AsyncIterator[Shop]:
    for log in ("goods", "inventory", "order"):
        migrate_log(fresh_database, log)
    client = await connect(nats_url)
    shop = Shop(fresh_database, client, wire_prefix)
    await shop.wire.set_up_streams()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(client.close)
        stack.push_async_callback(deleted_streams, client, wire_prefix)
        stack.push_async_callback(shop.close)
        await stack.enter_async_context(running(shop))
        yield shop


@asynccontextmanager
async def running(shop: Shop) -> AsyncIterator[None]:
    task = asyncio.create_task(shop.run())
    yield
    assert not task.done(), "a part of the shop has failed"
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def deleted_streams(client: Client, prefix: str) -> None:
    js = client.jetstream()
    for info in await js.streams_info():
        if (name := info.config.name) and name.startswith(prefix.upper()):
            await js.delete_stream(name)


# an order that ends well


async def test_an_order_is_placed_at_the_prices_of_now_and_paid(shop: Shop) -> None:
    await shop.stocked(1, 10)
    await shop.stocked(2, 5, price=100)
    await shop.goods.submit(ChangeGoods(1, price=300), shop.cause())
    placed = await shop.placing({1: 2, 2: 1})
    await shop.goods.submit(ChangeGoods(1, price=999), shop.cause())

    assert placed.saga.step is Step.AWAITING_PAYMENT
    assert placed.order.placed is not None
    assert placed.order.placed.amount == 700
    assert (await shop.on_hand(1), await shop.on_hand(2)) == (8, 4)
    assert (await shop.orders.read("cart-7"))["cart-7"].lines == ()

    await shop.paid(placed.order_id, 700)
    assert (await shop.saga(placed.order_id)).step is Step.PAID
    with pytest.raises(AlreadyPaid):
        await shop.cancelled(placed.order_id)


async def test_the_answers_position_covers_all_that_its_commit_did(shop: Shop) -> None:
    """The cart was checked out in the same commit: who reads at that position must see it emptied."""
    await shop.stocked(1, 10)
    placed = await shop.placing({1: 2})

    assert placed.position == shop.counts()["order"]


async def test_fifty_orders_for_one_unit_place_one(shop: Shop) -> None:
    await shop.stocked(1, 1)
    placed = await asyncio.gather(*(shop.placing({1: 1}, user_id=n) for n in range(1, 51)))

    assert Counter(one.saga.step for one in placed) == {Step.AWAITING_PAYMENT: 1, Step.REFUSED: 49}
    assert await shop.on_hand(1) == 0


async def test_orders_over_the_same_goods_in_opposite_order_are_placed_whole_or_refused(shop: Shop) -> None:
    await shop.stocked(1, 15)
    await shop.stocked(2, 20)
    lines = [{1: 1, 2: 1}, {2: 1, 1: 1}]
    placed = await asyncio.gather(*(shop.placing(lines[n % 2], user_id=n + 1) for n in range(40)))

    assert Counter(one.saga.step for one in placed) == {Step.AWAITING_PAYMENT: 15, Step.REFUSED: 25}
    assert (await shop.on_hand(1), await shop.on_hand(2)) == (0, 5)


async def test_a_key_used_by_a_hundred_callers_at_once_starts_one_order(shop: Shop) -> None:
    await shop.stocked(1, 200)
    first = await shop.placing({1: 2}, key="abc")
    again = await asyncio.gather(
        *(
            shop.checkout.place(
                user_id=USER,
                contact_for=lambda _: CONTACT,
                use=KeyUse("key-abc", "print"),
                cause=shop.cause(),
                wait_s=5.0,
            )
            for _ in range(100)
        )
    )

    assert {one.order_id for one in again} == {first.order_id}
    assert all(one.replayed and one.order == first.order for one in again)
    assert await shop.on_hand(1) == 198


# an order that does not


async def test_a_short_order_is_refused_names_the_short_and_keeps_the_cart(shop: Shop) -> None:
    await shop.stocked(1, 5)
    await shop.stocked(2, 5)
    refused = await shop.placing({1: 6, 2: 9})

    assert refused.saga.step is Step.REFUSED
    assert refused.saga.short == (Short(1, 6, 5), Short(2, 9, 5))
    assert refused.order == Order()
    assert len((await shop.orders.read("cart-7"))["cart-7"].lines) == 2
    assert await shop.on_hand(1) == 5


async def test_an_empty_selection_records_nothing(shop: Shop) -> None:
    with pytest.raises(CartEmpty):
        await shop.placing({})
    assert shop.due.sagas == {}


async def test_a_payment_window_that_closes_gives_the_stock_back_once_and_late_money_is_due(
    shop: Shop,
) -> None:
    await shop.stocked(1, 10)
    placed = await shop.placing({1: 4})
    shop.clock.jump(1_801)
    saga = await shop.reaches(placed.order_id, Step.CLOSED)

    assert saga.reason == "payment-lapsed"
    assert await shop.on_hand(1) == 10
    await shop.paid(placed.order_id, 1_000)
    order = await shop.order(placed.order_id)
    assert (order.status, order.close_reason) == (OrderStatus.CLOSED, "payment-lapsed")
    assert [refund.amount for refund in order.refunds] == [1_000]
    assert (await shop.saga(placed.order_id)).step is Step.CLOSED
    with pytest.raises(OrderAlreadyClosed):
        await shop.cancelled(placed.order_id)


async def test_an_order_cancelled_before_it_is_paid_gives_its_stock_back_once(shop: Shop) -> None:
    await shop.stocked(1, 10)
    placed = await shop.placing({1: 4})
    await asyncio.gather(shop.cancelled(placed.order_id), shop.cancelled(placed.order_id))
    saga = await shop.reaches(placed.order_id, Step.CLOSED)

    assert saga.reason == "cancelled"
    assert (await shop.order(placed.order_id)).status is OrderStatus.CLOSED
    assert [type(event) for event in shop.events("inventory", "stock-1")][1:] == [StockSold, StockReturned]


# a wire that loses, repeats and forgets


async def test_every_message_twice_changes_nothing(shop: Shop) -> None:
    shop.wire.copies = 2
    await shop.stocked(1, 30)
    placed = await asyncio.gather(*(shop.placing({1: 1}, user_id=n + 1) for n in range(20)))
    for one in placed[:10]:
        await shop.cancelled(one.order_id)
    for one in placed[:10]:
        await shop.reaches(one.order_id, Step.CLOSED)

    everything = [Sell(one.order_id, (await shop.sale(one.order_id)).lines) for one in placed]
    before = shop.counts()
    await shop.wire.send_commands(everything)
    await shop.wire.send_commands([Rollback(one.order_id) for one in placed[:10]])
    await asyncio.sleep(0.5)
    assert shop.counts() == before
    assert await shop.on_hand(1) == 20


async def test_a_lost_sell_is_sent_again(shop: Shop) -> None:
    lost = Counter[str]()

    def drops_the_first(item: Any) -> bool:
        lost[type(item).__name__] += 1
        return lost[type(item).__name__] == 1

    shop.wire.drops = drops_the_first
    await shop.stocked(1, 10)
    placed = await shop.placing({1: 4})

    assert lost == {"Sell": 3, "SoldReply": 2}
    assert placed.saga.step is Step.AWAITING_PAYMENT
    assert await shop.on_hand(1) == 6


async def test_silence_past_the_deadline_compensates_and_bars_the_late_sell(shop: Shop) -> None:
    shop.wire.drops = lambda item: isinstance(item, Sell)
    await shop.stocked(1, 10)
    waiting = asyncio.create_task(shop.placing({1: 4}))
    async with asyncio.timeout(PATIENCE_S):
        while not shop.due.sagas:
            await asyncio.sleep(0.01)
    shop.clock.jump(31)
    given_up = await waiting
    closed = await shop.reaches(given_up.order_id, Step.CLOSED)

    assert given_up.saga.step is Step.ROLLING_BACK
    assert closed.reason == "sell-unanswered"
    assert (await shop.sale(given_up.order_id)).status is SaleStatus.BARRED
    shop.wire.drops = lambda _item: False
    await shop.wire.send_commands([Sell(given_up.order_id, (await shop.sale(given_up.order_id)).lines)])
    await asyncio.sleep(0.3)
    assert await shop.on_hand(1) == 10


async def test_a_lost_answer_past_the_deadline_gives_back_what_was_sold(shop: Shop) -> None:
    shop.wire.drops = lambda item: type(item).__name__ == "SoldReply"
    await shop.stocked(1, 10)
    undecided = await shop.placing({1: 4}, wait_s=0.2)
    assert undecided.saga.step is Step.SELLING
    async with asyncio.timeout(PATIENCE_S):
        while await shop.on_hand(1) == 10:
            await asyncio.sleep(0.01)
    shop.clock.jump(31)
    await shop.reaches(undecided.order_id, Step.CLOSED)

    assert await shop.on_hand(1) == 10
    assert [type(event) for event in shop.events("inventory", f"sale-{undecided.order_id}")][1:] == [
        RolledBack
    ]
    assert (await shop.order(undecided.order_id)).status is OrderStatus.NONE


async def test_streams_deleted_in_the_middle_cost_time_and_nothing_else(shop: Shop) -> None:
    await shop.stocked(1, 100)
    shop.wire.drops = lambda item: type(item).__name__ == "SoldReply"
    undecided = await asyncio.gather(
        *(shop.placing({1: 1}, user_id=n + 1, wait_s=0.1) for n in range(10)),
    )
    await shop.broker_forgets()
    shop.wire.drops = lambda _item: False
    more = await asyncio.gather(*(shop.placing({1: 1}, user_id=n + 11) for n in range(10)))

    for one in (*undecided, *more):
        await shop.reaches(one.order_id, Step.AWAITING_PAYMENT)
    assert await shop.on_hand(1) == 80
    await shop.broker_forgets()
    for one in more:
        await shop.cancelled(one.order_id)
    for one in more:
        await shop.reaches(one.order_id, Step.CLOSED)
    assert await shop.on_hand(1) == 90


async def test_an_order_whose_news_was_lost_is_found_in_the_log(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when another process decided it and its announcement was lost."""
    monkeypatch.setattr("orchestrator.outcomes.LOOK_INTO_LOG_EVERY_S", 0.1)
    monkeypatch.setattr(shop.checkout, "_outcomes", Outcomes())
    await shop.stocked(1, 10)
    placed = await shop.placing({1: 4})

    assert placed.saga.step is Step.AWAITING_PAYMENT
    assert placed.order.status is OrderStatus.TO_PAY


async def test_a_shop_that_stops_in_the_middle_is_finished_by_the_next_one(
    shop: Shop, fresh_database: str
) -> None:
    """Nothing is sent before the stop; all the next one has is the log."""
    shop.wire.drops = lambda _item: True
    await shop.stocked(1, 10)
    undecided = await shop.placing({1: 4}, wait_s=0.1)
    next_one = Shop(fresh_database, shop.client, f"{shop.prefix}x")
    next_one.clock.jump(2)
    next_one.due.on_recorded(
        [decode(stored) for stored in shop.logs["order"].load({streams.saga(undecided.order_id): 0})]
    )
    try:
        await next_one.wire.set_up_streams()
        async with running(next_one):
            await next_one.reaches(undecided.order_id, Step.AWAITING_PAYMENT)
        assert await next_one.on_hand(1) == 6
    finally:
        await next_one.close()
