"""What one service is, as tables: how each category of its streams folds, and how it decides each command."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain import streams

States = Mapping[str, Any]
"""Folded states by stream name; a stream with no events yet has its category's initial state."""

Written = tuple[tuple[str, Any], ...]
"""(stream, event) pairs in the order in which they are recorded."""


def recorded_in(stream: str, events: Iterable[Any]) -> Written:
    """All these events in one stream."""
    return tuple((stream, event) for event in events)


@dataclass(frozen=True, slots=True)
class Category:
    """Streams whose names begin with the same word fold in the same way.

    `from_last`: the state after an event, of its version and itself alone. None where an event does not say
    all of it. However long such a stream is, it is known at once.
    `is_brief`: such a stream soon has its last event, and nobody asks for it often after that.
    """

    initial: Any
    evolve: Callable[[Any, Any], Any]
    from_last: Callable[[int, Any], Any] | None = None
    is_brief: bool = False


def reads_no_more(_command: Any, _states: States) -> Iterable[str]:
    return ()


def begins_none(_command: Any) -> Iterable[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Rule:
    """How one kind of command is decided.

    `reads` names the streams a decision needs; `reads_then` names more of them once those are known.
    `begins` names those of `reads` that are empty unless the command was carried out before.
    `decide` raises a Refusal, or returns what is to be recorded: nothing when it was done before.
    """

    reads: Callable[[Any], Sequence[str]]
    decide: Callable[[Any, States], Written]
    reads_then: Callable[[Any, States], Iterable[str]] = reads_no_more
    begins: Callable[[Any], Iterable[str]] = begins_none


@dataclass(frozen=True, slots=True)
class Service:
    """`log`: the name of its event log, and of the Postgres schema that holds it."""

    log: str
    categories: Mapping[str, Category]
    rules: Mapping[type[Any], Rule]

    def category_of(self, stream: str) -> Category:
        return self.categories[streams.category(stream)]

    def initial(self, stream: str) -> Any:
        return self.category_of(stream).initial

    def evolve(self, stream: str, state: Any, event: Any) -> Any:
        return self.category_of(stream).evolve(state, event)
