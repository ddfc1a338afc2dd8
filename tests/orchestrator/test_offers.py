"""Offers: what goods cost now, for many orders by one look, and never an old price once it is known to be."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

import pytest

from domain.goods import ChangeGoods, CreateGoods, DeleteGoods
from domain.recorded import Cause
from domain.refusals import Unavailable
from domain.service import States
from domain.services import GOODS
from orchestrator.ledger import Ledger
from orchestrator.log import Log, LogUnavailable, Since, Stored
from orchestrator.offers import MAX_AGE_S, Offers

LedgerOver = Callable[..., Ledger]
OpenLog = Callable[[], Log]
NewCause = Callable[[], Cause]


class CountingLog:
    """A log that counts what it is asked. `is_away`: whether it can be reached for looks."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.looks = 0
        self.loads = 0
        self.is_away = False

    async def try_append(self, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int] | None:
        return None

    def append(self, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int]:
        return self.log.append(events, expect)

    def load(self, since: Since) -> Sequence[Stored]:
        self.loads += 1
        return self.log.load(since)

    def find(self, event: Stored) -> int | None:
        return self.log.find(event)

    def changed(self, after: int | None) -> tuple[int, Collection[str]]:
        self.looks += 1
        if self.is_away:
            raise LogUnavailable("away")
        return self.log.changed(after)


class Here:
    """Offers of this process, and a ledger of another over the same log."""

    def __init__(self, log: CountingLog, ledger_over: LedgerOver, new_cause: NewCause) -> None:
        self.log = log
        self.own, self.other = ledger_over(log, GOODS), ledger_over(log, GOODS)
        self.offers = Offers(self.own)
        self.new_cause = new_cause

    async def by_other(self, *commands: object) -> None:
        for command in commands:
            await self.other.submit(command, self.new_cause())

    async def prices(self, *goods_ids: int) -> list[int]:
        return [offer.price for offer in await self.offers.of(goods_ids)]


@pytest.fixture
async def here(open_memory_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause) -> Here:
    here = Here(CountingLog(open_memory_log()), ledger_over, new_cause)
    await here.by_other(CreateGoods(1, "mug", 250), CreateGoods(2, "cup", 100))
    return here


async def test_what_another_process_changes_is_seen_after_the_age_that_is_allowed(here: Here) -> None:
    assert await here.prices(1, 2) == [250, 100]
    await here.by_other(ChangeGoods(1, price=300))
    await asyncio.sleep(MAX_AGE_S)

    assert await here.prices(1, 2) == [300, 100]


async def test_what_this_process_changes_is_seen_at_once(here: Here) -> None:
    assert await here.prices(1) == [250]
    await here.own.submit(ChangeGoods(1, price=300), here.new_cause())

    assert await here.prices(1) == [300]


async def test_what_is_deleted_or_was_never_there_is_not_for_sale(here: Here) -> None:
    await here.by_other(DeleteGoods(2))

    assert [offer.for_sale for offer in await here.offers.of([1, 2, 3])] == [True, False, False]


async def test_what_is_made_after_it_was_asked_for_is_for_sale(
    open_memory_log: OpenLog, ledger_over: LedgerOver, new_cause: NewCause
) -> None:
    """Also where the log was empty until then."""
    here = Here(CountingLog(open_memory_log()), ledger_over, new_cause)
    assert [offer.for_sale for offer in await here.offers.of([1])] == [False]
    await here.by_other(CreateGoods(1, "mug", 250))
    await asyncio.sleep(MAX_AGE_S)

    assert await here.prices(1) == [250]


async def test_one_look_answers_all_who_ask_at_once(here: Here) -> None:
    await here.prices(1, 2)
    here.log.looks = here.log.loads = 0
    await asyncio.sleep(MAX_AGE_S)
    await asyncio.gather(*(here.prices(1, 2) for _ in range(100)))

    assert (here.log.looks, here.log.loads) == (1, 0)


async def test_what_changed_while_it_was_read_is_not_kept(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = here.own.read

    async def read_slowly(*names: str) -> States:
        states = await read(*names)
        await here.own.submit(ChangeGoods(1, price=300), here.new_cause())
        return states

    monkeypatch.setattr(here.own, "read", read_slowly)
    assert await here.prices(1) == [250]
    monkeypatch.undo()

    assert await here.prices(1) == [300]


async def test_a_log_that_is_away_gives_no_offers(here: Here, short_pauses: int) -> None:
    await here.prices(1)
    here.log.is_away = True
    await asyncio.sleep(MAX_AGE_S)
    with pytest.raises(Unavailable):
        await here.prices(1)
    here.log.is_away = False

    assert await here.prices(1) == [250]
