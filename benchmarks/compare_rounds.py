"""Contenders in turn: who they are, one round of one of them, and what all rounds came to."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from adapters.bench_checkout import BenchmarkFailed, Figures, figures_of
from benchmarks.engine_shapes import RETAIL, SHAPES, SOLD_OUT
from benchmarks.peers.figures import SHAPES as PEERS_SHAPES

LIMIT: Final = "limit"
ENGINE: Final = "engine"
SUSTAINED: Final = "engine, sustained"
HTTP: Final = "http"
FASTAPI: Final = "FastAPI + SQL"
EVENTSOURCING: Final = "eventsourcing"
DBOS: Final = "DBOS"

LATE_LIMIT_S: Final = 600.0
"""For servers to start, carts to be filled and projections to have read them."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Contender:
    """`module`: of benchmarks. `roles`: in processes of their own. `clients`: as suits it best, 32 at least.

    `is_long`: its rounds are as long as it takes to see whether it keeps up.
    """

    name: str
    module: str
    roles: tuple[str, ...] = ()
    clients: int = 32
    shapes: tuple[str, ...] = PEERS_SHAPES
    is_long: bool = False


CONTENDERS: Final = (
    Contender(LIMIT, "limit"),
    Contender(ENGINE, "engine", ("inventory", "watchlist"), 2_000, SHAPES),
    Contender("engine, 32 clients", "engine"),
    Contender(SUSTAINED, "engine", ("inventory", "projector"), 1_000, ("spread",), is_long=True),
    Contender(FASTAPI, "peers.fastapi_sql"),
    Contender(HTTP, "http_orders"),
    Contender("http, 256 clients", "http_orders", clients=256, shapes=("spread",)),
    Contender(EVENTSOURCING, "peers.eventsourcing_order"),
    Contender(DBOS, "peers.dbos_order"),
)
"""In a round each has its turn, one after the other, in every shape it has."""

UNITS: Final[Mapping[str, tuple[str, str]]] = {
    RETAIL: ("lines", "lines_per_s"),
    SOLD_OUT: ("refusals", "orders_per_s"),
}
"""What is counted in a shape, and under which figure; orders in all others."""


@dataclass(frozen=True, slots=True)
class Result:
    """One contender in one shape, by the number of the round."""

    name: str
    shape: str
    clients: int
    rounds: dict[int, Figures] = field(default_factory=dict)

    def median(self, figure: str) -> float:
        return median(float(one.get(figure, 0.0)) for one in self.rounds.values())

    def ratios(self, under: "Result", figure: str = "orders_per_s") -> dict[int, float]:
        """By the number of the round: each within its own, where both came through."""
        return {
            number: one[figure] / under.rounds[number][figure]
            for number, one in self.rounds.items()
            if number in under.rounds and under.rounds[number][figure]
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """`failures`: a line for each turn that came to nothing."""

    results: Mapping[tuple[str, str], Result]
    failures: list[str] = field(default_factory=list)

    def of(self, name: str, shape: str) -> Result:
        """Without rounds for who had no turn."""
        return self.results.get((name, shape), Result(name, shape, 0))

    def found(self) -> list[Result]:
        """Those that came through at least once, shape by shape."""
        found = [one for one in self.results.values() if one.rounds]
        return sorted(found, key=lambda one: SHAPES.index(one.shape))


@dataclass(frozen=True, slots=True)
class Turns:
    """`seconds`, `long_s`: of placing orders, in each turn."""

    contenders: Sequence[Contender]
    shapes: Collection[str]
    rounds: int
    seconds: int
    long_s: int

    def of_a_round(self) -> list[tuple[Contender, str]]:
        """The shapes of one contender one after the other: some goals compare them with each other."""
        return [
            (contender, shape)
            for contender in self.contenders
            for shape in contender.shapes
            if shape in self.shapes
        ]


def compared(turns: Turns, tell: Tell) -> Comparison:
    """Who fails in a round is left out of it. Ctrl-C ends it early: what was measured until then counts."""
    comparison = Comparison(
        {(who.name, shape): Result(who.name, shape, who.clients) for who, shape in turns.of_a_round()}
    )
    try:
        for number in range(1, turns.rounds + 1):
            _go_round(number, turns, comparison, tell)
    except KeyboardInterrupt:
        comparison.failures.append("all that would have come later: stopped before its end")
    return comparison


def _go_round(number: int, turns: Turns, comparison: Comparison, tell: Tell) -> None:
    for who, shape in turns.of_a_round():
        turn = f"{number}/{turns.rounds} {who.name}, {shape}"
        try:
            one = measured(who, shape, turns.long_s if who.is_long else turns.seconds)
        except BenchmarkFailed as error:
            comparison.failures.append(f"{turn}: {error}")
            tell(f"{turn}: FAILED, {error}")
        else:
            comparison.results[who.name, shape].rounds[number] = one
            tell(f"{turn}: {told(shape, one)}")


def told(shape: str, figures: Figures) -> str:
    what, figure = UNITS.get(shape, ("orders", "orders_per_s"))
    return f"{figures[figure]:,.0f} {what}/s"


def measured(contender: Contender, shape: str, seconds: int) -> Figures:
    """Raises BenchmarkFailed."""
    options = {"--shape": shape, "--clients": contender.clients, "--seconds": seconds}
    figures = figures_of(
        contender.module, {**options, "--role": contender.roles}, patience_s=seconds + LATE_LIMIT_S
    )
    return _as_others(figures) if contender.name == LIMIT else figures


def _as_others(limit: Figures) -> Figures:
    """The limit tells totals of its round, and the load's processor time apart."""
    orders = max(1, limit["orders"])
    return {
        **limit,
        "cpu_ms_per_order": limit["cpu_ms"],
        "postgres_ms_per_order": limit["cpu_ms"],
        "load_ms_per_order": limit["load_cpu_ms"],
        "commits_per_order": limit["commits"] / orders,
        "wal_bytes_per_order": limit["wal_bytes"] / orders,
    }
