"""A ledger of stock as tests use it: a log that can be told to misbehave, commands, and questions."""

from collections.abc import Callable, Collection, Mapping, Sequence

from adapters.event_codec import decode
from domain.recorded import Cause, Recorded
from domain.sale import Line, Sale, SaleStatus, Sell
from domain.stock import AdjustStock, SetInv, Stock
from orchestrator.ledger import Ledger
from orchestrator.log import Log, LogConflict, Since, Stored

NewCause = Callable[[], Cause]
OpenLog = Callable[[], Log]
LedgerOver = Callable[..., Ledger]


class WrappedLog:
    """A log that misbehaves where a test says so; each hook is called around the real append."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.before: list[Callable[[], None]] = []
        self.after: list[Callable[[], None]] = []
        self.appends = 0
        self.loads = 0
        self.loaded = 0

    async def try_append(self, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int] | None:
        return None

    def tried(self, end: str, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int] | None:
        """A try with that end: "works", "lost" is stored and not heard of, "nothing" is not stored."""
        if end == "nothing":
            return None
        try:
            positions = self.log.append(events, expect)
        except LogConflict:
            return None
        return positions if end == "works" else None

    def append(self, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int]:
        self.appends += 1
        if self.before:
            self.before.pop(0)()
        positions = self.log.append(events, expect)
        if self.after:
            self.after.pop(0)()
        return positions

    def load(self, since: Since) -> Sequence[Stored]:
        self.loads += 1
        events = self.log.load(since)
        self.loaded += len(events)
        return events

    def find(self, event: Stored) -> int | None:
        return self.log.find(event)

    def changed(self, after: int | None) -> tuple[int, Collection[str]]:
        return self.log.changed(after)


def set_to(goods_id: int, stock: int) -> SetInv:
    return SetInv(goods_id, stock, goods_exist=True)


def adjust(goods_id: int, delta: int) -> AdjustStock:
    return AdjustStock(goods_id, delta, "count", goods_exist=True)


def one_of(order: int, goods_id: int = 1) -> Sell:
    return Sell(str(order), (Line(goods_id, 1),))


async def sell(ledger: Ledger, command: Sell, cause: Cause) -> SaleStatus:
    done = await ledger.submit(command, cause)
    sale: Sale = done.states[f"sale-{command.order_id}"]
    return sale.status


async def on_hand(ledger: Ledger, goods_id: int = 1) -> int:
    stock: Stock = (await ledger.read(f"stock-{goods_id}"))[f"stock-{goods_id}"]
    return stock.on_hand


def history(log: Log, *names: str) -> list[Recorded]:
    return [decode(stored) for stored in log.load(dict.fromkeys(names, 0))]
