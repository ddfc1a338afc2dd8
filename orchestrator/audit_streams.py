"""Is a log whole? Positions rise, each stream is counted 1, 2, 3 with no gap, every event says its cause."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

from domain import cart, goods, key, order, saga, sale, session, stock, streams, user
from domain.recorded import Recorded
from orchestrator.audit import Finding

EVENTS_OF: Final[Mapping[str, frozenset[type[Any]]]] = {
    "goods": frozenset(get_args(goods.GoodsEvent)),
    "stock": frozenset(get_args(stock.StockEvent)),
    "sale": frozenset(get_args(sale.SaleEvent)),
    "cart": frozenset(get_args(cart.CartEvent)),
    "order": frozenset(get_args(order.OrderEvent)),
    "saga": frozenset(get_args(saga.SagaEvent)),
    "user": frozenset(get_args(user.UserEvent)),
    "email": frozenset(get_args(user.EmailEvent)),
    "session": frozenset(get_args(session.SessionEvent)),
    "key": frozenset({key.KeyUsed}),
}
"""Which events belong in streams of which category."""

CATEGORIES_OF: Final[Mapping[str, frozenset[str]]] = {
    "user": frozenset({"user", "email", "session"}),
    "goods": frozenset({"goods", "key"}),
    "inventory": frozenset({"stock", "sale", "key"}),
    "order": frozenset({"cart", "order", "saga", "key"}),
}
"""Which categories belong in which log."""


class LogIsWhole:
    unit = "events"

    def __init__(self, log: str) -> None:
        self._log = log
        self.name = f"log {log}"
        self.question = f"The {log} log: nothing missing, misplaced or uncaused"
        self.count = 0
        self._position = 0
        self._versions: dict[str, int] = {}

    def see(self, recorded: Recorded) -> Iterator[Finding]:
        self.count += 1
        for wrong in (self._wrong_place(recorded), self._wrong_kind(recorded), _wrong_cause(recorded)):
            if wrong:
                yield Finding(self.name, recorded.originator_id, recorded.position, wrong, self._log)
        self._position = recorded.position
        self._versions[recorded.originator_id] = recorded.originator_version

    def end(self) -> Iterator[Finding]:
        yield from ()

    def _wrong_place(self, recorded: Recorded) -> str | None:
        version = self._versions.get(recorded.originator_id, 0) + 1
        if recorded.originator_version != version:
            return f"version {recorded.originator_version} comes where version {version} must be"
        if recorded.position <= self._position:
            return f"position {recorded.position} comes after position {self._position}"
        return None

    def _wrong_kind(self, recorded: Recorded) -> str | None:
        category = streams.category(recorded.originator_id)
        if category not in CATEGORIES_OF[self._log]:
            return f"a {category} stream does not belong in the {self._log} log"
        kind = type(recorded.event)
        if kind not in EVENTS_OF[category]:
            return f"{kind.__name__} does not belong in a {category} stream"
        return None


def _wrong_cause(recorded: Recorded) -> str | None:
    cause = recorded.cause
    if not cause.command_id or not cause.caller:
        return "the event does not say who and what caused it"
    if cause.at.utcoffset() is None:
        return f"its time {cause.at} has no time zone"
    return None
