"""The independent check: what the workload was answered, against the raw logs and the read models.

It knows the shop's promises and the names of its events, and shares no code with the shop: `domain` and
`orchestrator` are not imported. Each function is one promise and yields its violations as sentences.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tests.chaos.books import Books, Event
from tests.chaos.notes import GIVEN_UP, NOTHING, PLACED, REFUSED, UNKNOWN, Lines, Notes, OrderNote

SOLD, RETURNED, SHORT, BARRED = 1, 2, 3, 4
"""Status of a sale in the read model."""
TO_PAY, PAID, CLOSED = 1, 2, 3
LAST_STEPS: Final = {
    "PaymentTaken": "PAID",
    "SellDenied": "REFUSED",
    "StartDenied": "REFUSED",
    "ReturnConfirmed": "CLOSED",
}

Promise = Callable[[Notes, Books], Iterator[str]]


def violations(notes: Notes, books: Books) -> dict[str, list[str]]:
    """Promise -> how it was broken; every promise is named, kept or not."""
    return {name: _kept(promise, notes, books) for name, promise in PROMISES.items()}


def _kept(promise: Promise, notes: Notes, books: Books) -> list[str]:
    """A log that makes so little sense that it cannot be checked has broken the promise too."""
    try:
        return list(promise(notes, books))
    except (LookupError, TypeError) as error:
        return [f"cannot be checked: {type(error).__name__} {error}"]


def every_answer_was_right(notes: Notes, _: Books) -> Iterator[str]:
    yield from notes.complaints
    for note in notes.orders:
        if note.outcome == UNKNOWN:
            yield f"key {note.key} never had an answer"


def streams_are_whole(_: Notes, books: Books) -> Iterator[str]:
    for streams in (books.order, books.inventory):
        positions = Counter(event.position for events in streams.values() for event in events)
        yield from (f"position {position} was given twice" for position, n in positions.items() if n > 1)
        for name, events in streams.items():
            if [event.version for event in events] != [*range(1, len(events) + 1)]:
                yield f"{name} has the versions {[event.version for event in events]}"


def one_key_one_order(notes: Notes, books: Books) -> Iterator[str]:
    """Each key's order, and no order that nobody asked for."""
    for note in notes.orders:
        if len(note.order_ids) > 1:
            yield f"key {note.key} was answered with the orders {note.order_ids}"
        begun = sum(_named(books.saga(note.order_id), name) for name in ("OrderStarted", "StartDenied"))
        if note.order_id and begun != 1:
            yield f"order {note.order_id} of key {note.key} was not started exactly once"
    known = {note.order_id for note in notes.orders} | _started_late(notes, books)
    for order_id in books.keys(books.order, "saga"):
        if order_id not in known:
            yield f"order {order_id} was started, and nobody asked for it"


def _started_late(notes: Notes, books: Books) -> set[str]:
    """Orders of keys that were answered "not now" while an earlier try of theirs was still under way."""
    late = {_key_stream(note) for note in notes.orders if note.outcome == NOTHING}
    return {
        event.data["about"]
        for name in books.order
        if name.startswith("key-") and any(stream.startswith(name) for stream in late)
        for event in books.order[name]
    }


def _key_stream(note: OrderNote) -> str:
    """The stream's name begins so; how many digits of the hash it has is the shop's business."""
    return "key-" + hashlib.sha256(f"user-{note.user_id}\n{note.key}".encode()).hexdigest()


def placed_orders_are_in_the_log(notes: Notes, books: Books) -> Iterator[str]:
    for note in notes.orders:
        if note.outcome != PLACED:
            continue
        found = [event.data["placed"] for event in books.placed(note.order_id) if event.name == "OrderPlaced"]
        if len(found) != 1:
            yield f"order {note.order_id} was answered as placed and is {len(found)} times in the log"
            continue
        lines = _lines(found[0]["lines"])
        price = sum(line["price"] * line["nums"] for line in found[0]["lines"])
        if (lines, found[0]["amount"], price) != (note.lines, note.amount, note.amount):
            yield f"order {note.order_id} was answered as {note.lines} for {note.amount}, recorded {found[0]}"


def other_answers_are_in_the_log(notes: Notes, books: Books) -> Iterator[str]:
    """Short of stock, given up, cancelled: each has its reason there."""
    for note in notes.orders:
        saga = {event.name for event in books.saga(note.order_id)}
        sale = {event.name for event in books.sale(note.order_id)}
        asked = sale == {"SellRefused"} and "SellDenied" in saga
        unasked = not sale and saga == {"StartDenied"}
        if note.outcome == REFUSED and not (asked or unasked):
            yield f"order {note.order_id} was answered as short, the log says {sale} {saga}"
        if note.outcome == GIVEN_UP and not saga & {"SellUnanswered", "OrderCancelled", "SellDenied"}:
            yield f"order {note.order_id} was answered as given up, the log says {saga}"
        if note.outcome in {REFUSED, GIVEN_UP} and books.placed(note.order_id):
            yield f"order {note.order_id} was answered as {note.outcome}, and was placed"
        if note.cancelled and "OrderCancelled" not in saga:
            yield f"order {note.order_id} was answered as cancelled, the log says {saga}"


