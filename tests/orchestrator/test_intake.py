"""Intake: whatever a message is and whatever happens meanwhile, it is done, parked or comes again."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from domain.refusals import Overloaded, Unavailable
from orchestrator.intake import (
    FAILED_PAUSES_S,
    OUTCOMES,
    RETRY_AFTER_S,
    Intake,
    Parked,
    ParkingUnavailable,
    Poison,
)
from orchestrator.messages import Undelivered


@dataclass
class MemoryDelivery:
    """A message, and what the broker was told of it. `deaf`: the broker hears nothing."""

    data: bytes
    deliveries: int = 1
    place: str = "CMD/7"
    subject: str = "cmd.sell"
    deaf: bool = False
    told: list[str | float] = field(default_factory=list)

    async def ack(self) -> None:
        self._tell("ack")

    async def again(self, after_s: float) -> None:
        self._tell(after_s)

    async def drop(self) -> None:
        self._tell("drop")

    def _tell(self, what: str | float) -> None:
        if self.deaf:
            raise Undelivered("the broker is gone")
        self.told.append(what)


class MemoryParkingLot:
    def __init__(self) -> None:
        self.parked: list[Parked] = []
        self.failure: Exception | None = None

    async def park(self, parked: Parked) -> None:
        if self.failure is not None:
            raise self.failure
        self.parked.append(parked)


def decode(data: bytes) -> Sequence[str]:
    """Words; a message that begins with an exclamation mark is poison."""
    if data.startswith(b"!"):
        raise Poison("it begins with an exclamation mark")
    return data.decode().split()


class Shop:
    """An intake, and all that it touches. `failures`: what handling a word raises."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.lot = MemoryParkingLot()
        self.counted: Counter[str] = Counter()
        self.done: list[str] = []
        self.failures: dict[str, BaseException] = {}
        self.intake = self.intake_with(self.handle)

    def intake_with(self, handler: Callable[[Sequence[Any]], Awaitable[None]]) -> Intake:
        return Intake(
            decode=decode,
            handler=handler,
            parking=self.lot,
            clock=lambda: self.at,
            count=lambda outcome: self.counted.update([outcome]),
        )

    async def handle(self, words: Sequence[str]) -> None:
        """As the real handlers: what can be done is done, then the first failure is raised."""
        self.done += [word for word in words if word not in self.failures]
        for word in words:
            if word in self.failures:
                raise self.failures[word]

    async def take(self, data: bytes, deliveries: int = 1, *, deaf: bool = False) -> MemoryDelivery:
        delivery = MemoryDelivery(data, deliveries, deaf=deaf)
        await self.intake.take(delivery)
        return delivery


@pytest.fixture
def shop(at: datetime) -> Shop:
    return Shop(at)


LAST = len(FAILED_PAUSES_S) + 1
"""The delivery at which what failed each time is taken apart."""


async def test_a_good_message_is_handled_then_acknowledged(shop: Shop) -> None:
    delivery = await shop.take(b"a b")

    assert (shop.done, delivery.told, shop.counted) == (["a", "b"], ["ack"], {"handled": 1})


async def test_it_is_acknowledged_only_after_it_was_handled(shop: Shop) -> None:
    delivery = MemoryDelivery(b"a")

    async def handle(_: Sequence[str]) -> None:
        assert delivery.told == []

    await shop.intake_with(handle).take(delivery)

    assert (delivery.told, shop.counted) == (["ack"], {"handled": 1})


async def test_poison_is_parked_with_its_reason_and_never_handed_out_again(shop: Shop) -> None:
    delivery = await shop.take(b"!\x00\xff")

    parked = Parked("CMD/7", "cmd.sell", "it begins with an exclamation mark", b"!\x00\xff", shop.at)
    assert shop.lot.parked == [parked]
    assert (shop.done, delivery.told, shop.counted) == ([], ["drop"], {"parked-unreadable": 1})


async def test_poison_is_parked_before_it_is_dropped(shop: Shop) -> None:
    """The other way round a crash in between would lose it."""
    delivery = MemoryDelivery(b"!")
    seen: list[list[str | float]] = []

    class WatchedLot:
        async def park(self, _parked: Parked) -> None:
            seen.append(list(delivery.told))

    intake = Intake(
        decode=decode,
        handler=shop.handle,
        parking=WatchedLot(),
        clock=lambda: shop.at,
        count=lambda _outcome: None,
    )
    await intake.take(delivery)

    assert (seen, delivery.told) == ([[]], ["drop"])


async def test_poison_that_cannot_be_parked_comes_again_until_it_can(shop: Shop) -> None:
    shop.lot.failure = ParkingUnavailable("Postgres is away")
    away = await shop.take(b"!", deliveries=1_000)
    shop.lot.failure = None
    back = await shop.take(b"!", deliveries=1_001)

    assert (away.told, back.told) == ([RETRY_AFTER_S], ["drop"])
    assert len(shop.lot.parked) == 1
    assert shop.counted == {"again-not-parked": 1, "parked-unreadable": 1}


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (Unavailable(), "again-busy"),
        (Overloaded(), "again-busy"),
        (Undelivered("no reply could be sent"), "again-undelivered"),
    ],
)
@pytest.mark.parametrize("deliveries", [1, LAST, 100_000])
async def test_what_cannot_be_handled_now_comes_again_for_as_long_as_it_takes(
    shop: Shop, failure: Exception, outcome: str, deliveries: int
) -> None:
    shop.failures["a"] = failure
    delivery = await shop.take(b"a", deliveries)

    assert (delivery.told, shop.counted, shop.lot.parked) == ([RETRY_AFTER_S], {outcome: 1}, [])


