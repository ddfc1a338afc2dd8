"""Did every saga make only the moves its table allows, and does its order say the same as it does?"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, get_args

from domain import streams
from domain.order import OrderStatus
from domain.recorded import Recorded
from domain.saga import (
    MOVES,
    OWES,
    TERMINAL,
    PlacementRefused,
    Resent,
    ReturnConfirmed,
    SagaEvent,
    SellConfirmed,
    StartDenied,
    Step,
)
from domain.saga_acts import RetryOrdered
from orchestrator.audit import Finding, quietly
from orchestrator.audit_orders import OrderFacts

ORDER_IS: Final[Mapping[Step, frozenset[OrderStatus]]] = {
    Step.SELLING: frozenset({OrderStatus.NONE}),
    Step.REFUSED: frozenset({OrderStatus.NONE}),
    Step.AWAITING_PAYMENT: frozenset({OrderStatus.TO_PAY}),
    Step.PAID: frozenset({OrderStatus.PAID}),
    Step.ROLLING_BACK: frozenset({OrderStatus.NONE, OrderStatus.CLOSED}),
    Step.CLOSED: frozenset({OrderStatus.NONE, OrderStatus.CLOSED}),
}
"""What an order can be while its saga is at a step: both are written in one commit."""


@dataclass(slots=True)
class SagaFacts:
    """What is kept of one saga. `since`, `moved_at`: time and position of its last move.

    `sold_at`: position where it heard that its units were sold, 0 while it has not. `is_unasked`: it was
    refused without inventory.
    """

    since: datetime
    step: Step = Step.NEW
    moved_at: int = 0
    sold_at: int = 0
    returned: bool | None = None
    is_unasked: bool = False


class SagasMoveLegally:
    """`orders`: the orders of the same log, as they are once it was read to its end."""

    name = "sagas"
    question = "Every saga: allowed moves only, in step with its order"
    unit = "sagas"
    events = frozenset(get_args(SagaEvent))

    def __init__(self, orders: Mapping[str, OrderFacts]) -> None:
        self.facts: dict[str, SagaFacts] = {}
        self._orders = orders

    @property
    def count(self) -> int:
        return len(self.facts)

    def see(self, recorded: Recorded) -> Iterable[Finding]:
        return self._move(recorded, recorded.event) if isinstance(recorded.event, SagaEvent) else ()

    def recall(self, recorded: Recorded) -> Iterable[Finding]:
        return quietly(self.see(recorded))

    def end(self) -> Iterator[Finding]:
        nothing = OrderFacts()
        for order_id, saga in self.facts.items():
            status = self._orders.get(order_id, nothing).status
            # An order without a first legal step was told when that step was missing.
            if saga.step is not Step.NEW and status not in ORDER_IS[saga.step]:
                what = f"the saga is at {saga.step}, but the order is {status.name}"
                yield self._finding(order_id, saga.moved_at, what)
        for order_id, order in self._orders.items():
            if order.placed_at and order_id not in self.facts:
                yield self._finding(order_id, order.placed_at, "the order has no saga")

    def _move(self, recorded: Recorded, event: SagaEvent) -> Iterator[Finding]:
        order_id = streams.key_of(recorded.originator_id)
        facts = self.facts.setdefault(order_id, SagaFacts(recorded.cause.at))
        step = MOVES.get((facts.step, type(event)))
        if step is not None:
            facts.step, facts.since, facts.moved_at = step, recorded.cause.at, recorded.position
            facts.is_unasked = isinstance(event, StartDenied)
        elif not (isinstance(event, Resent | RetryOrdered) and facts.step in OWES):
            yield self._finding(order_id, recorded.position, _illegal(facts.step, event))
        if isinstance(event, SellConfirmed | PlacementRefused) and not facts.sold_at:
            facts.sold_at = recorded.position
        if isinstance(event, ReturnConfirmed) and facts.returned is None:
            facts.returned = event.returned

    def _finding(self, order_id: str, position: int, what: str) -> Finding:
        return Finding(self.name, f"order {order_id}", position, what, log="order")


def _illegal(step: Step, event: SagaEvent) -> str:
    ended = ", where it had ended" if step in TERMINAL else ""
    return f"{type(event).__name__} is no move from {step}{ended}"
