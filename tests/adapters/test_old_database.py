"""A database that an earlier Tillroll filled is brought up to date and worked with, whatever stands in it."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from adapters.audit_run import audit, verdict_line
from adapters.ledger_codec import CODEC
from adapters.postgres_log import PostgresLog
from adapters.postgres_log_reader import LogReader
from adapters.postgres_migrate import STEPS, migrate, read_version
from adapters.postgres_projection import PostgresProjection
from adapters.settings import LOGS, load_settings
from adapters.stream_state import read_state
from domain import streams
from domain.order import OrderStatus, Payment, PayOrder
from domain.recorded import Cause
from domain.service import Service
from domain.services import ORDER, USER
from domain.session import OpenSession, RotateSession, SessionBegun
from orchestrator.ledger import Ledger
from projections import PROJECTIONS

OLD = Path(__file__).parents[1] / "corpus" / "database_6bfdd36.sql"

ANN, BOB = 2, 3
BOBS_ORDER = "384908971861819392"
"""Still to be paid."""

COUNTS = """
    SELECT (SELECT count(*) FROM "user".events), (SELECT count(*) FROM goods.events),
           (SELECT count(*) FROM inventory.events), (SELECT count(*) FROM "order".events),
           (SELECT count(*) FROM "user".personal_keys), (SELECT count(*) FROM "user".attempts)
"""


@pytest.fixture
def old(fresh_database: str) -> str:
    with psycopg.connect(fresh_database, autocommit=True) as owner:
        owner.execute(OLD.read_bytes())
    return fresh_database


@pytest.fixture
def database(old: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv("TILLROLL_DSN", old)
    monkeypatch.chdir(tmp_path)
    migrate(load_settings())
    return old


@pytest.fixture
def ledgers(database: str) -> Iterator[Callable[[Service], Ledger]]:
    logs: list[PostgresLog] = []

    def ledger(service: Service) -> Ledger:
        logs.append(PostgresLog(database, service.log))
        return Ledger(service, logs[-1], CODEC)

    yield ledger
    for log in logs:
        log.close()


def dsns(dsn: str) -> dict[str, str]:
    return dict.fromkeys([*LOGS, "read"], dsn)


def catch_up(dsn: str) -> int:
    """How many events the projections had not seen."""
    passed = 0
    for projection in PROJECTIONS:
        with PostgresProjection(projection, log_dsn=dsn, read_dsn=dsn) as live:
            while count := live.advance():
                passed += count
    return passed


def sessions_of(dsn: str, user_id: int) -> list[str]:
    recorded = LogReader(dsn, "user").read_all()
    return [
        r.originator_id for r in recorded if isinstance(r.event, SessionBegun) and r.event.user_id == user_id
    ]


def test_migrating_it_notes_every_step_and_changes_no_row(
    old: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TILLROLL_DSN", old)
    monkeypatch.chdir(tmp_path)
    with psycopg.connect(old, autocommit=True) as connection:
        before = connection.execute(COUNTS).fetchone()
        for _ in range(2):
            migrate(load_settings())
        assert [read_version(connection, log) for log in LOGS] == [len(STEPS)] * len(LOGS)
        assert connection.execute(COUNTS).fetchone() == before
        assert connection.execute('SELECT name FROM "user".wrapping').fetchall() == [("",)], (
            "it had no such table"
        )


def test_its_books_balance_and_its_read_models_are_those_of_today(database: str) -> None:
    assert catch_up(database) == 0
    report = audit(dsns(database))

    assert report.is_clean, verdict_line(report)
    assert {checked.check: checked.count for checked in report.checks}["orders"] == 5


def test_sessions_that_were_opened_before_there_were_epochs_are_of_the_first(database: str) -> None:
    with psycopg.connect(database) as connection:
        topics = connection.execute(
            """SELECT topic FROM "user".events WHERE topic ~ '^Session(Opened|Begun)'"""
        )
        assert {row[0] for row in topics} == {"SessionOpened"}
    states = [read_state(dsns(database), session) for session in sessions_of(database, BOB)]

    assert [(state.events[0].event, state.state["epoch"]) for state in states if state] == [
        ("SessionBegun", 0)
    ]


async def test_a_session_of_before_goes_on(database: str, ledgers: Callable[[Service], Ledger]) -> None:
    users = ledgers(USER)
    [stream] = sessions_of(database, BOB)
    session = (await users.read(stream))[stream]
    at = session.expires_at - timedelta(days=1)
    command = RotateSession(streams.key_of(stream), session.refresh_digest, "new", at)
    await users.submit(command, Cause("rotate", "user-3", "", at))

    assert (await users.read(stream))[stream].refresh_digest == "new"
    await users.close()


async def test_a_log_out_of_before_still_counts(database: str, ledgers: Callable[[Service], Ledger]) -> None:
    """Ann has logged out everywhere: what she opened before it is dead, what she opens now is not."""
    users = ledgers(USER)
    ann: Any = (await users.read(streams.user(ANN)))[streams.user(ANN)]
    first = sessions_of(database, ANN)[0]
    old_session: Any = (await users.read(first))[first]
    command = OpenSession("fresh", ANN, ann.password_hash, "d", old_session.expires_at)
    await users.submit(command, Cause("open", "user-2", "", old_session.expires_at))
    fresh: Any = (await users.read(streams.session("fresh")))[streams.session("fresh")]

    assert ann.is_logged_out(streams.key_of(first), old_session.epoch)
    assert not ann.is_logged_out("fresh", fresh.epoch)
    await users.close()


async def test_an_order_of_before_is_paid_and_shown(
    database: str, ledgers: Callable[[Service], Ledger]
) -> None:
    orders, name = ledgers(ORDER), streams.order(BOBS_ORDER)
    placed = (await orders.read(name))[name].placed
    payment = Payment("alipay", "T1", placed.amount, placed.at + timedelta(minutes=1))
    await orders.submit(PayOrder(BOBS_ORDER, payment), Cause("pay", "system", BOBS_ORDER, payment.at))
    status = (await orders.read(name))[name].status
    await orders.close()

    assert (status, catch_up(database) > 0) == (OrderStatus.PAID, True)
    assert audit(dsns(database)).is_clean
