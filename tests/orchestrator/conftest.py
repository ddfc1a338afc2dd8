"""Ledgers over both logs: the library's in-memory recorder, and our recorder on a real PostgreSQL."""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from eventsourcing.popo import POPOApplicationRecorder

from adapters.ledger_codec import CODEC
from adapters.postgres_log import PostgresLog
from adapters.postgres_migrate import migrate_log
from domain.recorded import Cause
from domain.service import Service
from domain.services import INVENTORY
from orchestrator.ledger import Ledger
from orchestrator.log import Log, RecorderLog

AT = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)


@pytest.fixture
def at() -> datetime:
    """The moment at which all of these tests happen."""
    return AT


@pytest.fixture
def new_cause() -> Callable[[], Cause]:
    """A cause that no other command of the test has."""
    numbers = count(1)
    return lambda: Cause(f"cmd-{next(numbers)}", "user-7", "", AT)


@pytest.fixture
def open_memory_log() -> Callable[[], Log]:
    """One more view of the same log in memory."""
    recorder = POPOApplicationRecorder()
    return lambda: RecorderLog(recorder)


@pytest.fixture
def open_postgres_log(fresh_database: str) -> Iterator[Callable[[], Log]]:
    """One more set of connections to the same log in PostgreSQL."""
    migrate_log(fresh_database, "inventory")
    opened: list[PostgresLog] = []

    def open_log() -> Log:
        opened.append(PostgresLog(fresh_database, "inventory"))
        return opened[-1]

    yield open_log
    for log in opened:
        log.close()


@pytest.fixture(params=["memory", "postgres"])
def open_log(request: pytest.FixtureRequest) -> Callable[[], Log]:
    found: Callable[[], Log] = request.getfixturevalue(f"open_{request.param}_log")
    return found


@pytest.fixture
async def ledger_over() -> AsyncIterator[Callable[..., Ledger]]:
    """Makes a ledger over a log, of inventory unless told otherwise; closed after the test."""
    opened: list[Ledger] = []

    def make(log: Log, service: Service = INVENTORY, **options: Any) -> Ledger:
        opened.append(Ledger(service, log, CODEC, **options))
        return opened[-1]

    yield make
    for ledger in opened:
        await ledger.close()


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> int:
    """How often an unreachable log is asked before callers are refused; hardly any time in between."""
    pauses = (0.001, 0.002, 0.003)
    monkeypatch.setattr("orchestrator.patient_log.RETRY_PAUSES_S", pauses)
    return len(pauses)
