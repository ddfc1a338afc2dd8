"""Numbers of what became of messages and of what they said, for an operator's monitoring."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter

from orchestrator.intake import OUTCOMES

Count = Callable[[str], None]
"""Called with one word of a small fixed set."""


class WireMetrics:
    """One process's numbers, in a registry of its own. The words are `intake.OUTCOMES` and the handlers'."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._messages = Counter(
            "tillroll_wire_messages",
            "Messages taken off the wire, by the role that took them and what became of them.",
            ("role", "outcome"),
            registry=self.registry,
        )
        self._items = Counter(
            "tillroll_wire_items",
            "Commands and replies in those messages, by what they changed.",
            ("role", "outcome"),
            registry=self.registry,
        )

    def messages(self, role: str) -> Count:
        return _counting(self._messages, role, OUTCOMES)

    def items(self, role: str, outcomes: Iterable[str]) -> Count:
        return _counting(self._items, role, outcomes)


def _counting(counter: Counter, role: str, outcomes: Iterable[str]) -> Count:
    """Each word is shown from the start: a number that appears with its first event shows no increase."""
    counted = {outcome: counter.labels(role, outcome) for outcome in outcomes}
    return lambda outcome: counted[outcome].inc()
