"""Where is each order's saga, what does it owe, and when is it looked at again? Read model `order_saga`.

The row holds what `domain.saga` needs to fold the next event, so both move by the same table.
"""

from datetime import datetime
from typing import Final, NamedTuple, get_args

from domain import saga
from domain.recorded import Recorded
from domain.saga import OWES, Resent, Saga, SagaEvent, Step
from domain.saga_timing import wakes_at
from projections.projection import Projection, Table, key_of

NAMES: Final = {step: step.value for step in Step}
STEPS: Final = {step.value: step for step in Step}
OWED_NAMES: Final = {step: command.__name__ for step, command in OWES.items()}


class OrderSagaRow(NamedTuple):
    """`since`: when the step began. `owes`: Sell, Rollback or null.

    `last_error`: of this step's last try, and since when there is no answer.
    """

    order_id: int
    step: str
    owes: str | None
    since: datetime
    tries: int
    next_try_at: datetime | None
    last_error: str | None


def evolve(rows: tuple[OrderSagaRow, ...], recorded: Recorded) -> tuple[OrderSagaRow, ...]:
    row = rows[0] if rows else None
    event: SagaEvent = recorded.event
    before = _saga(row)
    after = saga.evolve(before, event)
    stays = row is not None and after.step is before.step
    since = row.since if row is not None and stays else recorded.cause.at
    return (
        OrderSagaRow(
            order_id=key_of(recorded),
            step=NAMES[after.step],
            owes=OWED_NAMES.get(after.step),
            since=since,
            tries=after.tries,
            next_try_at=wakes_at(after, since),
            last_error=_last_error(row if stays else None, event, since),
        ),
    )


def _saga(row: OrderSagaRow | None) -> Saga:
    """As much of the saga as decides its step and its next wake-up."""
    if row is None:
        return saga.NEW
    step = STEPS[row.step]
    if step is Step.AWAITING_PAYMENT:
        return Saga(step=step, tries=row.tries, pay_before=row.next_try_at)
    return Saga(step=step, tries=row.tries, next_try_at=row.next_try_at)


def _last_error(row: OrderSagaRow | None, event: SagaEvent, since: datetime) -> str | None:
    if isinstance(event, Resent) and row is not None:
        return f"{event.error} since {since:%Y-%m-%d %H:%M:%S} UTC"
    return row.last_error if row is not None else None


TABLE = Table(
    name="order_saga",
    row=OrderSagaRow,
    primary_key=("order_id",),
    events=frozenset(get_args(SagaEvent)),
    evolve=evolve,
)

ORDER_SAGA = Projection(name="order_saga", log="order", tables=(TABLE,))
