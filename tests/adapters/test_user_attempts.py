"""Failed log-ins: who has to wait how long, and that no way of guessing gets more than a hundred an hour."""

import random
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, islice, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import user_attempts
from adapters.user_attempts import (
    Failures,
    Kind,
    MemoryAttempts,
    Subject,
    TooManyAttempts,
    address_digest,
    one_more,
    wait_s,
)

AT = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
KEY = b"k" * 32

ANN = Subject("account", "ann")
BOB = Subject("account", "bob")
HOME = Subject("address", "home")


class Clock:
    def __init__(self) -> None:
        self.now = AT

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def attempts(clock: Clock) -> MemoryAttempts:
    return MemoryAttempts(clock)


async def wait_of(attempts: MemoryAttempts, *subjects: Subject) -> int:
    try:
        await attempts.check(subjects)
    except TooManyAttempts as refusal:
        return int(refusal.facts["retry_after_s"])
    return 0


async def waits_after_each_failure(attempts: MemoryAttempts, subject: Subject, times: int) -> list[int]:
    waits = []
    for _ in range(times):
        await attempts.failed([subject])
        waits.append(await wait_of(attempts, subject))
    return waits


DOUBLING = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]


async def test_an_account_fails_five_times_before_it_waits_twice_as_long_each_time(
    attempts: MemoryAttempts,
) -> None:
    assert await waits_after_each_failure(attempts, ANN, 17) == [0, 0, 0, 0, *DOUBLING]


async def test_an_address_fails_thirty_times_before_it_waits(attempts: MemoryAttempts) -> None:
    assert await waits_after_each_failure(attempts, HOME, 42) == [0] * 29 + DOUBLING


async def test_a_wait_ends(attempts: MemoryAttempts, clock: Clock) -> None:
    await waits_after_each_failure(attempts, ANN, 7)
    clock.pass_s(3.5)
    assert await wait_of(attempts, ANN) == 1
    clock.pass_s(0.5)
    assert await wait_of(attempts, ANN) == 0


async def test_whoever_waits_longest_is_waited_for(attempts: MemoryAttempts) -> None:
    await waits_after_each_failure(attempts, ANN, 6)
    await waits_after_each_failure(attempts, HOME, 33)
    assert await wait_of(attempts, ANN, HOME) == 8
    assert await wait_of(attempts, BOB, HOME) == 8
    assert await wait_of(attempts, BOB) == 0


async def test_a_success_forgives_the_account_and_not_the_address(attempts: MemoryAttempts) -> None:
    for _ in range(31):
        await attempts.failed([ANN, HOME])
    await attempts.succeeded(ANN)
    assert await wait_of(attempts, ANN) == 0
    assert await wait_of(attempts, HOME) == 2


async def test_a_subject_named_twice_fails_once(attempts: MemoryAttempts) -> None:
    for _ in range(3):
        await attempts.failed([ANN, ANN])
    assert await wait_of(attempts, ANN) == 0


async def test_failures_are_forgotten_a_day_after_the_last(attempts: MemoryAttempts, clock: Clock) -> None:
    await waits_after_each_failure(attempts, ANN, 20)
    clock.pass_s(DAY_S)
    assert await waits_after_each_failure(attempts, ANN, 1) == [900]
    clock.pass_s(DAY_S + 1)
    assert await waits_after_each_failure(attempts, ANN, 5) == [0, 0, 0, 0, 1]


async def test_clocks_that_differ_a_little_let_nobody_through(attempts: MemoryAttempts, clock: Clock) -> None:
    await waits_after_each_failure(attempts, ANN, 6)
    clock.pass_s(-60)
    assert await wait_of(attempts, ANN) == 62


async def test_a_clock_that_was_years_ahead_locks_nobody_out(attempts: MemoryAttempts, clock: Clock) -> None:
    await waits_after_each_failure(attempts, ANN, 6)
    clock.pass_s(-4 * 365 * DAY_S)
    assert await wait_of(attempts, ANN) == 0
    assert await waits_after_each_failure(attempts, ANN, 1) == [4]


async def test_a_bounded_number_is_remembered(
    attempts: MemoryAttempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_attempts, "MAX_SUBJECTS", 3)
    for n in range(10):
        await attempts.failed([Subject("account", str(n)), HOME])
    assert len(attempts._failures) == 3
    assert await waits_after_each_failure(attempts, HOME, 20) == [0] * 19 + [1]


