"""The audit: whether the books balance, by checks that each answer one question.

A check sees every event of one log once, in order, and keeps little: a few numbers for each goods, order or
stream. What it finds names the first place where something is wrong; nothing is corrected, nothing is
written. Checks share no code with the decisions they look at, apart from the saga's table of moves.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, Protocol, runtime_checkable

from domain.recorded import Recorded

MAX_KEPT_FINDINGS: Final = 200
"""Findings kept for each check; all of them are counted."""

MAX_KEPT_UNFINISHED: Final = 1_000
"""Unfinished orders kept by name; all of them are counted."""

DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `subject`: the order, goods, stream or table it is wrong with.

    `position`: the event of `log` where it shows first; 0 when no single event shows it.
    """

    check: str
    subject: str
    position: int
    what: str
    log: str = ""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An order whose saga still owes something. That is no fault, it says what the audit cannot judge yet."""

    order_id: str
    step: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Checked:
    """What one check looked at. `question`: what it made sure of; `findings`: how many there are."""

    check: str
    question: str
    count: int
    unit: str
    findings: int


@dataclass(frozen=True, slots=True)
class Report:
    """`positions`: how far each log was read. `unfinished` and `findings` hold the first ones only.

    `since`: where each log was continued from; empty when everything was read. `next_since`: from where the
    next audit can continue this one, as it is typed.
    """

    checks: tuple[Checked, ...]
    findings: tuple[Finding, ...]
    found: int
    unfinished: tuple[Unfinished, ...]
    unfinished_count: int
    positions: Mapping[str, int]
    since: Mapping[str, int] = field(default_factory=dict)
    next_since: str = ""

    @property
    def is_clean(self) -> bool:
        return self.found == 0


class Check(Protocol):
    """A check that reads one log. `count`: how many `unit`s it looked at."""

    @property
    def name(self) -> str: ...
    @property
    def question(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def count(self) -> int: ...

    def see(self, recorded: Recorded) -> Iterable[Finding]:
        """Looks at the next event of the log."""
        ...

    def end(self) -> Iterable[Finding]:
        """What only shows once every event was seen."""
        ...


@runtime_checkable
class OfSomeEvents(Protocol):
    """A check that needs to see no events but these; any other would tell it nothing."""

    @property
    def events(self) -> Collection[type[Any]]: ...


See = Callable[[Recorded], Iterable[Finding]]


def quietly(findings: Iterable[Finding]) -> tuple[()]:
    """What is seen for its own sake: a check has taken it in, and what is wrong with it is not told again."""
    for _ in findings:
        pass
    return ()


def walk(events: Iterable[Recorded], checks: Sequence[Check]) -> Iterator[Finding]:
    """One pass over a log for all its checks."""
    seen_by: dict[type[Any], list[See]] = {}
    for recorded in events:
        kind = type(recorded.event)
        if kind not in seen_by:
            seen_by[kind] = [check.see for check in checks if _wants(check, kind)]
        for see in seen_by[kind]:
            found = see(recorded)
            if found != ():
                yield from found
    for check in checks:
        yield from check.end()


def _wants(check: Check, kind: type[Any]) -> bool:
    return not isinstance(check, OfSomeEvents) or kind in check.events


class Tally:
    """Findings as they come: all counted, the first ones of each check kept."""

    def __init__(self) -> None:
        self._kept: dict[str, list[Finding]] = {}
        self._found: Counter[str] = Counter()
        self._checks: list[Checked] = []

    def add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self._found[finding.check] += 1
            kept = self._kept.setdefault(finding.check, [])
            if len(kept) < MAX_KEPT_FINDINGS:
                kept.append(finding)

    def close(self, check: Check) -> None:
        """Takes the check into the report, once all its findings were added."""
        self.checked(check.name, check.question, check.count, check.unit)

    def checked(self, name: str, question: str, count: int, unit: str) -> None:
        self._checks.append(Checked(name, question, count, unit, self._found[name]))

    def merge(self, other: "Tally") -> None:
        """Takes over what was found and checked elsewhere; no check is in both."""
        self._kept |= other._kept
        self._found += other._found
        self._checks += other._checks

    def arrange(self, names: Sequence[str]) -> None:
        """Puts the checks, and so their findings, into the order of these names; all must be named."""
        self._checks.sort(key=lambda checked: names.index(checked.check))

    def report(self, positions: Mapping[str, int], unfinished: Sequence[Unfinished]) -> Report:
        """Findings in the order of their checks."""
        return Report(
            checks=tuple(self._checks),
            findings=tuple(f for checked in self._checks for f in self._kept.get(checked.check, ())),
            found=self._found.total(),
            unfinished=tuple(unfinished[:MAX_KEPT_UNFINISHED]),
            unfinished_count=len(unfinished),
            positions=positions,
        )


def digest(content: object) -> bytes:
    """Stands for plain numbers and texts that are compared much later, so they need not be kept."""
    return blake2b(repr(content).encode(), digest_size=DIGEST_BYTES).digest()
