"""A moment, or a position of one log, means one position of every log; what is none is refused in words."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from adapters.log_moments import NoSuchMoment, Until, parse_until, resolve
from tests.adapters.read_side import LOGS, busy_shop, create_logs, store
from tests.shop_history import ShopHistory

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def shop() -> ShopHistory:
    return busy_shop(4)


@pytest.fixture
def dsns(fresh_database: str, shop: ShopHistory) -> dict[str, str]:
    create_logs(fresh_database)
    store(fresh_database, shop)
    return dict.fromkeys(LOGS, fresh_database)


def prefix(shop: ShopHistory, moment: datetime) -> dict[str, int]:
    """How many events each log has before its first one that is later."""
    found = {}
    for log, events in shop.logs.items():
        later = [one.position for one in events if one.cause.at > moment]
        found[log] = later[0] - 1 if later else len(events)
    return found


def test_a_moment_cuts_every_log_before_its_first_later_event(
    dsns: dict[str, str], shop: ShopHistory
) -> None:
    moments = sorted({one.cause.at for events in shop.logs.values() for one in events})
    for moment in (*moments[:: len(moments) // 5], moments[-1] + timedelta(hours=1)):
        assert resolve(Until(moment, {}), dsns, NOW) == prefix(shop, moment)


def test_an_event_in_the_middle_is_never_left_out(dsns: dict[str, str], shop: ShopHistory) -> None:
    """One clock was an hour ahead: what came after its event comes after it here, too."""
    with psycopg.connect(dsns["order"]) as connection:
        connection.execute(
            """UPDATE "order".events SET state = convert_to(regexp_replace(convert_from(state, 'UTF8'),"""
            """ '"at":"[^"]*"', '"at":"2028-01-01T00:00:00Z"'), 'UTF8') WHERE notification_id = 10"""
        )
    last = shop.logs["order"][-1].cause.at
    assert resolve(Until(last, {}), dsns, NOW)["order"] == 9


def test_a_position_of_one_log_stands_for_its_moment_in_the_others(
    dsns: dict[str, str], shop: ShopHistory
) -> None:
    event = shop.logs["order"][20]
    found = resolve(parse_until(f"order={event.position}"), dsns, NOW)

    assert found == prefix(shop, event.cause.at) | {"order": event.position}


def test_positions_of_all_logs_are_taken_as_they_are(dsns: dict[str, str]) -> None:
    positions = {"user": 1, "goods": 0, "inventory": 3, "order": 2}
    text = ",".join(f"{log}={position}" for log, position in positions.items())

    assert resolve(parse_until(text), dsns, NOW) == positions


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-11-23", "2026-11-23T14:03:00", "order", "order=", "order=-1", "order=1;x=2", "7"],
)
def test_what_is_neither_a_time_nor_a_position_is_told_what_is(text: str) -> None:
    with pytest.raises(NoSuchMoment, match=r"expected a time with its zone such as .* or positions such as"):
        parse_until(text)


@pytest.mark.parametrize(
    ("text", "why"), [("stock=1", "there is no log 'stock'"), ("order=1,order=2", "log order is named twice")]
)
def test_a_log_that_is_none_or_named_twice_is_told(text: str, why: str) -> None:
    with pytest.raises(NoSuchMoment, match=why):
        parse_until(text)


def test_a_position_that_is_not_there_yet_is_told_with_the_last_one(
    dsns: dict[str, str], shop: ShopHistory
) -> None:
    last = len(shop.logs["order"])
    with pytest.raises(
        NoSuchMoment, match=f"the order log has no position {last + 1}; its last one is {last}"
    ):
        resolve(parse_until(f"order={last + 1}"), dsns, NOW)


def test_the_future_is_refused(dsns: dict[str, str]) -> None:
    with pytest.raises(NoSuchMoment, match="2030-01-01 00:00:01 UTC is in the future"):
        resolve(parse_until("2030-01-01T00:00:01Z"), dsns, NOW)


@pytest.mark.parametrize("text", ["1999-12-31T00:00:00Z", "order=0"])
def test_a_time_before_everything_is_refused(dsns: dict[str, str], text: str) -> None:
    with pytest.raises(NoSuchMoment, match="nothing had been recorded by then"):
        resolve(parse_until(text), dsns, NOW)
