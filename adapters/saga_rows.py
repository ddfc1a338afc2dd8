"""One saga as its row of the read model, made from the log itself: never behind what was just recorded."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from adapters.postgres_log_reader import LogReader
from domain import streams
from domain.recorded import Recorded
from domain.services import ORDER
from projections.order_saga import ORDER_SAGA, TABLE
from projections.projection import fold_log

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SagaFilter:
    """Which sagas a list shows. `step`: None for all that owe something; `is_stuck`: those alone."""

    step: str | None = None
    older_than_s: float | None = None
    is_stuck: bool = False


def saga_row(events: Iterable[Recorded]) -> Item | None:
    """order_id, step, owes, since, tries, next_try_at, last_error. `events`: one saga's; None without any."""
    rows = fold_log(ORDER_SAGA, events)[TABLE.name]
    if not rows:
        return None
    ((row,),) = rows.values()
    return {**dict(zip(TABLE.columns, row, strict=True)), "order_id": str(row[0])}


def read_saga_events(dsn: str, order_id: str) -> list[Recorded]:
    """Empty for an unknown order. Raises LogUnreadable."""
    return LogReader(dsn, ORDER.log).read_stream(streams.saga(order_id))


async def saga_of(dsn: str, order_id: str) -> Item | None:
    """The row of one saga; None for an unknown order. Raises LogUnreadable. Reads in a thread."""
    return saga_row(await asyncio.to_thread(read_saga_events, dsn, order_id))
