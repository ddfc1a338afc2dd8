"""Runs a benchmark of the checkout that this program comes from; what was installed without one has none.

Each is a process of its own, whoever asks for it, so that a figure is the same from the command line and in a
comparison. Ctrl-C reaches us alone; we tell it to end, and it stops its servers and removes their folder.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

from adapters.processes import dying_with_us

ROOT: Final = Path(__file__).resolve().parents[1]
END_LIMIT_S: Final = 30.0
"""For a benchmark that is told to end, to stop its servers and to remove their folder."""

Figures = Mapping[str, Any]
Options = Mapping[str, object]
"""By name as the module spells them; None, False and nothing are left out, a list is given one by one."""


class NoBenchmarks(Exception):
    """There is no checkout around this program; the text says how to get one."""


class BenchmarkFailed(Exception):
    """It ended with an error, or did not end; the text has its last line."""


def figures_of(module: str, options: Options, *, patience_s: float | None = None) -> Figures:
    """What it prints as JSON. Raises NoBenchmarks, BenchmarkFailed."""
    with TemporaryFile("w+") as said, TemporaryFile("w+") as complained:
        try:
            status = _run(_command(module, options), _Way(said, complained, patience_s))
        except subprocess.TimeoutExpired as error:
            raise BenchmarkFailed(f"did not end within {patience_s:.0f} s") from error
        if status:
            raise BenchmarkFailed(_last_line(complained) or f"ended with {status}")
        return _read(_last_line(said))


def run_here(module: str, options: Options) -> int:
    """Says all it has to say on our output; its exit code. Raises NoBenchmarks."""
    return _run(_command(module, options), _Way())


@dataclass(frozen=True, slots=True)
class _Way:
    """Where its output goes, ours where not given, and for how long it may run."""

    said: IO[str] | None = None
    complained: IO[str] | None = None
    patience_s: float | None = None


def _read(line: str) -> Figures:
    try:
        figures: Figures = json.loads(line)
    except ValueError as error:
        raise BenchmarkFailed(f"printed no figures: {line}") from error
    return figures


def _command(module: str, options: Options) -> list[str]:
    if not (ROOT / "benchmarks" / f"{module.replace('.', '/')}.py").is_file():
        raise NoBenchmarks(
            f"the benchmarks are not part of the installed package: run `make install` in a checkout of"
            f" Tillroll, and there `.venv/bin/tillroll bench`; {ROOT} has no benchmarks/{module}.py"
        )
    begun = dying_with_us(signal.SIGINT, os.geteuid(), os.getegid())
    return [*begun, sys.executable, "-m", f"benchmarks.{module}", *_words(options)]


def _words(options: Options) -> list[str]:
    words: list[str] = []
    for name, value in options.items():
        for each in value if isinstance(value, list | tuple) else [value]:
            if each is True:
                words.append(name)
            elif each is not None and each is not False:
                words += [name, str(each)]
    return words


def _run(command: Sequence[str], way: _Way) -> int:
    """Its exit code. Raises TimeoutExpired when its time is up; it has ended then, too."""
    with subprocess.Popen(  # noqa: S603 - a benchmark of our own
        command, cwd=ROOT, stdout=way.said, stderr=way.complained, start_new_session=True
    ) as process:
        try:
            return process.wait(way.patience_s)
        except BaseException:
            _end(process)
            raise


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(END_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _last_line(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip().rpartition("\n")[2]
