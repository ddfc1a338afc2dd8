"""The auditor: sees every commit of every log as it happens, and knows what must be true of a shop.

It shares no code with the decisions it looks at: events are told apart by their stored names, and what
follows from them is worked out here again, in plain counters. Nothing it knows comes from the workload but
the notes of what was promised to a client.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from domain.events import NAMES
from domain.recorded import Recorded


class Violation(AssertionError):
    """Something that must never be has happened. `rule`: which law of the shop it breaks."""

    def __init__(self, rule: str, what: str) -> None:
        super().__init__(f"{rule}: {what}")
        self.rule = rule
        self.what = what


CLIENTS: Final = "client-"
"""How the workload's command ids begin."""

STEPS: Final = {
    ("NEW", "OrderStarted"): "SELLING",
    ("NEW", "StartDenied"): "REFUSED",
    ("SELLING", "SellConfirmed"): "AWAITING_PAYMENT",
    ("SELLING", "SellDenied"): "REFUSED",
    ("SELLING", "SellUnanswered"): "ROLLING_BACK",
    ("SELLING", "PlacementRefused"): "ROLLING_BACK",
    ("SELLING", "OrderCancelled"): "ROLLING_BACK",
    ("SELLING", "CompensationOrdered"): "ROLLING_BACK",
    ("AWAITING_PAYMENT", "PaymentTaken"): "PAID",
    ("AWAITING_PAYMENT", "PaymentLapsed"): "ROLLING_BACK",
    ("AWAITING_PAYMENT", "OrderCancelled"): "ROLLING_BACK",
    ("AWAITING_PAYMENT", "CompensationOrdered"): "ROLLING_BACK",
    ("ROLLING_BACK", "ReturnConfirmed"): "CLOSED",
}
SELL_DEADLINE: Final = timedelta(seconds=8)
PAYMENT_WINDOW: Final = timedelta(seconds=20)
"""As the simulated shop is set."""

PRICES: Final = {1: 251, 2: 252}
"""By goods."""

MANY_TRIES: Final = 5
LONG_PAUSE_S: Final = 15.0
"""After so many tries a pause is at least so long."""

TERMINAL: Final = frozenset({"PAID", "REFUSED", "CLOSED"})
STANDING: Final = frozenset({"Resent", "RetryOrdered"})
"""Events of a saga that leave it where it is, but only while it owes something."""

ORDER_STATES: Final = {
    ("", "OrderPlaced"): "TO_PAY",
    ("TO_PAY", "OrderPaid"): "PAID",
    ("TO_PAY", "OrderClosed"): "CLOSED",
    ("CLOSED", "RefundDue"): "CLOSED",
}


@dataclass(slots=True)
class OrderBook:
    """Everything the logs have said of one order. `units`: what it wants, by goods."""

    step: str = "NEW"
    state: str = ""
    user_id: int = 0
    tag: str = ""
    amount: int = 0
    started_units: Counter[int] = field(default_factory=Counter)
    sell_before: datetime | None = None
    pay_before: datetime | None = None
    sold: Counter[int] | None = None
    returned: Counter[int] | None = None
    barred: bool = False
    refused: bool = False
    taken: Counter[int] = field(default_factory=Counter)
    given: Counter[int] = field(default_factory=Counter)
    trades: set[str] = field(default_factory=set)
    refunds: set[str] = field(default_factory=set)

    def is_undecided(self, by: datetime) -> bool:
        """Whether it still waits for inventory, although its time was up by then."""
        return self.step == "SELLING" and self.sell_before is not None and self.sell_before < by


RULES: Final = {name: re.sub("([A-Z])", r"_\1", name).lower() for name in NAMES.values()}
"""The auditor's method for an event, where it has one: `_order_placed` for OrderPlaced."""


