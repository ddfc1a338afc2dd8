"""Logs that SQL has filled are those that the shop would have written."""

import asyncio
from typing import Final

import psycopg
import pytest

from adapters.audit_run import audit
from adapters.event_codec import decode_row, encode
from adapters.postgres_due import SCHEMA as DUE_SCHEMA
from adapters.postgres_migrate import migrate
from adapters.settings import LOGS, SERVICES, load_settings
from benchmarks.scale_engine import Asked, engine_round, fresh_copy
from benchmarks.scale_fill import Size, address, fill, heads, make_read_models, size_of
from benchmarks.server import migrated_settings

SIZE: Final = Size(orders=130, goods=6, counts=5)
"""More orders than customers, more sales than goods, and neither a multiple of the other."""


@pytest.fixture
def filled(fresh_database: str) -> str:
    migrate(load_settings().model_copy(update={"shared_dsn": fresh_database}))
    fill(fresh_database, SIZE)
    return fresh_database


def test_filled_logs_are_clean_and_would_be_decided_again(filled: str) -> None:
    make_read_models(filled)
    report = audit({str(service): filled for service in SERVICES}, redecides=True)
    assert report.is_clean, report.findings
    assert sum(heads(filled).values()) == SIZE.events
    assert report.unfinished_count == 0
    with psycopg.connect(filled) as connection:
        assert connection.execute("SELECT count(*) FROM read.order_info").fetchone() == (SIZE.orders,)


def test_filled_events_are_stored_as_the_codec_stores_them(filled: str) -> None:
    with psycopg.connect(filled) as connection:
        for log in LOGS:
            query = f'SELECT originator_id, originator_version, topic, state, 0 FROM "{log}".events'
            rows = connection.execute(query.encode()).fetchall()
            assert [tuple(encode(decode_row(*row))) for row in rows] == [row[:4] for row in rows]


def test_the_watchdog_has_followed_what_was_filled(filled: str) -> None:
    with psycopg.connect(filled) as connection:
        position = connection.execute(f'SELECT position FROM "{DUE_SCHEMA}".position'.encode()).fetchone()
    assert position == (heads(filled)["order"],)


@pytest.mark.parametrize("events", [10_000, 1_000_000])
def test_a_size_has_as_many_events_as_asked_for(events: int) -> None:
    assert 0 <= events - size_of(events, goods=100, counts=3).events < 11


def test_a_round_on_a_copy_leaves_the_shop_as_it_was() -> None:
    with migrated_settings("scale") as settings:
        fill(address(settings), SIZE)
        before = heads(address(settings))
        with fresh_copy(settings) as copy:
            round_ = asyncio.run(engine_round(copy, Asked(SIZE.goods, spread=True, clients=8, seconds=0.3)))
            assert heads(address(copy))["order"] > before["order"]
        assert round_.orders >= 8
        assert heads(address(settings)) == before
