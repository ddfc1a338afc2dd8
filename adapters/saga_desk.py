"""What an operator sees of sagas, and does about them, from the command line: straight on the order log.

It needs neither the API nor the broker: an act is recorded, and the watchdog of whatever orchestrator runs,
now or later, sends what it makes owed.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from adapters.error_text import first_line
from adapters.ids import new_command_id, utc_now
from adapters.ledger_codec import CODEC
from adapters.postgres_due import SCHEMA
from adapters.postgres_log import PostgresLog
from adapters.postgres_queries import statement_for
from adapters.saga_rows import Item, SagaFilter, read_saga_events, saga_row
from domain import saga
from domain.limits import MAX_REASON_CHARS
from domain.recorded import Cause
from domain.refusals import Refusal
from domain.saga_acts import CompensateSaga, CompensationOrdered, RetrySaga
from domain.services import ORDER
from orchestrator.ledger import Ledger
from orchestrator.timeline import OPERATOR, waiting_for

CONNECT_TIMEOUT_S: Final = 5
MAX_NAME_CHARS: Final = 64

BEHIND: Final = (
    'SELECT (SELECT coalesce(max(notification_id), 0) FROM "order".events) - position'
    " FROM \"order\".position WHERE projection = 'order_saga'"
)

Act = RetrySaga | CompensateSaga


class CannotAct(Exception):
    """What an operator asked for cannot be done; the text is one line that says why."""


@dataclass(frozen=True, slots=True)
class SagaSeen:
    """A saga as its log has it now. `saga`: the row of the read model; `acts`: what can be done about it.

    `waits_for`: in words, None once it has ended. `reason`: why it was refused or is being given up.
    """

    saga: Item
    user_id: int
    amount: int
    waits_for: str | None
    reason: str | None
    acts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SagaList:
    """Rows, those that are stuck first. `more`: there are others; `behind`: positions of the order log that
    the list does not know yet.
    """

    sagas: list[Item]
    more: bool
    behind: int


def list_sagas(dsn: str, which: SagaFilter, limit: int) -> SagaList:
    """From the orchestrator's own list, which is what its watchdog acts on. Raises CannotAct."""
    params: dict[str, Any] = {
        "step": which.step,
        "older_than_s": which.older_than_s,
        "limit": limit + 1,
    }
    given = frozenset(name for name, value in params.items() if value is not None)
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            cursor = connection.cursor(row_factory=dict_row)
            rows = cursor.execute(statement_for("sagas_by_urgency", SCHEMA, given), params).fetchall()
            behind = connection.execute(BEHIND).fetchone()
    except psycopg.Error as error:
        raise CannotAct(f"the list of sagas cannot be read: {first_line(error)}") from error
    return SagaList(rows[:limit], len(rows) > limit, 0 if behind is None else int(behind[0]))


def look_at(dsn: str, order_id: str) -> SagaSeen:
    """Raises CannotAct for an unknown order, LogUnreadable."""
    events = read_saga_events(dsn, order_id)
    row = saga_row(events)
    if row is None:
        raise CannotAct(f"there is no order {order_id}")
    state: saga.Saga = reduce(lambda known, event: saga.evolve(known, event.event), events, saga.NEW)
    waiting = waiting_for(events)
    return SagaSeen(
        saga=row,
        user_id=state.user_id,
        amount=state.amount,
        waits_for=None if waiting is None else waiting.what,
        reason=state.reason,
        acts=possible_acts(state.step),
    )


def possible_acts(step: saga.Step) -> tuple[str, ...]:
    can_compensate = (step, CompensationOrdered) in saga.MOVES
    return (*(("retry",) if step in saga.OWES else ()), *(("compensate",) if can_compensate else ()))


def checked_reason(text: str) -> str:
    """Raises CannotAct."""
    return _checked("--reason", text, MAX_REASON_CHARS)


def caller_named(name: str) -> str:
    """The caller of an operator's act, as it stands in the log. Raises CannotAct."""
    return f"{OPERATOR}{_checked('--by', name, MAX_NAME_CHARS)}"


def _checked(option: str, text: str, longest: int) -> str:
    stripped = text.strip()
    if not (stripped.isprintable() and 1 <= len(stripped) <= longest):
        raise CannotAct(f"{option}: expected 1 to {longest} characters in one line")
    return stripped


async def record(dsn: str, act: Act, caller: str) -> int | None:
    """Its position in the order log; None when there was nothing to record. Raises CannotAct."""
    async with AsyncExitStack() as stack:
        log = PostgresLog(dsn, ORDER.log)
        stack.callback(log.close)
        ledger = Ledger(ORDER, log, CODEC)
        stack.push_async_callback(ledger.close)
        try:
            done = await ledger.submit(act, Cause(new_command_id(), caller, act.order_id, utc_now()))
        except Refusal as refusal:
            at = f" is at {refusal.facts['step']}" if "step" in refusal.facts else ""
            raise CannotAct(f"order {act.order_id}{at}: {refusal}") from refusal
        return done.position
