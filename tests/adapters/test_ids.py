"""Ids: order ids grow and fit in 63 bits whatever the clock does; numbers come from a sequence."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from adapters.ids import EPOCH, OrderIds, SequenceIds, new_command_id, utc_now
from adapters.postgres_migrate import migrate_log

AT = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)


class Clock:
    def __init__(self, *times: datetime) -> None:
        self.times = list(times)

    def __call__(self) -> datetime:
        return self.times.pop(0) if len(self.times) > 1 else self.times[0]


def numbers(ids: OrderIds, count: int) -> list[int]:
    return [int(ids.new()) for _ in range(count)]


def grow(found: list[int]) -> bool:
    return all(one < other for one, other in pairwise(found))


def test_order_ids_grow_while_time_stands_still() -> None:
    assert grow(numbers(OrderIds(Clock(AT)), 5_000))


def test_order_ids_grow_while_time_runs_back() -> None:
    back = [AT + timedelta(milliseconds=ms) for ms in (0, 5, 3, -1_000, 4, 900)]

    assert grow(numbers(OrderIds(Clock(*back)), 10))


def test_order_ids_of_all_processes_sort_by_time() -> None:
    first, second = OrderIds(Clock(AT)), OrderIds(Clock(AT + timedelta(milliseconds=1)))

    assert int(first.new()) < int(second.new())


def test_order_ids_of_two_processes_differ_in_the_same_millisecond() -> None:
    found = [OrderIds(Clock(AT)).new() for _ in range(10)]

    assert len(set(found)) > 1


def test_order_ids_fit_in_63_bits_for_decades() -> None:
    found = int(OrderIds(Clock(EPOCH + timedelta(days=365 * 69))).new())

    assert 0 < found < 2**63


def test_order_ids_are_decimal_strings() -> None:
    found = OrderIds(utc_now).new()

    assert found.isdecimal()
    assert str(int(found)) == found


def test_command_ids_are_new_each_time_and_times_are_utc() -> None:
    assert len({new_command_id() for _ in range(1_000)}) == 1_000
    assert utc_now().tzinfo is UTC


async def test_numbers_come_from_the_services_own_sequence(fresh_database: str) -> None:
    migrate_log(fresh_database, "user")
    migrate_log(fresh_database, "goods")
    pool: AsyncConnectionPool[AsyncConnection]
    async with AsyncConnectionPool(fresh_database, min_size=1, open=False) as pool:
        users, goods = SequenceIds(pool, "user"), SequenceIds(pool, "goods")
        found = [await users.new(), await users.new(), await goods.new(), await users.new()]

    assert found == [1, 2, 1, 3]
