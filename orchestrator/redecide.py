"""Every recorded command, decided once more by the rules of today over the state of then.

The events of a log are taken command by command (`commands_recorded`). What today's decision writes must be
what was recorded: the same streams, order and content. The states that are decided on are folded from what
was recorded, so a difference shows once, and does not spread.

Memory: what lasts (goods, stock, carts, users, addresses) is kept, one state for each. What passes (sales,
orders, sagas, sessions) is kept for the MAX_KEPT streams written to last, some kilobytes each; keys are not
kept. Whatever comes back later is loaded again. Without `load`, everything is kept.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from typing import Any, Final

from domain import streams
from domain.key import Keyed
from domain.recorded import Recorded
from domain.refusals import Refusal
from domain.service import Service, Written
from orchestrator.audit import Finding
from orchestrator.commands_recorded import Group, NoWayBack, command_of, read_by

MAX_KEPT: Final = 10_000
"""Streams of what passes, in memory at once."""

PASSING: Final = frozenset({"sale", "order", "saga", "session", "key"})
"""Categories of which there is a new stream all the time."""

SHOWN_CHARS: Final = 60
"""Of a value that differs."""

BROKEN: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What rules run into where the log holds what nobody decided."""

Load = Callable[[str], Iterable[Recorded]]
"""All events of one stream, oldest first."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A command that would be decided otherwise today. `position`: where its events begin in `log`.

    `expected`: what today's decision writes, or why it writes nothing; `recorded`: what was written then.
    """

    log: str
    position: int
    command: str
    command_id: str
    stream: str
    expected: tuple[str, ...]
    recorded: tuple[str, ...]

    @property
    def what(self) -> str:
        expected = "; ".join(self.expected) or "nothing"
        return f"{self.command} gives {expected} today; recorded: {'; '.join(self.recorded)}"


class Redecider:
    """One log. `after`: how far it was read before, 0 for not at all; `load` is needed if it was."""

    def __init__(
        self, service: Service, load: Load | None = None, *, after: int = 0, kept: int = MAX_KEPT
    ) -> None:
        self.commands = 0
        self._service = service
        self._states = _States(service, load, after=after, kept=kept)
        self._together: list[Recorded] = []

    def see(self, recorded: Recorded) -> Iterable[Difference]:
        """Looks at the next event; what is wrong with a command shows when the next one begins."""
        together = self._together
        if together and together[0].cause.command_id != recorded.cause.command_id:
            self._together = [recorded]
            return self._judged(together)
        together.append(recorded)
        return ()

    def end(self) -> Iterable[Difference]:
        together, self._together = self._together, []
        return self._judged(together) if together else ()

    def _judged(self, events: Sequence[Recorded]) -> Iterable[Difference]:
        self.commands += 1
        self._states.begin(events)
        group = Group(tuple(events), self._states.state)
        found = self._differs(group)
        self._states.fold(events)
        return found

    def _differs(self, group: Group) -> Iterable[Difference]:
        try:
            command = command_of(group)
        except (NoWayBack, *BROKEN) as error:
            return (self._difference(group, "No command", (_why(error),)),)
        kind = type(command.command if isinstance(command, Keyed) else command).__name__
        try:
            rule = self._service.rules[type(command)]
            expected = rule.decide(command, read_by(rule, command, group.state))
        except Refusal as refusal:
            return (self._difference(group, kind, (f"a refusal, {refusal.name}",)),)
        except BROKEN as error:
            return (self._difference(group, kind, (f"no decision, {_why(error)}",)),)
        written = group.written
        return () if expected == written else (self._difference(group, kind, told(expected, written)),)

    def _difference(self, group: Group, command: str, expected: tuple[str, ...]) -> Difference:
        first, written = group.events[0], group.written
        recorded = told(written, written)
        place = (self._service.log, first.position)
        return Difference(*place, command, first.cause.command_id, first.originator_id, expected, recorded)


