"""`make simulate`: as many histories as wanted, on every core; a law that is broken is printed with its seed.

python -m tests.simulation.run --histories 1000000
python -m tests.simulation.run --seed 4711        one history again, told step by step
"""

import argparse
import gc
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import islice, repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.simulation.auditor import Violation
from tests.simulation.bugs import BUGS
from tests.simulation.faults_table import write_bugs, write_simulation
from tests.simulation.history import run, tell

CHUNK: Final = 50
"""Histories that a core runs between two reports."""

MAX_SHOWN: Final = 20
"""Broken laws that are printed; all of them are counted."""


@dataclass(slots=True)
class Summary:
    """What many histories came to.

    By fault: how many histories `had` it, how often it `happened`, how many that had it `violated` a law.
    """

    histories: int = 0
    orders: int = 0
    events: int = 0
    steps: Counter[int] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    had: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    violated: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: "Summary") -> None:
        self.histories += other.histories
        self.orders += other.orders
        self.events += other.events
        self.violations += other.violations
        for name in ("steps", "ends", "counted", "had", "happened", "violated"):
            getattr(self, name).update(getattr(other, name))


def some(first: int, count: int) -> Summary:
    """Histories of so many seeds, one after the other; what they leave behind is collected at the end."""
    logging.disable(logging.CRITICAL)
    gc.disable()
    summary = Summary()
    for seed in range(first, first + count):
        outcome = run(seed)
        summary.histories += 1
        for fault, times in outcome.faults.items():
            summary.had[fault] += 1
            summary.happened[fault] += times
            summary.violated[fault] += outcome.violation is not None
        if outcome.violation is not None:
            summary.violations.append((seed, str(outcome.violation)))
        if outcome.told is not None:
            summary.orders += outcome.told.orders
            summary.events += outcome.told.events
            summary.steps[outcome.told.steps] += 1
            summary.ends += outcome.told.ends
            summary.counted += outcome.told.counted
    gc.collect()
    return summary


def many(histories: int, first: int, processes: int, console: Console) -> Summary:
    """All of them, a bounded number of chunks under way at once."""
    chunks = ((at, min(CHUNK, first + histories - at)) for at in range(first, first + histories, CHUNK))
    total = Summary()
    with (
        _progress(console) as progress,
        ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool,
    ):
        bar = progress.add_task("histories", total=histories)
        under_way = {pool.submit(some, *chunk) for chunk in islice(chunks, 2 * processes)}
        while under_way:
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for chunk in islice(chunks, len(done)):
                under_way.add(pool.submit(some, *chunk))
            for future in done:
                summary = future.result()
                _show(summary.violations, len(total.violations), console)
                total.add(summary)
                progress.update(bar, completed=total.histories)
    return total


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _show(violations: Sequence[tuple[int, str]], before: int, console: Console) -> None:
    for seed, what in violations[: max(0, MAX_SHOWN - before)]:
        console.print(
            f"seed {seed}: {what}   (again, step by step: make simulate SEED={seed})", soft_wrap=True
        )


def _lines(summary: Summary, seconds: float) -> Iterator[str]:
    rate = summary.histories / seconds
    yield (
        f"{summary.histories:,} histories, {summary.orders:,} orders, {summary.events:,} events"
        f" in {seconds:,.1f} s: {rate:,.1f} histories/s"
    )
    if summary.steps:
        least, most = min(summary.steps), max(summary.steps)
        yield f"steps of a history before it is healed: {least} to {most}, median {_middle(summary.steps)}"
    faults = sum(summary.happened.values())
    yield f"{faults:,} faults of {len(summary.happened)} kinds; {len(summary.violations)} violations"


def _middle(steps: Counter[int]) -> int:
    ordered = sorted(steps.elements())
    return ordered[len(ordered) // 2] if ordered else 0


def replay(seed: int, console: Console) -> int:
    """One history, told step by step. Returns the exit code."""
    logging.disable(logging.CRITICAL)
    try:
        told = tell(seed, lambda line: console.print(line, highlight=False, soft_wrap=True, markup=False))
    except Violation as violation:
        console.print(f"seed {seed} breaks a law: {violation}", soft_wrap=True, markup=False)
        return 1
    console.print(f"seed {seed}: {told.orders} orders, {dict(told.ends)}, no violation", markup=False)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make simulate", description="Simulated histories of a whole shop.")
    parser.add_argument("--histories", type=int, default=10_000, metavar="N")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first seed")
    parser.add_argument("--seed", type=int, metavar="SEED", help="one history again, told step by step")
    parser.add_argument("--bug", choices=[bug.__name__ for bug in BUGS], help="with this deliberate bug")
    parser.add_argument("--bugs", action="store_true", help="every deliberate bug over the same histories")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was seen there")
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="bring the table of faults there up to date"
    )
    wanted = parser.parse_args(arguments)
    console = Console(highlight=False)
    if wanted.histories < 1 or wanted.processes < 1:
        parser.error("--histories and --processes must be 1 or more")
    if wanted.bugs:
        return every_bug(wanted, console)
    with _switched_on(wanted.bug):
        if wanted.seed is not None:
            return replay(wanted.seed, console)
        began = time.monotonic()
        summary = many(wanted.histories, wanted.first, wanted.processes, console)
        seconds = time.monotonic() - began
    for line in _lines(summary, seconds):
        console.print(line, soft_wrap=True)
    if wanted.json is not None:
        wanted.json.write_text(json.dumps(_as_json(summary, seconds), indent=1))
    if wanted.table is not None:
        write_simulation(wanted.table, summary.histories, summary.had, summary.happened, summary.violated)
    return 1 if summary.violations else 0


def caught(bug: str, histories: int) -> tuple[str, int, list[tuple[int, str]]]:
    """How many of so many histories break a law with this bug, and which."""
    with _switched_on(bug):
        summary = some(0, histories)
    return bug, histories, summary.violations


def every_bug(wanted: argparse.Namespace, console: Console) -> int:
    """Each deliberate bug over the same histories. Returns the exit code: 1 when one is never caught."""
    rows = []
    with ProcessPoolExecutor(wanted.processes, mp_context=get_context("fork")) as pool:
        names = [bug.__name__ for bug in BUGS]
        for name, histories, violations in pool.map(caught, names, repeat(wanted.histories)):
            first = f"history {violations[0][0] + 1}: {violations[0][1]}" if violations else "never"
            console.print(f"{name}: {len(violations)} of {histories} histories; {first}", soft_wrap=True)
            rows.append((name, len(violations), violations[0][1].partition(":")[0] if violations else ""))
    if wanted.table is not None:
        write_bugs(wanted.table, wanted.histories, rows)
    return 0 if all(count for _, count, _ in rows) else 1


def _switched_on(bug: str | None) -> AbstractContextManager[Any]:
    """The processes of the pool are forked, so they have the bug too."""
    return next((one() for one in BUGS if one.__name__ == bug), nullcontext())


def _as_json(summary: Summary, seconds: float) -> dict[str, object]:
    return {
        "histories": summary.histories,
        "seconds": round(seconds, 1),
        "histories_per_s": round(summary.histories / seconds, 1),
        "orders": summary.orders,
        "events": summary.events,
        "steps": {
            "least": min(summary.steps, default=0),
            "median": _middle(summary.steps),
            "most": max(summary.steps, default=0),
        },
        "ends": summary.ends,
        "messages": summary.counted,
        "faults": summary.happened,
        "histories_with_fault": summary.had,
        "violations": [{"seed": seed, "what": what} for seed, what in summary.violations],
    }


if __name__ == "__main__":
    sys.exit(main())
