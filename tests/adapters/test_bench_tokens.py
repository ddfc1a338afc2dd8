"""The bench of tokens says which limits hold, whatever the figures are on this machine."""

import json

import pytest
from typer.testing import CliRunner

from adapters.bench_tokens import TokenFigures
from adapters.cli import app


def test_the_bench_measures_three_kinds_and_judges_two() -> None:
    told = CliRunner().invoke(app, ["bench", "tokens", "--count", "100", "--json"])
    assert told.exit_code == 0, told.output
    figures = json.loads(told.stdout)
    assert [each["what"] for each in figures] == ["made", "checked, new", "checked, seen before"]
    assert [each["most_us"] for each in figures] == [None, 250.0, 10.0]
    for each in figures:
        assert 0 < each["median_us"] <= each["p99_us"]
        assert each["holds"] is (each["most_us"] and each["median_us"] < each["most_us"])


@pytest.mark.parametrize(
    ("median_us", "most_us", "holds"), [(9.9, 10.0, True), (10.0, 10.0, False), (9.9, None, None)]
)
def test_a_limit_holds_under_it(median_us: float, most_us: float | None, holds: bool | None) -> None:
    assert TokenFigures("checked", median_us, 99.0, most_us).holds is holds
