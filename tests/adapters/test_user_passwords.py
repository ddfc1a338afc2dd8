"""Whoever may not guess takes nobody's turn, and hears so no faster than a flood may be answered."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from adapters import user_attempts
from adapters.argon2_passwords import Passwords
from adapters.user_attempts import MAX_PACED, REFUSALS_PER_S, MemoryAttempts, Pace, TooManyAttempts
from adapters.user_passwords import BadCredentials, Guess, PasswordCheck
from domain.refusals import Overloaded

AT = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)

ANN = Guess("ann", "203.0.113.1", "wrong word")
BOB = Guess("bob", "203.0.113.2", "wrong word")


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords(at_once=1, max_waiting=1)
    yield made
    made.close()


@pytest.fixture
def check(passwords: Passwords) -> PasswordCheck:
    return PasswordCheck(passwords, MemoryAttempts(lambda: AT), b"k" * 32)


async def outcomes(check: PasswordCheck, guesses: list[Guess]) -> list[type[BaseException] | None]:
    made = await asyncio.gather(*(check.must_match(None, guess) for guess in guesses), return_exceptions=True)
    return [None if outcome is None else type(outcome) for outcome in made]


async def test_those_who_have_to_wait_do_not_fill_the_queue_of_those_who_need_not(
    check: PasswordCheck,
) -> None:
    for _ in range(5):
        assert await outcomes(check, [ANN]) == [BadCredentials]
    # The first is being checked meanwhile, and there is room for one to wait.
    sent = await outcomes(check, [BOB, *[ANN] * 20, BOB])
    assert sent == [BadCredentials, *[TooManyAttempts] * 20, BadCredentials]
    assert (await outcomes(check, [BOB] * 3)).count(Overloaded) == 1


async def test_guesses_sent_at_once_count_one_by_one(passwords: Passwords) -> None:
    patient = Passwords(at_once=1, max_waiting=50)
    check = PasswordCheck(patient, MemoryAttempts(lambda: AT), b"k" * 32)
    try:
        assert 5 <= (await outcomes(check, [ANN] * 20)).count(BadCredentials) <= 6
    finally:
        patient.close()


# the pace of refusals; a slept second is a number


@pytest.fixture
def slept_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", note)
    return slept


async def test_a_refusal_that_comes_alone_is_told_at_once(slept_s: list[float]) -> None:
    await Pace().keep()
    assert slept_s == [0.0]


async def test_many_refusals_are_told_one_after_the_other(slept_s: list[float]) -> None:
    pace = Pace()
    await asyncio.gather(*(pace.keep() for _ in range(50)))
    assert slept_s[-1] == pytest.approx(49 / REFUSALS_PER_S, abs=0.05)
    assert slept_s == sorted(slept_s)


async def test_a_bounded_number_of_refusals_waits(slept_s: list[float]) -> None:
    pace = Pace()
    await asyncio.gather(*(pace.keep() for _ in range(MAX_PACED + 500)))
    assert len(slept_s) == MAX_PACED
    await pace.keep()
    assert len(slept_s) == MAX_PACED + 1


async def test_whoever_goes_away_while_he_waits_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_attempts, "MAX_PACED", 2)
    pace = Pace()
    await pace.keep()
    waiting = [asyncio.create_task(pace.keep()) for _ in range(2)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert pace._waiting == 0


async def test_refused_guesses_keep_the_pace(check: PasswordCheck, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Pace] = []

    async def keep(pace: Pace) -> None:
        kept.append(pace)

    for _ in range(5):
        await outcomes(check, [ANN])
    monkeypatch.setattr(Pace, "keep", keep)
    await outcomes(check, [ANN] * 3)
    await outcomes(check, [BOB])
    assert len(kept) == 3
