"""What a process that is asked again and again says of projections, without asking the database each time."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Final, Generic, TypeVar

from adapters.projection_states import Condition, Standing

FRESH_S: Final = 1.0
"""How old an answer may be."""

WAIT_S: Final = 2.0
"""How long anybody waits for one."""

BEHIND_S: Final = 30.0
"""How far a projection is behind its log before it is worth a word."""

STILL: Final[Mapping[Condition, str]] = {
    Condition.STOPPED: "has stopped",
    Condition.OTHER_VERSION: "was made by another version of Tillroll",
}


T = TypeVar("T")


class Lately(Generic[T]):
    """The latest look, for whoever asks and however many: one at a time, one a second, and no long waits.

    `ask`: looks. It has a thread of its own, which ends with the process whatever it waits for. `clock`:
    seconds that only grow.
    """

    def __init__(self, ask: Callable[[], T], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._latest: Future[T] | None = None
        self._asked_at = 0.0

    def look(self) -> T | None:
        """At most a second old, or being made while we wait; None when that takes more than 2 s. Blocks."""
        with suppress(TimeoutError):
            return self._recent().result(WAIT_S)
        return None

    def _recent(self) -> Future[T]:
        with self._lock:
            latest = self._latest
            is_old = self._clock() - self._asked_at > FRESH_S
            if latest is None or (latest.done() and is_old):
                self._asked_at = self._clock()
                self._latest = latest = Future()
                threading.Thread(target=self._answer, args=(latest,), daemon=True).start()
            return latest

    def _answer(self, latest: Future[T]) -> None:
        try:
            latest.set_result(self._ask())
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            latest.set_exception(error)


def in_words(standings: Sequence[Standing]) -> str:
    """A projection that has stopped is a part that does not work: it will not get well by itself.

    Tables of another version are told, and no more: they can be read, a projector of that version may be
    moving them, and a new version that starts beside it must be able to. One that is behind is told as well,
    and is no reason to send requests elsewhere: there they would find the same tables, orders go through
    without them, and a read that must be fresh is answered `behind` by itself.
    """
    told = [f"projection {one.name} {words}" for one in standings if (words := _worth_a_word(one))]
    if any(one.condition is Condition.STOPPED for one in standings):
        return "; ".join(told)
    return f"ok, but {'; '.join(told)}" if told else "ok"


def _worth_a_word(one: Standing) -> str:
    if one.condition in STILL:
        return STILL[one.condition]
    return f"is {_behind(one)}" if _is_late(one) else ""


def _is_late(one: Standing) -> bool:
    return one.behind_s is not None and one.behind_s > BEHIND_S


def _behind(one: Standing) -> str:
    nobody = ", no projector is moving it" if one.condition is Condition.NOT_MOVING else ""
    return f"{one.behind_s:.0f} s behind{nobody}"
