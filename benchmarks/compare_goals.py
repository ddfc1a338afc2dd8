"""What the shop has promised to reach: ratios, each taken within its round, and the median of all rounds."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from benchmarks.compare_rounds import (
    DBOS,
    ENGINE,
    EVENTSOURCING,
    FASTAPI,
    HTTP,
    LIMIT,
    SUSTAINED,
    UNITS,
    Comparison,
    Result,
)
from benchmarks.engine_shapes import RETAIL, SOLD_OUT

ENOUGH_ROUNDS: Final = 5


@dataclass(frozen=True, slots=True)
class Goal:
    """`over`, `under`: contender and shape; a figure by itself where there is nothing under it."""

    name: str
    least: float
    over: tuple[str, str]
    under: tuple[str, str] | None = None
    figure: str = "orders_per_s"


GOALS: Final = (
    Goal("engine spread / limit", 0.8, (ENGINE, "spread"), (LIMIT, "spread")),
    Goal("engine sustained / limit", 0.5, (SUSTAINED, "spread"), (LIMIT, "spread")),
    Goal("engine hot / limit hot", 5.0, (ENGINE, "hot"), (LIMIT, "hot")),
    Goal("http / FastAPI + SQL", 0.7, (HTTP, "spread"), (FASTAPI, "spread")),
    Goal("engine / DBOS", 50.0, (ENGINE, "spread"), (DBOS, "spread")),
    Goal("engine / eventsourcing", 10.0, (ENGINE, "spread"), (EVENTSOURCING, "spread")),
    Goal("retail, lines/s", 30_000.0, (ENGINE, RETAIL), figure="lines_per_s"),
    Goal("sold-out refusals / hot orders", 2.0, (ENGINE, SOLD_OUT), (ENGINE, "hot")),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a goal, in every round in which all that it needs came through."""

    goal: Goal
    values: Mapping[int, float]

    @property
    def median(self) -> float | None:
        return median(self.values.values()) if self.values else None

    @property
    def verdict(self) -> str:
        """Too few rounds are no verdict, whatever they were."""
        if self.median is None:
            return "not measured"
        said = "met" if self.median >= self.goal.least else "not met"
        rounds = len(self.values)
        return said if rounds >= ENOUGH_ROUNDS else f"{said} after {rounds} of {ENOUGH_ROUNDS} rounds"

    def plain(self) -> Mapping[str, Any]:
        """For JSON."""
        values = list(self.values.values())
        return {
            "name": self.goal.name,
            "least": self.goal.least,
            "median": self.median,
            "low": min(values, default=None),
            "high": max(values, default=None),
            "rounds": dict(self.values),
            "verdict": self.verdict,
        }


def outcomes(comparison: Comparison) -> list[Outcome]:
    return [Outcome(goal, _values(comparison, goal)) for goal in GOALS]


def outcome_of(one: Result, comparison: Comparison) -> Outcome | None:
    """Of the goal that this contender has in a shape that the limit has not."""
    own = (one.name, one.shape)
    found = (each for each in outcomes(comparison) if each.goal.over == own and one.shape in UNITS)
    return next(found, None)


def _values(comparison: Comparison, goal: Goal) -> Mapping[int, float]:
    over = comparison.of(*goal.over)
    if goal.under is None:
        return {number: one[goal.figure] for number, one in over.rounds.items()}
    return over.ratios(comparison.of(*goal.under), goal.figure)


def number(value: float | None) -> str:
    """As many digits as tell something."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
