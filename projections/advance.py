"""One batch of a projection: events of its log, its rows and its position, in one commit.

The rule is here and the world is behind `Store`, so PostgreSQL and the simulation run the same steps.
Safe to run twice and anywhere: whoever has taken the position advances, everybody else finds it taken.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from domain.recorded import Recorded
from projections.projection import Projection, Rows, Table, key_of


class Store(Protocol):
    """The log that one projection reads, and where its tables and its position are kept."""

    def transaction(self) -> AbstractContextManager[Any]:
        """What is changed inside is kept as a whole, when the block ends well, or not at all."""
        ...

    def take_position(self) -> tuple[int, bool]:
        """Where the projection stands, and whether it is ours until the transaction ends."""
        ...

    def batch_end(self, after: int, until: int, limit: int) -> tuple[int, int]:
        """The position of the next batch's last event and how many events it has; (after, 0) for none."""
        ...

    def batch_events(self, after: int, end: int) -> Sequence[Recorded]:
        """Events after one position and up to another; those the projection has no use for may be missing."""
        ...

    def load(self, table: Table, keys: set[int]) -> dict[int, Rows]:
        """The rows that stand for these keys; keys without rows are left out."""
        ...

    def replace(self, table: Table, before: Mapping[int, Rows], after: Mapping[int, Rows]) -> None: ...

    def save_position(self, position: int) -> None: ...


def advance(projection: Projection, store: Store, *, limit: int, until: int) -> tuple[int, int]:
    """Apply the next events, `limit` at most and none after position `until`.

    Returns where the projection stands now and how many events of the log were passed: 0 when there are
    none, or somebody else has the projection.
    """
    with store.transaction():
        position, is_ours = store.take_position()
        if not is_ours:
            return position, 0
        end, count = store.batch_end(position, until, limit)
        if count:
            _apply(projection, store, store.batch_events(position, end))
            store.save_position(end)
    return end, count


def _apply(projection: Projection, store: Store, events: Sequence[Recorded]) -> None:
    for table in projection.tables:
        evolve, kinds = table.evolve, table.events
        wanted = [(key_of(recorded), recorded) for recorded in events if type(recorded.event) in kinds]
        before = store.load(table, {key for key, _ in wanted}) if wanted else {}
        after = dict(before)
        for key, recorded in wanted:
            after[key] = evolve(after.get(key, ()), recorded)
        store.replace(table, before, after)
