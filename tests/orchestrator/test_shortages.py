"""Refused before it begins: as true as inventory's own no, from its books, and never from memory."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

import pytest
from eventsourcing.popo import POPOApplicationRecorder

from domain import streams
from domain.cart import CartLine, ReplaceCart
from domain.goods import CreateGoods
from domain.key import KeyUse
from domain.order import Contact
from domain.recorded import Cause, Recorded
from domain.refusals import Short
from domain.saga import CancelOrder, StartDenied, Step
from domain.sale import Rollback, Sell
from domain.services import GOODS, INVENTORY, ORDER
from domain.stock import AdjustStock, Level, SetInv
from orchestrator import shortages
from orchestrator.checkout import Checkout, CheckoutTerms, Placing
from orchestrator.inventory_worker import InventoryWorker
from orchestrator.ledger import Ledger, LedgerBroken
from orchestrator.log import LogUnavailable, RecorderLog, Since, Stored
from orchestrator.messages import Command, Reply
from orchestrator.outcomes import Outcomes
from orchestrator.saga_runner import ReplyDesk, Sender, Timing

LedgerOver = Callable[..., Ledger]
NewCause = Callable[[], Cause]

CONTACT = Contact("1 High Street", "Ann", "07700 900000", "N1")


class Books(RecorderLog):
    """Inventory's log as an API process reads it. `loads`: how often."""

    def __init__(self) -> None:
        super().__init__(POPOApplicationRecorder())
        self.loads = 0
        self.is_away = False

    def load(self, since: Since) -> Sequence[Stored]:
        self.loads += 1
        if self.is_away:
            raise LogUnavailable("away")
        return super().load(since)


@dataclass
class Held:
    """`looks`: a look has read what there is; `go_on`: it may be told."""

    looks: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)


class Shop:
    """An API process that starts orders, and an inventory of its own ledger; what is between them is here.

    `held`: nothing is delivered to inventory while it is set.
    """

    def __init__(self, ledger_over: LedgerOver, new_cause: NewCause, at: datetime) -> None:
        self.books, ids = Books(), count(100)
        memory = [RecorderLog(POPOApplicationRecorder()) for _ in range(2)]
        self.orders, self.goods = ledger_over(memory[0], ORDER), ledger_over(memory[1], GOODS)
        self.inventory = ledger_over(RecorderLog(self.books.recorder), INVENTORY)
        self.new_cause, self.asked, self.held = new_cause, 0, False
        outcomes, self.sender = Outcomes(), Sender(self)
        self.desk = ReplyDesk(self.orders, Timing(1_800, lambda: at))
        self.worker = InventoryWorker(self.inventory, self, lambda: at)
        terms = CheckoutTerms(30, lambda: at, lambda: str(next(ids)))
        self.recorded: list[Recorded] = []
        self.orders.listeners += [outcomes.on_recorded, self.sender.on_recorded, self.recorded.extend]
        reader = ledger_over(self.books, INVENTORY)
        self.checkout = Checkout(self.orders, self.goods, reader, outcomes, terms)
        self.undelivered: list[Command] = []

    async def send_commands(self, commands: Sequence[Command]) -> None:
        self.asked += len(commands)
        self.undelivered += commands
        if not self.held:
            await self.deliver()

    async def send_replies(self, replies: Sequence[Reply]) -> None:
        await self.desk.handle(replies)

    async def announce(self, order_ids: Sequence[str]) -> None:
        pass

    async def deliver(self) -> None:
        commands, self.undelivered = self.undelivered, []
        await self.worker.handle(commands)

    async def stock(self, goods_id: int, units: int) -> None:
        await self.inventory.submit(SetInv(goods_id, units, goods_exist=True), self.new_cause())

    async def order(
        self, *lines: tuple[int, int], user_id: int = 7, use: KeyUse | None = None, wait_s: float = 5.0
    ) -> Placing:
        """Of (goods, units)."""
        cart = tuple(CartLine(goods_id, nums, checked=True) for goods_id, nums in lines)
        await self.orders.submit(ReplaceCart(user_id, cart), self.new_cause())
        return await self.press(user_id, use=use, wait_s=wait_s)

    async def press(self, user_id: int = 7, use: KeyUse | None = None, wait_s: float = 5.0) -> Placing:
        return await self.checkout.place(
            user_id=user_id, contact_for=lambda _: CONTACT, use=use, cause=self.new_cause(), wait_s=wait_s
        )

    def denied(self) -> list[StartDenied]:
        return [one.event for one in self.recorded if isinstance(one.event, StartDenied)]


@pytest.fixture
async def shop(ledger_over: LedgerOver, new_cause: NewCause, at: datetime) -> Shop:
    """Goods 1 to 3 are for sale; there is one unit of goods 1, none of 2, ten of 3."""
    shop = Shop(ledger_over, new_cause, at)
    for goods_id, units in ((1, 1), (2, 0), (3, 10)):
        await shop.goods.submit(CreateGoods(goods_id, f"goods {goods_id}", 250), new_cause())
        await shop.stock(goods_id, units)
    return shop


