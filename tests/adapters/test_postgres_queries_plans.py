"""Every page comes from one index, however much there is."""

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from adapters.postgres_queries import Queries, read_pool, statement_for
from tests.adapters.read_history import SHOP, database_with


@pytest.fixture(scope="module")
def dsn(postgres_dsn: str) -> Iterator[str]:
    """A database with the history in it; tests only read, or add what others do not look at."""
    with database_with(SHOP, postgres_dsn) as address:
        yield address


@pytest.fixture
async def queries(dsn: str) -> AsyncIterator[Queries]:
    async with read_pool(dsn) as pool:
        yield Queries(pool)


PAGES = (
    ("goods_page", {"goods_id", "limit"}, "goods_for_sale"),
    ("goods_named", {"q", "limit"}, "goods_by_name"),
    ("goods_named", {"q", "lower_name", "goods_id", "limit"}, "goods_by_name"),
    ("orders_page", {"before", "limit"}, "order_info_pkey"),
    ("orders_page", {"user_id", "before", "limit"}, "order_info_of_user"),
    ("orders_page", {"status", "before", "limit"}, "order_info_in_status"),
    ("orders_page", {"user_id", "status", "before", "limit"}, "order_info_of_user_in_status"),
    ("open_orders", {"user_id", "limit"}, "order_info_of_user_in_status"),
    ("sagas_page", {"since", "order_id", "limit"}, "order_saga_under_way"),
    ("sagas_page", {"since", "order_id", "older_than_s", "limit"}, "order_saga_under_way"),
    ("sagas_page", {"stuck", "since", "order_id", "limit"}, "order_saga_stuck"),
    ("sagas_page", {"step", "since", "order_id", "limit"}, "order_saga_in_step"),
)


@pytest.mark.parametrize(("name", "given", "index"), PAGES)
def test_a_page_comes_from_one_index_without_sorting_or_leaving_out(
    dsn: str, name: str, given: set[str], index: str
) -> None:
    with psycopg.connect(dsn) as connection:
        fill(connection)
        plan = generic_plan(connection, statement_for(name, "read", frozenset(given)))
        connection.rollback()
    assert f" using {index} on " in plan
    assert "Sort" not in plan
    assert "Filter" not in plan


def fill(connection: psycopg.Connection) -> None:
    """Enough rows that reading a whole table is worse than any index, and statistics that say so."""
    connection.execute(
        "INSERT INTO read.order_info SELECT (jsonb_populate_record(old, jsonb_build_object('order_id',"
        " number, 'user_id', number % 50, 'status', 1 + number % 3))).*"
        " FROM read.order_info AS old, generate_series(10000, 15000) AS number WHERE old.order_id = 901"
    )
    connection.execute(
        "INSERT INTO read.order_saga SELECT number, (ARRAY['PAID', 'SELLING', 'AWAITING_PAYMENT'])"
        "[1 + number % 3], NULL, now() - make_interval(secs => number), 0, NULL, NULL"
        " FROM generate_series(10000, 15000) AS number"
    )
    connection.execute(
        "INSERT INTO read.goods SELECT number, now(), now(), CASE WHEN number % 3 = 0 THEN now() END,"
        " 'goods ' || number, 1 FROM generate_series(10000, 15000) AS number"
    )
    connection.execute("ANALYZE read.order_info, read.order_saga, read.goods")


def generic_plan(connection: psycopg.Connection, query: bytes) -> str:
    """The plan for parameters that are not known yet: what a prepared statement settles on."""
    text = query.decode()
    names = list(dict.fromkeys(part.partition(")s")[0] for part in text.split("%(")[1:]))
    for number, name in enumerate(names, start=1):
        text = text.replace(f"%({name})s", f"${number}")
    cursor = psycopg.ClientCursor(connection)
    return "\n".join(line for (line,) in cursor.execute(f"EXPLAIN (GENERIC_PLAN) {text}"))
