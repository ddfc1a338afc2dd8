"""Whatever the batches: the tables hold what one fold of the log gives."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import cycle
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import conninfo
from psycopg.sql import SQL, Identifier

from adapters.postgres_projection import PostgresProjection
from adapters.postgres_read_schema import create_read_tables
from domain.cart import CartLine, PutCartLine, RemoveCartLine
from domain.goods import ChangeGoods, DeleteGoods
from domain.refusals import Refusal
from domain.sale import Rollback
from domain.services import GOODS, INVENTORY, ORDER, USER
from domain.user import ChangeProfile, RegisterUser, Role
from projections import PROJECTIONS
from tests.adapters.read_side import LOGS, assert_same_as_fold, create_logs, live, store
from tests.databases import drop_database
from tests.shop_history import ShopHistory

order_ids = st.sampled_from(("1", "2", "3"))
lines = st.dictionaries(st.sampled_from((11, 12, 13)), st.integers(1, 4), min_size=1).map(
    lambda nums: tuple(nums.items())
)
Step = Callable[[ShopHistory], Any]
STEPS: tuple[st.SearchStrategy[Step], ...] = (
    st.tuples(order_ids, lines).map(lambda it: lambda shop: shop.started(*it)),
    order_ids.map(lambda order_id: lambda shop: shop.sold(order_id)),
    order_ids.map(lambda order_id: lambda shop: shop.paid(order_id)),
    order_ids.map(lambda order_id: lambda shop: shop.cancelled(order_id)),
    order_ids.map(lambda order_id: lambda shop: shop.rolled_back(order_id)),
    order_ids.map(lambda order_id: lambda shop: shop.tell(INVENTORY, Rollback(order_id))),
    st.sampled_from((11, 12)).map(lambda goods_id: lambda shop: shop.tell(GOODS, DeleteGoods(goods_id))),
    st.integers(1, 9).map(lambda price: lambda shop: shop.tell(GOODS, ChangeGoods(13, price=price))),
    st.tuples(st.sampled_from((11, 12, 13)), st.integers(1, 4), st.booleans()).map(
        lambda line: lambda shop: shop.tell(ORDER, PutCartLine(7, CartLine(*line)))
    ),
    st.sampled_from((11, 12)).map(
        lambda goods_id: lambda shop: shop.tell(ORDER, RemoveCartLine(7, goods_id))
    ),
    st.sampled_from("abc").map(lambda name: lambda shop: shop.tell(USER, ChangeProfile(7, nickname=name))),
)


def empty(dsn: str) -> None:
    tables = [Identifier(log, "events") for log in LOGS]
    tables += [Identifier("read", table.name) for projection in PROJECTIONS for table in projection.tables]
    with psycopg.connect(dsn) as connection:
        connection.execute(SQL("TRUNCATE {}").format(SQL(", ").join(tables)))
        connection.execute("UPDATE read.position SET position = 0")


@pytest.fixture(scope="module")
def shared_logs(postgres_dsn: str) -> Iterator[tuple[str, list[PostgresProjection]]]:
    """A database that the examples of one test empty for each other, and projections connected to it."""
    name = f"test_projector_{os.getpid()}"
    with psycopg.connect(postgres_dsn, autocommit=True) as owner:
        owner.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        dsn = conninfo.make_conninfo(postgres_dsn, dbname=name)
        create_logs(dsn)
        create_read_tables(dsn)
        running = [live(projection, dsn) for projection in PROJECTIONS]
        yield dsn, running
        for one in running:
            one.close()
        drop_database(owner, name)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.one_of(STEPS), max_size=40), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_batches_of_any_sizes_give_the_tables_of_one_fold(
    shared_logs: tuple[str, list[PostgresProjection]], steps: list[Step], sizes: list[int]
) -> None:
    shop = ShopHistory()
    shop.tell(USER, RegisterUser(7, "sealed", "digest", "sealed-name", None, Role.CUSTOMER, "hash"))
    for goods_id in (11, 12, 13):
        shop.stocked(goods_id, units=5)
    for step in steps:
        with suppress(Refusal, KeyError):
            step(shop)
    dsn, running = shared_logs
    empty(dsn)
    store(dsn, shop)
    for one in running:
        following = cycle(sizes)
        while one.advance(next(following)):
            pass
    assert_same_as_fold(dsn, shop)
