"""`tillroll bench engine|limit|orders|compare` runs what is in the checkout, and says in one line why not."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from adapters import bench_checkout, cli_bench
from adapters.cli import app

COMMANDS = ("engine", "limit", "orders", "compare")


def test_figures_are_printed_as_json_and_as_a_table() -> None:
    words = ["bench", "limit", "--seconds", "1", "--clients", "2"]
    told = CliRunner().invoke(app, [*words, "--shape", "hot", "--json"])
    assert told.exit_code == 0, told.output
    figures = json.loads(told.stdout)
    assert (figures["shape"], figures["clients"]) == ("hot", 2)
    assert figures["orders"] > 0
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    assert "orders a second" in shown.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_checkout_one_line_says_how_to_get_the_benchmarks(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_checkout, "ROOT", tmp_path)
    told = CliRunner().invoke(app, ["bench", command])
    assert told.exit_code == 2
    assert told.stdout == ""
    assert "make install" in told.stderr
    assert told.stderr.count("\n") == 1


def test_a_benchmark_that_fails_is_told_in_one_line() -> None:
    told = CliRunner().invoke(app, ["bench", "limit", "--seconds", "1", "--clients", "2000"])
    assert told.exit_code == 1
    assert told.stdout == ""
    assert told.stderr.count("\n") == 1
    assert told.stderr.startswith("tillroll: ")


def test_a_benchmark_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tmp_path / "benchmarks" / "slow.py"
    made.parent.mkdir()
    made.write_text(
        "import pathlib, time\n"
        "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    pathlib.Path('cleared').touch()\n"
    )
    monkeypatch.setattr(bench_checkout, "ROOT", tmp_path)
    with pytest.raises(bench_checkout.BenchmarkFailed, match="did not end"):
        bench_checkout.figures_of("slow", {}, patience_s=2)
    assert (tmp_path / "cleared").exists()


def test_the_list_of_benches_says_of_each_what_it_says_itself() -> None:
    for name, place in cli_bench.PLACES.items():
        part = typer.Typer(rich_markup_mode=None)
        import_module(f"adapters.{place.module}").register(part)
        own = typer.main.get_group(part).commands[name]
        assert own.get_short_help_str(1_000) == place.told


def test_a_bench_of_the_checkout_loads_no_shop() -> None:
    loaded = "import adapters.cli_bench_orders, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert {"psycopg", "pydantic", "msgspec", "domain", "aiohttp"} & set(done.stdout.split()) == set()