# how many guesses an hour


def passed_at(kind: Kind, pauses_s: Iterator[float]) -> Iterator[float]:
    """When each guess that was checked was made, in seconds: each pause after the earliest moment allowed."""
    failures: Failures | None = None
    now = AT
    for pause_s in pauses_s:
        left_s = wait_s(kind, failures, now) if failures else 0.0
        now += timedelta(seconds=left_s + pause_s)
        assert failures is None or wait_s(kind, failures, now) == 0
        failures = one_more(failures, now)
        yield (now - AT).total_seconds()


def most_in_an_hour(moments: Iterator[float]) -> int:
    """In any hour, wherever it begins; both its ends belong to it."""
    window: deque[float] = deque()
    most = 0
    for moment in moments:
        window.append(moment)
        while window[0] < moment - HOUR_S:
            window.popleft()
        most = max(most, len(window))
    return most


def guesses(times: int, pause_s: Callable[[int], float]) -> Iterator[float]:
    return (pause_s(n) for n in range(times))


@pytest.mark.parametrize(("kind", "most"), [("account", 17), ("address", 42)])
def test_whoever_guesses_at_every_allowed_moment_gets_this_many_an_hour(kind: Kind, most: int) -> None:
    assert most_in_an_hour(passed_at(kind, guesses(20_000, lambda _: 0.0))) == most


@pytest.mark.parametrize(("kind", "most"), [("account", 17), ("address", 42)])
@pytest.mark.parametrize("burst", [1, 4, 5, 6, 15, 17, 30, 42, 99])
def test_nor_does_it_help_to_wait_a_day_after_a_burst(kind: Kind, most: int, burst: int) -> None:
    pauses = guesses(20_000, lambda n: DAY_S + 1 if n % burst == 0 else 0.0)
    assert most_in_an_hour(passed_at(kind, pauses)) <= most


@given(
    kind=st.sampled_from(["account", "address"]),
    seed=st.integers(0, 2**32),
    pauses=st.lists(st.floats(0, 2 * DAY_S), min_size=1, max_size=8),
    how_often=st.floats(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_nor_does_any_other_way_of_waiting(
    kind: Kind, seed: int, pauses: list[float], how_often: float
) -> None:
    chance = random.Random(seed)

    def pause_s(_: int) -> float:
        return chance.choice(pauses) if chance.random() < how_often else 0.0

    assert most_in_an_hour(passed_at(kind, guesses(2_000, pause_s))) <= {"account": 17, "address": 42}[kind]


async def test_ten_thousand_guesses_in_an_hour_let_few_through(
    attempts: MemoryAttempts, clock: Clock
) -> None:
    """One every 0.36 s, at one account and from one address; then, from another, at an account each."""
    elsewhere = Subject("address", "elsewhere")
    plans: list[tuple[Iterator[list[Subject]], int]] = [
        (repeat([ANN, HOME]), 17),
        (([Subject("account", str(n)), elsewhere] for n in count()), 42),
    ]
    for subjects, most in plans:
        checked = 0
        for who in islice(subjects, 10_000):
            if await wait_of(attempts, *who) == 0:
                checked += 1
                await attempts.failed(who)
            clock.pass_s(0.36)
        assert most - 2 <= checked <= most


# addresses


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("203.0.113.9", "::ffff:203.0.113.9"),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"),
        ("2001:DB8:1:2::1", "2001:db8:1:2:0:0:0:1"),
        ("fe80::1%eth0", "fe80::2"),
        ("unknown", "' OR 1=1 --"),
        ("", "\udcff" + "x" * 8000),
    ],
)
def test_these_are_one_address(one: str, other: str) -> None:
    assert address_digest(one, KEY) == address_digest(other, KEY)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("203.0.113.9", "203.0.113.10"),
        ("2001:db8:1:2::1", "2001:db8:1:3::1"),
        ("::ffff:203.0.113.9", "::ffff:203.0.113.10"),
        ("203.0.113.9", "unknown"),
    ],
)
def test_these_are_two(one: str, other: str) -> None:
    assert address_digest(one, KEY) != address_digest(other, KEY)


def test_an_address_cannot_be_read_or_guessed_from_its_digest() -> None:
    digest = address_digest("203.0.113.9", KEY)
    assert "203" not in bytes.fromhex(digest).decode("latin1")
    assert digest != address_digest("203.0.113.9", b"other key")
