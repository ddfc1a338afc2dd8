"""How projections stand, as the database tells it: position, lag, and what keeps those that do not move."""

from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import conninfo

from adapters.postgres_read_schema import create_read_tables
from adapters.projection_states import Condition, Standing, look, standing_still
from projections import PROJECTIONS
from tests.adapters.projected_shop import kept, looked, projected_shop, recorded_ago, sql, standing_of
from tests.adapters.read_side import LOGS, create_logs
from tests.databases import drop_database
from tests.shop_history import ShopHistory

AWAY = "postgresql://nobody@127.0.0.1:1/none"

BEHIND = Standing(
    projection="goods",
    schema="read",
    log="goods",
    position=7,
    head=9,
    behind_s=3.0,
    quiet_s=3.0,
    moved_at=datetime(2026, 11, 23, tzinfo=UTC),
    error=None,
    fits=True,
)


@pytest.fixture
def shop(fresh_database: str) -> ShopHistory:
    return projected_shop(fresh_database)


@pytest.mark.parametrize(
    ("standing", "condition"),
    [
        (replace(BEHIND, position=9), Condition.UP_TO_DATE),
        (replace(BEHIND, position=10), Condition.UP_TO_DATE),
        (BEHIND, Condition.CATCHING_UP),
        (replace(BEHIND, behind_s=900.0), Condition.CATCHING_UP),
        (replace(BEHIND, quiet_s=11.0), Condition.NOT_MOVING),
        (replace(BEHIND, position=9, quiet_s=900.0), Condition.UP_TO_DATE),
        (replace(BEHIND, error="bad event"), Condition.STOPPED),
        (replace(BEHIND, error="bad event", quiet_s=900.0, head=None), Condition.STOPPED),
        (replace(BEHIND, fits=False), Condition.OTHER_VERSION),
        (replace(BEHIND, fits=False, error="bad event"), Condition.OTHER_VERSION),
        (replace(BEHIND, head=None), Condition.UNKNOWN),
    ],
)
def test_the_condition_follows_from_what_is_seen(standing: Standing, condition: Condition) -> None:
    assert standing.condition is condition
    stands_still = condition in (Condition.STOPPED, Condition.OTHER_VERSION)
    assert standing_still([standing]) == ([standing] if stands_still else [])


def test_all_read_models_and_the_watchdogs_list_are_told(fresh_database: str, shop: ShopHistory) -> None:
    seen = look(kept(fresh_database))
    assert seen.missing == ()
    assert [one.name for one in seen.standings] == [*(p.name for p in PROJECTIONS), "order.order_saga"]
    for one in seen.standings:
        head = len(shop.logs[one.log])
        assert (one.position, one.head, one.behind_events, one.behind_s) == (head, head, 0, 0.0)
        assert one.condition is Condition.UP_TO_DATE


def test_lag_is_the_age_of_the_oldest_event_that_is_not_applied(
    fresh_database: str, shop: ShopHistory
) -> None:
    recorded_ago(fresh_database, shop, seconds=40)
    goods, stock = looked(fresh_database, "goods"), looked(fresh_database, "inventory")
    assert (goods.behind_events, stock.behind_events) == (2, 2)
    assert goods.behind_s == pytest.approx(40, abs=5)
    assert stock.behind_s == pytest.approx(39, abs=5)
    assert goods.condition is Condition.CATCHING_UP
    assert looked(fresh_database, "order_info").condition is Condition.UP_TO_DATE


def test_nobody_moves_it_when_neither_it_nor_its_log_are_news(fresh_database: str, shop: ShopHistory) -> None:
    sql(fresh_database, "UPDATE read.position SET at = now() - interval '1 hour'")
    recorded_ago(fresh_database, shop, seconds=5)
    assert looked(fresh_database, "goods").condition is Condition.CATCHING_UP
    long_ago = """SET state = '{"at": "2025-01-01T00:00:00Z"}' WHERE originator_id = 'goods-201'"""
    sql(fresh_database, f"UPDATE goods.events {long_ago}")
    assert looked(fresh_database, "goods").condition is Condition.NOT_MOVING


@pytest.mark.parametrize("state", ["not json", "{}", '{"at": 7}', r"\xff"])
def test_an_event_that_cannot_be_read_leaves_its_age_open(
    fresh_database: str, shop: ShopHistory, state: str
) -> None:
    recorded_ago(fresh_database, shop, seconds=40)
    sql(fresh_database, f"UPDATE goods.events SET state = '{state}' WHERE originator_id = 'goods-201'")
    goods = looked(fresh_database, "goods")
    assert (goods.behind_events, goods.behind_s) == (2, None)


