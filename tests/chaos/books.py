"""The logs and read models as plain rows, by SQL. None of the shop's own code has a part in reading them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import psycopg
from psycopg.rows import tuple_row

LOGS: Final = ("order", "inventory")

EVENTS: Final = (
    'SELECT originator_id, originator_version, topic, state, notification_id FROM "{}".events'
    " ORDER BY originator_id, originator_version"
)
HEAD: Final = 'SELECT coalesce(max(notification_id), 0) FROM "{}".events'
UNDECIDED: Final = (
    "SELECT s.originator_id FROM \"order\".events s WHERE s.topic = 'OrderStarted' AND NOT EXISTS"
    ' (SELECT FROM "order".events t WHERE t.originator_id = s.originator_id'
    " AND t.topic IN ('PaymentTaken', 'SellDenied', 'ReturnConfirmed'))"
)
"""Orders whose saga has no last event."""

TABLES: Final = {
    "inventory": "SELECT goods_id, sticks, version FROM read.inventory",
    "order_info": (
        "SELECT order_id, user_id, status, order_mount, trade_id, close_reason, refund_due"
        " FROM read.order_info"
    ),
    "order_goods": "SELECT order_id, goods_id, goods_price, nums FROM read.order_goods",
    "stock_sell_detail": "SELECT order_id, status, detail FROM read.stock_sell_detail",
    "order_saga": "SELECT order_id, step, owes FROM read.order_saga",
}


@dataclass(frozen=True, slots=True)
class Event:
    """`by`: who caused it; `data`: the event's own fields."""

    version: int
    name: str
    data: Mapping[str, Any]
    position: int
    by: str = ""


Streams = dict[str, list[Event]]
"""Stream name -> its events, by version."""


@dataclass(slots=True)
class Books:
    order: Streams = field(default_factory=dict)
    inventory: Streams = field(default_factory=dict)
    tables: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)

    def sale(self, order_id: str) -> list[Event]:
        return self.inventory.get(f"sale-{order_id}", [])

    def saga(self, order_id: str) -> list[Event]:
        return self.order.get(f"saga-{order_id}", [])

    def placed(self, order_id: str) -> list[Event]:
        return self.order.get(f"order-{order_id}", [])

    def keys(self, streams: Streams, category: str) -> list[str]:
        """What stands after the category in the names of its streams."""
        start = f"{category}-"
        return [name.removeprefix(start) for name in streams if name.startswith(start)]


def streams_of(rows: Iterable[tuple[str, int, str, bytes, int]]) -> Streams:
    streams: defaultdict[str, list[Event]] = defaultdict(list)
    for stream, version, topic, state, position in rows:
        told = msgspec.json.decode(state)
        streams[stream].append(Event(version, topic, told["data"], position, told["by"]))
    return dict(streams)


def read_books(dsn: str) -> Books:
    """Everything, from one snapshot. Raises psycopg.Error."""
    with psycopg.connect(dsn, row_factory=tuple_row) as conn:
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        logs = {log: streams_of(conn.execute(EVENTS.format(log)).fetchall()) for log in LOGS}
        tables = {name: conn.execute(query).fetchall() for name, query in TABLES.items()}
    return Books(logs["order"], logs["inventory"], tables)


def undecided(dsn: str) -> list[str]:
    """Sagas that are not at an end. Raises psycopg.Error."""
    with psycopg.connect(dsn, row_factory=tuple_row) as conn:
        return [row[0] for row in conn.execute(UNDECIDED).fetchall()]


def behind(dsn: str) -> list[str]:
    """Projections that have not read their log to its end. Raises psycopg.Error."""
    with psycopg.connect(dsn, row_factory=tuple_row) as conn:
        heads = {log: conn.execute(HEAD.format(log)).fetchone() for log in LOGS}
        positions = conn.execute("SELECT log, projection, position FROM read.position").fetchall()
    last = {log: row[0] for log, row in heads.items() if row is not None}
    return [projection for log, projection, position in positions if position < last.get(log, 0)]