@pytest.fixture(autouse=True)
async def sends(shop: Shop) -> AsyncIterator[None]:
    sending = asyncio.create_task(shop.sender.run())
    yield
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


async def test_only_the_first_order_for_what_is_gone_asks_inventory(shop: Shop) -> None:
    refused = [await shop.order((2, 1), user_id=user_id) for user_id in range(7, 12)]

    assert {(one.saga.step, one.saga.reason, one.saga.short) for one in refused} == {
        (Step.REFUSED, "stock-short", (Short(2, 1, 0),))
    }
    assert shop.asked == 1
    assert [denied.order_id for denied in shop.denied()] == [one.order_id for one in refused[1:]]
    assert len({one.order_id for one in refused}) == 5


async def test_the_cart_can_be_ordered_again_and_the_order_is_found_by_it(shop: Shop) -> None:
    await shop.order((2, 1))
    again = [await shop.press(), await shop.press()]

    cart = (await shop.orders.read("cart-7"))["cart-7"]
    traces = [one.event.order_id for one in shop.recorded if type(one.event).__name__ == "CheckoutDropped"]
    assert (cart.order_id, cart.under_way, len(cart.lines)) == ("", (), 1)
    assert traces[1:] == [one.order_id for one in again]


async def test_what_was_never_short_is_not_looked_up(shop: Shop) -> None:
    await shop.order((2, 1))
    loads = shop.books.loads
    placed = await shop.order((3, 1))

    assert placed.saga.step is Step.AWAITING_PAYMENT
    assert shop.books.loads == loads


async def test_everything_short_is_named_also_what_was_not_known_to_be(shop: Shop) -> None:
    await shop.order((2, 1))
    refused = await shop.order((1, 2), (2, 3), (3, 10))

    assert refused.saga.short == (Short(1, 2, 1), Short(2, 3, 0))
    assert shop.asked == 1


async def test_fewer_units_than_were_too_many_are_sold(shop: Shop) -> None:
    assert (await shop.order((1, 2))).saga.step is Step.REFUSED
    assert (await shop.order((1, 1))).saga.step is Step.AWAITING_PAYMENT


async def test_what_came_in_is_sold_to_whoever_asks_next(shop: Shop) -> None:
    """By another process than the one that refused: it reads the log, not its memory."""
    await shop.order((2, 1))
    await shop.order((2, 1))
    await shop.inventory.submit(AdjustStock(2, 1, "delivery", goods_exist=True), shop.new_cause())

    assert (await shop.order((2, 1))).saga.step is Step.AWAITING_PAYMENT
    assert (await shop.order((2, 1))).saga.step is Step.REFUSED


async def test_what_is_there_again_is_looked_up_once(shop: Shop) -> None:
    await shop.order((2, 1))
    await shop.stock(2, 5)
    loads = shop.books.loads
    placed = [await shop.order((2, 1)) for _ in range(3)]

    assert {one.saga.step for one in placed} == {Step.AWAITING_PAYMENT}
    assert shop.books.loads == loads + 1


async def test_who_cancels_can_order_at_once_what_that_gives_back(shop: Shop) -> None:
    """Its Rollback is still under way, and the new order goes the same way behind it."""
    mine = await shop.order((1, 1))
    await shop.order((1, 1), user_id=8)
    assert len(shop.denied()) == 0
    await shop.order((1, 1), user_id=8)
    assert len(shop.denied()) == 1
    shop.held = True
    await shop.orders.submit(CancelOrder(mine.order_id), shop.new_cause())
    second = asyncio.create_task(shop.order((1, 1)))
    async with asyncio.timeout(5):
        while len(shop.undelivered) < 2:
            await asyncio.sleep(0.005)
    await shop.deliver()

    assert (await second).saga.step is Step.AWAITING_PAYMENT


