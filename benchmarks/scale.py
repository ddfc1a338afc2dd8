"""What size costs: the engine on a small shop and on a large one in turn, and a cold start of the large one.

    python -m benchmarks.scale                          every comparison; half an hour, 8 GB below /tmp
    python -m benchmarks.scale --only stream --rounds 9
    python -m benchmarks.scale_start --events 10000000  how long after `tillroll up` the first order is there

| comparison | small | large |
|---|---|---|
| events | 10 thousand events in the logs | 10 million |
| goods, hot | 2 goods, every order of them | the same two, beside 100,000 others |
| goods, spread | 2 goods | every order of two of 100,000 |
| stream | the stock streams of an order have an event each | one of the two has a million |

The logs are filled by SQL (`benchmarks/scale_fill.py`). Two servers run beside each other, and the rounds
take turns. A ratio is of two rounds that follow each other; medians and ranges are of these.
"""

import argparse
import gc
import json
import logging
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import uvloop
from rich.console import Console
from rich.table import Table

from adapters.roles import GC_THRESHOLDS, SWITCH_INTERVAL_S
from adapters.settings import Settings
from benchmarks.scale_engine import FIGURES, Asked, Figure, Round, engine_round, fresh_copy
from benchmarks.scale_fill import Size, address, fill, heads, kept_shop, log_bytes, size_of
from benchmarks.server import migrated_settings

WIDTH: Final = 140
FEW_GOODS: Final = 100


@dataclass(frozen=True, slots=True)
class Comparison:
    """`spread`: orders are spread over all goods."""

    name: str
    small: Size
    large: Size
    spread: bool


def comparisons(scale: float = 1.0) -> tuple[Comparison, ...]:
    """`scale`: of the large shops, 1.0 for those of the table."""
    many_events, many = int(10_000_000 * scale), int(100_000 * scale) // 2 * 2
    two, stocked = Size(0, goods=2), Size(0, goods=many)
    return (
        Comparison("events", size_of(10_000, FEW_GOODS), size_of(many_events, FEW_GOODS), spread=True),
        Comparison("goods, hot", two, stocked, spread=False),
        Comparison("goods, spread", two, stocked, spread=True),
        Comparison("stream", two, Size(0, goods=2, counts=int(1_000_000 * scale)), spread=False),
    )


@dataclass(frozen=True, slots=True)
class Result:
    """`small` and `large`: rounds in the order in which they were run, each beside the other."""

    name: str
    small: Sequence[Round]
    large: Sequence[Round]

    def ratios(self, figure: Figure) -> list[float]:
        """Large to small, each of two rounds that followed each other."""
        pairs = zip(self.small, self.large, strict=True)
        return [figure(large) / max(figure(small), 1e-9) for small, large in pairs]


@dataclass(frozen=True, slots=True)
class Rounds:
    count: int
    seconds: float
    clients: int


def compared(comparison: Comparison, rounds: Rounds, out: Console, folder: Path | None = None) -> Result:
    """`folder`: of a large shop that `benchmarks.scale_start` has filled, which stays.

    Raises AssertionError when an order is not placed; EmbeddedServerError, psycopg.Error."""
    small: list[Round] = []
    large: list[Round] = []
    with ExitStack() as stack:
        shop = stack.enter_context(migrated_settings("scale"))
        kept = kept_shop(folder / "data") if folder else migrated_settings("scale")
        giant = stack.enter_context(kept)
        _fill(shop, comparison.small, out)
        _fill(giant, comparison.large, out)
        for number in range(1, rounds.count + 1):
            # Who comes second is not always the same.
            for size in (comparison.small, comparison.large)[:: 1 if number % 2 else -1]:
                if size is comparison.large:
                    large.append(_round(giant, size, comparison, rounds))
                else:
                    with fresh_copy(shop) as copy:
                        small.append(_round(copy, size, comparison, rounds))
            speeds = f"{small[-1].orders_per_s:,.0f} and {large[-1].orders_per_s:,.0f} orders/s"
            costs = f"{small[-1].cpu_ms:.3f} and {large[-1].cpu_ms:.3f} ms"
            out.print(f"{comparison.name} {number}/{rounds.count}: {speeds}, {costs} of processor an order")
    return Result(comparison.name, small, large)


def _round(settings: Settings, size: Size, comparison: Comparison, rounds: Rounds) -> Round:
    asked = Asked(size.goods, comparison.spread, rounds.clients, rounds.seconds)
    return uvloop.run(engine_round(settings, asked))


def _fill(settings: Settings, size: Size, out: Console) -> None:
    dsn = address(settings)
    if sum(heads(dsn).values()):
        return
    begun = time.monotonic()
    fill(dsn, size)
    took, gigabytes = time.monotonic() - begun, log_bytes(dsn) / 1e9
    out.print(f"{size.events:,} events of {size.goods:,} goods filled in {took:.0f} s, {gigabytes:.1f} GB")


def show(results: Sequence[Result], out: Console) -> None:
    table = Table("comparison", "figure", "small", "large", "large to small")
    for one in results:
        for title, figure in FIGURES.items():
            ratios = one.ratios(figure)
            table.add_row(
                one.name,
                title,
                f"{median(map(figure, one.small)):,.3f}",
                f"{median(map(figure, one.large)):,.3f}",
                f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
            )
    out.print(table)


def as_json(results: Sequence[Result]) -> list[dict[str, Any]]:
    return [asdict(one) for one in results]


def main(arguments: Sequence[str]) -> int:
    args = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING)
    # As every process of the roles that run here begins.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    out = Console(width=WIDTH, highlight=False)
    rounds = Rounds(args.rounds, args.seconds, args.clients)
    wanted = [one for one in comparisons(args.scale) if not args.only or one.name in args.only]
    results = [compared(one, rounds, out, args.folder) for one in wanted]
    show(results, out)
    sys.stdout.write(json.dumps(as_json(results)) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    names = [one.name for one in comparisons()]
    parser.add_argument("--only", action="append", choices=names, help="this comparison; may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="of each shop")
    parser.add_argument("--seconds", type=float, default=5.0, help="of placing in a round")
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--folder", type=Path, help="one that scale_start has filled, as the large shop")
    parser.add_argument("--scale", type=float, default=1.0, help="of the large shops' sizes, to try it out")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
