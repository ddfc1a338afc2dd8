"""Is a log whole? Positions rise, each stream is counted 1, 2, 3 with no gap, every event says its cause.

What cannot be read comes as `Damage`: it has its place in its stream, and nothing else is known of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    "key": frozenset({key.KeyUsed, key.AnsweredUndecided}),
}
"""Which events belong in streams of which category."""

CATEGORIES_OF: Final[Mapping[str, frozenset[str]]] = {
    "user": frozenset({"user", "email", "session"}),
    "goods": frozenset({"goods", "key"}),
    "inventory": frozenset({"stock", "sale", "key"}),
    "order": frozenset({"cart", "order", "saga", "key"}),
}
"""Which categories belong in which log."""

FOLLOWS: Final = "it was left out, so what else is found of its stream may follow from that"


NOTHING_WRONG: Final = (None, None, None)


@dataclass(frozen=True, slots=True)
class Damage:
    """A stored event that is not as it was written. `lost`: nobody can say what it was."""

    stream: str
    version: int
    position: int
    what: str
    lost: bool


class LogIsWhole:
    unit = "events"

    def __init__(self, log: str, *, after: int = 0) -> None:
        """`after`: the position after which the events come that it sees."""
        self._log = log
        self.name = f"log {log}"
        self.question = f"The {log} log: nothing missing, misplaced, unreadable or uncaused"
        self.count = 0
        self._position = after
        self._versions: dict[str, int] = {}
        self._fitting = {(of, kind) for of in CATEGORIES_OF[log] for kind in EVENTS_OF[of]}

    def see(self, recorded: Recorded) -> Sequence[Finding]:
        stream, version, _, _, position = recorded
        wrongs = (
            self._wrong_place(stream, version, position),
            self._wrong_kind(recorded),
            _wrong_cause(recorded),
        )
        self._pass(stream, version, position)
        if wrongs == NOTHING_WRONG:
            return ()
        return [Finding(self.name, stream, position, wrong, self._log) for wrong in wrongs if wrong]

    def recall(self, recorded: Recorded) -> Sequence[Finding]:
        self._versions[recorded.originator_id] = recorded.originator_version
        return ()

    def recall_damage(self, damage: Damage) -> Iterator[Finding]:
        """An event of before that is not as it was when it was found good."""
        yield Finding(self.name, damage.stream, damage.position, damage.what, self._log)
        if damage.lost:
            self._versions[damage.stream] = damage.version

    def see_damage(self, damage: Damage) -> Iterator[Finding]:
        """Damage comes in the order of the log: before what `see` gets of the same place, if it gets it."""
        stream, version, position = damage.stream, damage.version, damage.position
        wrong_place = self._wrong_place(stream, version, position) if damage.lost else None
        what = f"{damage.what}; {FOLLOWS}" if damage.lost else damage.what
        for wrong in filter(None, (wrong_place, what)):
            yield Finding(self.name, stream, position, wrong, self._log)
        if damage.lost:
            self._pass(stream, version, position)

    def end(self) -> Iterator[Finding]:
        yield from ()

    def _pass(self, stream: str, version: int, position: int) -> None:
        self.count += 1
        self._position = position
        self._versions[stream] = version

    def _wrong_place(self, stream: str, version: int, position: int) -> str | None:
        expected = self._versions.get(stream, 0) + 1
        if version != expected:
            return f"version {version} comes where version {expected} must be"
        if position <= self._position:
            return f"position {position} comes after position {self._position}"
        return None

    def _wrong_kind(self, recorded: Recorded) -> str | None:
        category = streams.category(recorded.originator_id)
        if (category, type(recorded.event)) in self._fitting:
            return None
        if category not in CATEGORIES_OF[self._log]:
            return f"a {category} stream does not belong in the {self._log} log"
        return f"{type(recorded.event).__name__} does not belong in a {category} stream"


def _wrong_cause(recorded: Recorded) -> str | None:
    cause = recorded.cause
    if not cause.command_id or not cause.caller:
        return "the event does not say who and what caused it"
    if cause.at.utcoffset() is None:
        return f"its time {cause.at} has no time zone"
    return None