def payments_are_in_the_log(notes: Notes, books: Books) -> Iterator[str]:
    names = {"paid": "OrderPaid", "refund due": "RefundDue"}
    for note in notes.orders:
        recorded = Counter(
            (event.name, event.data["payment"]["trade_id"], event.data["payment"]["amount"])
            for event in books.placed(note.order_id)
            if "payment" in event.data
        )
        answered = {(names.get(p.answer, ""), p.trade_id, p.amount) for p in note.payments}
        for wanted in answered:
            if wanted[0] and recorded[wanted] != 1:
                yield f"order {note.order_id}: {wanted} is {recorded[wanted]} times in the log"
        for name, trade_id, amount in recorded:
            if (name, trade_id, amount) not in answered:
                yield f"order {note.order_id}: {name} {trade_id} of {amount} was not answered so"


def stock_is_never_oversold(notes: Notes, books: Books) -> Iterator[str]:
    """The running level is never below 0, and is what was set and added, less what was sold, plus returns."""
    for key in books.keys(books.inventory, "stock"):
        level = 0
        for event in books.inventory[f"stock-{key}"]:
            level = event.data["on_hand"] if event.name == "StockSet" else level + _moved(event)
            if level < 0:
                yield f"goods {key} had {level} units at version {event.version}"
            if event.data["on_hand"] != level:
                yield f"goods {key} version {event.version} says {event.data['on_hand']}, the sum is {level}"
        wanted = notes.stocked.get(int(key), 0) + _net(books, key)
        if wanted != level:
            yield f"goods {key} ends with {level}, the opening stock and all movements give {wanted}"


def _moved(event: Event) -> int:
    match event.name:
        case "StockAdjusted":
            return int(event.data["delta"])
        case "StockSold":
            return -int(event.data["nums"])
        case "StockReturned":
            return int(event.data["nums"])
        case _:
            return 0


def _net(books: Books, key: str) -> int:
    return sum(map(_moved, books.inventory[f"stock-{key}"]))


def deliveries_count_once(notes: Notes, books: Books) -> Iterator[str]:
    recorded = Counter(
        (event.data["reason"], int(key), event.data["delta"])
        for key in books.keys(books.inventory, "stock")
        for event in books.inventory[f"stock-{key}"]
        if event.name == "StockAdjusted"
    )
    answered = {(reason, goods_id, delta) for reason, (goods_id, delta) in notes.added.items()}
    for delivery in answered | set(recorded):
        if recorded[delivery] != 1 or delivery not in answered:
            yield f"{delivery} was acknowledged {delivery in answered}, recorded {recorded[delivery]} times"


def each_sale_and_return_counts_once(_: Notes, books: Books) -> Iterator[str]:
    """At most one of each for an order, returns only of what was sold, and stock moved by exactly that."""
    sold, returned = _moves_by_order(books, "StockSold"), _moves_by_order(books, "StockReturned")
    for order_id in {*books.keys(books.inventory, "sale"), *sold, *returned}:
        sale = books.sale(order_id)
        names = [event.name for event in sale]
        if names not in LEGAL_SALES:
            yield f"sale of order {order_id} is {names}"
        for name, moved in (("Sold", sold), ("RolledBack", returned)):
            wanted = Counter(
                line for event in sale if event.name == name for line in _lines(event.data["lines"])
            )
            found = moved.get(order_id, Counter())
            if found != wanted:
                yield f"order {order_id}: {name} {dict(wanted)}, stock moved by {dict(found)}"
        if names == ["Sold", "RolledBack"] and sale[0].data["lines"] != sale[1].data["lines"]:
            yield f"order {order_id} returned {sale[1].data['lines']} of {sale[0].data['lines']}"


LEGAL_SALES: Final = (
    ["Sold"],
    ["Sold", "RolledBack"],
    ["SellRefused"],
    ["SellRefused", "RollbackBarred"],
    ["RollbackBarred"],
)


def _moves_by_order(books: Books, name: str) -> dict[str, Counter[tuple[int, int]]]:
    moves: dict[str, Counter[tuple[int, int]]] = {}
    for key in books.keys(books.inventory, "stock"):
        for event in books.inventory[f"stock-{key}"]:
            if event.name == name:
                line = (int(key), event.data["nums"])
                moves.setdefault(event.data["order_id"], Counter())[line] += 1
    return moves


def sold_is_what_was_paid(_: Notes, books: Books) -> Iterator[str]:
    """Once every saga is at its end: sales without a return are exactly the paid orders, line by line."""
    kept = {
        order_id: _lines(books.sale(order_id)[0].data["lines"])
        for order_id in books.keys(books.inventory, "sale")
        if [event.name for event in books.sale(order_id)] == ["Sold"]
    }
    paid = {
        order_id: _lines(books.placed(order_id)[0].data["placed"]["lines"])
        for order_id in books.keys(books.order, "order")
        if _named(books.placed(order_id), "OrderPaid")
    }
    for order_id in sorted({*kept, *paid}):
        if kept.get(order_id) != paid.get(order_id):
            yield f"order {order_id} has {kept.get(order_id)} of the stock and paid {paid.get(order_id)}"


