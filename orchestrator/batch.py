"""Deciding a batch: one command after the other on states in memory. Pure; the ledger does the I/O.

What is made for every command or event is a tuple with names: those are made fastest.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from eventsourcing.persistence import StoredEvent

from domain.recorded import Cause, Recorded
from domain.refusals import Refusal
from domain.service import Service, States, Written

Encode = Callable[[Cause, Iterable[tuple[str, int, Any]]], list[StoredEvent]]
"""What one command wrote, as it is stored: (stream, version, event) each."""


class Versioned(NamedTuple):
    """A folded state, and how many events of its stream are in it."""

    version: int
    state: Any


class Decided(NamedTuple):
    """`refusal`, or what the command wrote. `states`: every stream it read, as it left them."""

    written: Written
    states: States
    first: int = 0
    refusal: Exception | None = None


class Batch:
    """States as the batch sees them: what was known before, under what its own commands have written."""

    def __init__(self, service: Service, known: Mapping[str, Versioned], encode: Encode) -> None:
        self.service = service
        self.known = known
        self.encode = encode
        self.stored: list[StoredEvent] = []
        self.after: dict[str, Versioned] = {}
        self.written: list[tuple[str, int, Any, Cause]] = []
        self.read: set[str] = set()

    def decide(self, command: Any, cause: Cause, reads: Iterable[str]) -> Decided:
        """A refusal leaves no trace in the batch, so it affects nobody else. `reads`: as its rule says."""
        rule = self.service.rules[type(command)]
        states = {name: self._state(name) for name in reads}
        for name in rule.reads_then(command, states):
            states[name] = self._state(name)
        self.read.update(states)
        try:
            written = rule.decide(command, states)
        except Refusal as refusal:
            return Decided((), states, refusal=refusal)
        first = len(self.written)
        return Decided(written, self._write(written, cause, states) if written else states, first)

    def _state(self, stream: str) -> Any:
        return (self.after.get(stream) or self.known[stream]).state

    def _write(self, written: Written, cause: Cause, states: dict[str, Any]) -> dict[str, Any]:
        """All of it or, when an event can not be folded or encoded, none: a bug is its caller's alone."""
        before, known, evolve = self.after, self.known, self.service.evolve
        after: dict[str, Versioned] = {}
        placed: list[tuple[str, int, Any]] = []
        left = dict(states)
        for stream, event in written:
            version, state = after.get(stream) or before.get(stream) or known[stream]
            left[stream] = evolve(stream, state, event)
            after[stream] = Versioned(version + 1, left[stream])
            placed.append((stream, version + 1, event))
        self.stored += self.encode(cause, placed)
        self.after.update(after)
        self.written += [(*one, cause) for one in placed]
        return left

    def recorded(self, positions: Sequence[int]) -> list[Recorded]:
        """Every event, with its position in the log."""
        pairs = zip(self.written, positions, strict=True)
        return [Recorded(*one, position) for one, position in pairs]

    def only_read(self) -> dict[str, int]:
        """Streams a decision was based on that the batch does not write, with the version it saw."""
        return {name: self.known[name].version for name in self.read if name not in self.after}
