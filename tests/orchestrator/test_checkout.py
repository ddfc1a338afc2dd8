"""Placing an order: started once whatever happens, its outcome told as soon as somebody knows it."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import count

import pytest
from eventsourcing.popo import POPOApplicationRecorder

from domain.cart import CartLine, CloseCart, PutCartLine, ReplaceCart
from domain.goods import ChangeGoods, CreateGoods, DeleteGoods, Offer
from domain.key import KeyUse
from domain.order import Contact, OrderStatus
from domain.recorded import Cause, Recorded
from domain.refusals import CartChanged, CartEmpty, GoodsUnavailable, KeyReused, OrderUnderWay, Short
from domain.saga import CancelOrder, OrderStarted, StartOrder, Step
from domain.saga_acts import CompensateSaga
from domain.services import GOODS, INVENTORY, ORDER
from domain.stock import SetInv
from orchestrator.checkout import Checkout, CheckoutTerms, Placing
from orchestrator.ledger import Ledger
from orchestrator.log import Log, RecorderLog
from orchestrator.messages import Reply, SellRefusedReply, SoldReply
from orchestrator.outcomes import LOOK_INTO_LOG_EVERY_S, Outcomes
from orchestrator.saga_runner import ReplyDesk, Timing

LedgerOver = Callable[..., Ledger]
OpenLog = Callable[[], Log]
NewCause = Callable[[], Cause]

AT = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
CONTACT = Contact("1 High Street", "Ann", "07700 900000", "N1")


class Counter:
    """A checkout, and an inventory that answers each started order with what `answer` makes of its id."""

    def __init__(
        self, orders: Ledger, goods: Ledger, inventory: Ledger, new_cause: NewCause, at: datetime
    ) -> None:
        ids = count(100)
        self.orders, self.goods, self.new_cause = orders, goods, new_cause
        self.outcomes = Outcomes()
        self.desk = ReplyDesk(orders, Timing(1_800, lambda: at))
        self.new_id: Callable[[], str] = lambda: str(next(ids))
        terms = CheckoutTerms(30, lambda: at, self._next_id)
        self.checkout = Checkout(orders, goods, inventory, self.outcomes, terms)
        self.answer: Callable[[str], Reply] | None = SoldReply
        self.started: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        orders.listeners += [self.outcomes.on_recorded, self.on_recorded]

    def _next_id(self) -> str:
        return self.new_id()

    def on_recorded(self, events: Sequence[Recorded]) -> None:
        for recorded in events:
            if isinstance(recorded.event, OrderStarted):
                self.started.append(recorded.event.order_id)
                if self.answer is not None:
                    reply = self.answer(recorded.event.order_id)
                    self.tasks.append(asyncio.create_task(self.desk.handle([reply])))

    async def fill(self, *lines: CartLine) -> None:
        await self.orders.submit(ReplaceCart(3, lines), self.new_cause())

    async def has_begun(self) -> None:
        """Until an order is started."""
        async with asyncio.timeout(5):
            while not self.started:
                await asyncio.sleep(0.005)

    async def place(self, wait_s: float = 5.0, use: KeyUse | None = None) -> Placing:
        return await self.checkout.place(
            user_id=3, contact_for=lambda _: CONTACT, use=use, cause=self.new_cause(), wait_s=wait_s
        )


@pytest.fixture
async def counter(
    open_memory_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause, at: datetime
) -> Counter:
    """Goods 1 and 2 are for sale, and there is plenty; two of goods 1 are in the cart of user 3."""
    goods = ledger_over(RecorderLog(POPOApplicationRecorder()), GOODS)
    await goods.submit(CreateGoods(1, "mug", 250), new_cause())
    await goods.submit(CreateGoods(2, "cup", 100), new_cause())
    inventory = ledger_over(RecorderLog(POPOApplicationRecorder()), INVENTORY)
    for goods_id in (1, 2):
        await inventory.submit(SetInv(goods_id, 100, goods_exist=True), new_cause())
    counter = Counter(ledger_over(open_memory_log(), ORDER), goods, inventory, new_cause, at)
    await counter.fill(CartLine(1, 2, checked=True))
    return counter


async def test_an_order_is_placed_with_names_and_prices_of_now(counter: Counter) -> None:
    await counter.goods.submit(ChangeGoods(1, price=300), counter.new_cause())
    placed = await counter.place()

    assert placed.saga.step is Step.AWAITING_PAYMENT
    assert placed.order.status is OrderStatus.TO_PAY
    assert placed.order.placed is not None
    assert placed.order.placed.amount == 600
    assert [(line.name, line.price) for line in placed.order.placed.lines] == [("mug", 300)]
    assert not placed.replayed


async def test_what_is_told_at_once_is_what_the_log_says_later(counter: Counter) -> None:
    placed = await counter.place()
    later = await counter.checkout.outcome(placed.order_id)

    assert later is not None
    assert (later.saga, later.order) == (placed.saga, placed.order)


async def test_a_refused_order_says_what_was_short(counter: Counter) -> None:
    counter.answer = lambda order_id: SellRefusedReply(order_id, "stock-short", (Short(1, 2, 0),))
    refused = await counter.place()

    assert (refused.saga.step, refused.saga.short) == (Step.REFUSED, (Short(1, 2, 0),))
    assert refused.order.status is OrderStatus.NONE


async def test_an_order_nobody_answers_is_undecided_when_the_time_is_up(counter: Counter) -> None:
    counter.answer = None
    undecided = await counter.place(wait_s=0.05)

    assert undecided.saga.step is Step.SELLING
    assert undecided.position is not None
    assert counter.outcomes._waiters == {}, "nobody is waited for in vain"


async def test_an_undecided_answer_is_the_answer_of_its_key_whatever_comes_of_the_order(
    counter: Counter,
) -> None:
    counter.answer = None
    undecided = await counter.place(wait_s=0.0, use=USE)
    await counter.desk.handle([SoldReply(undecided.order_id)])
    repeat = await counter.place(use=USE)

    assert (undecided.undecided, undecided.replayed) == (True, False)
    assert (repeat.undecided, repeat.replayed) == (True, True)
    assert repeat.order.status is OrderStatus.TO_PAY
    assert len(counter.started) == 1


async def test_an_order_decided_in_time_is_told_by_its_key_as_it_was_placed(counter: Counter) -> None:
    placed, repeat = await counter.place(use=USE), await counter.place(use=USE, wait_s=0.0)

    assert (placed.undecided, repeat.undecided) == (False, False)
    assert repeat.order == placed.order


async def test_who_awaits_an_order_of_which_its_key_was_told_less_is_told_the_same(counter: Counter) -> None:
    """Two requests with one key: the impatient one was answered first, and that answer stays."""
    counter.answer = None
    patient = asyncio.create_task(counter.place(use=USE))
    await counter.has_begun()
    impatient = await counter.place(use=USE, wait_s=0.0)
    await counter.desk.handle([SoldReply(counter.started[0])])

    assert impatient.undecided
    assert (await patient).undecided


async def test_an_order_cancelled_while_it_is_awaited_ends_the_wait(counter: Counter) -> None:
    counter.answer = None
    waiting = asyncio.create_task(counter.place())
    await counter.has_begun()
    await counter.orders.submit(CancelOrder(counter.started[0]), counter.new_cause())

    assert (await waiting).saga.step is Step.ROLLING_BACK


async def test_an_operator_who_gives_an_awaited_order_up_ends_the_wait(counter: Counter) -> None:
    counter.answer = None
    placing = await awaited(counter, lambda order_id: CompensateSaga(order_id, AT, "stuck"))

    assert (placing.saga.step, placing.saga.reason) == (Step.ROLLING_BACK, "compensated")


async def test_an_order_sold_for_an_account_closed_meanwhile_ends_the_wait(counter: Counter) -> None:
    counter.answer = None
    await counter.fill(CartLine(1, 2, checked=True))
    placing = await awaited(counter, lambda order_id: CloseCart(3), sold=True)

    assert (placing.saga.step, placing.saga.reason) == (Step.ROLLING_BACK, "account-closed")
    assert placing.order.placed is None


async def awaited(counter: Counter, command: Callable[[str], object], *, sold: bool = False) -> Placing:
    """An order that is awaited while somebody does something, and that hears then, perhaps, that it was sold.

    The wait must end by the news: the fallback of looking into the log takes longer than is allowed here.
    """
    waiting = asyncio.create_task(counter.place())
    await counter.has_begun()
    await counter.orders.submit(command(counter.started[0]), counter.new_cause())
    if sold:
        await counter.desk.handle([SoldReply(counter.started[0])])
    assert (await asyncio.wait({waiting}, timeout=LOOK_INTO_LOG_EVERY_S / 2))[0], "nobody told it"
    return await waiting


async def test_news_of_another_process_end_the_wait(counter: Counter) -> None:
    """They say which order was decided, not how: the log is asked."""
    counter.answer = None
    waiting = asyncio.create_task(counter.place())
    await counter.has_begun()
    counter.orders.listeners.remove(counter.outcomes.on_recorded)
    await counter.desk.handle([SoldReply(counter.started[0])])
    counter.outcomes.wake(counter.started[0])
    placed = await asyncio.wait_for(waiting, 0.9)

    assert placed.order.status is OrderStatus.TO_PAY


async def test_a_false_announcement_does_not_end_the_wait(counter: Counter) -> None:
    counter.answer = None
    waiting = asyncio.create_task(counter.place(wait_s=0.5))
    await counter.has_begun()
    before = counter.orders.commands
    counter.outcomes.wake(counter.started[0])

    assert (await waiting).saga.step is Step.SELLING
    assert counter.orders.commands - before < 10, "the log is not asked in a tight loop"


# refusals


async def test_an_empty_selection_is_refused_and_nothing_recorded(counter: Counter) -> None:
    await counter.fill(CartLine(1, 2, checked=False))
    with pytest.raises(CartEmpty):
        await counter.place()
    assert counter.started == []


async def test_goods_no_longer_for_sale_are_named_and_nothing_recorded(counter: Counter) -> None:
    await counter.goods.submit(DeleteGoods(1), counter.new_cause())
    with pytest.raises(GoodsUnavailable) as refusal:
        await counter.place()
    assert refusal.value.facts == {"missing": (1,)}
    assert counter.started == []


async def test_a_second_order_of_the_same_cart_is_refused_and_the_first_is_named(counter: Counter) -> None:
    counter.answer = None
    await counter.place(wait_s=0.01)
    with pytest.raises(OrderUnderWay) as refusal:
        await counter.place()
    assert refusal.value.facts == {"order_id": "100"}
    assert counter.started == ["100"]
    assert counter.outcomes._waiters == {}, "nobody is waited for in vain"


async def test_ten_starts_of_one_cart_at_once_give_one_order(counter: Counter) -> None:
    counter.answer = None
    starts = (counter.place(wait_s=0.01) for _ in range(10))
    answers = await asyncio.gather(*starts, return_exceptions=True)

    (placing,) = [one for one in answers if isinstance(one, Placing)]
    refused = [one.facts for one in answers if isinstance(one, OrderUnderWay)]
    assert refused == [{"order_id": placing.order_id}] * 9
    assert counter.started == [placing.order_id]


async def test_ten_starts_of_one_cart_by_two_processes_at_once_give_one_order(
    counter: Counter, open_memory_log: OpenLog, ledger_over: LedgerOver, at: datetime
) -> None:
    counter.answer = None
    ledgers = (counter.orders, ledger_over(open_memory_log(), ORDER))
    offers = (Offer(1, "mug", 250, for_sale=True),)
    starts = [StartOrder(str(number), 3, offers, CONTACT, at, at) for number in range(100, 110)]
    answers = await asyncio.gather(
        *(ledgers[number % 2].submit(command, counter.new_cause()) for number, command in enumerate(starts)),
        return_exceptions=True,
    )

    sagas = await counter.orders.read(*(f"saga-{command.order_id}" for command in starts))
    (under_way,) = [saga.order_id for saga in sagas.values() if saga.step is Step.SELLING]
    refused = [answer.facts for answer in answers if isinstance(answer, OrderUnderWay)]
    assert refused == [{"order_id": under_way}] * 9


async def test_a_cart_replaced_while_its_order_is_under_way_keeps_the_new_lines(counter: Counter) -> None:
    counter.answer = None
    undecided = await counter.place(wait_s=0.01)
    new = CartLine(1, 3, checked=True)
    await counter.fill(new)
    await counter.desk.handle([SoldReply(undecided.order_id)])

    assert (await counter.orders.read("cart-3"))["cart-3"].lines == (new,)
    assert (await counter.place(wait_s=0.01)).saga.step is Step.SELLING


async def test_lines_of_a_refused_order_can_be_ordered_again(counter: Counter) -> None:
    counter.answer = lambda order_id: SellRefusedReply(order_id, "stock-short", (Short(1, 2, 0),))
    await counter.place()
    counter.answer = SoldReply

    assert (await counter.place()).order.status is OrderStatus.TO_PAY
    assert counter.started == ["100", "101"]


# started again


async def test_a_cart_that_grew_meanwhile_is_read_again(counter: Counter) -> None:
    """Between reading the cart and starting the order somebody put goods 2 into it."""
    grown = counter.new_id

    def while_the_cart_grows() -> str:
        counter.new_id = grown
        line = PutCartLine(3, CartLine(2, 1, checked=True))
        counter.tasks.append(asyncio.create_task(_submitted(counter, line)))
        return grown()

    counter.new_id = while_the_cart_grows
    placed = await counter.place()

    assert placed.order.placed is not None
    assert {line.goods_id for line in placed.order.placed.lines} <= {1, 2}
    assert placed.order.placed.amount == sum(line.price * line.nums for line in placed.order.placed.lines)


async def _submitted(counter: Counter, command: PutCartLine) -> None:
    await counter.orders.submit(command, counter.new_cause())


async def test_a_cart_that_never_stands_still_is_refused_in_the_end(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing_offered(*_args: object, **_kwargs: object) -> tuple[tuple[()], tuple[()]]:
        return (), ()

    monkeypatch.setattr(counter.checkout, "_evidence", nothing_offered)
    with pytest.raises(CartChanged):
        await counter.place()
    assert counter.started == []


async def test_an_order_id_that_is_taken_is_made_anew(counter: Counter) -> None:
    ids = iter(["100", "100", "101"])
    counter.new_id = lambda: next(ids)
    first = await counter.place()
    await counter.fill(CartLine(1, 2, checked=True))
    second = await counter.place()

    assert (first.order_id, second.order_id) == ("100", "101")


# keys

USE = KeyUse("key-abc", "print-1")


async def test_a_key_used_again_gives_the_order_it_was_used_for(counter: Counter) -> None:
    first = await counter.place(use=USE)
    again = await counter.place(use=USE)

    assert (again.order_id, again.order, again.replayed) == (first.order_id, first.order, True)
    assert len(counter.started) == 1


async def test_a_key_used_again_waits_for_the_order_it_was_used_for(counter: Counter) -> None:
    """Its first caller is gone and was answered nothing, so the outcome is still to be told."""
    counter.answer = None
    gone = asyncio.create_task(counter.place(use=USE))
    await counter.has_begun()
    gone.cancel()
    waiting = asyncio.create_task(counter.place(use=USE))
    await asyncio.sleep(0.05)
    await counter.desk.handle([SoldReply(counter.started[0])])

    placing = await waiting
    assert (placing.saga.step, placing.undecided) == (Step.AWAITING_PAYMENT, False)


async def test_a_key_used_by_many_at_once_starts_one_order(counter: Counter) -> None:
    placed = await asyncio.gather(*(counter.place(use=USE) for _ in range(100)))

    assert len({one.order_id for one in placed}) == len(counter.started) == 1
    assert sorted(one.replayed for one in placed) == [False] + [True] * 99


async def test_a_key_used_with_another_request_is_refused(counter: Counter) -> None:
    await counter.place(use=USE)
    with pytest.raises(KeyReused):
        await counter.place(use=KeyUse("key-abc", "print-2"))


async def test_a_refused_start_does_not_use_its_key(counter: Counter) -> None:
    await counter.fill()
    with pytest.raises(CartEmpty):
        await counter.place(use=USE)
    await counter.fill(CartLine(1, 2, checked=True))

    assert (await counter.place(use=USE)).saga.step is Step.AWAITING_PAYMENT


async def test_an_order_nobody_started_has_no_outcome(counter: Counter) -> None:
    assert await counter.checkout.outcome("99", wait_s=5.0) is None


async def test_whoever_awaits_an_unanswered_order_is_told_when_the_time_is_up(counter: Counter) -> None:
    counter.answer = None
    started = await counter.place(wait_s=0.0)

    async with asyncio.timeout(2):
        awaited = await counter.checkout.outcome(started.order_id, wait_s=0.05)

    assert awaited is not None
    assert awaited.saga.step is Step.SELLING
