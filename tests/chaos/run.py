"""`make chaos`: minutes of faults on a shop of real processes. Exit code 0 only if every promise was kept."""

import argparse
import asyncio
import logging
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop
from rich.console import Console

from tests.chaos.chaos import Plan, Result, chaos
from tests.chaos.report import show, write_json, write_rows
from tests.chaos.workload import Size


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.ERROR)
    out = Console()
    folder = Path(tempfile.mkdtemp(prefix="tillroll-chaos-"))
    folder.chmod(0o711)
    seed = random.randrange(10**6) if options.seed is None else options.seed
    plan = Plan(options.minutes * 60, seed, size=Size(options.customers, per_s=options.rate))
    out.print(f"chaos for {options.minutes:g} minutes, seed {seed}", highlight=False)
    began = time.monotonic()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            result = runner.run(
                chaos(plan, folder, lambda line: _tell(out, f"{time.monotonic() - began:6.0f} s  {line}"))
            )
    except KeyboardInterrupt:
        out.print("\nstopped")
        shutil.rmtree(folder, ignore_errors=True)
        return 130
    _report(result, options, out)
    if result.is_clean and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        out.print(f"Logs, data and what the workload was answered are kept in {folder}", highlight=False)
    return 0 if result.is_clean else 1


def _tell(out: Console, line: str) -> None:
    """One line that changes where a person looks; every line elsewhere."""
    if out.is_terminal:
        out.print(f"\r\x1b[K{line}", end="", highlight=False, soft_wrap=True)
    else:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _report(result: Result, options: argparse.Namespace, out: Console) -> None:
    out.print()
    show(result, out)
    if options.json is not None:
        write_json(result, options.json)
    if options.faults_md is not None:
        write_rows(result, options.faults_md)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long faults are injected")
    parser.add_argument("--seed", type=int, help="chooses the faults and the load; made up when left out")
    parser.add_argument("--customers", type=int, default=250)
    parser.add_argument("--rate", type=float, default=200.0, help="orders begun each second, at most")
    parser.add_argument("--keep", action="store_true", help="keep logs and data also when all is well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    parser.add_argument("--faults-md", type=Path, metavar="FILE", help="a page whose chaos part is rewritten")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
