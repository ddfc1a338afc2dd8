"""Histories of a shop: decided by the real rules, encoded by the real codec, always the same for a seed.

    python -m benchmarks.history --dsn DSN --events 1000000 --seed 1

fills the four migrated, empty logs of a database. `batches` gives the same history piece by piece, for a
writer that appends it at a rate of its own.
"""

import argparse
import gc
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import psycopg
from psycopg.sql import SQL, Identifier

from benchmarks.order_stories import Story
from benchmarks.shop import LAG_TICKS, SERVICES, Shop
from benchmarks.shop_stories import WEIGHTS, opening
from orchestrator.log import Stored

LOGS: Final = tuple(service.log for service in SERVICES)
STORIES_A_TICK: Final = 4
TELL_EVERY_EVENTS: Final = 50_000
LEAST_GOODS: Final = 20
MOST_FIRST_GOODS: Final = 5_000
EVENTS_A_GOODS: Final = 500

Progress = Callable[[int, int], None]
"""Hears how many events are stored, of how many."""


Window = Mapping[str, list[Stored]]
"""Events by log, in the order in which they were recorded."""


class CannotFill(Exception):
    """The logs cannot be filled; the text says why, in one line."""


class History:
    """A shop that goes on for as long as it is asked to; new stories begin with every tick.

    `events`: how long it is going to be, about; that decides how many goods the shop opens with.
    """

    def __init__(self, events: int, seed: int = 1) -> None:
        self.shop = Shop(seed)
        self._due: defaultdict[int, list[Story]] = defaultdict(list)
        self._kinds, self._weights = list(WEIGHTS), list(accumulate(WEIGHTS.values()))
        self._go_on(opening(self.shop, _goods_for(events)))

    def windows(self) -> Iterator[Window]:
        """For ever: what some ticks recorded. Nothing in it was caused by what another log has in it."""
        while True:
            for _ in range(LAG_TICKS):
                self._tick()
            waiting = self.shop.waiting
            yield {log: waiting.pop(log) for log in LOGS if log in waiting}

    def batches(self) -> Iterator[tuple[str, list[Stored]]]:
        """The same, log by log: no batch holds an effect of what comes after it."""
        for window in self.windows():
            yield from window.items()

    def _tick(self) -> None:
        shop = self.shop
        shop.next_tick()
        for story in self._due.pop(shop.tick, ()):
            self._go_on(story)
        if shop.goods:
            for kind in shop.rng.choices(self._kinds, cum_weights=self._weights, k=STORIES_A_TICK):
                self._go_on(kind(shop))

    def _go_on(self, story: Story) -> None:
        wait = 0
        while wait == 0:
            wait = next(story, -1)
        if wait > 0:
            self._due[self.shop.tick + wait].append(story)


def batches(events: int, seed: int = 1) -> Iterator[tuple[str, list[Stored]]]:
    """(log, events) in causal order over all logs, about `events` events; some hundreds a batch."""
    left = events
    for log, stored in History(events, seed).batches():
        yield log, stored
        left -= len(stored)
        if left <= 0:
            return


def fill(
    dsn_by_log: Mapping[str, str], events: int, seed: int = 1, progress: Progress | None = None
) -> dict[str, int]:
    """Stores a history of about `events` events; returns how many each log got.

    The logs must be migrated and empty. Raises CannotFill; psycopg.Error.
    """
    return store(History(events, seed), dsn_by_log, events, progress)


def store(
    history: History, dsn_by_log: Mapping[str, str], events: int, progress: Progress | None = None
) -> dict[str, int]:
    """As `fill`, of a history that can go on afterwards: its next windows continue these logs."""
    with _no_collecting(), ExitStack() as stack:
        copies = {log: stack.enter_context(_Copy.into(dsn_by_log[log], log)) for log in LOGS}
        done = told = 0
        for window in history.windows():
            for log, stored in window.items():
                copies[log].write(stored)
                done += len(stored)
            if progress is not None and done - told >= TELL_EVERY_EVENTS:
                told = done
                progress(done, events)
            if done >= events:
                break
    lengths = {log: copy.length for log, copy in copies.items()}
    for log in LOGS:
        _settle(dsn_by_log[log], log, lengths[log])
    _set_ids(dsn_by_log, history.shop)
    return lengths


