"""Does stock add up? For every goods, at every position of the inventory's log:

    set + adjusted + returned = on hand + sold,   and on hand is never below 0.

Every stock event claims the level after it. The level that follows from the quantities must be that one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import assert_never, get_args

from domain import streams
from domain.recorded import Recorded
from domain.stock import StockAdjusted, StockEvent, StockReturned, StockSet, StockSold
from orchestrator.audit import Finding


@dataclass(slots=True)
class Account:
    """One goods. `set_to`: the sum of what each setting changed; a goods is reported once, so `broken`."""

    set_to: int = 0
    adjusted: int = 0
    returned: int = 0
    sold: int = 0
    broken: bool = False

    @property
    def on_hand(self) -> int:
        return self.set_to + self.adjusted + self.returned - self.sold

    def told(self) -> str:
        return f"set {self.set_to}, adjusted {self.adjusted}, returned {self.returned}, sold {self.sold}"


class StockAddsUp:
    name = "stock"
    question = "Stock adds up after every event and is never below 0"
    unit = "goods"
    events = frozenset(get_args(StockEvent))

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}

    @property
    def count(self) -> int:
        return len(self._accounts)

    def see(self, recorded: Recorded) -> Iterable[Finding]:
        if not isinstance(recorded.event, StockEvent):
            return ()
        account = self._accounts.setdefault(recorded.originator_id, Account())
        return () if account.broken else self._book(account, recorded)

    def recall(self, recorded: Recorded) -> Iterable[Finding]:
        """The level that was right then is where the account begins."""
        if isinstance(recorded.event, StockEvent):
            self._accounts[recorded.originator_id] = Account(set_to=recorded.event.on_hand)
        return ()

    def end(self) -> Iterable[Finding]:
        return ()

    def _book(self, account: Account, recorded: Recorded) -> Iterator[Finding]:
        """Books one event. Only the first break of a goods is told: all that follow come from it."""
        before = account.on_hand
        wrong = _wrong_quantity(before, recorded.event)
        _enter(account, recorded.event)
        wrong = wrong or _wrong_level(account, recorded.event)
        if wrong:
            account.broken = True
            subject = f"goods {streams.key_of(recorded.originator_id)}"
            yield Finding(self.name, subject, recorded.position, wrong, log="inventory")


def _enter(account: Account, event: StockEvent) -> None:
    match event:
        case StockSet(on_hand, before):
            account.set_to += on_hand - before
        case StockAdjusted(delta, _, _):
            account.adjusted += delta
        case StockSold(_, nums, _):
            account.sold += nums
        case StockReturned(_, nums, _):
            account.returned += nums
        case _:
            assert_never(event)


def _wrong_quantity(before: int, event: StockEvent) -> str | None:
    match event:
        case StockSet(_, claimed) if claimed != before:
            return f"set when {claimed} units were on hand, it says, but {before} were"
        case StockSold(_, nums, _) | StockReturned(_, nums, _) if nums <= 0:
            return f"{nums} units are no quantity to sell or return"
        case _:
            return None


def _wrong_level(account: Account, event: StockEvent) -> str | None:
    if event.on_hand != account.on_hand:
        return f"{event.on_hand} units on hand, it says, but it must be {account.on_hand}: {account.told()}"
    if account.on_hand < 0:
        return f"{account.on_hand} units on hand: {account.told()}"
    return None
