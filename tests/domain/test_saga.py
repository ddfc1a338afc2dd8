"""The order saga: every (step, event) pair has a verdict, and only a move moves it."""

from datetime import timedelta
from itertools import product
from typing import get_args

import pytest

from domain.saga import (
    MOVES,
    OWES,
    TERMINAL,
    OrderCancelled,
    PaymentLapsed,
    PaymentTaken,
    PlacementRefused,
    Resent,
    ReturnConfirmed,
    SagaEvent,
    SellConfirmed,
    SellDenied,
    SellUnanswered,
    StartDenied,
    Step,
    evolve,
)
from domain.saga_acts import CompensationOrdered, RetryOrdered
from tests.saga_histories import AT, EVENTS, LINES, PAY_BEFORE, SHORT, STARTED, name_of_pair, saga_in, told

# move: the table of the machine. repeat: the same again. late: somebody else was first.
# impossible: no history of the other side leads here.
VERDICTS = """
                 NEW         SELLING     AWAITING_PAYMENT  PAID        REFUSED     ROLLING_BACK  CLOSED
OrderStarted     move        repeat      repeat            repeat      repeat      repeat        repeat
StartDenied      move        repeat      repeat            repeat      repeat      repeat        repeat
SellConfirmed    impossible  move        repeat            late        impossible  late          late
SellDenied       impossible  move        impossible        impossible  repeat      late          late
PlacementRefused impossible  move        impossible        impossible  impossible  repeat        late
SellUnanswered   impossible  move        late              late        late        repeat        late
PaymentTaken     impossible  impossible  move              repeat      impossible  late          late
PaymentLapsed    impossible  impossible  move              late        impossible  repeat        late
OrderCancelled   impossible  move        move              late        late        repeat        late
ReturnConfirmed  impossible  impossible  impossible        impossible  impossible  move          repeat
Resent           impossible  repeat      late              late        late        repeat        late
RetryOrdered     impossible  repeat      late              late        late        repeat        late
CompensationOrdered impossible move      move              late        late        repeat        late
"""

_HEAD, *_ROWS = [line.split() for line in VERDICTS.strip().splitlines()]
_KINDS = {kind.__name__: kind for kind in EVENTS}
TABLE: dict[tuple[Step, type[SagaEvent]], str] = {
    (Step(step), _KINDS[row[0]]): verdict
    for row in _ROWS
    for step, verdict in zip(_HEAD, row[1:], strict=True)
}
PAIRS = list(product(Step, EVENTS))
STANDING = (Resent, RetryOrdered)
"""What moves nothing, but changes when and how often something owed is sent."""


# the table


def test_every_pair_has_a_verdict() -> None:
    assert set(EVENTS) == set(get_args(SagaEvent))
    assert set(TABLE) == set(PAIRS)
    assert set(TABLE.values()) == {"move", "repeat", "late", "impossible"}


def test_exactly_the_moves_are_in_the_table_of_moves() -> None:
    assert {pair for pair, verdict in TABLE.items() if verdict == "move"} == set(MOVES)


def test_exactly_the_steps_with_a_way_out_owe_something_or_wait_for_the_payer() -> None:
    with_a_way_out = {step for step, _ in MOVES}

    assert with_a_way_out == set(Step) - TERMINAL
    assert set(OWES) == with_a_way_out - {Step.NEW, Step.AWAITING_PAYMENT}


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if TABLE[pair] == "move"], ids=name_of_pair)
def test_a_move_leads_to_its_step_and_the_tries_begin_anew(pair: tuple[Step, type[SagaEvent]]) -> None:
    step, kind = pair
    after = evolve(saga_in(step), EVENTS[kind])

    assert after.step is MOVES[pair]
    assert (after.tries, after.next_try_at) == (0, None)


@pytest.mark.parametrize(
    "pair",
    [pair for pair in PAIRS if TABLE[pair] != "move" and not (pair[1] in STANDING and pair[0] in OWES)],
    ids=name_of_pair,
)
def test_what_does_not_move_the_saga_changes_nothing(pair: tuple[Step, type[SagaEvent]]) -> None:
    step, kind = pair
    saga = saga_in(step)

    assert evolve(saga, EVENTS[kind]) == saga


@pytest.mark.parametrize("step", OWES)
def test_a_resend_changes_the_tries_and_the_pause_and_nothing_else(step: Step) -> None:
    saga = saga_in(step)
    again_at = AT + timedelta(minutes=9)

    assert evolve(saga, Resent(9, again_at, "no answer")) == saga._replace(tries=9, next_try_at=again_at)


@pytest.mark.parametrize("step", OWES)
def test_an_ordered_retry_changes_the_tries_and_the_pause_and_nothing_else(step: Step) -> None:
    saga = saga_in(step)

    assert evolve(saga, RetryOrdered("again", AT)) == saga._replace(tries=0, next_try_at=AT)


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ((STARTED, SellUnanswered()), "sell-unanswered"),
        ((STARTED, OrderCancelled()), "cancelled"),
        ((STARTED, PlacementRefused("account-closed")), "account-closed"),
        ((STARTED, CompensationOrdered("the customer called")), "compensated"),
        ((STARTED, SellConfirmed(PAY_BEFORE), CompensationOrdered("the customer called")), "compensated"),
        ((STARTED, SellConfirmed(PAY_BEFORE), PaymentLapsed()), "payment-lapsed"),
        ((STARTED, SellConfirmed(PAY_BEFORE), OrderCancelled()), "cancelled"),
        ((STARTED, SellDenied("stock-short", SHORT)), "stock-short"),
        ((StartDenied("7", 3, LINES, 600, AT, SHORT),), "stock-short"),
        ((STARTED, SellUnanswered(), ReturnConfirmed(returned=True)), "sell-unanswered"),
        ((STARTED, SellConfirmed(PAY_BEFORE), PaymentTaken()), None),
    ],
)
def test_the_saga_remembers_why_it_ended(events: tuple[SagaEvent, ...], reason: str | None) -> None:
    assert told(*events).reason == reason
