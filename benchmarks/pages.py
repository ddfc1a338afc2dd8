"""Pages of every list at three sizes: page 1 beside pages deep in it, and the plan of each at the largest.

    python -m benchmarks.pages
    python -m benchmarks.pages --orders 1000000          no larger than that
    python -m benchmarks.pages --doc docs/reads.md       and write the figures there

Times are those of the queries as the API calls them, connection check, rows and dicts included: the median
of 200 calls, each at another place, and the 99th of a hundred. Tables are made by SQL on a server of its own.
"""

import argparse
import asyncio
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import psycopg
import uvloop

from adapters.postgres_queries import Queries, read_pool, statement_for
from benchmarks.pages_fill import BYTES_AN_ORDER, Size, filled, table_sizes
from benchmarks.pages_questions import LIMIT, ONE_ORDER, QUESTIONS, Question
from benchmarks.server import bare_server

SIZES: Final = (10_000, 1_000_000, 10_000_000)
CALLS: Final = 200
WARM_UP: Final = 20
SHARE_OF_DISK: Final = 0.8
BEGIN: Final = "<!-- pages: begin -->"
END: Final = "<!-- pages: end -->"
COMMAND: Final = "make bench-pages"


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of one call."""

    median: float
    p99: float


@dataclass(frozen=True, slots=True)
class Pages:
    """`plans`: of the largest size, by what was asked. `sizes`: bytes of its tables with their indexes."""

    times: Mapping[int, Sequence[Times]]
    plans: Sequence[tuple[Question, str]]
    sizes: Mapping[str, int]


class NotingQueries(Queries):
    """Remembers which statements were run, so that just those are explained."""

    asked: list[tuple[str, Mapping[str, Any]]]

    async def _rows(self, name: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        self.asked.append((name, params))
        return await super()._rows(name, params)


def measure(dsn: str, sizes: Sequence[int]) -> Pages:
    times: dict[int, Sequence[Times]] = {}
    plans: Sequence[tuple[Question, str]] = ()
    tables: Mapping[str, int] = {}
    for orders in sizes:
        began = time.monotonic()
        with filled(dsn, Size(orders)) as schema:
            _tell(f"{orders:,} orders made in {time.monotonic() - began:.0f} s")
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                times[orders], plans = runner.run(_ask_everything(dsn, schema, Size(orders)))
            tables = table_sizes(dsn, schema)
    return Pages(times, plans, tables)


async def _ask_everything(
    dsn: str, schema: str, size: Size
) -> tuple[list[Times], list[tuple[Question, str]]]:
    async with read_pool(dsn) as pool:
        queries = Queries(pool, schema)
        times = [await _timed(queries, question, size) for question in QUESTIONS]
        noting = NotingQueries(pool, schema)
        plans = [(question, await _plans(dsn, noting, question, size)) for question in QUESTIONS]
    return times, plans


async def _timed(queries: Queries, question: Question, size: Size) -> Times:
    chance = Random(1)
    taken: list[float] = []
    for _ in range(WARM_UP + CALLS):
        began = time.perf_counter()
        await question.ask(queries, size, chance)
        taken.append((time.perf_counter() - began) * 1000)
    counted = sorted(taken[WARM_UP:])
    return Times(statistics.median(counted), counted[int(len(counted) * 0.99)])


async def _plans(dsn: str, queries: NotingQueries, question: Question, size: Size) -> str:
    """Of the statements that the question makes, at a place that was not looked at just before."""
    queries.asked = []
    chance = Random(2)
    await question.ask(queries, size, chance)
    # The goods of a page's orders are asked for in the same way every time: the plan of one order shows it.
    explained = queries.asked if question.what == ONE_ORDER else queries.asked[:1]
    with psycopg.connect(dsn) as connection:
        return "\n".join(_plan(connection, queries._schema, *asked) for asked in explained)


def _plan(connection: psycopg.Connection, schema: str, name: str, params: Mapping[str, Any]) -> str:
    given = frozenset(key for key, value in params.items() if value is not None)
    text = b"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) " + statement_for(name, schema, given)
    lines = [row[0] for row in connection.execute(text, params)]
    # What planning looked at is not the query's work.
    planning = next((place for place, line in enumerate(lines) if line == "Planning:"), len(lines))
    kept = lines[:planning] + [line for line in lines if line.startswith("Execution Time")]
    return "\n".join(_shorter(line, schema) for line in kept)


_TYPED: Final = re.compile(r"'([^']*)'::(?:timestamp with time zone|[a-z]+)(?:\[\])?")
"""A constant of a plan with its type."""

LAST_CODE_POINT: Final = "\U0010ffff"
"""Ends the range of names that begin so; not every reader of the document can show it."""


def _shorter(line: str, schema: str) -> str:
    plain = line.replace(f"{schema}.", "read.").replace(LAST_CODE_POINT, r"\+10FFFF")
    return _TYPED.sub(lambda found: found[1] if found[1].isdecimal() else f"'{found[1]}'", plain)


# telling it


def _table(pages: Pages) -> list[str]:
    """Markdown, so that it can be read in a terminal and stand in a document."""
    sizes = list(pages.times)
    lines = [
        "| what is asked | page | " + " | ".join(f"{orders:,} orders" for orders in sizes) + " |",
        "|---|---|" + "---|" * len(sizes),
    ]
    for place, question in enumerate(QUESTIONS):
        cells = [pages.times[orders][place] for orders in sizes]
        shown = " | ".join(f"{cell.median:.2f} ({cell.p99:.2f})" for cell in cells)
        lines.append(f"| {question.what} | {question.page} | {shown} |")
    return lines


def _document(pages: Pages) -> str:
    largest = max(pages.times)
    gigabytes = ", ".join(f"`{table}` {size / 1024**3:.1f}" for table, size in pages.sizes.items())
    lines = [
        f"Milliseconds of one call: median, and the 99th of a hundred in brackets, of {CALLS} calls each at"
        f" another place; pages of {LIMIT}.",
        "",
        *_table(pages),
        "",
        f"The tables at {largest:,} orders with their indexes, in GiB: {gigabytes}.",
        "",
        f"### The plans at {largest:,} orders",
        "",
    ]
    for question, plan in pages.plans:
        page = f", page {question.page}" if question.page else ""
        lines += [f"{question.what}{page}:", "", "```text", plan, "```", ""]
    return "\n".join(lines)


def _write(pages: Pages, path: Path) -> None:
    """Rewrites the part of the page between the two markers."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n{_document(pages)}{END}{after}", encoding="utf-8")


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _sizes_that_fit(most_orders: int) -> list[int]:
    """Says so when there is no room for the largest."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    room = int(free * SHARE_OF_DISK / BYTES_AN_ORDER)
    if room < most_orders:
        _tell(f"{free / 1024**3:.0f} GiB are free, so there will be {room:,} orders and not {most_orders:,}")
    most = min(room, most_orders)
    return sorted({min(size, most) for size in (*SIZES, most)})


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    sizes = _sizes_that_fit(options.orders)
    with bare_server(fsync=False) as dsn:
        pages = measure(dsn, sizes)
    _tell(_document(pages))
    if options.doc is not None:
        _write(pages, options.doc)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measures pages of every list at three sizes.")
    parser.add_argument("--orders", type=int, default=SIZES[-1], help="orders of the largest size")
    parser.add_argument("--doc", type=Path, metavar="FILE", help="a page whose figures are rewritten")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
