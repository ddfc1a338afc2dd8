"""The stored name of every event. Append only: a name is a format, so it is never changed or used again.

Moving a class to another file changes nothing here but the import. A changed shape gets a new name, and the
old one moves to `domain.upcasts`: the two tables together are every name that ever was in a log.
"""

from collections.abc import Collection, Mapping
from typing import Any

from domain import cart, goods, key, order, saga, saga_acts, sale, session, stock, user
from domain.upcasts import UPCASTS, Form, newest_forms

EVENTS: Mapping[str, type[Any]] = {
    "GoodsCreated": goods.GoodsCreated,
    "GoodsChanged": goods.GoodsChanged,
    "GoodsDeleted": goods.GoodsDeleted,
    "StockSet": stock.StockSet,
    "StockAdjusted": stock.StockAdjusted,
    "StockSold": stock.StockSold,
    "StockReturned": stock.StockReturned,
    "Sold": sale.Sold,
    "SellRefused": sale.SellRefused,
    "RolledBack": sale.RolledBack,
    "RollbackBarred": sale.RollbackBarred,
    "CartReplaced": cart.CartReplaced,
    "CartLinePut": cart.CartLinePut,
    "CartLineRemoved": cart.CartLineRemoved,
    "CheckedOut": cart.CheckedOut,
    "OrderStarted": saga.OrderStarted,
    "SellConfirmed": saga.SellConfirmed,
    "SellDenied": saga.SellDenied,
    "SellUnanswered": saga.SellUnanswered,
    "PaymentTaken": saga.PaymentTaken,
    "PaymentLapsed": saga.PaymentLapsed,
    "OrderCancelled": saga.OrderCancelled,
    "ReturnConfirmed": saga.ReturnConfirmed,
    "Resent": saga.Resent,
    "OrderPlaced": order.OrderPlaced,
    "OrderPaid": order.OrderPaid,
    "OrderClosed": order.OrderClosed,
    "RefundDue": order.RefundDue,
    "KeyUsed": key.KeyUsed,
    "UserRegistered": user.UserRegistered,
    "ProfileChanged": user.ProfileChanged,
    "PasswordChanged": user.PasswordChanged,
    "RoleGranted": user.RoleGranted,
    "LoggedOutEverywhere": user.LoggedOutEverywhere,
    "EmailClaimed": user.EmailClaimed,
    "SessionRotated": session.SessionRotated,
    "SessionEnded": session.SessionEnded,
    "CheckoutBegun": cart.CheckoutBegun,
    "CheckoutDropped": cart.CheckoutDropped,
    "PlacementRefused": saga.PlacementRefused,
    "RetryOrdered": saga_acts.RetryOrdered,
    "CompensationOrdered": saga_acts.CompensationOrdered,
    "CartClosed": cart.CartClosed,
    "LoggedOutElsewhere": user.LoggedOutElsewhere,
    "UserErased": user.UserErased,
    "EmailReleased": user.EmailReleased,
    "SessionBegun": session.SessionBegun,
    "AnsweredUndecided": key.AnsweredUndecided,
    "StartDenied": saga.StartDenied,
}

NAMES: Mapping[type[Any], str] = {kind: name for name, kind in EVENTS.items()}
"""The name that an event is stored under today."""

FORMS: Mapping[str, Form] = newest_forms(EVENTS, UPCASTS)
"""What each name that may stand in a log is read as. Importing this raises BadUpcast for a wrong table."""

_STORED_NAMES: Mapping[type[Any], tuple[str, ...]] = {
    kind: tuple(name for name, form in FORMS.items() if form.kind is kind) for kind in NAMES
}


def stored_names(kind: type[Any]) -> tuple[str, ...]:
    """Every name under which such an event may stand in a log, that of today first."""
    return _STORED_NAMES[kind]


def other_stored_names(kinds: Collection[type[Any]]) -> list[str]:
    """Every name under which none of these events ever stood: what who wants only these need not read."""
    return sorted(name for name, form in FORMS.items() if form.kind not in kinds)
