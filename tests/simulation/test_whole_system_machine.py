"""Hypothesis plays against the whole simulated shop: who asks for what, and what goes wrong when."""

import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.simulation.chance import FAULTS
from tests.simulation.workload import Shoppers
from tests.simulation.world import TOPOLOGIES, Plan, World

USERS = (1, 2)
POINTS = [
    (point, kind) for point, kinds in FAULTS.items() if point not in ("await", "world") for kind in kinds
]


class PlannedChance:
    """What goes wrong is planned by the rules of the machine: the next visit to a point has its fault."""

    def __init__(self, seed: int) -> None:
        self.calm = False
        self.visits = 0
        self.told: Callable[[str], None] = lambda _: None
        self.planned: defaultdict[str, list[str]] = defaultdict(list)
        self._random = random.Random(seed)

    def fault(self, point: str) -> str:
        self.visits += 1
        return "" if self.calm or not self.planned[point] else self.planned[point].pop(0)

    def pick(self, count: int) -> int:
        return self._random.randrange(count)

    def between(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def yes(self, probability: float) -> bool:
        return self._random.random() < probability

    def hurries(self) -> bool:
        return not self.calm and self.yes(0.02)


class WholeSystem(RuleBasedStateMachine):
    """The laws are the auditor's, looked at after every commit; at the end the world is healed and judged."""

    def __init__(self) -> None:
        super().__init__()
        self._open = ExitStack()
        self.presses = 0

    @initialize(topology=st.sampled_from(TOPOLOGIES), seed=st.integers(0, 2**32), stays_away=st.booleans())
    def open_the_shop(self, topology: Any, seed: int, stays_away: bool) -> None:
        self.chance = PlannedChance(seed)
        plan = Plan(topology, Shoppers(len(USERS), 1, (1, 2)), (1, 2), 10**9, stays_away)
        self.world = World(self.chance, plan)
        self._open.enter_context(self.world.opened())

    @rule(user_id=st.sampled_from(USERS))
    def fill_cart_and_order(self, user_id: int) -> None:
        self.presses += 1
        self.ask(self._buy(user_id, f"press {self.presses}"))

    async def _buy(self, user_id: int, tag: str) -> None:
        await self.world.workload.fill_cart(user_id)
        await self.world.workload.order(user_id, tag)

    def orders(self) -> list[str]:
        return list(self.world.auditor.orders)

    @precondition(lambda self: self.orders())
    @rule(data=st.data(), trade=st.sampled_from("AB"))
    def pay(self, data: st.DataObject, trade: str) -> None:
        self.ask(self.world.workload.pay(data.draw(st.sampled_from(self.orders())), trade))

    @precondition(lambda self: self.orders())
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.ask(self.world.workload.cancel(data.draw(st.sampled_from(self.orders()))))

    @precondition(lambda self: self.orders())
    @rule(data=st.data(), compensate=st.booleans())
    def operate(self, data: st.DataObject, compensate: bool) -> None:
        order_id = data.draw(st.sampled_from(self.orders()))
        self.ask(self.world.workload.operate(order_id, compensate=compensate))

    @rule(user_id=st.sampled_from(USERS))
    def close_account(self, user_id: int) -> None:
        self.ask(self.world.workload.close_account(user_id))

    @rule()
    def count_stock(self) -> None:
        self.ask(self.world.workload.adjust())

    def ask(self, coro: Any) -> None:
        self.world.spawn(self.world.workload.counted(coro))

    @rule(turns=st.integers(1, 150))
    def go_on(self, turns: int) -> None:
        self.world.let(turns)

    @rule(seconds=st.sampled_from([0.5, 3.0, 9.0, 25.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(fault=st.sampled_from(POINTS), times=st.integers(1, 3))
    def something_goes_wrong_next(self, fault: tuple[str, str], times: int) -> None:
        point, kind = fault
        self.chance.planned[point] += [kind] * times

    @rule(fault=st.sampled_from(sorted(FAULTS["world"])))
    def the_world_breaks(self, fault: str) -> None:
        self.world.strike(fault)

    @rule(data=st.data())
    def a_process_is_killed(self, data: st.DataObject) -> None:
        self.world.kill(data.draw(st.sampled_from([name for name, _ in self.world.plan.topology])))

    @rule(data=st.data(), for_s=st.sampled_from([0.5, 6.0, 40.0]))
    def a_process_stands_still(self, data: st.DataObject, for_s: float) -> None:
        self.world.stop(data.draw(st.sampled_from([name for name, _ in self.world.plan.topology])), for_s)

    def teardown(self) -> None:
        """Unless the machine was stopped by a violation, everything ends well once nothing goes wrong."""
        with self._open:
            if hasattr(self, "world") and self.world.trouble is None:
                self.world.heal()
                self.world.judge()


TestWholeSystem = WholeSystem.TestCase
TestWholeSystem.settings = settings(
    max_examples=100,
    stateful_step_count=50,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
)
