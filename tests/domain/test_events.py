"""The name tables: complete, one name an event, and every name of before leads to one of today.

That names and shapes never change is tested on stored bytes: tests/adapters/test_event_corpus.py.
"""

import importlib
import pkgutil
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import get_args

import pytest

import domain
from domain.events import EVENTS, FORMS, NAMES, other_stored_names, stored_names
from domain.services import SERVICES
from domain.session import SessionBegun
from domain.stock import StockSet
from domain.upcasts import UPCASTS, BadUpcast, Fields, Upcast, newest_forms
from domain.user import EmailClaimed

ROOT = Path(__file__).parents[2]
NAMED_IN_SQL = re.compile(r"\btopic\s*(?:=|<>|IN\s*\()\s*'(\w+)'")


def event_kinds() -> set[type[object]]:
    """Every member of every union called ...Event, and the events that stand alone."""
    found: set[type[object]] = {EmailClaimed}
    for info in pkgutil.iter_modules(domain.__path__):
        module = importlib.import_module(f"domain.{info.name}")
        unions = [value for name, value in vars(module).items() if name.endswith("Event")]
        found |= {kind for union in unions if isinstance(union, UnionType) for kind in get_args(union)}
    return found


def test_every_event_of_the_domain_has_a_name() -> None:
    assert event_kinds() - set(NAMES) == set()


def test_a_name_means_one_event_and_an_event_has_one_name() -> None:
    assert len(set(EVENTS.values())) == len(EVENTS) == len(NAMES)


@pytest.mark.parametrize("kind", EVENTS.values(), ids=EVENTS)
def test_an_event_is_a_value(kind: type[object]) -> None:
    """Frozen, or held to it by the type checker alone (`domain.values`); equal by its fields either way."""
    assert is_dataclass(kind)
    made_as = kind.__dataclass_params__  # type: ignore[attr-defined]
    assert made_as.frozen or (made_as.unsafe_hash and made_as.eq)
    assert "__dict__" not in dir(kind)
    assert all(not isinstance(field.default_factory, type) for field in fields(kind))


# upcasts


def same(fields: Fields) -> Fields:
    return fields


def first(fields: Fields) -> Fields:
    return {**fields, "first": True}


def test_a_name_of_before_leads_through_every_hop_to_the_event_of_today() -> None:
    upcasts = {"Set": Upcast("Stocked", first), "Stocked": Upcast("StockSet", same)}
    forms = newest_forms({"StockSet": StockSet}, upcasts)

    assert {name: (form.kind, form.changes) for name, form in forms.items()} == {
        "StockSet": (StockSet, ()),
        "Stocked": (StockSet, (same,)),
        "Set": (StockSet, (first, same)),
    }


@pytest.mark.parametrize(
    ("upcasts", "why"),
    [
        ({"Set": "Set"}, "Set -> Set: a circle"),
        ({"Set": "Stocked", "Stocked": "Set"}, "Set -> Stocked -> Set: a circle"),
        ({"Old": "Set", "Set": "Stocked", "Stocked": "Set"}, "Set -> Stocked -> Set: a circle"),
        ({"Set": "Stocked"}, "Set -> Stocked: the last of them is no event and is not upcast"),
        ({"StockSet": "StockSet"}, "StockSet: a name that is upcast cannot be an event's as well"),
        ({"StockSet": "Set", "Set": "StockSet"}, "StockSet: a name that is upcast"),
    ],
)
def test_an_upcast_that_is_no_way_to_an_event_is_refused_at_the_start(
    upcasts: dict[str, str], why: str
) -> None:
    with pytest.raises(BadUpcast, match=re.escape(why)):
        newest_forms({"StockSet": StockSet}, {name: Upcast(to, same) for name, to in upcasts.items()})


def test_every_name_is_an_event_of_today_or_of_before() -> None:
    assert set(FORMS) == set(EVENTS) | set(UPCASTS)
    assert all(form.kind in NAMES for form in FORMS.values())


def test_an_event_may_stand_in_a_log_under_every_name_it_ever_had() -> None:
    assert stored_names(SessionBegun) == ("SessionBegun", "SessionOpened")
    assert stored_names(StockSet) == ("StockSet",)
    assert sorted(name for kind in NAMES for name in stored_names(kind)) == sorted(FORMS)


def test_who_wants_some_events_reads_past_every_name_that_the_others_ever_had() -> None:
    everything = set(FORMS)

    assert set(other_stored_names({SessionBegun})) == everything - {"SessionBegun", "SessionOpened"}
    assert set(other_stored_names({StockSet})) == everything - {"StockSet"}
    assert other_stored_names(set(NAMES)) == []


def test_sql_that_names_an_event_knows_every_name_it_ever_had() -> None:
    """Queries with names written out find what is stored under exactly these, so one name must be all."""
    files = [*(ROOT / "adapters").rglob("*.py"), *(ROOT / "adapters").rglob("*.sql")]
    named = {name for path in files for name in NAMED_IN_SQL.findall(path.read_text())}

    assert "UserErased" in named
    assert {name: stored_names(EVENTS[name]) for name in named} == {name: (name,) for name in named}


# services


def test_services_own_different_logs() -> None:
    logs = [service.log for service in SERVICES]

    assert sorted(logs) == ["goods", "inventory", "order", "user"]
