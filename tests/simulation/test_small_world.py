"""Two orders over one unit, and every placement of up to three faults: all explored."""

import gc
import logging
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.simulation.bugs import inbox_forgets_rollbacks, late_payment_reopens, no_tombstone
from tests.simulation.small_world import MAX_FAULTS, Placement, everything_below, explore


def below(placement: Placement) -> tuple[int, list[str]]:
    """How many histories begin with these faults, and which of them break a law."""
    logging.disable(logging.CRITICAL)
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    explored = list(everything_below(placement))
    return len(explored), [f"{one.placement}: {one.violation}" for one in explored if one.violation]


def test_no_placement_of_three_faults_breaks_a_law(figure: Callable[[str], None]) -> None:
    whole = explore(())
    assert whole.violation is None

    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        found = list(pool.map(below, whole.children))

    histories = 1 + sum(count for count, _ in found)
    broken = [line for _, lines in found for line in lines]
    figure(f"small world: {histories:,} placements of up to {MAX_FAULTS} faults, {len(broken)} violations")
    assert broken[:5] == []
    assert histories > 10_000


def test_each_placement_is_made_once() -> None:
    singles = explore(()).children
    pairs = [pair for single in singles[:10] for pair in explore(single).children]

    assert len(set(singles)) == len(singles)
    assert len(set(pairs)) == len(pairs)
    assert all(first < second for (first, _), (second, _) in pairs)


def test_two_faults_are_enough_to_see_a_rollback_that_gives_back_twice() -> None:
    with inbox_forgets_rollbacks():
        assert any(explore(single).violation for single in explore(()).children)


def test_a_bug_that_needs_another_story_is_not_blamed_on_this_one() -> None:
    """Nobody pays in the small world: what it does not have, it cannot find."""
    with late_payment_reopens():
        assert all(explore(single).violation is None for single in explore(()).children)


def test_a_missing_tombstone_is_found_in_the_small_world() -> None:
    with no_tombstone():
        singles = explore(()).children
        pairs = (pair for single in singles for pair in explore(single).children)
        assert any(explore(pair).violation for pair in pairs)
