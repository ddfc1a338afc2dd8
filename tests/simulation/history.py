"""One seed, one history: what it is about is drawn first, then it runs."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from unittest.mock import patch

import orchestrator.watchdog
from tests.simulation.auditor import Violation
from tests.simulation.chance import Chance, RandomChance
from tests.simulation.workload import Shoppers
from tests.simulation.world import TOPOLOGIES, Plan, Told, World

LOOK_EVERY_S: Final = 2.0
"""The watchdog's looks are most of what happens in an idle world: here there are fewer."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one seed: what the history was like, or the law that it broke."""

    seed: int
    told: Told | None
    violation: Violation | None
    faults: Counter[str]


def plan_of(seed: int) -> Plan:
    drawn = random.Random(f"plan {seed}")
    goods = tuple(range(1, drawn.choice((1, 2, 2)) + 1))
    topology = drawn.choice(TOPOLOGIES)
    return Plan(
        topology=topology,
        shoppers=Shoppers(drawn.choice((1, 2, 3)), drawn.choice((1, 2)), goods),
        stock=tuple(drawn.choice((1, 2, 4)) for _ in goods),
        steps=drawn.randint(20, 190),
        inventory_stays_away=topology is TOPOLOGIES[-1] and drawn.random() < 0.7,
    )


def run(seed: int) -> Outcome:
    """Never raises Violation: it is the outcome."""
    chance = RandomChance(seed)
    try:
        told = play(chance, plan_of(seed))
    except Violation as violation:
        return Outcome(seed, None, violation, chance.happened)
    return Outcome(seed, told, None, chance.happened)


def tell(seed: int, say: Callable[[str], None]) -> Told:
    """The same history again, told as it goes. Raises Violation."""
    plan = plan_of(seed)
    names = ", ".join(name for name, _ in plan.topology)
    say(f"seed {seed}: {names}; stock {list(plan.stock)}; {plan.shoppers}")
    return play(RandomChance(seed), plan, say)


def play(chance: Chance, plan: Plan, say: Callable[[str], None] | None = None) -> Told:
    """Raises Violation."""
    with patch.object(orchestrator.watchdog, "LOOK_EVERY_S", LOOK_EVERY_S):
        return World(chance, plan, say).run()
