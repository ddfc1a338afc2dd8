"""The whole domain against plain counters: commands in any order, messages at any time, twice, late or never.

Both services are their tables; between them is a bag of messages that nothing ever leaves, so that any of
them can come again, also long after its order has ended. The model is written without the domain: it knows
events by their names, and counts.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import hypothesis.strategies as st
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain import streams
from domain.cart import CartLine, CloseCart, ReplaceCart
from domain.goods import Offer
from domain.order import Payment, PayOrder
from domain.recorded import Recorded
from domain.refusals import Refusal
from domain.saga import (
    CancelOrder,
    ConfirmReturn,
    ConfirmSell,
    DenySell,
    NoteResend,
    Saga,
    StartOrder,
    Step,
)
from domain.saga_acts import CompensateSaga, RetrySaga
from domain.saga_owed import owed, owed_after
from domain.saga_timing import wake
from domain.sale import Rollback, Sale, SaleStatus, Sell
from domain.services import INVENTORY, ORDER
from domain.stock import SetInv
from tests.shop_history import CONTACT, PAYMENT_WINDOW, SELL_DEADLINE, ShopHistory

GOODS = (1, 2)
USERS = (7, 8, 9, 10)
MAX_ORDERS = 6
PRICE = 250
ROUNDS_TO_END = 4
"""Rounds of a healed world in which every order must end: sold or given up, lapsed, given back."""

ACTS = ("pay", "pay_again", "pay_too_little", "cancel", "close_account", "retry", "compensate", "watch")
"""What somebody does about an order: each is a method of the machine."""

Wants = dict[int, int]
"""Units by goods."""

Message = Sell | Rollback | ConfirmSell | DenySell | ConfirmReturn

ENDS = {"PaymentTaken": "paid", "SellDenied": "refused", "ReturnConfirmed": "closed"}
GIVE_UP = ("PlacementRefused", "SellUnanswered", "PaymentLapsed", "OrderCancelled", "CompensationOrdered")

users = st.sampled_from(USERS)
goods_ids = st.sampled_from(GOODS)
wants = st.dictionaries(goods_ids, st.integers(1, 3), min_size=1)
some_order = st.integers(0, MAX_ORDERS - 1)


@dataclass
class Tally:
    """What is counted of one order. `ordered`: units by goods; `paid_in`: money by trade, kept or not."""

    user_id: int
    ordered: Counter[int]
    sell_before: datetime
    happened: Counter[str] = field(default_factory=Counter)
    taken: Counter[int] = field(default_factory=Counter)
    given_back: Counter[int] = field(default_factory=Counter)
    paid_in: dict[str, int] = field(default_factory=dict)
    end: str = ""

    @property
    def holds(self) -> Counter[int]:
        return +Counter({g: self.taken[g] - self.given_back[g] for g in self.taken})


class Shop(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.shop = ShopHistory()
        self.bag: list[Message] = []
        self.orders: dict[str, Tally] = {}
        self.closed: set[int] = set()
        self.brought_in: Counter[int] = Counter()
        self.looked_at = {"order": 0, "inventory": 0}

    @initialize(orders=st.lists(st.tuples(users, wants), min_size=2, max_size=3))
    def open(self, orders: list[tuple[int, Wants]]) -> None:
        for goods_id in GOODS:
            self.count_stock(goods_id, 5)
        for user_id, wanted in orders:
            self.order(user_id, wanted)

    @precondition(lambda self: len(self.orders) < MAX_ORDERS)
    @rule(user_id=users, wanted=wants)
    def order(self, user_id: int, wanted: Wants) -> None:
        cart = tuple(CartLine(goods_id, nums, checked=True) for goods_id, nums in wanted.items())
        self._unless_refused(ReplaceCart(user_id, cart))
        order_id, now = str(100 + len(self.orders)), self.shop.now
        offers = tuple(Offer(goods_id, f"goods {goods_id}", PRICE, for_sale=True) for goods_id in GOODS)
        if self._unless_refused(StartOrder(order_id, user_id, offers, CONTACT, now, now + SELL_DEADLINE)):
            assert user_id not in self.closed, "an order of a closed account"
            self.orders[order_id] = Tally(user_id, Counter(wanted), now + SELL_DEADLINE)

    @precondition(lambda self: self.orders)
    @rule(number=some_order)
    def it_goes_on(self, number: int) -> None:
        """What comes next for an order when nothing goes wrong: without it few would get far."""
        order_id = self._order_id(number)
        if self._saga(order_id).step is Step.AWAITING_PAYMENT:
            self.pay(order_id)
        self._answer_what_is_owed(order_id)

    @precondition(lambda self: self.orders)
    @rule(number=some_order, act=st.sampled_from(ACTS))
    def somebody_acts(self, number: int, act: str) -> None:
        getattr(self, act)(self._order_id(number))

    @precondition(lambda self: self.bag)
    @rule(place=st.integers(0, 10_000))
    def a_message_comes(self, place: int) -> None:
        self._deliver(self.bag[place % len(self.bag)])

    @rule(seconds=st.sampled_from((1, 5, 31, 1_801)))
    def time_passes(self, seconds: int) -> None:
        self.shop.now += timedelta(seconds=seconds)

    @rule(goods_id=goods_ids, level=st.integers(0, 6))
    def count_stock(self, goods_id: int, level: int) -> None:
        before = self._on_shelf(goods_id)
        self.shop.tell(INVENTORY, SetInv(goods_id, level, goods_exist=True))
        self.brought_in[goods_id] += level - before

    # what somebody does about one order

    def pay(self, order_id: str, trade: str = "A", short_of: int = 0) -> None:
        amount = PRICE * self.orders[order_id].ordered.total() - short_of
        payment = Payment("alipay", f"{order_id}{trade}", amount, self.shop.now)
        if self._unless_refused(PayOrder(order_id, payment)):
            self.orders[order_id].paid_in[trade] = amount

    def pay_again(self, order_id: str) -> None:
        self.pay(order_id, "B")

    def pay_too_little(self, order_id: str) -> None:
        self.pay(order_id, "C", short_of=1)

    def cancel(self, order_id: str) -> None:
        self._unless_refused(CancelOrder(order_id))

    def close_account(self, order_id: str) -> None:
        user_id = self.orders[order_id].user_id
        self._tell(CloseCart(user_id))
        self.closed.add(user_id)

    def retry(self, order_id: str) -> None:
        self._unless_refused(RetrySaga(order_id, self.shop.now, "stuck"))

    def compensate(self, order_id: str) -> None:
        self._unless_refused(CompensateSaga(order_id, self.shop.now, "stuck"))

    def watch(self, order_id: str) -> None:
        """As the watchdog does."""
        saga, now = self._saga(order_id), self.shop.now
        command = wake(saga, now)
        if command is None:
            return
        recorded, again = self._tell(command), owed(saga)
        if isinstance(command, NoteResend) and recorded and again is not None:
            is_late = now >= self.orders[order_id].sell_before
            assert not (isinstance(again, Sell) and is_late), "sent to sell past its deadline"
            self.bag.append(again)

    # what must be true after every step

    @invariant()
    def the_books_are_right(self) -> None:
        for log, at in self.looked_at.items():
            for recorded in self.shop.logs[log][at:]:
                self._count(recorded)
            self.looked_at[log] = len(self.shop.logs[log])
        self.shelves_and_orders_account_for_every_unit()
        for order_id, tally in self.orders.items():
            self.it_takes_once_and_gives_back_once_what_it_took(order_id, tally)
            self.it_ends_one_way_and_its_goods_are_where_they_belong(order_id, tally)
            self.all_its_money_is_kept_or_due_back(order_id, tally)

    def shelves_and_orders_account_for_every_unit(self) -> None:
        for goods_id in GOODS:
            held = sum(tally.holds[goods_id] for tally in self.orders.values())
            assert self._on_shelf(goods_id) >= 0, "sold above stock"
            assert self._on_shelf(goods_id) + held == self.brought_in[goods_id]

    def it_takes_once_and_gives_back_once_what_it_took(self, order_id: str, tally: Tally) -> None:
        assert tally.happened["Sold"] <= 1, order_id
        assert tally.happened["RolledBack"] <= tally.happened["Sold"], order_id
        assert tally.taken in (Counter(), tally.ordered), order_id
        assert tally.given_back in (Counter(), tally.taken), order_id

    def it_ends_one_way_and_its_goods_are_where_they_belong(self, order_id: str, tally: Tally) -> None:
        placed, paid, closed = (tally.happened[n] for n in ("OrderPlaced", "OrderPaid", "OrderClosed"))
        assert max(placed, paid, closed) <= 1, order_id
        assert paid + closed <= placed, order_id
        assert (tally.end == "paid") == bool(paid), order_id
        if placed and not closed:
            assert tally.holds == tally.ordered, f"placed order {order_id} lost its goods"
        if tally.end in ("refused", "closed"):
            assert not tally.holds, f"order {order_id} ended with goods that nobody pays"
            assert placed == closed, order_id

    def all_its_money_is_kept_or_due_back(self, order_id: str, tally: Tally) -> None:
        order = self.shop.state(ORDER, streams.order(order_id))
        due = sum(refund.amount for refund in order.refunds)
        price = PRICE * tally.ordered.total() if tally.happened["OrderPaid"] else 0
        assert sum(tally.paid_in.values()) == price + due, order_id

    def teardown(self) -> None:
        """The world heals: what was begun ends within a bound, and what comes afterwards changes nothing."""
        for _ in range(ROUNDS_TO_END):
            self.shop.now += PAYMENT_WINDOW
            for order_id in self.orders:
                self.watch(order_id)
                self._answer_what_is_owed(order_id)
        self.the_books_are_right()
        assert {order_id for order_id, tally in self.orders.items() if not tally.end} == set()
        for order_id in self.orders:
            self.pay(order_id, "late")
        self.the_books_are_right()
        events = [len(log) for log in self.shop.logs.values()]
        for message in tuple(self.bag):
            self._deliver(message)
        for order_id in self.orders:
            self.watch(order_id)
        assert [len(log) for log in self.shop.logs.values()] == events, "something happened after the end"

    # how it is done

    def _tell(self, command: Any) -> bool:
        """As the order ledger does: what an event makes owed goes out. Says whether anything was recorded."""
        written = self.shop.tell(ORDER, command)
        for stream, event in written:
            if streams.category(stream) == "saga":
                sent = owed_after(streams.key_of(stream), event)
                self.bag += [] if sent is None else [sent]
        return bool(written)

    def _unless_refused(self, command: Any) -> bool:
        """Also True where nothing had to be recorded."""
        try:
            self._tell(command)
        except Refusal:
            return False
        return True

    def _answer_what_is_owed(self, order_id: str) -> None:
        command = owed(self._saga(order_id))
        if command is not None:
            self._deliver(command)
            self._deliver(self.bag[-1])

    def _deliver(self, message: Message) -> None:
        if isinstance(message, Sell | Rollback):
            self.bag.append(self._inventory_hears(message))
        elif isinstance(message, ConfirmSell):
            # The payment window begins when the saga hears of the sale, however late that is.
            self._tell(ConfirmSell(message.order_id, self.shop.now, self.shop.now + PAYMENT_WINDOW))
        else:
            self._tell(message)

    def _inventory_hears(self, command: Sell | Rollback) -> Message:
        """As the inventory worker does: the effect, or how it stands, and a reply."""
        order_id, now = command.order_id, self.shop.now
        try:
            self.shop.tell(INVENTORY, command, "order-saga")
        except Refusal as refusal:
            return DenySell(order_id, refusal.name, ())
        sale: Sale = self.shop.state(INVENTORY, streams.sale(order_id))
        if isinstance(command, Rollback):
            return ConfirmReturn(order_id, sale.status is SaleStatus.RETURNED)
        if sale.status is SaleStatus.SOLD:
            return ConfirmSell(order_id, now, now + PAYMENT_WINDOW)
        return DenySell(order_id, "stock-short", sale.short)

    def _count(self, recorded: Recorded) -> None:
        category, key = streams.category(recorded.originator_id), streams.key_of(recorded.originator_id)
        name, event = type(recorded.event).__name__, recorded.event
        if category == "stock":
            moved = {"StockSold": "taken", "StockReturned": "given_back"}.get(name)
            if moved is not None:
                getattr(self.orders[event.order_id], moved)[int(key)] += event.nums
        elif category != "cart":
            tally = self.orders[key]
            assert not (category == "saga" and tally.end), f"{name} after order {key} was {tally.end}"
            assert not (name == "OrderPlaced" and tally.user_id in self.closed), "for a closed account"
            tally.happened[name] += 1
            tally.end = tally.end or ENDS.get(name, "")
            if name == "ReturnConfirmed":
                assert sum(tally.happened[why] for why in GIVE_UP) == 1, f"order {key} was never given up"

    def _order_id(self, number: int) -> str:
        return list(self.orders)[number % len(self.orders)]

    def _saga(self, order_id: str) -> Saga:
        saga: Saga = self.shop.state(ORDER, streams.saga(order_id))
        return saga

    def _on_shelf(self, goods_id: int) -> int:
        on_hand: int = self.shop.state(INVENTORY, streams.stock(goods_id)).on_hand
        return on_hand


# Making a failing history shorter takes minutes; one of 80 steps can be read as it is.
Shop.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=80,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
TestShop = Shop.TestCase
