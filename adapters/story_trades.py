"""Which orders a trade stands at. The log says; the read models say where in it to look."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import psycopg

from adapters.postgres_read_schema import statement
from adapters.projection_states import READ_SCHEMA, quick_connection
from adapters.story_reader import StoryReader
from domain import streams
from domain.recorded import Recorded
from projections.order_info import ORDER_INFO

MAX_CANDIDATES: Final = 20_000
"""Orders to look at in the log. Where there are more, the whole log is as quick."""


@dataclass(frozen=True, slots=True)
class _Candidates:
    """All orders that the trade may stand at, by the log up to a position."""

    order_ids: tuple[str, ...]
    position: int


def orders_of_trade(dsns: Mapping[str, str], trade_id: str) -> tuple[str, ...]:
    """Orders that were paid with it, or are to get it back, the oldest first. Raises LogUnreadable.

    What the read models do not know, or cannot be asked, the whole log is looked through for.
    """
    orders = StoryReader(dsns["order"], "order")
    paid = _looked_up(orders, _candidates(dsns["read"], trade_id), trade_id) or orders.payments(trade_id)
    return tuple(dict.fromkeys(streams.key_of(event.originator_id) for event in paid))


def _looked_up(orders: StoryReader, known: _Candidates | None, trade_id: str) -> list[Recorded]:
    if known is None:
        return []
    names = [streams.order(order_id) for order_id in known.order_ids]
    found = orders.payments_of(names, trade_id) + orders.payments(trade_id, after=known.position)
    return sorted(found, key=lambda event: event.position)


def _candidates(dsn: str, trade_id: str) -> _Candidates | None:
    """None where the read models cannot be asked, are of another version, or know too many."""
    wanted = {
        "log": ORDER_INFO.log,
        "projection": ORDER_INFO.name,
        "trade_id": trade_id,
        "limit": MAX_CANDIDATES,
    }
    try:
        with quick_connection(dsn) as connection:
            found = connection.execute(statement("orders_of_trade", READ_SCHEMA), wanted).fetchone()
    except psycopg.Error:
        return None
    if found is None or found[1] != ORDER_INFO.shape or len(found[2]) == MAX_CANDIDATES:
        return None
    position, _, order_ids = found
    return _Candidates(tuple(map(str, order_ids)), position)