async def test_what_fails_comes_again_with_growing_pauses(shop: Shop) -> None:
    shop.failures["a"] = KeyError("a bug")
    told = [(await shop.take(b"a b", number)).told for number in range(1, LAST)]

    assert told == [[pause] for pause in FAILED_PAUSES_S]
    assert sorted(FAILED_PAUSES_S) == list(FAILED_PAUSES_S)
    assert (shop.counted, shop.lot.parked) == ({"again-failed": LAST - 1}, [])


@pytest.mark.parametrize("deliveries", [LAST, 100])
async def test_one_bad_item_does_not_take_its_neighbours_with_it(shop: Shop, deliveries: int) -> None:
    """Even where a handler does nothing at all when one item is bad."""
    bad = AssertionError("a bug")

    async def all_or_none(words: Sequence[str]) -> None:
        if "b" in words:
            raise bad
        shop.done += words

    delivery = MemoryDelivery(b"a b c", deliveries)
    await shop.intake_with(all_or_none).take(delivery)

    assert shop.done == ["a", "c"]
    assert [parked.reason for parked in shop.lot.parked] == ["1 of 3 items failed: AssertionError: a bug"]
    assert (delivery.told, shop.counted) == (["drop"], {"parked-failed": 1})


async def test_a_message_whose_items_work_one_by_one_is_done(shop: Shop) -> None:
    async def not_together(words: Sequence[str]) -> None:
        assert len(words) == 1
        shop.done += words

    delivery = MemoryDelivery(b"a b", LAST)
    await shop.intake_with(not_together).take(delivery)

    assert (shop.done, delivery.told, shop.lot.parked) == (["a", "b"], ["ack"], [])
    assert shop.counted == {"handled": 1}


async def test_a_log_that_goes_away_while_a_message_is_taken_apart_parks_nothing(shop: Shop) -> None:
    shop.failures |= {"a": KeyError("a bug"), "b": Unavailable()}
    delivery = await shop.take(b"a b", LAST)

    assert (delivery.told, shop.counted, shop.lot.parked) == ([RETRY_AFTER_S], {"again-busy": 1}, [])


@pytest.mark.parametrize("data", [b"a", b"!"])
async def test_a_broker_that_hears_nothing_loses_nothing_and_stops_nobody(shop: Shop, data: bytes) -> None:
    await shop.take(data, deaf=True)
    again = await shop.take(data, deliveries=2)

    assert again.told in (["ack"], ["drop"])
    assert shop.counted["unheard"] == 1


@pytest.mark.parametrize("failure", [Unavailable(), KeyError("a bug")])
async def test_a_broker_that_does_not_hear_that_it_should_come_again_stops_nobody(
    shop: Shop, failure: Exception
) -> None:
    shop.failures["a"] = failure
    await shop.take(b"a", deaf=True)

    assert shop.counted == {"unheard": 1}


async def test_a_bug_in_reading_parks_what_could_not_be_read(shop: Shop) -> None:
    delivery = await shop.take(b"\xff")

    assert [parked.reason.partition(":")[0] for parked in shop.lot.parked] == ["UnicodeDecodeError"]
    assert (delivery.told, shop.counted) == (["drop"], {"parked-unreadable": 1})


async def test_a_bug_in_parking_leaves_the_message_to_the_broker(shop: Shop) -> None:
    shop.lot.failure = ZeroDivisionError()
    delivery = await shop.take(b"!")

    assert (delivery.told, shop.counted) == ([], {"unheard": 1})


async def test_a_cancellation_passes_through_and_the_message_stays(shop: Shop) -> None:
    shop.failures["a"] = asyncio.CancelledError()
    delivery = MemoryDelivery(b"a")
    with pytest.raises(asyncio.CancelledError):
        await shop.intake.take(delivery)

    assert (delivery.told, shop.counted) == ([], {})


async def test_a_cancellation_passes_through_while_a_message_is_taken_apart(shop: Shop) -> None:
    async def handle(words: Sequence[str]) -> None:
        raise asyncio.CancelledError if words == ["a"] else KeyError("a bug")

    delivery = MemoryDelivery(b"a b", LAST)
    with pytest.raises(asyncio.CancelledError):
        await shop.intake_with(handle).take(delivery)

    assert (delivery.told, shop.counted, shop.lot.parked) == ([], {}, [])


async def test_every_word_that_is_counted_is_described(shop: Shop) -> None:
    shop.failures |= {"x": KeyError(), "u": Unavailable(), "w": Undelivered("")}
    for data in (b"a", b"!", b"x", b"u", b"w"):
        for deliveries in (1, LAST):
            await shop.take(data, deliveries)
    await shop.take(b"a", deaf=True)
    shop.lot.failure = ParkingUnavailable()
    await shop.take(b"!")

    assert set(shop.counted) == set(OUTCOMES)