async def test_a_refusal_is_never_older_than_its_question(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks while somebody else's look is going on waits for a look of his own."""
    await shop.order((2, 1))
    held = await held_look(shop, monkeypatch)
    early = asyncio.create_task(shop.order((2, 1)))
    await held.looks.wait()
    await shop.stock(2, 5)
    late = asyncio.create_task(shop.order((2, 1), user_id=8))
    await asyncio.sleep(0.05)
    held.go_on.set()

    assert (await early).saga.step is Step.REFUSED
    assert (await late).saga.step is Step.AWAITING_PAYMENT


async def test_many_who_ask_at_once_share_a_look(shop: Shop) -> None:
    await shop.order((2, 1))
    users = range(20, 120)
    for user_id in users:
        await shop.orders.submit(ReplaceCart(user_id, (CartLine(2, 1, True),)), shop.new_cause())
    loads = shop.books.loads
    refused = await asyncio.gather(*(shop.press(user_id) for user_id in users))

    assert {one.saga.step for one in refused} == {Step.REFUSED}
    assert shop.asked == 1
    assert shop.books.loads - loads <= 3


@pytest.mark.usefixtures("short_pauses")
async def test_without_inventorys_books_inventory_is_asked(shop: Shop) -> None:
    await shop.order((2, 1))
    shop.books.is_away = True
    refused = await shop.order((2, 1))

    assert refused.saga.short == (Short(2, 1, 0),)
    assert (shop.asked, shop.denied()) == (2, [])


async def test_books_that_do_not_answer_hold_nobody_up(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    await shop.order((2, 1))
    monkeypatch.setattr(shortages, "LOOK_FOR_S", 0.05)

    async def never(*_: str) -> object:
        return await asyncio.Event().wait()

    monkeypatch.setattr(shop.checkout._shortages._inventory, "read", never)

    assert (await shop.order((2, 1))).saga.step is Step.REFUSED
    assert (shop.asked, shop.denied()) == (2, [])


async def test_a_key_has_one_refused_order(shop: Shop) -> None:
    await shop.order((2, 1))
    use = KeyUse(streams.key("k"), "f")
    first, again = await shop.order((2, 1), use=use), await shop.press(use=use)
    await shop.stock(2, 5)
    later = await shop.press(use=use)

    assert {one.order_id for one in (first, again, later)} == {first.order_id}
    assert [one.replayed for one in (first, again, later)] == [False, True, True]
    assert later.saga.step is Step.REFUSED


async def test_a_customer_who_gives_up_leaves_the_others_their_look(shop: Shop) -> None:
    await shop.order((2, 1))
    await shop.orders.submit(ReplaceCart(8, (CartLine(2, 1, True),)), shop.new_cause())
    gone, stays = asyncio.create_task(shop.press()), asyncio.create_task(shop.press(8))
    await asyncio.sleep(0)
    gone.cancel()

    assert (await stays).saga.step is Step.REFUSED


async def test_no_more_is_remembered_than_there_is_room_for(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortages, "MAX_KEPT", 2)
    shop.checkout._shortages.note([Short(goods_id, 1, 0) for goods_id in (1, 2, 3)], 0.0)

    assert shop.checkout._shortages.look([1]) is None
    assert shop.checkout._shortages.look([2, 3]) is not None


async def held_look(shop: Shop, monkeypatch: pytest.MonkeyPatch, fails: Exception | None = None) -> Held:
    """From now on a look is only told of once it is let go."""
    held = Held()
    read = shop.checkout._shortages._read

    async def slow(goods_ids: Iterable[int]) -> Mapping[int, Level]:
        found = await read(goods_ids)
        held.looks.set()
        await held.go_on.wait()
        if fails is not None:
            raise fails
        return found

    monkeypatch.setattr(shop.checkout._shortages, "_read", slow)
    return held


@pytest.mark.parametrize("asked", [False, True])
async def test_a_crowd_that_is_refused_meanwhile_does_not_stand_before_who_cancelled(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, *, asked: bool
) -> None:
    """Somebody else's order was decided before the cancel, and is told after it."""
    mine = await shop.order((1, 1))
    if not asked:
        await shop.order((1, 2), user_id=8)
    held = await held_look(shop, monkeypatch)
    shop.held = asked
    other = asyncio.create_task(shop.order((1, 2), user_id=8))
    async with asyncio.timeout(5):
        while asked and not shop.undelivered:
            await asyncio.sleep(0.005)
        if not asked:
            await held.looks.wait()
    shop.held = True
    await shop.orders.submit(CancelOrder(mine.order_id), shop.new_cause())
    held.go_on.set()
    if asked:
        await shop.worker.handle([command for command in shop.undelivered if isinstance(command, Sell)])
        shop.undelivered = [command for command in shop.undelivered if not isinstance(command, Sell)]
    assert (await other).saga.step is Step.REFUSED
    again = asyncio.create_task(shop.order((1, 1)))
    async with asyncio.timeout(5):
        while not {type(command) for command in shop.undelivered} >= {Rollback, Sell}:
            await asyncio.sleep(0.005)
    await shop.deliver()

    assert (await again).saga.step is Step.AWAITING_PAYMENT


async def test_what_one_order_gives_back_says_nothing_of_other_goods(shop: Shop) -> None:
    mine = await shop.order((3, 1))
    await shop.order((2, 1))
    await shop.orders.submit(CancelOrder(mine.order_id), shop.new_cause())
    asked = shop.asked
    await shop.order((2, 1))

    assert (shop.asked, len(shop.denied())) == (asked, 1)


async def test_a_look_that_failed_leaves_nobody_waiting(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither those it was for, nor those who asked while it was going on."""
    await shop.order((2, 1))
    held = await held_look(shop, monkeypatch, LedgerBroken())
    first = asyncio.create_task(shop.order((2, 1)))
    await held.looks.wait()
    second = asyncio.create_task(shop.order((2, 1), user_id=8))
    await asyncio.sleep(0.05)
    held.go_on.set()

    async with asyncio.timeout(5):
        assert {(await one).saga.step for one in (first, second)} == {Step.REFUSED}
    assert (shop.asked, shop.denied()) == (3, [])