def test_a_stopped_one_and_one_of_another_version_are_told_apart(
    fresh_database: str, shop: ShopHistory
) -> None:
    sql(fresh_database, "UPDATE read.position SET last_error = 'bad event' WHERE projection = 'goods'")
    sql(fresh_database, "UPDATE read.position SET shape = 'older' WHERE projection = 'user'")
    sql(fresh_database, """UPDATE "order".position SET shape = NULL, last_error = 'bad event'""")
    still = {one.name: one.condition for one in standing_still(look(kept(fresh_database)).standings)}
    assert still == {
        "goods": Condition.STOPPED,
        "user": Condition.OTHER_VERSION,
        "order.order_saga": Condition.STOPPED,
    }


# where something is missing


def test_a_log_that_does_not_answer_is_told_and_the_rest_as_well(
    fresh_database: str, shop: ShopHistory
) -> None:
    seen = look(kept(fresh_database, user=AWAY))
    (line,) = seen.missing
    assert line.startswith("the user log cannot be read: ")
    user, goods = standing_of(seen, "user"), standing_of(seen, "goods")
    assert (user.head, user.behind_events, user.behind_s) == (None, None, None)
    assert user.condition is Condition.UNKNOWN
    assert goods.condition is Condition.UP_TO_DATE


def test_read_models_that_do_not_answer_are_told_once(fresh_database: str, shop: ShopHistory) -> None:
    seen = look(kept(fresh_database, read=AWAY))
    assert [one.name for one in seen.standings] == ["order.order_saga"]
    (line,) = seen.missing
    assert line.startswith("the positions of schema read cannot be read: ")


def test_what_was_not_migrated_says_what_to_do(fresh_database: str) -> None:
    create_logs(fresh_database)
    assert look(kept(fresh_database)).missing == (
        "the positions of schema order cannot be read: run `tillroll migrate`",
        "the positions of schema read cannot be read: run `tillroll migrate`",
    )


def test_positions_from_before_shapes_were_noted_say_what_to_do(
    fresh_database: str, shop: ShopHistory
) -> None:
    sql(fresh_database, "ALTER TABLE read.position DROP COLUMN shape")
    assert look(kept(fresh_database)).missing == (
        "the positions of schema read cannot be read: run `tillroll migrate`",
    )


def test_a_projection_that_is_not_kept_says_what_to_do(fresh_database: str, shop: ShopHistory) -> None:
    sql(fresh_database, "DELETE FROM read.position WHERE projection = 'goods'")
    seen = look(kept(fresh_database))
    assert seen.missing == ("schema read does not keep goods: run `tillroll migrate`",)
    assert len(seen.standings) == len(PROJECTIONS)


def test_logs_may_be_in_other_databases(fresh_database: str, shop: ShopHistory, postgres_dsn: str) -> None:
    name = f"{conninfo.conninfo_to_dict(fresh_database)['dbname']}_read"
    reads = conninfo.make_conninfo(postgres_dsn, dbname=name)
    with psycopg.connect(postgres_dsn, autocommit=True) as owner:
        owner.execute(f"CREATE DATABASE {name}")
        try:
            create_read_tables(reads)
            seen = look(kept(fresh_database, read=reads))
        finally:
            drop_database(owner, name)
    assert seen.missing == ()
    goods = standing_of(seen, "goods")
    assert (goods.position, goods.behind_events) == (0, len(shop.logs["goods"]))


def test_a_role_that_can_only_select_is_enough(fresh_database: str, shop: ShopHistory) -> None:
    role = f"look_{conninfo.conninfo_to_dict(fresh_database)['dbname']}"
    schemas = ", ".join(f'"{schema}"' for schema in (*LOGS, "read"))
    with psycopg.connect(fresh_database, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role} NOLOGIN")
        try:
            owner.execute(f"GRANT {role} TO current_user")
            limited = conninfo.make_conninfo(fresh_database, options=f"-c role={role}")
            assert "permission denied" in look(kept(limited)).missing[0]
            owner.execute(f"GRANT USAGE ON SCHEMA {schemas} TO {role}")
            owner.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schemas} TO {role}")
            assert look(kept(limited)).missing == ()
        finally:
            owner.execute(f"DROP OWNED BY {role}")
            owner.execute(f"DROP ROLE {role}")