@dataclass(slots=True)
class _Copy:
    """One log's COPY, open for the whole history: committed when it ends well, or not at all."""

    rows: psycopg.Copy
    length: int = 0

    @classmethod
    @contextmanager
    def into(cls, dsn: str, log: str) -> Iterator["_Copy"]:
        with psycopg.connect(dsn) as connection:
            _must_be_empty(connection, log)
            with connection.cursor() as cursor, cursor.copy(_statement(_COPY, log)) as rows:
                rows.set_types(("text", "int8", "text", "bytea", "int8"))
                yield cls(rows)

    def write(self, events: Sequence[Stored]) -> None:
        write_row = self.rows.write_row
        for position, event in enumerate(events, self.length + 1):
            write_row((event.originator_id, event.originator_version, event.topic, event.state, position))
        self.length += len(events)


_COPY: Final = (
    "COPY {log}.events (originator_id, originator_version, topic, state, notification_id)"
    " FROM STDIN (FORMAT binary)"
)
_SET_SEQUENCE: Final = "SELECT setval(pg_get_serial_sequence({name}, 'notification_id'), {length})"


def _statement(text: str, log: str) -> bytes:
    return SQL(text).format(log=Identifier(log)).as_bytes()


def _must_be_empty(connection: psycopg.Connection, log: str) -> None:
    """Raises CannotFill."""
    try:
        row = connection.execute(_statement("SELECT EXISTS (SELECT FROM {log}.events)", log)).fetchone()
    except psycopg.errors.UndefinedTable as error:
        raise CannotFill(f"the log {log} is not migrated: run `tillroll migrate`") from error
    if row is None or row[0]:
        raise CannotFill(f"the log {log} holds events already; a history begins in empty logs")


def _settle(dsn: str, log: str, length: int) -> None:
    """The next append gets the next position, and the planner knows how large the log is."""
    name = Identifier(log, "events").as_string()
    with psycopg.connect(dsn, autocommit=True) as connection:
        if length:
            connection.execute(SQL(_SET_SEQUENCE).format(name=name, length=length))
        connection.execute(_statement("VACUUM (ANALYZE) {log}.events", log))


def _set_ids(dsn_by_log: Mapping[str, str], shop: Shop) -> None:
    """The next user and the next goods get ids that nobody has."""
    for log, last in (("user", shop.last_user), ("goods", shop.last_goods)):
        name = Identifier(log, "ids").as_string()
        with psycopg.connect(dsn_by_log[log], autocommit=True) as connection:
            connection.execute("SELECT setval(%s::regclass, %s)", (name, last))


def _goods_for(events: int) -> int:
    return min(max(events // EVENTS_A_GOODS, LEAST_GOODS), MOST_FIRST_GOODS)


@contextmanager
def _no_collecting() -> Iterator[None]:
    """Values without cycles, millions of them: Python's collector would look at all of them for nothing."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    began = time.monotonic()
    try:
        lengths = fill(dict.fromkeys(LOGS, options.dsn), options.events, options.seed, _tell)
    except (CannotFill, psycopg.Error) as error:
        sys.stderr.write(f"{str(error).partition(chr(10))[0]}\n")
        return 1
    seconds = time.monotonic() - began
    total = sum(lengths.values())
    sizes = ", ".join(f"{log} {length:,}" for log, length in lengths.items())
    sys.stdout.write(f"{total:,} events in {seconds:.1f} s, {total / seconds:,.0f}/s: {sizes}\n")
    return 0


def _tell(done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done:,} of {total:,} events")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Fills the empty logs of a database with a shop's history.")
    parser.add_argument("--dsn", required=True, help="a migrated database with empty logs")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
