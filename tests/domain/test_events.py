"""The name table: complete, one name an event, and the names never change."""

import importlib
import pkgutil
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import get_args

import pytest

import domain
from domain.events import EVENTS, NAMES
from domain.services import SERVICES
from domain.user import EmailClaimed

FIRST_NAMES = {
    "GoodsCreated",
    "GoodsChanged",
    "GoodsDeleted",
    "StockSet",
    "StockAdjusted",
    "StockSold",
    "StockReturned",
    "Sold",
    "SellRefused",
    "RolledBack",
    "RollbackBarred",
    "CartReplaced",
    "CartLinePut",
    "CartLineRemoved",
    "CheckedOut",
    "OrderStarted",
    "SellConfirmed",
    "SellDenied",
    "SellUnanswered",
    "PaymentTaken",
    "PaymentLapsed",
    "OrderCancelled",
    "ReturnConfirmed",
    "Resent",
    "OrderPlaced",
    "OrderPaid",
    "OrderClosed",
    "RefundDue",
    "KeyUsed",
    "UserRegistered",
    "ProfileChanged",
    "PasswordChanged",
    "RoleGranted",
    "LoggedOutEverywhere",
    "EmailClaimed",
    "SessionOpened",
    "SessionRotated",
    "SessionEnded",
    "CheckoutBegun",
    "CheckoutDropped",
    "PlacementRefused",
    "RetryOrdered",
    "CompensationOrdered",
    "CartClosed",
    "LoggedOutElsewhere",
    "UserErased",
    "EmailReleased",
    "SessionBegun",
}


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


def test_names_that_are_in_a_log_somewhere_are_still_known() -> None:
    assert FIRST_NAMES - set(EVENTS) == set()


@pytest.mark.parametrize("kind", EVENTS.values(), ids=EVENTS)
def test_an_event_is_a_frozen_value(kind: type[object]) -> None:
    assert is_dataclass(kind)
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert all(not isinstance(field.default_factory, type) for field in fields(kind))


def test_services_own_different_logs() -> None:
    logs = [service.log for service in SERVICES]

    assert sorted(logs) == ["goods", "inventory", "order", "user"]