class Auditor:
    """Raises Violation from `see` at the first commit that breaks a law.

    `seen`: events so far; `unasked`: those of them that the shop recorded by itself.
    """

    def __init__(self) -> None:
        self.orders: defaultdict[str, OrderBook] = defaultdict(OrderBook)
        self.level: Counter[int] = Counter()
        # Every level there was, with how many events had been seen then.
        self.levels: defaultdict[int, list[tuple[int, int]]] = defaultdict(lambda: [(0, 0)])
        self.asked_at: dict[str, int] = {}
        self.put_in: Counter[int] = Counter()
        self.versions: Counter[str] = Counter()
        self.by_tag: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        self.closed_carts: set[str] = set()
        self.commands: set[str] = set()
        self.asked: set[str] = set()
        self.under_way: dict[str, str] = {}
        self.pauses: dict[str, float] = {}
        self.seen = 0
        self.unasked = 0
        self._rules = {name: getattr(self, rule, None) for name, rule in RULES.items()}

    def see(self, log: str, commit: Sequence[Recorded]) -> None:
        """The events of one commit. Laws of a commit hold after all of it."""
        touched: dict[str, None] = {}
        self._one_effect(commit)
        for recorded in commit:
            self._contiguous(recorded)
            self.seen += 1
            self.unasked += not recorded.cause.command_id.startswith(CLIENTS)
            name = NAMES[type(recorded.event)]
            category, _, key = recorded.originator_id.partition("-")
            if category == "saga":
                self._step(key, name, recorded)
            rule = self._rules.get(name)
            if rule is not None:
                rule(key, recorded)
            order_id = getattr(recorded.event, "order_id", key)
            if category in ("saga", "order", "sale", "stock"):
                touched[str(order_id)] = None
        for order_id in touched:
            if order_id in self.orders:
                self._order_adds_up(order_id, log)

    def hears(self, command_id: str) -> None:
        """A client asks an API process for this now: what he is told must not be older than that."""
        self.asked_at[command_id] = self.seen

    def acknowledged(self, item: Any) -> None:
        """The broker is told that a message was handled: what it asks for, or tells, must be in a log."""
        book = self.orders.get(item.order_id)
        if book is None or book.step == "NEW":
            return
        name = type(item).__name__
        done = {
            "Sell": book.sold is not None or book.refused or book.barred,
            "Rollback": book.returned is not None or book.barred,
            "SoldReply": book.step != "SELLING",
            "SellRefusedReply": book.step != "SELLING",
            "RolledBackReply": book.step != "ROLLING_BACK",
        }
        if not done[name]:
            raise Violation("nothing is acknowledged before it is done", f"{name} of order {item.order_id}")

    # laws of one event

    def _one_effect(self, commit: Sequence[Recorded]) -> None:
        """A client's command is one that its API process named; it is recorded in one commit only."""
        for command_id in {recorded.cause.command_id for recorded in commit}:
            if command_id.startswith(CLIENTS):
                if command_id in self.commands:
                    raise Violation("a command has one effect", command_id)
                self.commands.add(command_id)
                self.asked.add(command_id.partition("~")[0])

    def _contiguous(self, recorded: Recorded) -> None:
        self.versions[recorded.originator_id] += 1
        if recorded.originator_version != self.versions[recorded.originator_id]:
            raise Violation(
                "versions are contiguous", f"{recorded.originator_id} version {recorded.originator_version}"
            )

    def _step(self, order_id: str, name: str, recorded: Recorded) -> None:
        book = self.orders[order_id]
        if name in STANDING:
            if book.step not in ("SELLING", "ROLLING_BACK"):
                raise Violation("steps are legal", f"{name} of order {order_id} at {book.step}")
            return
        after = STEPS.get((book.step, name))
        if after is None:
            rule = "one terminal step" if book.step in TERMINAL else "steps are legal"
            raise Violation(rule, f"{name} of order {order_id} at {book.step}")
        book.step = after

    def _order_started(self, order_id: str, recorded: Recorded) -> None:
        event, book = recorded.event, self.orders[order_id]
        book.tag, book.user_id, book.amount = event.contact.address, event.user_id, event.amount
        book.sell_before = event.sell_before
        book.started_units = _units(event.lines)
        if event.sell_before - event.at != SELL_DEADLINE:
            raise Violation("deadlines are as they are set", f"order {order_id}: {event.sell_before}")
        if any(line.price != PRICES[line.goods_id] for line in event.lines):
            raise Violation("amounts add up", f"order {order_id} has a wrong price")
        if book.amount != sum(line.price * line.nums for line in event.lines):
            raise Violation("amounts add up", f"order {order_id}")
        if f"cart-{book.user_id}" in self.closed_carts:
            raise Violation("a closed account orders nothing", f"order {order_id}")
        if self.by_tag.setdefault(book.tag, order_id) != order_id:
            raise Violation("one order for one press of the button", f"{book.tag}: order {order_id} as well")

    def _start_denied(self, order_id: str, recorded: Recorded) -> None:
        """Nobody has to ask inventory, but its books must have said so since the customer asked."""
        event, wanted = recorded.event, _units(recorded.event.lines)
        since = self.asked_at[recorded.cause.command_id.partition("~")[0]]
        if not event.short:
            raise Violation("no refusal without a reason", f"order {order_id}")
        for one in event.short:
            levels = self._levels_since(since, one.goods_id)
            if one.wanted != wanted[one.goods_id] or not one.available < one.wanted:
                raise Violation("a refusal is true when it is made", f"order {order_id}: {one}")
            if one.available not in levels:
                raise Violation(
                    "a refusal is true when it is made",
                    f"order {order_id}: {one}, but since it was asked for there were {levels}",
                )
        if f"cart-{event.user_id}" in self.closed_carts:
            raise Violation("a closed account orders nothing", f"order {order_id}")

    def _levels_since(self, seen: int, goods: int) -> set[int]:
        """That of then, and every one after it."""
        history = self.levels[goods]
        then = [level for at, level in history if at <= seen][-1:]
        return {*then, *(level for at, level in history if at > seen)}

    def _sell_confirmed(self, order_id: str, recorded: Recorded) -> None:
        self.orders[order_id].pay_before = recorded.event.pay_before
        if recorded.event.pay_before - recorded.cause.at != PAYMENT_WINDOW:
            raise Violation("deadlines are as they are set", f"order {order_id}: {recorded.event.pay_before}")

    def _sell_denied(self, order_id: str, recorded: Recorded) -> None:
        book = self.orders[order_id]
        if not (book.refused or book.barred or book.returned is not None):
            raise Violation("no refusal without a reason", f"order {order_id}: inventory did not refuse")

    def _sell_unanswered(self, order_id: str, recorded: Recorded) -> None:
        before = self.orders[order_id].sell_before
        if before is None or recorded.cause.at < before:
            raise Violation("nobody is given up early", f"order {order_id}")

    def _payment_lapsed(self, order_id: str, recorded: Recorded) -> None:
        before = self.orders[order_id].pay_before
        if before is None or recorded.cause.at < before:
            raise Violation("no order lapses early", f"order {order_id}")

    def _return_confirmed(self, order_id: str, recorded: Recorded) -> None:
        book = self.orders[order_id]
        if recorded.event.returned != (book.returned is not None) or not (
            recorded.event.returned or book.barred
        ):
            raise Violation("a return is confirmed as it was", f"order {order_id}")

    def _order_placed(self, order_id: str, recorded: Recorded) -> None:
        placed, book = recorded.event.placed, self.orders[order_id]
        if book.sold is None or book.sold != book.started_units:
            raise Violation("no order without its sale", f"order {order_id}")
        if (_units(placed.lines), placed.amount) != (book.started_units, book.amount):
            raise Violation("an order is placed as it was started", f"order {order_id}")
        self._order_state(order_id, "OrderPlaced")

    def _order_paid(self, order_id: str, recorded: Recorded) -> None:
        payment, book = recorded.event.payment, self.orders[order_id]
        if payment.amount != book.amount:
            raise Violation("paid what it costs", f"order {order_id}: {payment.amount} of {book.amount}")
        book.trades.add(payment.trade_id)
        self._order_state(order_id, "OrderPaid")

    def _order_closed(self, order_id: str, recorded: Recorded) -> None:
        self._order_state(order_id, "OrderClosed")

    def _refund_due(self, order_id: str, recorded: Recorded) -> None:
        trade_id = recorded.event.payment.trade_id
        book = self.orders[order_id]
        if trade_id in book.trades | book.refunds:
            raise Violation("a payment counts once", f"order {order_id}: {trade_id}")
        book.refunds.add(trade_id)
        self._order_state(order_id, "RefundDue")

    def _order_state(self, order_id: str, name: str) -> None:
        book = self.orders[order_id]
        after = ORDER_STATES.get((book.state, name))
        if after is None:
            raise Violation(
                "orders end once", f"{name} of order {order_id} when {book.state or 'not placed'}"
            )
        book.state = after

    def _resent(self, order_id: str, recorded: Recorded) -> None:
        """Pauses grow; only the deadline of a Sell may cut one short."""
        book, event = self.orders[order_id], recorded.event
        pause_s = (event.next_try_at - recorded.cause.at).total_seconds()
        is_cut = event.next_try_at in (book.sell_before, recorded.cause.at)
        if event.tries > 1 and not is_cut and pause_s < self.pauses.get(order_id, 0.0):
            raise Violation("pauses grow", f"order {order_id}: {pause_s} s at try {event.tries}")
        if event.tries >= MANY_TRIES and not is_cut and pause_s < LONG_PAUSE_S:
            raise Violation("pauses grow", f"order {order_id}: {pause_s} s at try {event.tries}")
        self.pauses[order_id] = 0.0 if is_cut else pause_s

    def _checkout_begun(self, user_id: str, recorded: Recorded) -> None:
        self.under_way[user_id] = recorded.event.order_id

    def _checked_out(self, user_id: str, recorded: Recorded) -> None:
        if self.under_way.get(user_id) == recorded.event.order_id:
            del self.under_way[user_id]

    def _checkout_dropped(self, user_id: str, recorded: Recorded) -> None:
        self._checked_out(user_id, recorded)

    def _cart_replaced(self, user_id: str, recorded: Recorded) -> None:
        self.under_way.pop(user_id, None)

    def _cart_closed(self, user_id: str, recorded: Recorded) -> None:
        self.closed_carts.add(recorded.originator_id)
        self.under_way.pop(user_id, None)

    def _key_used(self, digest: str, recorded: Recorded) -> None:
        if self.keys.setdefault(recorded.originator_id, recorded.event.about) != recorded.event.about:
            raise Violation("a key has one effect", recorded.originator_id)

    # laws of inventory

    def _stock_set(self, goods_id: str, recorded: Recorded) -> None:
        goods, event = int(goods_id), recorded.event
        self.put_in[goods] += event.on_hand - self.level[goods]
        if event.before != self.level[goods]:
            raise Violation(
                "levels are told right", f"goods {goods} was {self.level[goods]}, not {event.before}"
            )
        self._moved(goods, event.on_hand - self.level[goods], event.on_hand)

    def _stock_adjusted(self, goods_id: str, recorded: Recorded) -> None:
        self.put_in[int(goods_id)] += recorded.event.delta
        self._moved(int(goods_id), recorded.event.delta, recorded.event.on_hand)

    def _stock_sold(self, goods_id: str, recorded: Recorded) -> None:
        event = recorded.event
        self.orders[event.order_id].taken[int(goods_id)] += event.nums
        self._moved(int(goods_id), -event.nums, event.on_hand)

    def _stock_returned(self, goods_id: str, recorded: Recorded) -> None:
        event = recorded.event
        self.orders[event.order_id].given[int(goods_id)] += event.nums
        self._moved(int(goods_id), event.nums, event.on_hand)

    def _moved(self, goods: int, by: int, claimed: int) -> None:
        self.level[goods] += by
        self.levels[goods].append((self.seen, self.level[goods]))
        if self.level[goods] < 0:
            raise Violation("never oversold", f"goods {goods} at {self.level[goods]}")
        if self.level[goods] != claimed:
            raise Violation("levels are told right", f"goods {goods} has {self.level[goods]}, not {claimed}")

    def _sold(self, order_id: str, recorded: Recorded) -> None:
        book = self.orders[order_id]
        if book.sold is not None:
            raise Violation("one sale for an order", f"order {order_id}")
        if book.barred or book.returned is not None:
            raise Violation("no sale after its rollback", f"order {order_id}")
        if book.step == "NEW":
            raise Violation("no sale without an order", f"order {order_id}")
        book.sold = _units(recorded.event.lines)
        if book.sold != book.started_units:
            raise Violation("sold what was ordered", f"order {order_id}")

    def _sell_refused(self, order_id: str, recorded: Recorded) -> None:
        self.orders[order_id].refused = True
        wanted, short = _units(recorded.event.lines), recorded.event.short
        if not short:
            raise Violation("no refusal without a reason", f"order {order_id}")
        for one in short:
            true = (wanted[one.goods_id], self.level[one.goods_id])
            if (one.wanted, one.available) != true or one.available >= one.wanted:
                raise Violation(
                    "a refusal is true when it is made", f"order {order_id}: {one}, in truth {true}"
                )

    def _rolled_back(self, order_id: str, recorded: Recorded) -> None:
        book = self.orders[order_id]
        if book.returned is not None:
            raise Violation("nothing is returned twice", f"order {order_id}")
        if book.sold is None:
            raise Violation("nothing is returned that was not sold", f"order {order_id}")
        book.returned = _units(recorded.event.lines)
        self._may_roll_back(order_id)

    def _rollback_barred(self, order_id: str, recorded: Recorded) -> None:
        self.orders[order_id].barred = True
        self._may_roll_back(order_id)

    def _may_roll_back(self, order_id: str) -> None:
        if self.orders[order_id].step not in ("ROLLING_BACK", "CLOSED"):
            raise Violation(
                "no rollback without a right", f"order {order_id} at {self.orders[order_id].step}"
            )

    # laws of a commit

    def _order_adds_up(self, order_id: str, log: str) -> None:
        """What was taken is the sale, what was given is the return: whole or not at all, in one commit."""
        book = self.orders[order_id]
        if log == "inventory":
            if book.taken != (book.sold or Counter()):
                raise Violation("all lines or none", f"order {order_id} took {dict(book.taken)}")
            if book.given != (book.returned or Counter()) or not book.given <= book.taken:
                raise Violation("returned is what was sold", f"order {order_id} gave {dict(book.given)}")
            return
        placed = book.state != ""
        if placed != (book.pay_before is not None):
            raise Violation("the order and its saga move together", f"order {order_id}: {book.step}")
        given_up = book.step in ("ROLLING_BACK", "CLOSED")
        if (book.state == "PAID") != (book.step == "PAID") or (
            placed and (book.state == "CLOSED") != given_up
        ):
            raise Violation("the order and its saga move together", f"order {order_id}: {book.step}")

    # when everything is over

    def end(self) -> None:
        """Every saga has ended, and every unit that was put in is on hand or belongs to a paid order."""
        left = Counter(self.put_in)
        for order_id, book in self.orders.items():
            if book.step not in TERMINAL:
                raise Violation("every saga ends", f"order {order_id} is at {book.step}")
            keeps = book.sold is not None and book.returned is None
            if keeps != (book.step == "PAID"):
                raise Violation(
                    "stock belongs to paid orders", f"order {order_id} at {book.step}: {book.sold}"
                )
            if keeps and book.sold is not None:
                left.subtract(book.sold)
        if self.under_way:
            raise Violation("no cart waits for ever", f"{self.under_way}")
        if any(left[goods] != self.level[goods] for goods in {*left, *self.level}):
            raise Violation("every unit is accounted for", f"{dict(left)} against {dict(self.level)}")


def _units(lines: Sequence[Any]) -> Counter[int]:
    units: Counter[int] = Counter()
    for line in lines:
        units[line.goods_id] += line.nums
    return units
