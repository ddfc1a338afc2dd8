"""When a waiting saga is looked at again: pauses that grow, and deadlines that are not slept through."""

from datetime import datetime, timedelta

import pytest

from domain.saga import (
    NEW,
    OWES,
    GiveUpSelling,
    LapsePayment,
    NoteResend,
    Resent,
    Saga,
    SellUnanswered,
    Step,
    evolve,
)
from domain.saga_decisions import decide_resend
from domain.saga_timing import RESEND_PAUSES_S, wake, wakes_at
from tests.saga_histories import AT, PAY_BEFORE, SECOND, SELL_BEFORE, STARTED, saga_in, told


@pytest.mark.parametrize(
    ("saga", "at"),
    [
        (NEW, None),
        (saga_in(Step.PAID), None),
        (saga_in(Step.REFUSED), None),
        (saga_in(Step.CLOSED), None),
        (saga_in(Step.AWAITING_PAYMENT), PAY_BEFORE),
        (told(STARTED), AT + timedelta(seconds=RESEND_PAUSES_S[0])),
        (saga_in(Step.SELLING), AT + timedelta(seconds=7)),
        (saga_in(Step.ROLLING_BACK), AT + timedelta(seconds=7)),
    ],
)
def test_a_saga_says_when_to_look_at_it(saga: Saga, at: datetime | None) -> None:
    assert wakes_at(saga, AT) == at


def test_the_first_look_is_never_after_the_deadline_whatever_two_clocks_say() -> None:
    """Found by simulation: the clock of a request's cause was minutes ahead of the one of its deadline."""
    assert wakes_at(told(STARTED), SELL_BEFORE + timedelta(minutes=4)) == SELL_BEFORE


@pytest.mark.parametrize(
    ("saga", "at", "command"),
    [
        (NEW, AT, None),
        (saga_in(Step.PAID), PAY_BEFORE, None),
        (saga_in(Step.REFUSED), PAY_BEFORE, None),
        (saga_in(Step.CLOSED), PAY_BEFORE, None),
        (saga_in(Step.AWAITING_PAYMENT), PAY_BEFORE - SECOND, None),
        (saga_in(Step.AWAITING_PAYMENT), PAY_BEFORE, LapsePayment("7", PAY_BEFORE)),
        (saga_in(Step.SELLING), SELL_BEFORE, GiveUpSelling("7", SELL_BEFORE)),
    ],
)
def test_a_deadline_that_has_passed_wakes_the_saga(
    saga: Saga, at: datetime, command: GiveUpSelling | LapsePayment | None
) -> None:
    assert wake(saga, at) == command


@pytest.mark.parametrize(
    ("step", "at"), [(Step.SELLING, SELL_BEFORE - SECOND), (Step.ROLLING_BACK, AT + timedelta(days=9))]
)
def test_what_is_owed_is_sent_again(step: Step, at: datetime) -> None:
    command = wake(saga_in(step), at)

    owed = {Step.SELLING: "Sell", Step.ROLLING_BACK: "Rollback"}[step]
    assert command == NoteResend("7", at, f"inventory has not answered {owed}")


def resent_until_quiet(saga: Saga, now: datetime, times: int) -> list[float]:
    """Seconds to the next try after each of so many resends, each made when it was due."""
    pauses = []
    for _ in range(times):
        resent = decide_resend(saga, NoteResend("7", now, "no answer"))
        assert resent is not None
        pauses.append((resent.next_try_at - now).total_seconds())
        saga, now = evolve(saga, resent), resent.next_try_at
    return pauses


def test_pauses_between_resends_grow_and_then_stay() -> None:
    back = told(STARTED, SellUnanswered())

    assert resent_until_quiet(back, AT, 9) == [2, 4, 8, 15, 30, 60, 60, 60, 60]


def test_a_pause_never_sleeps_through_the_deadline_of_the_sell() -> None:
    assert resent_until_quiet(told(STARTED), AT + SECOND, 5) == [2, 4, 8, 15, 0]
    assert AT + timedelta(seconds=1 + 2 + 4 + 8 + 15) == SELL_BEFORE


def test_two_watchdogs_at_once_send_it_again_once() -> None:
    saga = told(STARTED, Resent(1, AT + timedelta(seconds=2), "no answer"))

    assert decide_resend(saga, NoteResend("7", AT + timedelta(seconds=1), "no answer")) is None


@pytest.mark.parametrize("step", sorted(set(Step) - set(OWES)))
def test_nothing_is_sent_again_when_nothing_is_owed(step: Step) -> None:
    assert decide_resend(saga_in(step), NoteResend("7", PAY_BEFORE, "no answer")) is None
