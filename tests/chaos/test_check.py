"""The independent check must be able to fail: each promise, broken by one small change of a true history."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.books import Books, Event, Streams
from tests.chaos.check import PROMISES, violations
from tests.chaos.notes import GIVEN_UP, NOTHING, PLACED, REFUSED, Notes, OrderNote, Paid

LINES = [{"goods_id": 1, "nums": 2, "price": 50, "name": "Cup"}]
UNITS = [{"goods_id": 1, "nums": 2}]
BOUGHT, LAPSED, SHORT, SILENT, UNASKED = "11", "12", "13", "14", "15"


def stream(position: int, *events: tuple[str, dict[str, Any]]) -> list[Event]:
    return [
        Event(version, name, data, position + version) for version, (name, data) in enumerate(events, start=1)
    ]


def placed(order_id: str) -> tuple[str, dict[str, Any]]:
    return "OrderPlaced", {"placed": {"order_id": order_id, "user_id": 7, "lines": LINES, "amount": 100}}


def moved(name: str, order_id: str, on_hand: int) -> tuple[str, dict[str, Any]]:
    return name, {"order_id": order_id, "nums": 2, "on_hand": on_hand}


def payment(name: str, trade_id: str) -> tuple[str, dict[str, Any]]:
    return name, {"payment": {"trade_id": trade_id, "amount": 100}}


def order_log() -> Streams:
    return {
        f"saga-{BOUGHT}": stream(0, ("OrderStarted", {}), ("SellConfirmed", {}), ("PaymentTaken", {})),
        f"order-{BOUGHT}": stream(10, placed(BOUGHT), payment("OrderPaid", "t1")),
        f"saga-{LAPSED}": stream(
            20, ("OrderStarted", {}), ("SellConfirmed", {}), ("PaymentLapsed", {}), ("ReturnConfirmed", {})
        ),
        f"order-{LAPSED}": stream(
            30, placed(LAPSED), ("OrderClosed", {"reason": "payment-lapsed"}), payment("RefundDue", "t2")
        ),
        f"saga-{SHORT}": stream(40, ("OrderStarted", {}), ("SellDenied", {})),
        f"saga-{SILENT}": stream(50, ("OrderStarted", {}), ("SellUnanswered", {}), ("ReturnConfirmed", {})),
        f"saga-{UNASKED}": stream(60, ("StartDenied", {})),
    }


def inventory_log() -> Streams:
    return {
        "stock-1": stream(
            0,
            ("StockSet", {"on_hand": 4, "before": 0}),
            moved("StockSold", BOUGHT, 2),
            moved("StockSold", LAPSED, 0),
            moved("StockReturned", LAPSED, 2),
            ("StockAdjusted", {"delta": 3, "reason": "delivery", "on_hand": 5}),
        ),
        f"sale-{BOUGHT}": stream(10, ("Sold", {"lines": UNITS})),
        f"sale-{LAPSED}": stream(20, ("Sold", {"lines": UNITS}), ("RolledBack", {"lines": UNITS})),
        f"sale-{SHORT}": stream(30, ("SellRefused", {"lines": UNITS, "short": []})),
        f"sale-{SILENT}": stream(40, ("RollbackBarred", {})),
    }


def tables() -> dict[str, list[tuple[Any, ...]]]:
    return {
        "inventory": [(1, 5, 5)],
        "order_info": [
            (11, 7, 2, 100, "t1", None, 0),
            (12, 7, 3, 100, None, "payment-lapsed", 100),
        ],
        "order_goods": [(11, 1, 50, 2), (12, 1, 50, 2)],
        "stock_sell_detail": [(11, 1, UNITS), (12, 2, UNITS), (13, 3, UNITS), (14, 4, [])],
        "order_saga": [
            (11, "PAID", None),
            (12, "CLOSED", None),
            (13, "REFUSED", None),
            (14, "CLOSED", None),
            (15, "REFUSED", None),
        ],
    }


def note(key: str, outcome: str, order_id: str, **more: Any) -> OrderNote:
    asked = ((1, 2),)
    known = {"lines": asked, "amount": 100} if outcome == PLACED else {}
    return OrderNote(key, 7, asked, outcome, [order_id] if order_id else [], **{**known, **more})


@pytest.fixture
def books() -> Books:
    return Books(order_log(), inventory_log(), tables())


@pytest.fixture
def notes() -> Notes:
    return Notes(
        orders=[
            note("a", PLACED, BOUGHT, payments=[Paid("t1", 100, "paid"), Paid("t9", 100, "refused")]),
            note("b", PLACED, LAPSED, payments=[Paid("t2", 100, "refund due")]),
            note("c", REFUSED, SHORT),
            note("d", GIVEN_UP, SILENT),
            note("e", NOTHING, ""),
            note("f", REFUSED, UNASKED),
        ],
        stocked={1: 4},
        added={"delivery": (1, 3)},
    )


def broken(notes: Notes, books: Books) -> set[str]:
    return {promise for promise, sentences in violations(notes, books).items() if sentences}


def test_a_true_history_breaks_nothing(notes: Notes, books: Books) -> None:
    assert broken(notes, books) == set()


Change = Callable[[Notes, Books], object]


def drop_last(streams: str, name: str) -> Change:
    return lambda _, books: getattr(books, streams)[name].pop()


def add(streams: str, name: str, kind: str, data: dict[str, Any]) -> Change:
    def change(_: Notes, books: Books) -> None:
        events = getattr(books, streams).setdefault(name, [])
        events.append(Event(len(events) + 1, kind, data, 1000 + len(events)))

    return change


def alter(streams: str, name: str, version: int, **data: Any) -> Change:
    def change(_: Notes, books: Books) -> None:
        events = getattr(books, streams)[name]
        events[version - 1] = replace(events[version - 1], data={**events[version - 1].data, **data})

    return change


def row(table: str, number: int, *values: Any) -> Change:
    return lambda _, books: books.tables[table].__setitem__(number, values)


def in_notes(number: int, **values: Any) -> Change:
    def change(notes: Notes, _: Books) -> None:
        notes.orders[number] = replace(notes.orders[number], **values)

    return change


SOLD_AGAIN = {"order_id": BOUGHT, "nums": 2, "on_hand": 3}
RETURNED_AGAIN = {"order_id": LAPSED, "nums": 2, "on_hand": 7}
BARRED = {"goods_id": 1, "nums": 1}

DOCTORED: list[tuple[str, str, Change]] = [
    (
        "an accepted order is lost",
        "placed orders are in the log",
        lambda _, b: b.order.pop(f"order-{BOUGHT}"),
    ),
    ("a unit more", "placed orders are in the log", in_notes(0, lines=((1, 3),))),
    ("a penny less", "placed orders are in the log", in_notes(0, amount=99)),
    ("a key with two orders", "one key, one order", in_notes(0, order_ids=[BOUGHT, LAPSED])),
    ("an order nobody asked for", "one key, one order", add("order", "saga-99", "OrderStarted", {})),
    ("started twice", "one key, one order", add("order", f"saga-{BOUGHT}", "OrderStarted", {})),
    ("oversold", "never oversold, every unit accounted for", alter("inventory", "stock-1", 3, nums=3)),
    (
        "a wrong level",
        "never oversold, every unit accounted for",
        alter("inventory", "stock-1", 2, on_hand=3),
    ),
    (
        "other opening stock",
        "never oversold, every unit accounted for",
        lambda n, _: n.stocked.update({1: 5}),
    ),
    ("sold twice in stock", "sold once, returned once", add("inventory", "stock-1", "StockSold", SOLD_AGAIN)),
    ("sold twice", "sold once, returned once", add("inventory", f"sale-{BOUGHT}", "Sold", {"lines": UNITS})),
    (
        "returned twice",
        "sold once, returned once",
        add("inventory", f"sale-{LAPSED}", "RolledBack", {"lines": UNITS}),
    ),
    (
        "returned twice in stock",
        "sold once, returned once",
        add("inventory", "stock-1", "StockReturned", RETURNED_AGAIN),
    ),
    ("never returned", "sold once, returned once", drop_last("inventory", f"sale-{LAPSED}")),
    ("not returned, and not paid", "what is sold is what was paid", drop_last("inventory", f"sale-{LAPSED}")),
    (
        "returned though paid",
        "what is sold is what was paid",
        add("inventory", f"sale-{BOUGHT}", "RolledBack", {"lines": UNITS}),
    ),
    (
        "paid for less",
        "what is sold is what was paid",
        alter("inventory", f"sale-{BOUGHT}", 1, lines=[BARRED]),
    ),
    ("a saga without an end", "one last step", drop_last("order", f"saga-{LAPSED}")),
    ("two ends", "one last step", add("order", f"saga-{BOUGHT}", "ReturnConfirmed", {})),
    ("paid and closed", "one last step", add("order", f"order-{BOUGHT}", "OrderClosed", {"reason": "x"})),
    ("a lost payment", "payments are in the log", drop_last("order", f"order-{BOUGHT}")),
    ("a lost refund", "payments are in the log", drop_last("order", f"order-{LAPSED}")),
    (
        "a payment twice",
        "payments are in the log",
        add("order", f"order-{BOUGHT}", *payment("OrderPaid", "t1")),
    ),
    (
        "a payment that was refused",
        "payments are in the log",
        add("order", f"order-{BOUGHT}", *payment("RefundDue", "t9")),
    ),
    ("not really short", "refusals and cancellations are in the log", in_notes(2, order_ids=[BOUGHT])),
    (
        "sold although it was denied",
        "refusals and cancellations are in the log",
        add("inventory", f"sale-{UNASKED}", "Sold", {"lines": UNITS}),
    ),
    ("not really given up", "refusals and cancellations are in the log", in_notes(3, order_ids=[BOUGHT])),
    ("not really cancelled", "refusals and cancellations are in the log", in_notes(0, cancelled=True)),
    ("a delivery lost", "deliveries count once", lambda n, _: n.added.update(more=(1, 3))),
    ("a delivery unasked", "deliveries count once", lambda n, _: n.added.clear()),
    ("a gap in a stream", "streams are whole", lambda _, b: b.order[f"saga-{BOUGHT}"].pop(1)),
    ("no answer", "every answer was right", in_notes(0, outcome="unknown")),
    ("a complaint", "every answer was right", lambda n, _: n.complain("500")),
    ("another level on show", "read models agree", row("inventory", 0, 1, 6, 5)),
    ("another status on show", "read models agree", row("order_info", 0, 11, 7, 1, 100, None, None, 0)),
    ("another price on show", "read models agree", row("order_goods", 0, 11, 1, 51, 2)),
    ("another sale on show", "read models agree", row("stock_sell_detail", 1, 12, 1, UNITS)),
    ("another step on show", "read models agree", row("order_saga", 1, 12, "ROLLING_BACK", "Rollback")),
    ("an order not on show", "read models agree", lambda _, b: b.tables["order_info"].pop()),
]


@pytest.mark.parametrize(("promise", "change"), [d[1:] for d in DOCTORED], ids=[d[0] for d in DOCTORED])
def test_a_doctored_history_is_seen(notes: Notes, books: Books, promise: str, change: Change) -> None:
    change(notes, books)

    assert promise in broken(notes, books)


def test_a_history_that_makes_no_sense_is_seen_too(notes: Notes, books: Books) -> None:
    books.order[f"order-{BOUGHT}"].pop(0)

    assert {"placed orders are in the log", "what is sold is what was paid"} <= broken(notes, books)


def test_every_promise_was_broken_once() -> None:
    assert {promise for _, promise, _ in DOCTORED} == set(PROMISES)


def test_an_order_of_a_try_that_came_late_is_not_an_order_nobody_asked_for(
    notes: Notes, books: Books
) -> None:
    """Key e was answered "not now", and then one of its earlier tries was executed after all."""
    books.order["saga-99"] = stream(900, ("OrderStarted", {}), ("SellDenied", {}))
    books.order["key-0123"] = stream(950, ("KeyUsed", {"about": "99"}))
    assert "one key, one order" in broken(notes, books)

    digest = hashlib.sha256(b"user-7\ne").hexdigest()[:32]
    books.order[f"key-{digest}"] = stream(960, ("KeyUsed", {"about": "99"}))
    assert broken(notes, books) == {"read models agree"}
