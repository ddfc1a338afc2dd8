"""Is every order what was started, at the amount of its lines, paid that amount or closed, never both?

    (nothing) --OrderPlaced--> TO_PAY --OrderPaid--> PAID
                                 '------OrderClosed-> CLOSED --RefundDue--> CLOSED

Contact data is left out on purpose: it is personal, and an audit needs no keys to read it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from domain import streams
from domain.order import (
    OrderClosed,
    OrderEvent,
    OrderLine,
    OrderPaid,
    OrderPlaced,
    OrderStatus,
    Payment,
    RefundDue,
)
from domain.recorded import Recorded
from domain.saga import Begun, OrderStarted, StartDenied
from domain.sale import Line
from orchestrator.audit import Finding, digest, quietly
from orchestrator.audit_sales import units_digest

LEGAL: Final[Mapping[tuple[OrderStatus, type[OrderEvent]], OrderStatus]] = {
    (OrderStatus.NONE, OrderPlaced): OrderStatus.TO_PAY,
    (OrderStatus.TO_PAY, OrderPaid): OrderStatus.PAID,
    (OrderStatus.TO_PAY, OrderClosed): OrderStatus.CLOSED,
    (OrderStatus.CLOSED, RefundDue): OrderStatus.CLOSED,
}

SAID: Final[Mapping[OrderStatus, str]] = {
    OrderStatus.NONE: "that was never placed",
    OrderStatus.TO_PAY: "that is placed and still to pay",
    OrderStatus.PAID: "that is paid",
    OrderStatus.CLOSED: "that is closed",
}


@dataclass(slots=True)
class OrderFacts:
    """What is kept of one order. Digests are empty, and positions 0, before there is anything."""

    status: OrderStatus = OrderStatus.NONE
    user_id: int = 0
    amount: int = 0
    lines: bytes = b""
    units: bytes = b""
    placed_at: int = 0


class OrdersAddUp:
    name = "orders"
    question = "Every order: sum of its lines, paid in full and once, or closed"
    unit = "orders"
    events = frozenset({OrderStarted, StartDenied, OrderPlaced, OrderPaid, OrderClosed, RefundDue})

    def __init__(self) -> None:
        self.facts: dict[str, OrderFacts] = {}
        self._paid_by: dict[bytes, str] = {}

    @property
    def count(self) -> int:
        return len(self.facts)

    def see(self, recorded: Recorded) -> Iterable[Finding]:
        return self._book(recorded, recorded.event) if type(recorded.event) in self.events else ()

    def recall(self, recorded: Recorded) -> Iterable[Finding]:
        return quietly(self.see(recorded))

    def end(self) -> Iterable[Finding]:
        return ()

    def _book(self, recorded: Recorded, event: Begun | OrderEvent) -> Iterator[Finding]:
        order_id = streams.key_of(recorded.originator_id)
        facts = self.facts.setdefault(order_id, OrderFacts())
        for wrong in _wrongs(facts, order_id, event):
            yield self._finding(order_id, recorded.position, wrong)
        if isinstance(event, OrderPaid | RefundDue):
            yield from self._paid_once(order_id, recorded.position, event.payment)
        _note(facts, recorded.position, event)

    def _paid_once(self, order_id: str, position: int, payment: Payment) -> Iterator[Finding]:
        """The same payment for the same order again is not legal, or a refund that is due: told elsewhere."""
        other = self._paid_by.setdefault(digest((payment.pay_type, payment.trade_id)), order_id)
        if other != order_id:
            what = f"{payment.pay_type} payment {payment.trade_id} has paid for order {other} already"
            yield self._finding(order_id, position, what)

    def _finding(self, order_id: str, position: int, what: str) -> Finding:
        return Finding(self.name, f"order {order_id}", position, what, log="order")


def _wrongs(facts: OrderFacts, order_id: str, event: Begun | OrderEvent) -> Iterator[str]:
    """Everything that is wrong with one event."""
    if not isinstance(event, Begun) and (facts.status, type(event)) not in LEGAL:
        yield f"{type(event).__name__} for an order {SAID[facts.status]}"
    match event:
        case OrderStarted() | StartDenied():
            yield from _wrong_total(type(event).__name__, event.lines, event.amount)
            yield from _wrong_id(order_id, event.order_id)
            if isinstance(event, StartDenied):
                yield from _wrong_reason(event)
        case OrderPlaced(placed):
            yield from _wrong_total("OrderPlaced", placed.lines, placed.amount)
            yield from _wrong_id(order_id, placed.order_id)
            yield from _not_as_started(facts, event)
        case OrderPaid(payment) if payment.amount != facts.amount:
            yield f"paid {payment.amount}, but the order's amount is {facts.amount}"
        case _:
            pass


def _wrong_total(what: str, lines: tuple[OrderLine, ...], amount: int) -> Iterator[str]:
    total = sum(line.price * line.nums for line in lines)
    if amount != total:
        yield f"{what} says amount {amount}, but its {len(lines)} lines make {total}"
    if not lines or any(line.nums <= 0 or line.price < 0 for line in lines):
        yield f"{what} has no lines, or lines without a quantity and a price"


def _wrong_id(order_id: str, claimed: str) -> Iterator[str]:
    if claimed != order_id:
        yield f"it says that it is order {claimed}"


def _wrong_reason(event: StartDenied) -> Iterator[str]:
    """What was short must have been asked for, and there must have been too little of it."""
    wanted = {line.goods_id: line.nums for line in event.lines}
    if not event.short:
        yield "StartDenied names no goods that were short"
    for short in event.short:
        if short.wanted != wanted.get(short.goods_id) or not 0 <= short.available < short.wanted:
            yield (
                f"StartDenied for goods {short.goods_id}, {short.wanted} wanted and {short.available} there,"
                f" but the order is for {wanted.get(short.goods_id, 0)}"
            )


def _not_as_started(facts: OrderFacts, event: OrderPlaced) -> Iterator[str]:
    placed = event.placed
    if not facts.lines:
        yield "placed, but never started"
        return
    if (placed.user_id, placed.amount) != (facts.user_id, facts.amount):
        yield (
            f"placed for user {placed.user_id} at {placed.amount},"
            f" but started for user {facts.user_id} at {facts.amount}"
        )
    if _lines_digest(placed.lines) != facts.lines:
        yield "placed with other lines than it was started with"


def _note(facts: OrderFacts, position: int, event: Begun | OrderEvent) -> None:
    """The first start and the first placing count; any further one was told."""
    if isinstance(event, Begun):
        if not facts.lines:
            _remember(facts, event.user_id, event.amount, event.lines)
        return
    if isinstance(event, OrderPlaced) and not facts.placed_at:
        facts.placed_at = position
        _remember(facts, event.placed.user_id, event.placed.amount, event.placed.lines)
    facts.status = LEGAL.get((facts.status, type(event)), facts.status)


def _remember(facts: OrderFacts, user_id: int, amount: int, lines: tuple[OrderLine, ...]) -> None:
    facts.user_id, facts.amount = user_id, amount
    known, facts.lines = facts.lines, _lines_digest(lines)
    if facts.lines != known:
        facts.units = units_digest(Line(line.goods_id, line.nums) for line in lines)


def _lines_digest(lines: Iterable[OrderLine]) -> bytes:
    return digest([(line.goods_id, line.name, line.price, line.nums) for line in lines])
