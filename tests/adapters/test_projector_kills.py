"""Projectors that are killed at any moment, beside others at work: the tables are what the log says."""

from collections.abc import Callable

from tests.adapters.kill_projectors import kill_projectors

KILLS = 20
SEED = 2026


def test_killed_at_random_moments_they_lose_nothing_and_do_nothing_twice(
    fresh_database: str, figure: Callable[[str], None]
) -> None:
    result = kill_projectors(fresh_database, KILLS, SEED)
    figure(str(result))
    assert (result.differing, result.lagging) == ((), ())
