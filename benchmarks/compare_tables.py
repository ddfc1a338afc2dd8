"""The tables of a comparison, and all of it as JSON."""

import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.compare_goals import Outcome, number, outcome_of, outcomes
from benchmarks.compare_rounds import LIMIT, Comparison, Result, Turns
from benchmarks.engine_shapes import SOLD_OUT

TITLE: Final = "Medians; processor, commits and WAL of one order; ratios are to the limit of the same round"
RATIOS_WIDTH: Final = 30
"""Letters of a median and five rounds."""


@dataclass(frozen=True, slots=True)
class Report:
    """`began`, `ended`: when it was measured."""

    comparison: Comparison
    turns: Turns
    began: datetime
    ended: datetime

    def plain(self) -> Mapping[str, Any]:
        """For JSON."""
        return {
            "began": self.began.isoformat(timespec="seconds"),
            "ended": self.ended.isoformat(timespec="seconds"),
            "rounds": self.turns.rounds,
            "seconds": self.turns.seconds,
            "sustained_seconds": self.turns.long_s,
            "machine": _machine(),
            "goals": [one.plain() for one in outcomes(self.comparison)],
            "results": [_plain(one, self.comparison) for one in self.comparison.found()],
            "failures": self.comparison.failures,
        }


def report_of(comparison: Comparison, turns: Turns, began: datetime) -> Report:
    return Report(comparison, turns, began, datetime.now(UTC))


def show(comparison: Comparison, out: Console) -> None:
    out.print(_figures(comparison))
    out.print(_goals(outcomes(comparison)))
    for failure in comparison.failures:
        out.print(f"failed, and left out of its round: {failure}", markup=False)


def ratios_to_limit(one: Result, comparison: Comparison) -> Mapping[int, float]:
    """Empty where the limit has no such shape."""
    return one.ratios(comparison.of(LIMIT, one.shape))


def _figures(comparison: Comparison) -> Table:
    table = Table("shape", "what", title=TITLE)
    for title in ("clients", "orders/s", "lines/s"):
        table.add_column(title, justify="right")
    table.add_column("ratio: median, each round", justify="right", min_width=RATIOS_WIDTH)
    for title in ("p50 ms", "p99 ms", "CPU ms", "of it SQL", "commits", "WAL bytes"):
        table.add_column(title, justify="right")
    for one in comparison.found():
        table.add_row(*_row(one, comparison))
    return table


def _row(one: Result, comparison: Comparison) -> Iterable[str]:
    ratios = list(ratios_to_limit(one, comparison).values())
    lines = one.median("lines_per_s")
    yield one.shape
    yield f"{one.name}, refusals" if one.shape == SOLD_OUT else one.name
    yield f"{one.clients:,}"
    yield f"{one.median('orders_per_s'):,.0f}"
    yield f"{lines:,.0f}" if lines else ""
    yield _each(ratios) if ratios else _beside(one, comparison)
    for figure in ("p50_ms", "p99_ms"):
        yield f"{one.median(figure):.1f}" if one.median(figure) else ""
    for figure in ("cpu_ms_per_order", "postgres_ms_per_order", "commits_per_order"):
        yield f"{one.median(figure):.2f}"
    yield f"{one.median('wal_bytes_per_order'):,.0f}"


def _each(ratios: Sequence[float]) -> str:
    return f"{median(ratios):.2f}: {' '.join(f'{each:.2f}' for each in ratios)}"


def _beside(one: Result, comparison: Comparison) -> str:
    """Its goal, where there is no limit."""
    outcome = outcome_of(one, comparison)
    return "" if outcome is None else f"{number(outcome.median)}, goal {number(outcome.goal.least)}"


def _goals(found: Iterable[Outcome]) -> Table:
    table = Table("goal", title="Goals; every ratio is taken within its round")
    for title in ("at least", "median", "lowest", "highest", "rounds"):
        table.add_column(title, justify="right")
    table.add_column("")
    for one in found:
        values = list(one.values.values())
        figures = (one.goal.least, one.median, min(values, default=None), max(values, default=None))
        table.add_row(one.goal.name, *map(number, figures), str(len(values)), one.verdict)
    return table


def _plain(one: Result, comparison: Comparison) -> Mapping[str, Any]:
    return {
        "name": one.name,
        "shape": one.shape,
        "clients": one.clients,
        "rounds": one.rounds,
        "ratios": ratios_to_limit(one, comparison),
    }


def _machine() -> Mapping[str, Any]:
    return {
        "cores": len(os.sched_getaffinity(0)),
        "kind": platform.machine(),
        "python": platform.python_version(),
        "ns_per_loop": _ns_per_loop(),
    }


def _ns_per_loop(times: int = 2_000_000) -> float:
    """How long Python's simplest loop takes here, so that figures of different machines can be told apart."""
    begun = time.process_time()
    for _ in range(times):
        pass
    return round((time.process_time() - begun) / times * 1e9, 1)
