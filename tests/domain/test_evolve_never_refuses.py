"""What is in the log happened: no event, on whatever state, makes evolve raise or change the state it got."""

from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.events import EVENTS
from domain.saga import SagaEvent
from domain.service import Service
from domain.services import SERVICES
from domain.user import EmailEvent


def events_of(category: str) -> st.SearchStrategy[Any]:
    """Events that are defined in the module of that category, or stand in a saga; any values in them."""
    kinds = [kind for kind in EVENTS.values() if kind.__module__ == f"domain.{category}"]
    kinds = [*get_args(SagaEvent)] if category == "saga" else kinds
    return st.one_of([st.from_type(kind) for kind in kinds if kind not in get_args(EmailEvent)])


FOLDS = [
    (service, category) for service in SERVICES for category in service.categories if category != "email"
]
HISTORIES = st.sampled_from(FOLDS).flatmap(
    lambda fold: st.tuples(st.just(fold), st.lists(events_of(fold[1]), max_size=6))
)


@settings(max_examples=400, deadline=None)
@given(HISTORIES)
def test_evolve_takes_any_event(history: tuple[tuple[Service, str], list[Any]]) -> None:
    (service, category), events = history
    stream = f"{category}-1"
    state = service.initial(stream)
    for event in events:
        before = repr(state)
        after = service.evolve(stream, state, event)
        assert repr(state) == before
        assert type(after) is type(state)
        state = after
