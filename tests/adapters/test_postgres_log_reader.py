"""Reading a log: in order, as of a version or a moment, with a role that can only SELECT."""

from datetime import timedelta
from itertools import islice

import psycopg
import pytest

from adapters import postgres_log_reader
from adapters.postgres_log_reader import LogDamaged, LogReader, LogUnreadable
from domain.services import INVENTORY
from domain.stock import AdjustStock, StockSet, StockSold
from tests.adapters.stored_history import append, store
from tests.shop_history import START, ShopHistory

READER_ROLE = "log_reader_test"


@pytest.fixture
def shop() -> ShopHistory:
    shop = ShopHistory()
    shop.stocked(12, 10)
    for delta in range(1, 5):
        shop.tell(INVENTORY, AdjustStock(12, delta, "found", goods_exist=True))
    return shop


@pytest.fixture
def reader(shop: ShopHistory, fresh_database: str) -> LogReader:
    return LogReader(store(shop, fresh_database)["inventory"], "inventory")


def test_all_events_come_in_order_however_small_the_batches(
    shop: ShopHistory, reader: LogReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(reader.read_all()) == shop.logs["inventory"]
    monkeypatch.setattr(postgres_log_reader, "BATCH_EVENTS", 2)
    assert list(reader.read_all()) == shop.logs["inventory"]


def test_positions_that_were_never_used_are_no_gap(
    shop: ShopHistory, reader: LogReader, fresh_database: str
) -> None:
    with psycopg.connect(fresh_database) as connection:
        connection.execute("UPDATE inventory.events SET notification_id = notification_id * 1000")
    assert [event.position for event in reader.read_all()] == [1000, 2000, 3000, 4000, 5000]


def test_a_range_begins_after_one_position_and_ends_with_the_other(reader: LogReader) -> None:
    assert [event.position for event in reader.read_all(after=1, until=3)] == [2, 3]
    assert list(reader.read_all(after=5)) == []
    assert reader.last_position() == 5


def test_what_is_recorded_while_we_read_is_left_to_the_next_reader(
    shop: ShopHistory, reader: LogReader, fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_log_reader, "BATCH_EVENTS", 2)
    events = reader.read_all()
    first = list(islice(events, 1))
    shop.stocked(13, 1)
    with psycopg.connect(fresh_database) as connection:
        append(connection, "inventory", shop.logs["inventory"][-1:])
    assert len(first) + len(list(events)) == 5
    assert reader.last_position() == 6


def test_a_stream_is_read_up_to_a_version_or_a_moment(reader: LogReader) -> None:
    assert [event.originator_version for event in reader.read_stream("stock-12")] == [1, 2, 3, 4, 5]
    assert len(reader.read_stream("stock-12", version=2)) == 2
    third = reader.read_stream("stock-12")[2].cause.at
    assert len(reader.read_stream("stock-12", at=third)) == 3
    assert len(reader.read_stream("stock-12", at=third - timedelta(microseconds=1))) == 2
    assert reader.read_stream("stock-12", at=START - timedelta(days=1)) == []
    assert reader.read_stream("stock-99") == []


def test_a_moment_between_two_clocks_gives_a_state_that_once_was(
    shop: ShopHistory, reader: LogReader, fresh_database: str
) -> None:
    shop.now = START
    shop.plant(INVENTORY, "stock-12", StockSet(1, 20))
    with psycopg.connect(fresh_database) as connection:
        append(connection, "inventory", shop.logs["inventory"][-1:])
    assert [event.originator_version for event in reader.read_stream("stock-12", at=START)] == []


def test_a_stream_is_read_since_its_last_event_of_a_kind(
    shop: ShopHistory, reader: LogReader, fresh_database: str
) -> None:
    shop.stocked(12, 99)
    shop.tell(INVENTORY, AdjustStock(12, 1, "found", goods_exist=True))
    with psycopg.connect(fresh_database) as connection:
        append(connection, "inventory", shop.logs["inventory"][-2:])

    def versions(before: int) -> list[int]:
        events = reader.read_stream_since("stock-12", StockSet, before=before)
        return [event.originator_version for event in events]

    assert versions(before=8) == [7]
    assert versions(before=6) == [2, 3, 4, 5]
    assert reader.read_stream_since("stock-12", StockSold, before=3) == reader.read_stream("stock-12", 2)


def test_a_kind_is_found_under_every_name_it_was_stored_by(
    shop: ShopHistory, reader: LogReader, fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(reader.read_stream_since("stock-12", StockSet, before=6))
    with psycopg.connect(fresh_database) as connection:
        connection.execute("UPDATE inventory.events SET topic = 'StockTaken' WHERE originator_version = 3")
    monkeypatch.setattr(postgres_log_reader, "stored_names", lambda _: ("StockSet", "StockTaken"))

    events = reader.read_stream_since("stock-12", StockSet, before=6)
    assert (before, [event.originator_version for event in events]) == (4, [4, 5])


def test_a_role_that_can_only_select_is_enough(reader: LogReader, fresh_database: str) -> None:
    with psycopg.connect(fresh_database, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {READER_ROLE} NOLOGIN")
        try:
            owner.execute(f"GRANT {READER_ROLE} TO current_user")
            limited = psycopg.conninfo.make_conninfo(fresh_database, options=f"-c role={READER_ROLE}")
            with pytest.raises(LogUnreadable, match="log inventory: this role may not read it"):
                LogReader(limited, "inventory").last_position()
            owner.execute(f"GRANT USAGE ON SCHEMA inventory TO {READER_ROLE}")
            owner.execute(f"GRANT SELECT ON inventory.events TO {READER_ROLE}")
            assert len(list(LogReader(limited, "inventory").read_all())) == 5
        finally:
            owner.execute(f"DROP OWNED BY {READER_ROLE}")
            owner.execute(f"DROP ROLE {READER_ROLE}")


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ("topic = 'StockTaken'", "unknown event name 'StockTaken'"),
        ("state = 'no json'", "StockAdjusted at stock-12 version 2: "),
        ("state = '\\xff'::bytea", "StockAdjusted at stock-12 version 2: "),
        ("state = '{}'", "StockAdjusted at stock-12 version 2: "),
    ],
)
def test_an_event_that_cannot_be_decoded_is_named_with_its_place(
    reader: LogReader, fresh_database: str, damage: str, why: str
) -> None:
    with psycopg.connect(fresh_database) as connection:
        connection.execute(f"UPDATE inventory.events SET {damage} WHERE notification_id = 2")
    place = "log inventory is damaged at position 2, stream stock-12, version 2: "
    with pytest.raises(LogDamaged) as one:
        reader.read_stream("stock-12")
    with pytest.raises(LogDamaged) as other:
        list(reader.read_all())
    assert str(one.value) == str(other.value)
    assert str(one.value).startswith(place + why)
    assert "\n" not in str(one.value)


def test_a_log_that_is_not_there_is_named(fresh_database: str) -> None:
    with pytest.raises(LogUnreadable, match=r"log order: this database has no table order\.events"):
        LogReader(fresh_database, "order").last_position()


def test_a_server_that_is_not_there_is_said_in_one_line() -> None:
    with pytest.raises(LogUnreadable) as error:
        list(LogReader("postgresql://nobody@127.0.0.1:1/none", "order").read_all())
    assert str(error.value).startswith("log order cannot be read: ")
    assert "\n" not in str(error.value)
