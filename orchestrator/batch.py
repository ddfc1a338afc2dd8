"""Deciding a batch: one command after the other on states in memory. Pure; the ledger does the I/O."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eventsourcing.persistence import StoredEvent

from domain.recorded import Cause, Recorded
from domain.refusals import Refusal
from domain.service import Service, States, Written

Encode = Callable[[Recorded], StoredEvent]


@dataclass(frozen=True, slots=True)
class Versioned:
    """A folded state, and how many events of its stream are in it."""

    version: int
    state: Any


@dataclass(frozen=True, slots=True)
class Decided:
    """`refusal`, or what the command wrote. `states`: every stream it read, as it left them."""

    written: Written = ()
    states: States = field(default_factory=dict)
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
        self.recorded: list[Recorded] = []
        self.read: set[str] = set()

    def current(self, stream: str) -> Versioned:
        return self.after.get(stream) or self.known[stream]

    def states(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: self.current(name).state for name in names}

    def decide(self, command: Any, cause: Cause) -> Decided:
        """A refusal leaves no trace in the batch, so it affects nobody else."""
        rule = self.service.rules[type(command)]
        names = list(rule.reads(command))
        states = self.states(names)
        states.update(self.states(rule.reads_then(command, states)))
        self.read.update(states)
        try:
            written = rule.decide(command, states)
        except Refusal as refusal:
            return Decided(states=states, refusal=refusal)
        first = len(self.recorded)
        self._write(written, cause)
        return Decided(written, self.states(states), first)

    def _write(self, written: Written, cause: Cause) -> None:
        """All of it or, when an event can not be folded or encoded, none: a bug is its caller's alone."""
        after: dict[str, Versioned] = {}
        recorded: list[Recorded] = []
        for stream, event in written:
            now = after.get(stream) or self.current(stream)
            version = now.version + 1
            after[stream] = Versioned(version, self.service.evolve(stream, now.state, event))
            recorded.append(Recorded(stream, version, event, cause))
        stored = [self.encode(one) for one in recorded]
        self.after.update(after)
        self.recorded.extend(recorded)
        self.stored.extend(stored)

    def only_read(self) -> dict[str, int]:
        """Streams a decision was based on that the batch does not write, with the version it saw."""
        return {name: self.known[name].version for name in self.read if name not in self.after}
