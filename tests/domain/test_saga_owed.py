"""What a saga owes: told from its stream alone, and by the event that makes it owed."""

import pytest

from domain.saga import MOVES, OrderStarted, Resent, SagaEvent, Step, evolve
from domain.saga_acts import RetryOrdered
from domain.saga_owed import owed, owed_after
from domain.sale import Rollback, Sell
from tests.saga_histories import EVENTS, HISTORIES, STARTED, UNITS, name_of_pair, saga_in, told


@pytest.mark.parametrize("step", Step)
def test_what_is_owed_can_be_told_from_the_stream_alone(step: Step) -> None:
    expected = {Step.SELLING: Sell("7", UNITS), Step.ROLLING_BACK: Rollback("7")}

    assert owed(told(*HISTORIES[step])) == expected.get(step)


@pytest.mark.parametrize("pair", MOVES, ids=name_of_pair)
def test_the_event_alone_tells_the_same_as_the_whole_stream(pair: tuple[Step, type[SagaEvent]]) -> None:
    step, kind = pair
    event = STARTED if kind is OrderStarted else EVENTS[kind]

    assert owed_after("7", event) == owed(evolve(saga_in(step), event))


@pytest.mark.parametrize("kind", [Resent, RetryOrdered])
def test_what_moves_nothing_makes_nothing_owed_by_itself(kind: type[SagaEvent]) -> None:
    assert owed_after("7", EVENTS[kind]) is None
