"""Goods on the shelf of a shop that is measured, through its ledgers."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from adapters.ids import utc_now
from domain.goods import CreateGoods
from domain.recorded import Cause
from domain.stock import SetInv, SetInvMany
from orchestrator.ledger import Ledger

GOODS_COUNT: Final = 10_000
PLENTY: Final = 100_000_000
"""Units of each goods: more than anybody will order."""

AT_ONCE: Final = 1_000


def plain_goods() -> list[CreateGoods]:
    """Goods 1 to GOODS_COUNT."""
    return [CreateGoods(each, f"goods {each}", 1_000) for each in range(1, GOODS_COUNT + 1)]


async def stock_up(
    shelf: Ledger, stocks: Ledger, goods: Sequence[CreateGoods] = (), *, gone: Collection[int] = ()
) -> None:
    """Plenty of each, nothing of those that are gone; the plain goods where none are given.

    `shelf`: of the goods log, `stocks`: of the inventory log.
    """
    goods = goods or plain_goods()
    for places in batches(range(len(goods))):
        some = goods[places.start : places.stop]
        await all_done(shelf, some)
        items = [SetInv(each.goods_id, _units(each.goods_id, gone), goods_exist=True) for each in some]
        await all_done(stocks, [SetInvMany(tuple(items))])


def _units(goods_id: int, gone: Collection[int]) -> int:
    return 0 if goods_id in gone else PLENTY


async def all_done(ledger: Ledger, commands: Sequence[Any]) -> None:
    """Raises what one of them is refused for."""
    now = utc_now()
    causes = [Cause(f"bench-{number}-{now:%H%M%S.%f}", "bench", "", now) for number in range(len(commands))]
    for answer in await ledger.submit_all(zip(commands, causes, strict=True)):
        if isinstance(answer, Exception):
            raise answer


def batches(numbers: range) -> Iterator[range]:
    """Of AT_ONCE at most."""
    for first in range(numbers.start, numbers.stop, AT_ONCE):
        yield range(first, min(first + AT_ONCE, numbers.stop))
