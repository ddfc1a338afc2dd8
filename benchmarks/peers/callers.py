"""Threads that place orders one after the other, in a process that is told by another when to begin.

Uses the standard library alone: it also runs in the environment of the peers.
"""

import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Final

READY: Final = "ready"
WARM_UP_S: Final = 1.0
USERS: Final = 1_000_000

Place = Callable[[int, int, int], None]
"""(user, one goods, another): returns when the order is placed. Raises whatever keeps it from that."""


@dataclass(slots=True)
class Called:
    """`latencies_ms`: of the orders placed after the warm-up. `errors`: how often each, warm-up included."""

    latencies_ms: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    cpu_s: float = 0.0

    def add_error(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}".partition("\n")[0]
        self.errors[text] = self.errors.get(text, 0) + 1


@dataclass(frozen=True, slots=True)
class Calling:
    """`goods`: how many there are; everybody wants the first two when `hot`."""

    threads: int
    seconds: float
    goods: int
    hot: bool


def call_when_told(place: Place, calling: Calling) -> None:
    """Says that it is ready, waits for a line, calls, and says what came of it as a line of JSON."""
    print(READY, flush=True)
    sys.stdin.readline()
    print(json.dumps(asdict(called(place, calling))), flush=True)


def called(place: Place, calling: Calling) -> Called:
    began, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(calling.threads) as pool:
        parts = list(pool.map(lambda _: _call(place, calling, began), range(calling.threads)))
    whole = _together(parts)
    whole.cpu_s = time.process_time() - cpu
    return whole


def _call(place: Place, calling: Calling, began: float) -> Called:
    """What is under way at the end is finished, but not counted."""
    done, chance = Called(), random.Random()
    start = began + WARM_UP_S
    end = start + calling.seconds
    while (now := time.perf_counter()) < end:
        one, other = (1, 2) if calling.hot else chance.sample(range(1, calling.goods + 1), 2)
        try:
            place(chance.randint(1, USERS), one, other)
        except Exception as error:  # noqa: BLE001 - every failure of a peer is counted, with what it said
            done.add_error(error)
        else:
            answered = time.perf_counter()
            if start <= answered < end:
                done.latencies_ms.append((answered - now) * 1e3)
    return done


def _together(parts: Sequence[Called]) -> Called:
    whole = Called()
    for part in parts:
        whole.latencies_ms += part.latencies_ms
        for text, times in part.errors.items():
            whole.errors[text] = whole.errors.get(text, 0) + times
        whole.cpu_s += part.cpu_s
    return whole


def read_called(lines: Sequence[str]) -> Called:
    """What several such processes said, together."""
    return _together([Called(**json.loads(line)) for line in lines])
