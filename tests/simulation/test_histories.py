"""Ten thousand histories of a whole shop under fire, and proof that a history can be told again."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulation.chance import FAULTS

ROOT = Path(__file__).parents[2]
HISTORIES = 10_000


def simulate(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "tests.simulation.run", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_ten_thousand_histories_break_no_law(tmp_path: Path, figure: Callable[[str], None]) -> None:
    ran = simulate("--histories", str(HISTORIES), "--json", str(tmp_path / "seen.json"))
    figure(f"simulation: {ran.stdout.splitlines()[0] if ran.returncode == 0 else 'broken'}")

    assert ran.returncode == 0, ran.stdout + ran.stderr
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["violations"] == []
    assert seen["histories"] == HISTORIES
    assert seen["steps"]["most"] <= 250
    assert seen["steps"]["median"] >= 20
    every_kind = {f"{point}: {kind}" for point, kinds in FAULTS.items() for kind in kinds}
    assert set(seen["faults"]) == every_kind, "each kind of fault has happened"
    assert min(seen["ends"][step] for step in ("PAID", "REFUSED", "CLOSED")) > HISTORIES / 20


def test_a_seed_is_the_same_history_in_every_process() -> None:
    told = [simulate("--seed", "17", PYTHONHASHSEED=salt).stdout for salt in ("1", "2")]

    assert told[0] == told[1]
    assert "no violation" in told[0]
    assert "OrderStarted" in told[0]


def test_a_broken_law_is_printed_with_the_seed_that_replays_it() -> None:
    ran = simulate("--histories", "50", "--bug", "late_payment_reopens")

    assert ran.returncode == 1
    line = next(line for line in ran.stdout.splitlines() if line.startswith("seed "))
    seed = line.removeprefix("seed ").partition(":")[0]
    again = simulate("--seed", seed, "--bug", "late_payment_reopens")
    assert again.returncode == 1
    law = line.partition(": ")[2].partition("   ")[0]
    assert again.stdout.splitlines()[-1] == f"seed {seed} breaks a law: {law}"


@pytest.mark.parametrize("arguments", [("--histories", "0"), ("--bug", "none_of_ours"), ("--seed", "x")])
def test_a_wrong_argument_is_one_clear_error(arguments: tuple[str, ...]) -> None:
    ran = simulate(*arguments)

    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    assert arguments[0] in ran.stderr
