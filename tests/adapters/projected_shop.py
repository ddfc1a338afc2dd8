"""A shop with its read models and the watchdog's list, all up to date, for whoever asks how they stand."""

from datetime import UTC, datetime, timedelta

import psycopg

from adapters.postgres_due import SCHEMA as DUE_SCHEMA
from adapters.postgres_read_schema import create_read_tables
from adapters.projection_states import Kept, Look, Standing, kept_projections, look
from projections.order_saga import ORDER_SAGA
from tests.adapters.read_side import LOGS, busy_shop, catch_up, create_logs, finish, live, store
from tests.shop_history import ShopHistory


def projected_shop(dsn: str) -> ShopHistory:
    shop = busy_shop()
    create_logs(dsn)
    store(dsn, shop)
    create_read_tables(dsn)
    create_read_tables(dsn, DUE_SCHEMA, (ORDER_SAGA,))
    catch_up(dsn)
    with live(ORDER_SAGA, dsn, DUE_SCHEMA) as running:
        finish(running)
    return shop


def recorded_ago(dsn: str, shop: ShopHistory, seconds: float) -> None:
    """Two goods more, three events that nobody has applied, the first of them so long ago."""
    shop.now = datetime.now(UTC) - timedelta(seconds=seconds)
    shop.stocked(201, units=5)
    shop.stocked(202, units=5)
    store(dsn, shop)


def sql(dsn: str, text: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(text)


def kept(dsn: str, **others: str) -> tuple[Kept, ...]:
    return kept_projections({**dict.fromkeys((*LOGS, "read"), dsn), **others})


def standing_of(seen: Look, name: str) -> Standing:
    return next(one for one in seen.standings if one.name == name)


def looked(dsn: str, name: str) -> Standing:
    return standing_of(look(kept(dsn)), name)
