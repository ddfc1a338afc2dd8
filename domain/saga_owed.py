"""What a saga owes inventory: from its state, or from the event that has just made it owed."""

from collections.abc import Iterable

from domain.order import OrderLine
from domain.saga import MOVES, OWES, OrderStarted, Saga, Step
from domain.sale import Line, Rollback, Sell

GIVES_BACK = frozenset(event for (_, event), step in MOVES.items() if step is Step.ROLLING_BACK)
"""Events after which stock is owed back."""

OWING = GIVES_BACK | {OrderStarted}
"""Events after which something is owed: `owed_after` says what."""


def owed(saga: Saga) -> Sell | Rollback | None:
    """The command that the saga's step owes, or None: all of it can be told from the saga's own stream."""
    match OWES.get(saga.step):
        case None:
            return None
        case kind if kind is Sell:
            return _sell(saga.order_id, saga.lines)
        case _:
            return Rollback(saga.order_id)


def owed_after(order_id: str, event: object) -> Sell | Rollback | None:
    """The command that an event has just made owed, without looking at the saga's other events.

    None for a retry: it does not say what is owed, and only the watchdog, which looks at the whole saga
    within half a second, also knows whether the deadline has passed meanwhile.
    """
    if isinstance(event, OrderStarted):
        return _sell(order_id, event.lines)
    return Rollback(order_id) if type(event) in GIVES_BACK else None


def _sell(order_id: str, lines: Iterable[OrderLine]) -> Sell:
    return Sell(order_id, tuple([Line(line.goods_id, line.nums) for line in lines]))
