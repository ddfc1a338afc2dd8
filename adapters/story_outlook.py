"""How an order stands at a moment, and what may be done about it: in words an operator can act on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain import order, saga
from domain.order import OrderStatus
from domain.saga import Step
from orchestrator.timeline import Waiting


@dataclass(frozen=True, slots=True)
class Act:
    """`command`: what to type. `why`: what it would do, or why it cannot be done now."""

    name: str
    is_safe: bool
    command: str
    why: str


@dataclass(frozen=True, slots=True)
class Refund:
    """Money that came for an order that was closed: it is to be given back. Minor units."""

    trade_id: str
    pay_type: str
    amount: int
    user_id: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Outlook:
    """`answered`: what the API said of the order then. Seconds; `overdue_s`: past the next try, else 0.

    `why`: the reason it was refused or given up. `refunds`: what is owed back to the customer.
    """

    answered: str
    why: str | None
    waiting: Waiting | None
    waits_s: float
    overdue_s: float
    acts: tuple[Act, ...]
    refunds: tuple[Refund, ...]


ANSWERED: Final[Mapping[Step, str]] = {
    Step.NEW: "404: there was no such order",
    Step.SELLING: "202: recorded, not decided yet",
    Step.REFUSED: "409: refused",
    Step.ROLLING_BACK: "404 from GET: it was given up before it was placed",
    Step.CLOSED: "404 from GET: it was given up before it was placed",
}
"""Of an order that was not placed; one that was is answered with its status."""

PLACED: Final[Mapping[OrderStatus, str]] = {
    OrderStatus.TO_PAY: "200: status 1, to pay",
    OrderStatus.PAID: "200: status 2, paid",
    OrderStatus.CLOSED: "200: status 3, closed",
}

RETRY: Final[Mapping[Step, tuple[bool, str]]] = {
    Step.SELLING: (True, "asks inventory again within 2 s; a Sell counts once, however often it is sent"),
    Step.ROLLING_BACK: (
        True,
        "asks inventory again within 2 s; stock goes back once, however often it is asked",
    ),
    Step.AWAITING_PAYMENT: (False, "nothing is owed to inventory: only the payment is missing"),
}
COMPENSATE: Final[Mapping[Step, tuple[bool, str]]] = {
    Step.SELLING: (True, "gives the order up; what inventory sold, or sells late, goes back once"),
    Step.AWAITING_PAYMENT: (
        True,
        "closes the order and gives its stock back; money that comes later is recorded as a refund due",
    ),
    Step.ROLLING_BACK: (False, "it is being given up already"),
}
"""Whether an act can be done in a step, and what it does or why not; in all others the order has ended."""

ENDED: Final[Mapping[Step, str]] = {
    Step.NEW: "no order was started under this id",
    Step.PAID: "the order has ended: it is paid",
    Step.REFUSED: "the order has ended: it was refused and sold nothing",
    Step.CLOSED: "the order has ended: its stock is settled",
}


def outlook(state: saga.Saga, placed: order.Order, waiting: Waiting | None, now: datetime) -> Outlook:
    """`now`: the moment that is asked about."""
    due = waiting.next_try_at if waiting else None
    return Outlook(
        answered=PLACED.get(placed.status) or ANSWERED.get(state.step, "404: there was no such order"),
        why=placed.close_reason or state.reason,
        waiting=waiting,
        waits_s=max(0.0, (now - waiting.since).total_seconds()) if waiting else 0.0,
        overdue_s=max(0.0, (now - due).total_seconds()) if due else 0.0,
        acts=_acts(state),
        refunds=tuple(
            Refund(paid.trade_id, paid.pay_type, paid.amount, state.user_id, paid.at)
            for paid in placed.refunds
        ),
    )


def _acts(state: saga.Saga) -> tuple[Act, ...]:
    """Both acts, the possible ones first. An order sold by hand has no saga and so no acts."""
    if state.step is Step.NEW:
        return ()
    acts = [_act(name, table, state) for name, table in (("retry", RETRY), ("compensate", COMPENSATE))]
    return tuple(sorted(acts, key=lambda act: not act.is_safe))


def _act(name: str, table: Mapping[Step, tuple[bool, str]], state: saga.Saga) -> Act:
    is_safe, why = table.get(state.step) or (False, ENDED[state.step])
    return Act(name, is_safe, f"tillroll saga {name} {state.order_id} --reason TEXT", why)
