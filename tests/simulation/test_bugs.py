"""The simulation can fail: each deliberate bug is switched on in turn, and each is caught."""

from collections.abc import Callable

import pytest

from tests.simulation.bugs import BUGS, Bug
from tests.simulation.history import run

MAX_HISTORIES = 1_500
"""Far fewer than the ten thousand that every change has to pass."""


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_deliberate_bug_is_caught(bug: Bug, figure: Callable[[str], None]) -> None:
    with bug():
        outcomes = (run(seed) for seed in range(MAX_HISTORIES))
        caught = next((outcome for outcome in outcomes if outcome.violation is not None), None)

    assert caught is not None, f"not caught in {MAX_HISTORIES} histories: {bug.__doc__}"
    figure(f"bug {bug.__name__}: caught in history {caught.seed + 1}: {caught.violation}")


def test_without_a_bug_the_same_histories_break_no_law() -> None:
    assert [outcome.violation for outcome in map(run, range(60)) if outcome.violation is not None] == []


def test_each_bug_is_a_bug_of_its_own() -> None:
    assert len(BUGS) >= 12
    assert len({bug.__doc__ for bug in BUGS}) == len(BUGS)
