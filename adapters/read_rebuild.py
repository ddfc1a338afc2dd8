"""Read models made again from the logs: beside the live ones, to be compared and swapped, or as of a moment.

The live tables are not touched before the swap, which is one transaction. Whatever fails before leaves them
as they are, and what was built is dropped.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import psycopg

from adapters.error_text import first_line
from adapters.log_errors import LogUnreadable
from adapters.log_moments import heads
from adapters.postgres_projection_store import TablesOfAnotherShape
from adapters.postgres_read_schema import session
from adapters.read_build import CannotBuild, Task
from adapters.read_compare import Comparison
from adapters.read_sets import (
    BEFORE,
    LIVE,
    NEXT,
    CannotRebuild,
    check_live,
    check_new,
    create_set,
    drop_set,
    exists,
    finish_set,
    one_at_a_time,
    positions_of,
)
from adapters.read_swap import CatchUp, compare_at_one_position, swap
from adapters.read_workers import build_all
from adapters.worker_pool import Progress
from projections import PROJECTIONS

READ: Final = "read"


@dataclass(frozen=True, slots=True)
class Teller:
    """Who hears how it goes: `progress` of what has a length, `step` in words."""

    progress: Progress = lambda _what, _done, _total: None
    step: Callable[[str], None] = lambda _words: None


@dataclass(frozen=True, slots=True)
class Built:
    """A set that was made: up to which position of each log, from how many positions, in how many seconds."""

    schema: str
    positions: Mapping[str, int]
    events: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """`swapped_at`: the position of each projection when the new set went live; None when it did not.

    `behind`: by projection, how many events of its log the live set did not have when the rebuild began. It
    is compared at its own position, so these are in neither set.
    """

    built: Built
    comparison: Comparison
    swapped_at: Mapping[str, int] | None
    behind: Mapping[str, int]


def rebuild(dsns: Mapping[str, str], teller: Teller, *, accept: bool, may_swap: bool = True) -> Rebuilt:
    """Build `read_next`, compare it with the live set, and swap them if they are the same, or `accept`.

    `dsns`: an address for each log and for read. Without a swap `read_next` is dropped where there was no
    difference or none was asked for, and kept to be looked at otherwise. Raises CannotRebuild.
    """
    dsn = dsns[READ]
    with _told_as_ours(), one_at_a_time(dsn):
        check_live(dsn)
        drop_set(dsn, NEXT)
        with psycopg.connect(session(dsn), autocommit=True) as connection:
            standing = positions_of(connection, LIVE)
        behind = _behind(dsns, standing)
        with _dropped_on_failure(dsn, NEXT):
            built = _build(dsns, NEXT, standing, teller)
            with CatchUp(dsns, dsn, NEXT) as catch_up:
                comparison = compare_at_one_position(
                    dsn, catch_up, NEXT, lambda table: teller.step(f"comparing {table}")
                )
                swapped_at = None
                if may_swap and (accept or comparison.is_same):
                    teller.step("swapping")
                    swapped_at = swap(dsn, catch_up, NEXT, teller.step)
        if swapped_at is None and (comparison.is_same or not may_swap):
            drop_set(dsn, NEXT)
        return Rebuilt(built, comparison, swapped_at, behind)


def _behind(dsns: Mapping[str, str], standing: Mapping[str, int]) -> dict[str, int]:
    last = heads(dsns)
    behind = {one.name: last[one.log] - standing[one.name] for one in PROJECTIONS}
    return {name: count for name, count in behind.items() if count > 0}


def swap_back(dsns: Mapping[str, str], teller: Teller) -> Mapping[str, int]:
    """The set before the last swap, caught up, takes the live one's place again. Raises CannotRebuild."""
    dsn = dsns[READ]
    with _told_as_ours(), one_at_a_time(dsn):
        check_live(dsn)
        if not exists(dsn, BEFORE):
            raise CannotRebuild(f"there is no set before this one: no schema {BEFORE}")
        with CatchUp(dsns, dsn, BEFORE) as catch_up:
            teller.step(f"catching up {BEFORE}")
            try:
                return swap(dsn, catch_up, BEFORE, teller.step)
            except TablesOfAnotherShape as error:
                raise CannotRebuild(
                    f"{BEFORE} was made by another version of Tillroll; swap back with that version's command"
                ) from error


def build_copy(dsns: Mapping[str, str], schema: str, positions: Mapping[str, int], teller: Teller) -> Built:
    """The read models as of these positions of the logs, in a schema of their own. Raises CannotRebuild."""
    dsn = dsns[READ]
    with _told_as_ours(), one_at_a_time(dsn):
        check_new(dsn, schema)
        with _dropped_on_failure(dsn, schema):
            standing = {projection.name: positions[projection.log] for projection in PROJECTIONS}
            return _build(dsns, schema, standing, teller)


def _build(dsns: Mapping[str, str], schema: str, standing: Mapping[str, int], teller: Teller) -> Built:
    began = time.monotonic()
    dsn = dsns[READ]
    indexes = create_set(dsn, schema)
    build_all(
        [Task(one.name, dsns[one.log], dsn, schema, standing[one.name]) for one in PROJECTIONS],
        teller.progress,
    )
    teller.step("making indexes")
    finish_set(dsn, schema, indexes)
    positions: dict[str, int] = {}
    for one in PROJECTIONS:
        positions[one.log] = max(positions.get(one.log, 0), standing[one.name])
    return Built(schema, positions, sum(positions.values()), time.monotonic() - began)


@contextmanager
def _dropped_on_failure(dsn: str, schema: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        # Where even that is not possible, the next rebuild does it.
        with suppress(psycopg.Error, CannotRebuild):
            drop_set(dsn, schema)
        raise


@contextmanager
def _told_as_ours() -> Iterator[None]:
    """Raises CannotRebuild for whatever comes of the database."""
    try:
        yield
    except CannotBuild as error:
        raise CannotRebuild(str(error)) from error
    except (LogUnreadable, psycopg.Error) as error:
        raise CannotRebuild(f"{first_line(error)}; the live read models are as they were") from error
