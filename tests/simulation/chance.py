"""Everything that a history leaves to chance is asked here, so that one seed, or one script, replays it."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, Protocol

FAULTS: Final[Mapping[str, Mapping[str, str]]] = {
    "commit": {
        "crash-before": "the process ends just before the COMMIT",
        "crash-after": "the process ends just after the COMMIT",
        "crash-during": "the process ends while the COMMIT is under way; it holds or not",
        "answer-lost": "the COMMIT holds, its answer does not arrive",
        "answer-late": "the connection breaks while the COMMIT is under way; it holds or not",
        "unavailable": "the log cannot be reached",
        "rival": "another process commits between the reading and the COMMIT",
    },
    "load": {"unavailable": "the log cannot be read"},
    "project": {
        "crash-before": "a projector ends just before its COMMIT",
        "crash-after": "a projector ends just after its COMMIT",
        "answer-lost": "a projector's COMMIT holds, its answer does not arrive",
        "unavailable": "the read models cannot be reached",
        "rival": "another process works while the projector is in its transaction",
    },
    "publish": {
        "crash-before": "the process ends just before it publishes",
        "crash-after": "the process ends just after it published",
        "lost": "the broker takes a message and loses it",
        "refused": "the broker does not take a message",
        "answer-lost": "the broker takes a message, its PubAck does not arrive",
        "twice": "a message is stored twice",
        "delayed": "a message arrives seconds late",
        "delayed-days": "a message arrives days late",
    },
    "deliver": {"reordered": "messages arrive in another order"},
    "ack": {
        "crash-before": "the process ends between its commit and its ack",
        "crash-after": "the process ends just after its ack",
        "lost": "an ack does not arrive",
        "forgotten": "an acknowledged message is delivered again",
    },
    "answer": {
        "crash-before": "the process ends before it gives a message back or drops it",
        "lost": "the broker does not hear that a message is given back or dropped",
    },
    "park": {
        "unavailable": "a message cannot be parked",
        "crash-after": "the process ends just after it parked a message",
    },
    "announce": {"lost": "the news that an order is decided does not arrive"},
    "request": {
        "lost": "a request does not arrive",
        "answer-lost": "the answer to a request does not arrive",
    },
    "await": {
        "crash": "a process ends between two of its steps",
        "stop": "a process stands still for seconds while the others go on",
    },
    "world": {
        "broker-wiped": "the broker forgets every message",
        "broker-down": "the broker takes nothing for seconds",
        "log-down": "one log cannot be reached for seconds, longer than a ledger is patient",
        "clock-jump": "the clock of one process jumps by up to five minutes, either way",
        "time-leap": "all of it sleeps for up to three days",
        "garbage": "somebody publishes what is no message",
        "forgery": "somebody publishes a reply that nobody asked for",
    },
}
"""Point -> kind -> what happens. The first word of a kind says what the simulator does with it."""


class Chance(Protocol):
    """`visits`: how often it was asked what goes wrong; `told` hears what did. Once `calm`, nothing does."""

    calm: bool
    visits: int
    told: Callable[[str], None]

    def fault(self, point: str) -> str:
        """What goes wrong at this point: one of the kinds of `FAULTS`, or nothing."""
        ...

    def pick(self, count: int) -> int:
        """One of so many ways to go on, all of them right."""
        ...

    def between(self, low: float, high: float) -> float: ...

    def yes(self, probability: float) -> bool:
        """Whether something harmless happens."""
        ...

    def hurries(self) -> bool:
        """Whether a timer goes off although somebody is still at work."""
        ...


LIKELY: Final[Mapping[str, float]] = {
    "commit": 0.30,
    "load": 0.15,
    "project": 0.30,
    "publish": 0.60,
    "deliver": 0.60,
    "ack": 0.50,
    "answer": 0.30,
    "park": 0.50,
    "announce": 0.50,
    "request": 0.30,
    "await": 0.015,
    "world": 1.0,
}
"""The most often that a history has something go wrong at a point, in a share of its visits."""


class RandomChance:
    """Each history has some kinds of fault only, each at a rate of its own, from hardly ever to very often.

    That finds more than all of them at once (swarm testing: Groce et al., ISSTA 2012). Once `calm`, nothing
    goes wrong any more.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.calm = False
        self.visits = 0
        self.told: Callable[[str], None] = lambda _: None
        self.happened: Counter[str] = Counter()
        self._rates = {point: self._swarm(point) for point in FAULTS}

    def _swarm(self, point: str) -> list[tuple[float, str]]:
        """(summed rate, kind) of the kinds this history has at a point."""
        kinds = [kind for kind in FAULTS[point] if self._random.random() < 0.5]
        share = LIKELY[point] * self._random.random() / max(1, len(kinds))
        if point == "world":
            share = 1 / max(1, len(kinds))
        return [(share * (number + 1), kind) for number, kind in enumerate(kinds)]

    def fault(self, point: str) -> str:
        if self.calm:
            return ""
        if point != "await":
            self.visits += 1
        rates = self._rates[point]
        if not rates:
            return ""
        drawn = self._random.random()
        if drawn >= rates[-1][0]:
            return ""
        kind = next(kind for rate, kind in rates if drawn < rate)
        self.happened[f"{point}: {kind}"] += 1
        self.told(f"{point}: {kind}")
        return kind

    def pick(self, count: int) -> int:
        return int(self._random.random() * count)

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self._random.random()

    def yes(self, probability: float) -> bool:
        return self._random.random() < probability

    def hurries(self) -> bool:
        return not self.calm and self._random.random() < 0.02
