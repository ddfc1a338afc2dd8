"""A comparison: ratios within a round, what a failure costs, and what is said of the goals."""

import inspect
import json
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
from rich.console import Console

from adapters import cli_bench_orders
from adapters.bench_checkout import Figures
from benchmarks.compare import WIDTH, _parser
from benchmarks.compare_chart import chart
from benchmarks.compare_goals import GOALS, Goal, Outcome, outcomes
from benchmarks.compare_rounds import CONTENDERS, Comparison, Contender, Result, Turns, compared
from benchmarks.compare_tables import report_of, show
from benchmarks.engine_shapes import RETAIL, SHAPES
from benchmarks.peers.figures import SHAPES as PEERS_SHAPES

SPREAD_GOAL = GOALS[0]


def result(name: str, shape: str, per_s: dict[int, float]) -> Result:
    rounds: dict[int, Figures] = {
        number: {"orders_per_s": each, "lines_per_s": each * 2} for number, each in per_s.items()
    }
    return Result(name, shape, 32, rounds)


def comparison(*results: Result) -> Comparison:
    return Comparison({(one.name, one.shape): one for one in results})


MEASURED = comparison(
    result("limit", "spread", {1: 1_000.0, 2: 2_000.0, 3: 4_000.0}),
    result("engine", "spread", {1: 900.0, 3: 2_000.0, 4: 8_000.0}),
    result("engine", "retail", {1: 20_000.0}),
)


def test_a_ratio_is_taken_within_its_round_and_only_where_both_came_through() -> None:
    values = outcomes(MEASURED)[0].values
    assert values == {1: 0.9, 3: 0.5}


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.7, 0.8, 0.9, 0.8, 0.1], "met"),
        ([0.79, 0.79, 9.0, 9.0, 0.1], "not met"),
        ([0.9], "met after 1 of 5 rounds"),
        ([0.1] * 4, "not met after 4 of 5 rounds"),
        ([], "not measured"),
    ],
)
def test_the_median_of_enough_rounds_is_a_verdict(values: list[float], verdict: str) -> None:
    assert Outcome(SPREAD_GOAL, dict(enumerate(values))).verdict == verdict


def test_a_figure_may_be_a_goal_by_itself() -> None:
    found = {each.goal.name: each for each in outcomes(MEASURED)}
    assert found["retail, lines/s"].values == {1: 40_000.0}
    assert found["engine / DBOS"].median is None


def test_a_shape_that_the_limit_has_not_has_no_ratio_to_it() -> None:
    body = json.loads(json.dumps(report_of(MEASURED, turns([]), datetime.now(UTC)).plain()))
    ratios = {(one["name"], one["shape"]): one["ratios"] for one in body["results"]}
    assert ratios["engine", RETAIL] == {}
    assert ratios["engine", "spread"] == {"1": 0.9, "3": 0.5}
    assert [one["name"] for one in body["goals"]] == [goal.name for goal in GOALS]


def test_tables_and_chart_name_everybody_and_every_goal() -> None:
    out = Console(width=WIDTH, record=True)
    five = dict.fromkeys(range(5), 12_345.0)
    wide = [result(*both, five) for both in (("engine, 32 clients", "spread"), ("engine", "sold-out"))]
    all_of_them = comparison(*MEASURED.results.values(), *wide)
    show(Comparison(all_of_them.results, ["2/4 engine, spread: no luck"]), out)
    said = out.export_text()
    drawn = " ".join(ElementTree.fromstring(chart(MEASURED)).itertext())
    for name in ["limit", "engine", *(goal.name for goal in GOALS)]:
        assert name in said
        assert name in drawn
    assert "no luck" in said
    assert "WAL bytes" in said, "the last column has room"


def test_where_the_limit_has_no_shape_the_goal_stands_beside_the_figure() -> None:
    results = [result("engine", "hot", {1: 500.0}), result("engine", "sold-out", {1: 600.0})]
    drawn = " ".join(
        ElementTree.fromstring(chart(comparison(*MEASURED.results.values(), *results))).itertext()
    )
    assert "40,000, goal 30,000" in drawn
    assert "600 = 1.20 of hot, goal 2.00" in drawn
    assert "orders, while there are some" in drawn


def test_whoever_fails_is_told_and_left_out_of_that_round() -> None:
    said: list[str] = []
    silent, wrong = Contender("silent", "cpu"), Contender("wrong", "compare", shapes=("hot",))
    found = compared(turns([silent, wrong], rounds=1), said.append)
    assert found.found() == []
    assert len(found.failures) == len(said) == 3
    assert "1/1 silent, spread: printed no figures" in found.failures[0]
    assert "unrecognized arguments" in found.failures[-1]


def test_whoever_stops_it_keeps_what_was_measured() -> None:
    def stop(_: str) -> None:
        raise KeyboardInterrupt

    found = compared(turns([Contender("silent", "cpu")]), stop)
    assert ["printed no figures" in found.failures[0], "stopped" in found.failures[1]] == [True, True]


def turns(contenders: list[Contender], rounds: int = 4) -> Turns:
    return Turns(contenders, SHAPES, rounds, 1, 1)


def test_every_goal_is_of_a_contender_in_a_shape_that_it_has() -> None:
    known = {(one.name, shape) for one in CONTENDERS for shape in one.shapes}
    assert {side for goal in GOALS for side in _sides(goal)} <= known


def _sides(goal: Goal) -> list[tuple[str, str]]:
    return [goal.over] if goal.under is None else [goal.over, goal.under]


def test_the_command_line_knows_the_same_shapes_and_takes_the_same_options() -> None:
    assert tuple(cli_bench_orders.EngineShape) == SHAPES
    assert tuple(cli_bench_orders.Shape) == PEERS_SHAPES
    assert set(cli_bench_orders.Role) == {role for contender in CONTENDERS for role in contender.roles}
    command = inspect.signature(cli_bench_orders.compare).parameters
    own = vars(_parser().parse_args([]))
    assert set(command) == {name.replace("json", "as_json") for name in own}
    assert {name: command[name].default for name in ("rounds", "seconds", "sustained", "shape", "out")} == {
        name: own[name] for name in ("rounds", "seconds", "sustained", "shape", "out")
    }
