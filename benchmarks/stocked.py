"""Goods on the shelf of a shop that is measured, through its ledgers."""

from collections.abc import Iterator, Sequence
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


async def stock_up(shelf: Ledger, stocks: Ledger) -> None:
    """Goods 1 to GOODS_COUNT, plenty of each. `shelf`: of the goods log, `stocks`: of the inventory log."""
    for some in batches(range(1, GOODS_COUNT + 1)):
        await all_done(shelf, [CreateGoods(each, f"goods {each}", 1_000) for each in some])
        await all_done(stocks, [SetInvMany(tuple(SetInv(each, PLENTY, goods_exist=True) for each in some))])


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