class DecidesTheSame:
    """The check of the audit that looks at one log's decisions. Memory: see above, some ten megabytes.

    `load`: all events of a stream of this log, such as `LogReader.read_stream`; asked now and then only.
    `after`: the position after which the events come that it sees.
    """

    unit = "commands"

    def __init__(self, service: Service, load: Load | None = None, *, after: int = 0) -> None:
        self.name = f"decisions {service.log}"
        self.question = f"Every command in the {service.log} log: decided today as it was then"
        self._redecider = Redecider(service, load, after=after)

    @property
    def count(self) -> int:
        return self._redecider.commands

    def see(self, recorded: Recorded) -> Iterable[Finding]:
        return map(self._finding, self._redecider.see(recorded))

    def end(self) -> Iterable[Finding]:
        return map(self._finding, self._redecider.end())

    def _finding(self, found: Difference) -> Finding:
        return Finding(self.name, f"stream {found.stream}", found.position, found.what, found.log)


class _States:
    """States of streams, as they were before the command that is being looked at."""

    def __init__(self, service: Service, load: Load | None, *, after: int, kept: int) -> None:
        self._service = service
        self._load = load
        self._kept = kept
        self._lasting: dict[str, Any] = {}
        self._passing: OrderedDict[str, Any] = OrderedDict()
        # Categories of which a state that is not in memory may be in the log all the same.
        self._gone: set[str] = set(service.categories) if after else set()
        self._events: Sequence[Recorded] = ()

    def begin(self, events: Sequence[Recorded]) -> None:
        self._events = events

    def state(self, stream: str) -> Any:
        known = self._lasting.get(stream)
        if known is None:
            known = self._passing.get(stream)
        return self._missing(stream) if known is None else known

    def fold(self, events: Sequence[Recorded]) -> None:
        """Takes what was recorded into the states. An event that no state can take changes none."""
        categories = self._service.categories
        for stream, _, event, _, _ in events:
            category = streams.category(stream)
            try:
                state = categories[category].evolve(self.state(stream), event)
            except BROKEN:
                continue
            if category not in PASSING:
                self._lasting[stream] = state
            elif category == "key" and self._load is not None:
                self._gone.add(category)
            else:
                self._keep(stream, state)

    def _keep(self, stream: str, state: Any) -> None:
        self._passing[stream] = state
        self._passing.move_to_end(stream)
        if self._load is not None and len(self._passing) > self._kept:
            dropped, _ = self._passing.popitem(last=False)
            self._gone.add(streams.category(dropped))

    def _missing(self, stream: str) -> Any:
        """From the log, unless it is sure that the stream had no events before this command."""
        initial = self._service.initial(stream)
        if self._load is None or streams.category(stream) not in self._gone or self._begins(stream):
            return initial
        position = self._events[0].position
        before = (recorded.event for recorded in self._load(stream) if recorded.position < position)
        return reduce(lambda state, event: self._service.evolve(stream, state, event), before, initial)

    def _begins(self, stream: str) -> bool:
        return any(version == 1 and name == stream for name, version, _, _, _ in self._events)


# in words


def told(written: Written, other: Written) -> tuple[str, ...]:
    """Each event in one line; with the values that its counterpart in `other` has not."""
    counterparts: Sequence[Any] = [event for _, event in other]
    counterparts = [*counterparts, *[None] * (len(written) - len(other))]
    return tuple(
        f"{type(event).__name__} in {stream}{_differing(event, counterpart)}"
        for (stream, event), counterpart in zip(written, counterparts, strict=False)
    )


def _differing(event: Any, counterpart: Any) -> str:
    if type(event) is not type(counterpart) or event == counterpart:
        return ""
    pairs: Iterator[tuple[str, Any]] = ((f.name, getattr(event, f.name)) for f in fields(event))
    values = [f"{n} {_short(v, getattr(counterpart, n))}" for n, v in pairs if v != getattr(counterpart, n)]
    return f" with {', '.join(values)}"


def _short(value: Any, other: Any) -> str:
    return f"{repr(value)[:SHOWN_CHARS]} instead of {repr(other)[:SHOWN_CHARS]}"


def _why(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
