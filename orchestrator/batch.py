"""Deciding a batch: one command after the other on states in memory. Pure; the ledger does the I/O.

It runs for every command of the shop, so it is written to do each thing once: what is made for a command or
an event is a tuple with names, which is made fastest, and how an event folds is looked up by its class.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from domain.recorded import Cause, Recorded, made
from domain.refusals import Refusal
from domain.service import Rule, Service, States, Written, reads_no_more
from orchestrator.log import Stored

Encode = Callable[[Cause, Iterable[tuple[str, int, Any]]], list[Stored]]
"""What one command wrote, as it is stored: (stream, version, event) each."""


Versioned = tuple[int, Any]
"""How many events of its stream are folded, and the state they make. Plain: one is made for every event."""


class Decided(NamedTuple):
    """`refusal`, or what the command wrote. `states`: every stream it read, as it left them.

    `first`: how many events of the batch are before its own.
    """

    written: Written
    states: States
    first: int = 0
    refusal: Exception | None = None


class Folds(dict[type[Any], Callable[[Any, Any], Any]]):
    """How each class of event folds: a class belongs to one category, so it is looked up once."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def of(self, stream: str, kind: type[Any]) -> Callable[[Any, Any], Any]:
        fold = self.get(kind)
        if fold is None:
            fold = self[kind] = self._service.category_of(stream).evolve
        return fold


class Batch:
    """States as the batch sees them: what was known before, under what its own commands have written."""

    def __init__(self, known: Mapping[str, Versioned], folds: Folds, encode: Encode) -> None:
        self.stored: list[Stored] = []
        self.after: dict[str, Versioned] = {}
        self.known = known
        self._folds = folds
        self._encode = encode
        self._written: list[tuple[Cause, Sequence[tuple[str, int, Any]]]] = []
        self._read: set[str] = set()

    def decide(self, rule: Rule, command: Any, cause: Cause, reads: Iterable[str]) -> Decided:
        """A refusal leaves no trace in the batch, so it affects nobody else. `reads`: as its rule says."""
        after, known = self.after, self.known
        states = {name: (after.get(name) or known[name])[1] for name in reads}
        if rule.reads_then is not reads_no_more:
            for name in rule.reads_then(command, states):
                states[name] = (after.get(name) or known[name])[1]
        self._read.update(states)
        try:
            written = rule.decide(command, states)
        except Refusal as refusal:
            return Decided((), states, 0, refusal)
        first = len(self.stored)
        if written:
            self._write(written, cause, states)
        return made(Decided, (written, states, first, None))

    def seen(self, names: Iterable[str]) -> Decided:
        """What a request that only reads is answered: states as the requests before it leave them. Taken down
        here, because the bookkeeper may forget them before anybody is answered."""
        after, known = self.after, self.known
        return Decided((), {name: (after.get(name) or known[name])[1] for name in names})

    def _write(self, written: Written, cause: Cause, states: dict[str, Any]) -> None:
        """All of it or, when an event can not be folded or encoded, none: a bug is its caller's alone."""
        before, known, folds = self.after, self.known, self._folds
        after: dict[str, Versioned] = {}
        placed: list[tuple[str, int, Any]] = []
        for stream, event in written:
            version, state = after.get(stream) or before.get(stream) or known[stream]
            version += 1
            fold = folds.get(type(event)) or folds.of(stream, type(event))
            after[stream] = (version, fold(state, event))
            placed.append((stream, version, event))
        self.stored += self._encode(cause, placed)
        before.update(after)
        self._written.append((cause, placed))
        for stream, left in after.items():
            states[stream] = left[1]

    def recorded(self, positions: Sequence[int]) -> list[Recorded]:
        """Every event, with its position in the log."""
        position = iter(positions)
        return [
            made(Recorded, (stream, version, event, cause, next(position)))
            for cause, placed in self._written
            for stream, version, event in placed
        ]

    def only_read(self) -> dict[str, int]:
        """Streams a decision was based on that the batch does not write, with the version it saw."""
        return {name: self.known[name][0] for name in self._read if name not in self.after}


class Draft(NamedTuple):
    """A batch that is decided and not committed: what came of each request.

    `expect`: streams that it rests on and does not write, with their versions.
    """

    decided: Sequence[Decided]
    work: Batch
    expect: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Committed:
    """What of a batch the log took, and at which positions. `draft` is None when it took nothing, or did not
    say that it did."""

    draft: Draft | None = None
    positions: Sequence[int] = ()

    def recorded(self) -> Sequence[Recorded]:
        return () if self.draft is None else self.draft.work.recorded(self.positions)
