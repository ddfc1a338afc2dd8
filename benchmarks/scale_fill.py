"""Logs of a size, written by SQL before anything is measured: ten million events in a few minutes.

They hold what the shop itself would have written: names, envelopes and versions as the codec stores them,
orders of two goods that were sold and paid, customers who come back, and goods that take turns. The audit
finds nothing wrong in them. Personal data are texts as long as sealed ones, and the log of users is empty.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from adapters.embedded_servers import EmbeddedServers
from adapters.postgres_due import SCHEMA as DUE_SCHEMA
from adapters.postgres_migrate import migrate
from adapters.read_rebuild import Teller, rebuild
from adapters.read_sets import LIVE
from adapters.settings import LOGS, SERVICES, Settings, load_settings, only_embedded
from benchmarks.stocked import PLENTY

SQL_FOLDER: Final = Path(__file__).parent / "sql"
PIECES: Final = {"goods": ("goods",), "inventory": ("stock", "sale"), "order": ("order", "saga")}
"""Of SQL, by log: `sql/scale_<piece>.sql`, one after the other."""

START: Final = datetime(2026, 1, 5, 8, 0)
FIRST_ID: Final = 266_000_000_000_000_000
ID_STEP: Final = 2_000 << 22
"""Order ids as `adapters.ids` makes them, of one order every 2 s."""

ORDERS_A_USER: Final = 20
ORDER_EVENTS: Final = 11
"""Of one order that was paid: eight in the order log, three in the inventory log."""


@dataclass(frozen=True, slots=True)
class Size:
    """`goods`: even. `counts`: events of the stock stream of goods 1 beside its first and its sales."""

    orders: int
    goods: int
    counts: int = 0

    @property
    def users(self) -> int:
        return max(self.orders // ORDERS_A_USER, 1)

    @property
    def events(self) -> int:
        """In all logs together."""
        return 2 * self.goods + self.counts + ORDER_EVENTS * self.orders


def size_of(events: int, goods: int, counts: int = 0) -> Size:
    """So many events, or a few less."""
    return Size(max(events - 2 * goods - counts, 0) // ORDER_EVENTS, goods, counts)


def fill(dsn: str, size: Size) -> None:
    """Into the migrated, empty logs of one database. Afterwards the planner knows how large they are.

    Raises psycopg.Error.
    """
    with ThreadPoolExecutor(len(PIECES)) as pool:
        list(pool.map(lambda log: _fill_log(dsn, log, size), PIECES))
    with psycopg.connect(dsn, autocommit=True) as connection:
        for log, last in (("goods", size.goods), ("user", size.users)):
            connection.execute("SELECT setval(%s::regclass, %s)", (f'"{log}".ids', last))
        _follow(connection, DUE_SCHEMA, ("order",))
        connection.execute(SQL("VACUUM (ANALYZE) {}.order_saga").format(Identifier(DUE_SCHEMA)))
        connection.execute("CHECKPOINT")


@contextmanager
def kept_shop(data: Path) -> Iterator[Settings]:
    """Of a shop with servers and a folder of its own, which stays. Raises EmbeddedServerError."""
    with EmbeddedServers(data) as servers:
        addresses = {"shared_dsn": servers.dsn, "nats_url": servers.nats_url}
        settings = only_embedded(load_settings(), data).model_copy(update=addresses)
        migrate(settings)
        yield settings


def address(settings: Settings) -> str:
    """Of the one database that holds all logs and read models."""
    dsn = settings.dsn("order")
    assert dsn is not None
    return dsn


def heads(dsn: str) -> dict[str, int]:
    """The last position of each log."""
    with psycopg.connect(dsn) as connection:
        return {log: _head(connection, log) for log in LOGS}


def make_read_models(dsn: str) -> None:
    """As if their projections had followed. Raises CannotRebuild."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        # A rebuild goes as far as those that it replaces have come.
        _follow(connection, LIVE, LOGS)
    rebuild({str(service): dsn for service in SERVICES}, Teller(), accept=True)


def log_bytes(dsn: str) -> int:
    """On disk, of all logs with their indexes."""
    with psycopg.connect(dsn) as connection:
        sizes = [connection.execute(_BYTES, (f'"{log}".events',)).fetchone() for log in LOGS]
    return sum(int(size[0]) for size in sizes if size is not None)


_BYTES: Final = "SELECT pg_total_relation_size(%s::regclass)"


def _head(connection: psycopg.Connection, log: str) -> int:
    query = SQL("SELECT coalesce(max(notification_id), 0) FROM {}.events").format(Identifier(log))
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def _fill_log(dsn: str, log: str, size: Size) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        # Nobody needs these rows after a crash.
        connection.execute("SET synchronous_commit = off")
        for piece in PIECES[log]:
            text = (SQL_FOLDER / f"scale_{piece}.sql").read_text(encoding="utf-8")
            connection.execute(text.encode(), _parameters(size))
        connection.execute(SQL("VACUUM (ANALYZE) {}.events").format(Identifier(log)))


def _follow(connection: psycopg.Connection, schema: str, logs: Sequence[str]) -> None:
    """The projections of those logs in that schema have read all of them."""
    update = SQL("UPDATE {}.position SET position = {} WHERE log = {}")
    for log in logs:
        head = Literal(_head(connection, log))
        connection.execute(update.format(Identifier(schema), head, Literal(log)))


def _parameters(size: Size) -> Mapping[str, Any]:
    return {
        "orders": size.orders,
        "users": size.users,
        "goods": size.goods,
        "counts": size.counts,
        "units": PLENTY,
        "first_id": FIRST_ID,
        "id_step": ID_STEP,
        "start": START,
    }
