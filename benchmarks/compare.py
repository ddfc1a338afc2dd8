"""Speed beside yardsticks: the SQL limit, peers and Tillroll in turn, as ratios to the limit of their round.

    python -m benchmarks.compare --rounds 5 --seconds 8 --out docs/performance

Every contender runs as a process of its own with a PostgreSQL of its own, one after the other, so that each
has the machine to itself and all of a round meet the same neighbours. A round is every contender in every
shape. A ratio is taken within its round; medians and ranges are of these. A second table has the goals. Who
fails is left out of that round. Writes `compare.json` and `compare.svg` into `--out`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.compare_chart import chart
from benchmarks.compare_rounds import CONTENDERS, LIMIT, Turns, compared
from benchmarks.compare_tables import report_of, show
from benchmarks.engine_shapes import SHAPES

WIDTH: Final = 160
ROUNDS: Final = 5
SECONDS: Final = 8
SUSTAINED_S: Final = 60
OUT: Final = Path("benchmarks/out")


def main(arguments: Sequence[str]) -> int:
    args = _parser().parse_args(arguments)
    wanted = [one for one in CONTENDERS if not args.only or one.name in {LIMIT, *args.only}]
    turns = Turns(wanted, args.shape or SHAPES, args.rounds, args.seconds, args.sustained)
    out = Console(width=WIDTH, highlight=False)
    # Who waits for an hour sees how far it is; with --json that is not among the figures.
    progress = Console(width=WIDTH, highlight=False, stderr=args.json)
    began = datetime.now(UTC)
    comparison = compared(turns, lambda text: progress.print(text, markup=False))
    body = json.dumps(report_of(comparison, turns, began).plain(), indent=1) + "\n"
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "compare.json").write_text(body, encoding="utf-8")
    (args.out / "compare.svg").write_text(chart(comparison), encoding="utf-8")
    if args.json:
        sys.stdout.write(body)
    else:
        show(comparison, out)
    return 0 if comparison.found() else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of placing orders, in each turn")
    parser.add_argument("--sustained", type=int, default=SUSTAINED_S, help="seconds of the sustained turn")
    parser.add_argument("--shape", action="append", choices=SHAPES)
    names = [one.name for one in CONTENDERS]
    parser.add_argument("--only", action="append", choices=names, help="a contender; the limit always runs")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of compare.json and compare.svg")
    parser.add_argument("--json", action="store_true", help="print compare.json instead of tables")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
