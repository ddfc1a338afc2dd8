"""docs/faults.md: its tables are written by the runs themselves, each between marks of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.simulation.bugs import BUGS
from tests.simulation.chance import FAULTS

TITLE: Final = "# Faults\n"


def write_simulation(
    path: Path,
    histories: int,
    had: Mapping[str, int],
    happened: Mapping[str, int],
    violated: Mapping[str, int],
) -> None:
    """The part of the simulation: one line for every kind of fault."""
    rows = [
        f"| {what} | `{point}: {kind}` | {had.get(f'{point}: {kind}', 0):,} |"
        f" {happened.get(f'{point}: {kind}', 0):,} | {violated.get(f'{point}: {kind}', 0)} |"
        for point, kinds in FAULTS.items()
        for kind, what in kinds.items()
    ]
    head = (
        f"{histories:,} histories.\n\n"
        "| fault | injected at | histories that had it | times | violations |\n|---|---|--:|--:|--:|\n"
    )
    write_part(path, "simulation", head + "\n".join(rows))


def write_bugs(path: Path, histories: int, rows: Sequence[tuple[str, int, str]]) -> None:
    """The part of the deliberate bugs: name, in how many histories it was caught, and by which law first."""
    meaning = {bug.__name__: (bug.__doc__ or "").strip() for bug in BUGS}
    lines = [f"| {meaning[name]} | `{name}` | {count:,} | {law} |" for name, count, law in rows]
    head = (
        f"Each over the same {histories:,} histories.\n\n"
        "| bug | name | histories that break a law | the first law broken |\n|---|---|--:|---|\n"
    )
    write_part(path, "bugs", head + "\n".join(lines))


def write_part(path: Path, name: str, text: str) -> None:
    """Replaces what stands between the marks of this name; the rest of the file stays as it is."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    old = path.read_text() if path.exists() else TITLE
    if begin not in old:
        old = f"{old.rstrip()}\n\n{begin}\n{end}\n"
    before, _, rest = old.partition(begin)
    path.write_text(f"{before}{begin}\n{text.strip()}\n{end}{rest.partition(end)[2]}")
