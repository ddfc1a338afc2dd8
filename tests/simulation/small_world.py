"""A world so small that all of it can be looked at: two orders over one unit, up to three faults anywhere.

Nothing is left to chance: the order of steps is fixed, and at every visit to a boundary each kind of fault
is tried, then each kind at each later boundary of what follows, and so on. The faults of the world between
the boundaries are covered by those at them: a process that dies between two boundaries has the same effect
on everybody else as one that dies at the next, and a broker that forgets a message has lost it when it came.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tests.simulation.auditor import Violation
from tests.simulation.history import play
from tests.simulation.workload import Shoppers
from tests.simulation.world import Plan, Told

MAX_FAULTS: Final = 3

KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "commit": ("crash-before", "crash-after", "answer-lost"),
    "publish": ("twice", "delayed-days"),
    "ack": ("crash-before", "lost"),
}
"""What is tried where. The kinds left out come to the same as one of these: a lost message is one that comes
days late, when all is over; a refused one is a lost one that is known; a COMMIT under way held or did not; a
log out of reach is a crash that keeps its memory; a forgotten ack is a lost one; a process that dies once it
has published dies at its next boundary, of which it does nothing."""

PLAN: Final = Plan(
    topology=(("front", ("api", "orchestrator")), ("back", ("inventory",))),
    shoppers=Shoppers(customers=2, orders_each=1, goods=(1,), small=True),
    stock=(1,),
    steps=1_000,
    inventory_stays_away=False,
    repeats=1,
)

Placement = tuple[tuple[int, str], ...]
"""(visit, kind) of each fault of a history, in order; visits are counted from 0."""


class ScriptedChance:
    """Faults exactly where the script says; everything else goes the straight way.

    `boundaries`: the kinds that were possible at each visit.
    """

    def __init__(self, placement: Placement) -> None:
        self.calm = False
        self.visits = 0
        self.told: Callable[[str], None] = lambda _: None
        self.boundaries: list[tuple[str, ...]] = []
        self._script = dict(placement)

    def fault(self, point: str) -> str:
        kinds = KINDS.get(point)
        if self.calm or kinds is None:
            return ""
        self.boundaries.append(kinds)
        kind = self._script.get(self.visits, "")
        self.visits += 1
        if kind:
            self.told(f"{point}: {kind}")
        return kind

    def pick(self, count: int) -> int:
        del count
        return 0

    def between(self, low: float, high: float) -> float:
        return (low + high) / 2

    def yes(self, probability: float) -> bool:
        return probability >= 1.0

    def hurries(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Explored:
    """One history of the small world. `children`: placements with one fault more, after these."""

    placement: Placement
    told: Told | None
    violation: Violation | None
    children: tuple[Placement, ...]


def explore(placement: Placement, say: Callable[[str], None] | None = None) -> Explored:
    chance = ScriptedChance(placement)
    told, violation = None, None
    try:
        told = play(chance, PLAN, say)
    except Violation as found:
        violation = found
    children = tuple(_later(placement, chance.boundaries)) if len(placement) < MAX_FAULTS else ()
    return Explored(placement, told, violation, children)


def _later(placement: Placement, boundaries: list[tuple[str, ...]]) -> Iterator[Placement]:
    """Each kind at each boundary after the last fault: so each placement is made once."""
    first = placement[-1][0] + 1 if placement else 0
    for visit in range(first, len(boundaries)):
        for kind in boundaries[visit]:
            yield (*placement, (visit, kind))


def everything_below(placement: Placement) -> Iterator[Explored]:
    """This placement and all that begin with it, depth first."""
    explored = explore(placement)
    yield explored
    for child in explored.children:
        yield from everything_below(child)
