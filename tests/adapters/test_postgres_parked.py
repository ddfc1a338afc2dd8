"""Parked messages in a real Postgres: once each, whatever is in them, never more than the bound."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from adapters.postgres_migrate import migrate_log
from adapters.postgres_parked import (
    MAX_DATA_BYTES,
    MAX_TEXT,
    ParkedCounts,
    ParkedMessages,
    PostgresParkingLot,
)
from orchestrator.intake import Parked, ParkingUnavailable

AT = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)


def message(place: int | str = 1, data: bytes = b"\x00\xff", **changes: Any) -> Parked:
    fields = {"subject": "t.cmd.inventory.sell.0", "reason": "it cannot be read", "at": AT, **changes}
    return Parked(place=f"T_CMD/{place}", data=data, **fields)


@pytest.fixture
def dsn(fresh_database: str) -> str:
    migrate_log(fresh_database, "inventory")
    return fresh_database


@pytest.fixture
async def lot(dsn: str) -> AsyncIterator[PostgresParkingLot]:
    lot = PostgresParkingLot(dsn, "inventory", max_parked=5)
    yield lot
    await lot.close()


@pytest.fixture
def seen(dsn: str) -> Any:
    with psycopg.connect(dsn, autocommit=True) as conn:
        yield ParkedMessages(conn, "inventory")


async def test_what_is_parked_can_be_seen(lot: PostgresParkingLot, seen: ParkedMessages) -> None:
    await lot.park(message())

    (row,) = seen.newest(10)
    found = seen.find(row.id)
    assert found is not None
    assert (row.log, row.place, row.subject) == ("inventory", "T_CMD/1", "t.cmd.inventory.sell.0")
    assert (row.reason, row.size, row.times, row.at) == ("it cannot be read", 2, 1, AT)
    assert (found.data, found.sha256) == (b"\x00\xff", hashlib.sha256(b"\x00\xff").digest())
    assert seen.counts() == ParkedCounts(kept=1, dropped=0)


async def test_the_same_message_twice_is_one_and_counted(
    lot: PostgresParkingLot, seen: ParkedMessages
) -> None:
    later = AT + timedelta(seconds=30)
    await lot.park(message())
    await lot.park(message(at=later))

    (row,) = seen.newest(10)
    assert (row.times, row.at, row.last_at) == (2, AT, later)


async def test_the_same_place_after_the_broker_was_wiped_is_another_message(
    lot: PostgresParkingLot, seen: ParkedMessages
) -> None:
    await lot.park(message(data=b"one"))
    await lot.park(message(data=b"two"))

    assert [row.times for row in seen.newest(10)] == [1, 1]


@pytest.mark.parametrize("size", [0, MAX_DATA_BYTES, MAX_DATA_BYTES + 1, 8 * 2**20])
async def test_a_large_message_is_cut_and_its_size_and_hash_are_of_all_of_it(
    lot: PostgresParkingLot, seen: ParkedMessages, size: int
) -> None:
    data = b"x" * size
    await lot.park(message(data=data))

    (row,) = seen.newest(1)
    found = seen.find(row.id)
    assert found is not None
    assert (found.size, found.sha256) == (size, hashlib.sha256(data).digest())
    assert found.data == data[:MAX_DATA_BYTES]


@pytest.mark.parametrize("text", ["zero \x00 byte", "half a \ud800 character", "x" * 100_000, "", "☃"])
async def test_any_text_can_be_kept(lot: PostgresParkingLot, seen: ParkedMessages, text: str) -> None:
    await lot.park(message(reason=text, subject=text))

    (row,) = seen.newest(1)
    assert row.reason == row.subject
    assert len(row.reason) <= MAX_TEXT + 10
    assert row.reason[:5] == text[:5]


async def test_the_oldest_make_room_and_are_counted(lot: PostgresParkingLot, seen: ParkedMessages) -> None:
    for n in range(8):
        await lot.park(message(n))

    assert [row.place for row in seen.newest(10)] == [f"T_CMD/{n}" for n in (7, 6, 5, 4, 3)]
    assert seen.counts() == ParkedCounts(kept=5, dropped=3)


async def test_a_repeat_needs_no_room(lot: PostgresParkingLot, seen: ParkedMessages) -> None:
    for n in (1, 2, 3, 4, 5, 5, 5):
        await lot.park(message(n))

    assert seen.counts() == ParkedCounts(kept=5, dropped=0)


async def test_many_processes_park_at_once_within_the_bound(
    dsn: str, lot: PostgresParkingLot, seen: ParkedMessages
) -> None:
    other = PostgresParkingLot(dsn, "inventory", max_parked=5)
    try:
        await asyncio.gather(*((lot, other)[n % 2].park(message(n // 2)) for n in range(80)))
        await lot.park(message("last"))
    finally:
        await other.close()

    counts = seen.counts()
    assert counts.kept == 5
    assert counts.kept + counts.dropped >= 41, "each of them was parked"


async def test_a_message_can_be_forgotten(lot: PostgresParkingLot, seen: ParkedMessages) -> None:
    await lot.park(message(1))
    await lot.park(message(2))
    newest, oldest = seen.newest(10)

    assert seen.forget(oldest.id)
    assert not seen.forget(oldest.id)
    assert [row.id for row in seen.newest(10)] == [newest.id]
    assert seen.find(oldest.id) is None


async def test_a_database_without_the_table_is_unavailable_until_it_is_migrated(fresh_database: str) -> None:
    lot = PostgresParkingLot(fresh_database, "order")
    try:
        with pytest.raises(ParkingUnavailable, match="parked"):
            await lot.park(message())
        migrate_log(fresh_database, "order")
        await lot.park(message())
    finally:
        await lot.close()


async def test_a_postgres_that_is_away_is_unavailable_and_works_once_it_is_back(
    dsn: str, lot: PostgresParkingLot, seen: ParkedMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections end, as in a restart, and the table is locked away for a while."""
    monkeypatch.setattr("adapters.postgres_parked.WAIT_S", 1.0)
    await lot.park(message(1))
    ours = "pid <> pg_backend_pid() AND datname = current_database() AND query LIKE '%parked%'"
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")
    await lot.park(message(2))
    with psycopg.connect(dsn) as conn:
        conn.execute("LOCK TABLE inventory.parked")
        with pytest.raises(ParkingUnavailable):
            await lot.park(message(3))
    await lot.park(message(3))

    assert seen_places(dsn) == ["T_CMD/3", "T_CMD/2", "T_CMD/1"]


def seen_places(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as conn:
        return [row.place for row in ParkedMessages(conn, "inventory").newest(10)]
