"""Whoever knows the library works with our data: a plain Application, configured by settings alone."""

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from eventsourcing.application import AggregateNotFoundError, Application
from psycopg.conninfo import conninfo_to_dict

from adapters.ledger_codec import CODEC
from adapters.postgres_log import PostgresLog
from adapters.postgres_migrate import migrate_log
from domain.goods import CreateGoods
from domain.recorded import Cause, Recorded
from domain.sale import Line, Sell
from domain.service import Service
from domain.services import GOODS, INVENTORY, USER
from domain.stock import NONE, AdjustStock, SetInv, Stock, StockAdjusted, StockSet, StockSold
from domain.stock import evolve as evolve_stock
from domain.user import RegisterUser, Role
from orchestrator.ledger import Ledger
from tests.shop_history import START

DOC = Path(__file__).parents[2] / "docs" / "reading-the-log.md"


def settings(dsn: str, log: str) -> dict[str, str]:
    """What docs/reading-the-log.md tells people to set."""
    given = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": given["dbname"],
        "POSTGRES_HOST": given["host"],
        "POSTGRES_PORT": given.get("port", "5432"),
        "POSTGRES_USER": given["user"],
        "POSTGRES_PASSWORD": given.get("password", ""),
        "POSTGRES_SCHEMA": log,
        "ORIGINATOR_ID_TYPE": "text",
        "MAPPER_TOPIC": "adapters.event_codec:EventMapper",
        "APPLICATION_RECORDER_TOPIC": "adapters.postgres_recorder:LogRecorder",
        "CREATE_TABLE": "no",
    }


def cause(command_id: str) -> Cause:
    return Cause(command_id, "user-7", "", START)


async def written(dsn: str, service: Service, *commands: Any) -> None:
    log = PostgresLog(dsn, service.log)
    ledger = Ledger(service, log, CODEC)
    try:
        for number, command in enumerate(commands):
            await ledger.submit(command, cause(f"cmd-{number}-{command}"))
    finally:
        await ledger.close()
        log.close()


def stock_of(stock: Stock | None, events: Iterable[Recorded]) -> Stock | None:
    """A projector function of the library: None for a stream without events."""
    for recorded in events:
        stock = evolve_stock(stock or NONE, recorded.event)
    return stock


@pytest.fixture
def dsn(fresh_database: str) -> str:
    for log in ("inventory", "goods", "user"):
        migrate_log(fresh_database, log)
    return fresh_database


@pytest.fixture
def opened(dsn: str) -> Iterator[Callable[[str], Application[str]]]:
    found: list[Application[str]] = []

    def make(log: str) -> Application[str]:
        found.append(Application[str](settings(dsn, log)))
        return found[-1]

    yield make
    for app in found:
        app.close()


SOME_STOCK = (
    SetInv(1, 9, goods_exist=True),
    AdjustStock(1, -2, "broken", goods_exist=True),
    Sell("7", (Line(1, 3),)),
)


async def test_its_event_store_reads_what_our_ledger_wrote(
    dsn: str, opened: Callable[[str], Application[str]]
) -> None:
    await written(dsn, INVENTORY, *SOME_STOCK)
    app = opened("inventory")

    events: list[Any] = list(app.events.get("stock-1"))
    assert [recorded.event for recorded in events] == [
        StockSet(9, 0),
        StockAdjusted(-2, "broken", 7),
        StockSold("7", 3, 4),
    ]
    assert [recorded.originator_version for recorded in events] == [1, 2, 3]
    assert {(recorded.cause.caller, recorded.cause.at) for recorded in events} == {("user-7", START)}


async def test_its_repository_folds_with_our_evolve(
    dsn: str, opened: Callable[[str], Application[str]]
) -> None:
    await written(dsn, INVENTORY, *SOME_STOCK)
    repository: Any = opened("inventory").repository

    assert repository.get("stock-1", projector_func=stock_of) == Stock(on_hand=4, version=3)
    assert repository.get("stock-1", version=2, projector_func=stock_of) == Stock(on_hand=7, version=2)
    with pytest.raises(AggregateNotFoundError):
        repository.get("stock-2", projector_func=stock_of)


async def test_its_notification_log_has_every_event_in_order(
    dsn: str, opened: Callable[[str], Application[str]]
) -> None:
    await written(dsn, INVENTORY, *SOME_STOCK)
    app = opened("inventory")

    notes = app.notification_log.select(start=2, limit=10)
    assert [(note.id, note.originator_id, note.topic) for note in notes] == [
        (2, "stock-1", "StockAdjusted"),
        (3, "sale-7", "Sold"),
        (4, "stock-1", "StockSold"),
    ]
    recorded: Any = app.mapper.to_domain_event(notes[0])
    assert (recorded.position, recorded.event) == (2, StockAdjusted(-2, "broken", 7))
    assert app.recorder.max_notification_id() == 4


async def test_its_subscription_sees_new_events(dsn: str, opened: Callable[[str], Application[str]]) -> None:
    await written(dsn, INVENTORY, SOME_STOCK[0])
    app = opened("inventory")
    with app.recorder.subscribe(gt=1) as subscription:
        await written(dsn, INVENTORY, *SOME_STOCK[1:])
        notes = [next(subscription) for _ in range(3)]

    assert [note.topic for note in notes] == ["StockAdjusted", "Sold", "StockSold"]


async def test_its_subscription_takes_topics(dsn: str, opened: Callable[[str], Application[str]]) -> None:
    await written(dsn, INVENTORY, *SOME_STOCK)
    with opened("inventory").recorder.subscribe(topics=["Sold"]) as subscription:
        assert next(subscription).originator_id == "sale-7"


@pytest.mark.parametrize(
    ("service", "command", "stream"),
    [
        (GOODS, CreateGoods(12, "mug", 250), "goods-12"),
        (USER, RegisterUser(7, "ann@example.org", "d1", "ann", None, Role.STAFF, "$h"), "user-7"),
    ],
    ids=["goods", "user"],
)
async def test_every_log_opens_in_the_same_way(
    dsn: str, opened: Callable[[str], Application[str]], service: Service, command: Any, stream: str
) -> None:
    await written(dsn, service, command)
    events: list[Any] = list(opened(service.log).events.get(stream))

    assert [recorded.originator_version for recorded in events] == [1]


async def test_opening_a_log_makes_nothing_in_the_database(
    dsn: str, opened: Callable[[str], Application[str]]
) -> None:
    tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'inventory'::regnamespace"
    with psycopg.connect(dsn) as connection:
        before = connection.execute(tables).fetchone()
    opened("inventory")
    with psycopg.connect(dsn) as connection:
        assert connection.execute(tables).fetchone() == before


async def test_the_documents_example_runs_and_prints_what_it_says(dsn: str, tmp_path: Path) -> None:
    await written(dsn, INVENTORY, *SOME_STOCK)
    blocks = DOC.read_text().split("```")
    example = next(block for block in blocks if block.startswith("python\n")).removeprefix("python\n")
    output = next(block for block in blocks if block.startswith("text\n")).removeprefix("text\n")
    script = tmp_path / "example.py"
    script.write_text(example)

    ran = subprocess.run(  # noqa: ASYNC221 - nothing else runs meanwhile
        [sys.executable, script, dsn],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=DOC.parents[1],
    )
    assert ran.stderr == ""
    assert ran.stdout == output
    named = {line.split('"')[1] for line in example.splitlines() if '": ' in line and line.startswith("    ")}
    assert named == set(settings(dsn, "inventory"))