def one_last_step(_: Notes, books: Books) -> Iterator[str]:
    for order_id in books.keys(books.order, "saga"):
        last = [event.name for event in books.saga(order_id) if event.name in LAST_STEPS]
        if len(last) != 1:
            yield f"saga of order {order_id} has the last steps {last}"
    for order_id in books.keys(books.order, "order"):
        ends = [event.name for event in books.placed(order_id) if event.name in {"OrderPaid", "OrderClosed"}]
        if len(ends) != 1:
            yield f"order {order_id} ended {len(ends)} times: {ends}"


def read_models_agree(_: Notes, books: Books) -> Iterator[str]:
    yield from _differences("inventory", _levels(books), _keyed(books, "inventory"))
    yield from _differences("order_info", _orders(books), _keyed(books, "order_info"))
    yield from _differences("order_saga", _steps(books), _keyed(books, "order_saga"))
    yield from _differences("stock_sell_detail", _sales(books), _sale_rows(books))
    goods: dict[int, Counter[Any]] = {}
    for order_id, goods_id, price, nums in books.tables.get("order_goods", []):
        goods.setdefault(order_id, Counter())[goods_id, price, nums] += 1
    wanted = {
        int(order_id): Counter(
            (line["goods_id"], line["price"], line["nums"])
            for line in books.placed(order_id)[0].data["placed"]["lines"]
        )
        for order_id in books.keys(books.order, "order")
    }
    yield from _differences("order_goods", wanted, goods)


def _differences(table: str, wanted: Mapping[int, Any], found: Mapping[int, Any]) -> Iterator[str]:
    for key in sorted({*wanted, *found}):
        if wanted.get(key) != found.get(key):
            yield f"read.{table} has {found.get(key)} for {key}, the log gives {wanted.get(key)}"


def _keyed(books: Books, table: str) -> dict[int, tuple[Any, ...]]:
    return {row[0]: row[1:] for row in books.tables.get(table, [])}


def _levels(books: Books) -> dict[int, tuple[int, int]]:
    ends = {key: books.inventory[f"stock-{key}"][-1] for key in books.keys(books.inventory, "stock")}
    return {int(key): (last.data["on_hand"], last.version) for key, last in ends.items()}


def _orders(books: Books) -> dict[int, tuple[Any, ...]]:
    """(user, status, amount, trade, close reason, refund due) of each order."""
    rows: dict[int, tuple[Any, ...]] = {}
    for order_id in books.keys(books.order, "order"):
        events = books.placed(order_id)
        placed = events[0].data["placed"]
        paid = [event.data["payment"] for event in events if event.name == "OrderPaid"]
        closed = [event.data["reason"] for event in events if event.name == "OrderClosed"]
        refunds = sum(event.data["payment"]["amount"] for event in events if event.name == "RefundDue")
        status = PAID if paid else CLOSED if closed else TO_PAY
        trade_id = paid[0]["trade_id"] if paid else None
        reason = closed[0] if closed else None
        rows[int(order_id)] = (placed["user_id"], status, placed["amount"], trade_id, reason, refunds)
    return rows


def _steps(books: Books) -> dict[int, tuple[str, None]]:
    """Only meaningful once every saga is at its end, where nothing is owed."""
    steps: dict[int, tuple[str, None]] = {}
    for order_id in books.keys(books.order, "saga"):
        for event in books.saga(order_id):
            if event.name in LAST_STEPS:
                steps[int(order_id)] = (LAST_STEPS[event.name], None)
    return steps


def _sales(books: Books) -> dict[int, tuple[int, Lines]]:
    status = {"Sold": SOLD, "RolledBack": RETURNED, "SellRefused": SHORT, "RollbackBarred": BARRED}
    rows: dict[int, tuple[int, Lines]] = {}
    for order_id in books.keys(books.inventory, "sale"):
        last = books.sale(order_id)[-1]
        rows[int(order_id)] = (status.get(last.name, 0), _lines(last.data.get("lines", [])))
    return rows


def _sale_rows(books: Books) -> dict[int, tuple[int, Lines]]:
    return {row[0]: (row[1], _lines(row[2])) for row in books.tables.get("stock_sell_detail", [])}


def _lines(lines: list[Any]) -> Lines:
    return tuple(sorted((line["goods_id"], line["nums"]) for line in lines))


def _named(events: list[Event], name: str) -> int:
    return sum(event.name == name for event in events)


PROMISES: Final[Mapping[str, Promise]] = {
    "every answer was right": every_answer_was_right,
    "streams are whole": streams_are_whole,
    "one key, one order": one_key_one_order,
    "placed orders are in the log": placed_orders_are_in_the_log,
    "refusals and cancellations are in the log": other_answers_are_in_the_log,
    "payments are in the log": payments_are_in_the_log,
    "never oversold, every unit accounted for": stock_is_never_oversold,
    "deliveries count once": deliveries_count_once,
    "sold once, returned once": each_sale_and_return_counts_once,
    "what is sold is what was paid": sold_is_what_was_paid,
    "one last step": one_last_step,
    "read models agree": read_models_agree,
}
