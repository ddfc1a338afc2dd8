"""What monitoring is told of sealing: of each log the events that are not sealed, and their age."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from prometheus_client import generate_latest
from psycopg import conninfo
from psycopg.sql import SQL, Identifier

from adapters import sealer
from adapters.http_metrics import SealNumbers
from adapters.ids import utc_now
from adapters.postgres_migrate import STEPS
from adapters.projection_watch import Lately
from adapters.seal_key import seal_keys
from adapters.seal_lag import SealLag, SealLook, look_at_seals
from adapters.sealer import LogSealer
from adapters.settings import LOGS, Settings
from tests.adapters.read_history import database_with
from tests.adapters.stored_history import append
from tests.shop_history import ShopHistory

PIECE = 5
NO_GUARD = (
    'CREATE FUNCTION "{}".refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$'
)
"""The logs of these tests have none; the step that makes seals expects one."""

OF_THE_ORDER_LOG = 2
"""Seals, of so many events each."""


def history() -> ShopHistory:
    """Three orders, the last ones of minutes ago."""
    shop = ShopHistory()
    shop.now = datetime.now(UTC) - timedelta(minutes=30)
    shop.stocked(12, 10)
    for order_id in ("1", "2", "3"):
        shop.placed(order_id, [(12, 1)])
        shop.now += timedelta(minutes=5)
    return shop


SHOP = history()


@pytest.fixture(scope="module")
def dsn(postgres_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """All sealed but the order log, of which the first events are."""
    (seals,) = [step for step in STEPS if step.name.endswith("_seals")]
    data = tmp_path_factory.mktemp("sealed")
    with database_with(SHOP, postgres_dsn) as address, pytest.MonkeyPatch.context() as patch:
        with psycopg.connect(address) as connection:
            for log in LOGS:
                connection.execute(NO_GUARD.format(log).encode())
                connection.execute(seals.statements(log))
        patch.setattr(sealer, "MAX_EVENTS", PIECE)
        for log in LOGS:
            with closing(LogSealer(address, log, seal_keys(Settings(data=data)), data, utc_now)) as opened:
                for _ in range(OF_THE_ORDER_LOG if log == "order" else len(SHOP.logs[log])):
                    opened.seal()
        yield address


def lags(dsns: dict[str, str]) -> dict[str, SealLag]:
    return {lag.log: lag for lag in look_at_seals(dsns).lags}


def numbers_of(look: SealLook | None) -> dict[str, float]:
    text = generate_latest(SealNumbers(lambda: look).registry).decode()
    told = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in told}


def test_a_log_that_is_sealed_has_no_lag(dsn: str) -> None:
    found = lags(dict.fromkeys(LOGS, dsn))
    assert found["inventory"] == SealLag("inventory", 0, 0.0)
    assert found["user"] == SealLag("user", 0, 0.0)


def test_what_is_not_sealed_is_counted_and_the_oldest_of_it_is_aged(dsn: str) -> None:
    lag = lags(dict.fromkeys(LOGS, dsn))["order"]
    not_sealed = SHOP.logs["order"][PIECE * OF_THE_ORDER_LOG :]
    assert lag.events == len(not_sealed) > 1
    assert lag.oldest_s is not None
    age_s = (utc_now() - not_sealed[0].cause.at).total_seconds()
    assert age_s - 10 < lag.oldest_s <= age_s
    assert (not_sealed[-1].cause.at - not_sealed[0].cause.at).total_seconds() > 10


def test_a_new_event_shows_at_once(dsn: str) -> None:
    known = len(SHOP.logs["goods"])
    SHOP.stocked(13, 5)
    with psycopg.connect(dsn) as connection:
        append(connection, "goods", SHOP.logs["goods"][known:])
    assert lags(dict.fromkeys(LOGS, dsn))["goods"].events == 1


def test_a_log_that_cannot_be_asked_leaves_a_gap(dsn: str) -> None:
    away = "postgresql://nobody@127.0.0.1:1/none"
    look = look_at_seals({"order": dsn, "goods": away, "nothing": dsn})
    assert [lag.log for lag in look.lags] == ["order"]
    assert sorted(look.missing) == ["goods", "nothing"]


def test_a_role_that_can_only_select_is_enough_and_one_that_cannot_leaves_a_gap(dsn: str) -> None:
    role = Identifier("seal_watcher")
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(SQL("CREATE ROLE {} LOGIN").format(role))
        owner.execute(SQL("GRANT USAGE ON SCHEMA inventory, goods TO {}").format(role))
        owner.execute(SQL("GRANT SELECT ON ALL TABLES IN SCHEMA inventory TO {}").format(role))
        try:
            watcher = conninfo.make_conninfo(dsn, user="seal_watcher")
            look = look_at_seals({"inventory": watcher, "goods": watcher})
        finally:
            owner.execute(SQL("DROP OWNED BY {}").format(role))
            owner.execute(SQL("DROP ROLE {}").format(role))
    assert look == SealLook((SealLag("inventory", 0, 0.0),), ("goods",))


def test_metrics_tell_each_log() -> None:
    look = SealLook((SealLag("order", 7, 1.5), SealLag("user", 0, 0.0), SealLag("goods", 2, None)), ())
    assert numbers_of(look) == {
        "tillroll_seal_lags_known": 1.0,
        'tillroll_seal_lag_events{log="order"}': 7.0,
        'tillroll_seal_lag_events{log="user"}': 0.0,
        'tillroll_seal_lag_events{log="goods"}': 2.0,
        'tillroll_seal_lag_seconds{log="order"}': 1.5,
        'tillroll_seal_lag_seconds{log="user"}': 0.0,
    }


def test_metrics_leave_out_what_is_not_known() -> None:
    assert numbers_of(None) == {"tillroll_seal_lags_known": 0.0}
    assert numbers_of(SealLook((), ("order",))) == {"tillroll_seal_lags_known": 0.0}


def test_databases_are_asked_once_a_second_at_most(dsn: str) -> None:
    asked: list[float] = []
    now = [100.0]

    def ask() -> SealLook:
        asked.append(now[0])
        return look_at_seals({"order": dsn})

    lately = Lately(ask, lambda: now[0])
    for at in (100.0, 100.5, 100.9, 101.2, 101.9):
        now[0] = at
        assert lately.look() is not None
    assert asked == [100.0, 101.2]
