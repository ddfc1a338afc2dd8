"""What would have been, over the logs of a shop: both read once, side by side, to where they ended."""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from adapters.postgres_log_reader import LogReader
from adapters.what_if_redecide import told
from domain.services import INVENTORY, ORDER
from orchestrator.commands_recorded import NoWayBack
from orchestrator.what_if import simulate
from orchestrator.what_if_outcomes import (
    GoodsChange,
    OrderChange,
    Totals,
    goods_changes,
    order_changes,
)
from orchestrator.what_if_saga import Changes

COLLECT_EVERY: Final = 500_000
"""New values between two looks of the collector."""

Progress = Callable[[str, int, int], None]
"""Hears what is being read, how far that is, and where it ends."""


class CannotSimulate(Exception):
    """The logs cannot be run again; the text says where and why, in one line."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """`commands`: how many recorded ones were run again. `positions`: how far each log was read."""

    positions: Mapping[str, int]
    commands: int
    orders: tuple[OrderChange, ...]
    goods: tuple[GoodsChange, ...]
    before: Totals
    after: Totals


def ends(dsns: Mapping[str, str]) -> dict[str, int]:
    """How far both logs go now; inventory's is asked last, so that what an order heard is there. Raises
    LogUnreadable.
    """
    return {log: LogReader(dsns[log], log).last_position() for log in (ORDER.log, INVENTORY.log)}


def what_if(
    dsns: Mapping[str, str],
    changes: Changes,
    until: Mapping[str, int],
    progress: Progress = lambda *_: None,
) -> WhatIf:
    """`until`: a position of each log. Reads only. Raises LogUnreadable, RuleFailed, CannotSimulate."""
    orders, inventory = (
        told(LogReader(dsns[log], log), until[log], progress) for log in (ORDER.log, INVENTORY.log)
    )
    try:
        with _collecting_rarely():
            worlds = simulate(orders, inventory, changes)
    except NoWayBack as error:
        raise CannotSimulate(
            f"the logs hold what no command writes, see `tillroll audit`: {error}"
        ) from error
    before, after = worlds.recorded, worlds.simulated
    return WhatIf(
        positions={log: until[log] for log in (ORDER.log, INVENTORY.log)},
        commands=worlds.commands,
        orders=tuple(order_changes(before, after)),
        goods=tuple(goods_changes(before, after)),
        before=before.totals(),
        after=after.totals(),
    )


@contextmanager
def _collecting_rarely() -> Iterator[None]:
    """Millions of values without cycles: Python's collector would look at all of them again and again."""
    usual = gc.get_threshold()
    gc.set_threshold(COLLECT_EVERY)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
