"""How many orders to pay a customer may have: counted once, then counted down."""

import asyncio
from collections.abc import Collection

import pytest

from adapters import open_orders
from adapters.http_errors import document
from adapters.open_orders import COUNT_IS_GOOD_FOR_S, OpenOrders, TooManyOpenOrders

ANN, BOB = 7, 8


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.open_orders.COUNT_AFTER_S", 0)


class Desk:
    """A quota of 5 unless said, with a clock that is set and counts that are noted."""

    def __init__(self, limit: int = 5) -> None:
        self.now = 1_000.0
        self.open = {ANN: 0, BOB: 0}
        self.counted: list[int] = []
        self.is_away = False
        self.quota = OpenOrders(self._count, lambda: self.now, limit)

    async def _count(self, user_ids: Collection[int], limit: int) -> dict[int, int]:
        if self.is_away:
            raise ConnectionError
        self.counted += user_ids
        await asyncio.sleep(0)
        return {user_id: min(self.open[user_id], limit) for user_id in user_ids}

    async def order(self, user_id: int) -> bool:
        try:
            await self.quota.admit(user_id)
        except TooManyOpenOrders:
            return False
        self.open[user_id] += 1
        return True


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_as_many_as_the_quota_are_let_in_for_one_count_and_the_next_is_counted_and_refused(
    desk: Desk,
) -> None:
    assert [await desk.order(ANN) for _ in range(5)] == [True] * 5
    assert desk.counted == [ANN]
    assert not await desk.order(ANN)
    assert desk.counted == [ANN, ANN]


async def test_orders_from_before_count(desk: Desk) -> None:
    desk.open[ANN] = 3
    assert [await desk.order(ANN) for _ in range(3)] == [True, True, False]


async def test_who_pays_may_order_again_at_once(desk: Desk) -> None:
    desk.open[ANN] = 5
    assert not await desk.order(ANN)
    desk.open[ANN] = 4
    assert await desk.order(ANN)
    assert not await desk.order(ANN)


async def test_customers_do_not_share_a_quota(desk: Desk) -> None:
    desk.open[ANN] = 5
    assert not await desk.order(ANN)
    assert await desk.order(BOB)


async def test_a_count_is_forgotten_after_a_minute(desk: Desk) -> None:
    await desk.order(ANN)
    desk.open[ANN] = 5  # placed through another process
    assert await desk.order(ANN)
    desk.now += COUNT_IS_GOOD_FOR_S
    assert not await desk.order(ANN)


async def test_an_order_that_was_not_placed_is_given_back(desk: Desk) -> None:
    for _ in range(50):
        await desk.quota.admit(ANN)
        desk.quota.refunded(ANN)
    assert desk.counted == [ANN]


async def test_giving_back_for_a_customer_who_was_forgotten_changes_nothing(desk: Desk) -> None:
    desk.quota.refunded(ANN)
    desk.open[ANN] = 5
    assert not await desk.order(ANN)


async def test_orders_at_once_are_counted_once_and_let_in_as_far_as_there_is_room(desk: Desk) -> None:
    desk.open[ANN] = 1
    let_in = await asyncio.gather(*(desk.order(ANN) for _ in range(4)))
    assert let_in == [True] * 4
    assert desk.counted == [ANN]


async def test_of_too_many_orders_at_once_only_as_many_as_fit_are_let_in(desk: Desk) -> None:
    let_in = await asyncio.gather(*(desk.order(ANN) for _ in range(20)))
    assert sum(let_in) == 5


async def test_when_counting_fails_the_next_one_counts(desk: Desk) -> None:
    desk.is_away = True
    with pytest.raises(ConnectionError):
        await desk.quota.admit(ANN)
    desk.is_away = False
    assert await desk.order(ANN)


async def test_a_bounded_number_of_customers_is_remembered_those_who_ordered_last(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_orders, "MAX_CUSTOMERS", 2)
    desk.open.update(dict.fromkeys(range(10), 0))
    for user_id in (0, 1, 2, 0):
        await desk.order(user_id)
        await desk.order(9)
    assert list(desk.quota._budgets) == [0, 9]
    assert desk.counted.count(9) == 1


async def test_the_refusal_says_the_limit(desk: Desk) -> None:
    desk.open[ANN] = 9
    with pytest.raises(TooManyOpenOrders) as refused:
        await desk.quota.admit(ANN)
    said = document(refused.value)
    assert (said["status"], said["type"]) == (429, "urn:tillroll:too-many-open-orders")
    assert (said["limit"], said["open"]) == (5, 5)


# on credit: a hundredth of the limit


async def test_with_much_room_nobody_waits_for_the_count() -> None:
    desk = Desk(limit=500)
    desk.is_away = True
    assert [await desk.order(ANN) for _ in range(5)] == [True] * 5
    with pytest.raises(ConnectionError):
        await desk.quota.admit(ANN)


async def test_all_who_are_let_in_on_credit_are_counted_together() -> None:
    desk = Desk(limit=500)
    for user_id in (ANN, BOB, ANN):
        await desk.order(user_id)
    await settled()
    assert sorted(desk.counted) == [ANN, BOB]
    desk.is_away = True
    for _ in range(400):
        await desk.quota.admit(ANN)


async def test_who_comes_while_another_waits_to_be_counted_is_counted_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("adapters.open_orders.COUNT_AFTER_S", 0.02)
    desk = Desk(limit=500)
    await desk.order(ANN)
    await settled()
    await desk.order(BOB)
    assert desk.counted == []
    await asyncio.sleep(0.06)
    assert sorted(desk.counted) == [ANN, BOB]


async def test_what_was_let_in_on_credit_counts() -> None:
    desk = Desk(limit=500)
    desk.open[ANN] = 497
    taken = [await desk.order(ANN) for _ in range(3)]
    await settled()
    assert taken == [True] * 3
    assert not await desk.order(ANN)


async def test_near_the_limit_there_is_no_credit() -> None:
    desk = Desk(limit=500)
    desk.open[ANN] = 500
    assert await desk.order(ANN)
    await settled()
    assert [await desk.order(ANN) for _ in range(10)] == [False] * 10


async def test_credit_that_was_not_used_is_given_back() -> None:
    desk = Desk(limit=500)
    desk.is_away = True
    for _ in range(100):
        await desk.quota.admit(ANN)
        desk.quota.refunded(ANN)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
