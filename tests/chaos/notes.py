"""What the workload asked for and was answered: the other side's word, against which the logs are checked."""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

PLACED, REFUSED, GIVEN_UP, NOTHING, UNKNOWN = "placed", "refused", "given up", "nothing", "unknown"
"""How an order ended for its customer. `given up`: closed before it was placed; `nothing`: never started."""

Lines = tuple[tuple[int, int], ...]
"""(goods, units), by goods."""


@dataclass(slots=True)
class Paid:
    """One payment that was sent. `answer`: paid, refund due, refused, or unknown."""

    trade_id: str
    amount: int
    answer: str = UNKNOWN


@dataclass(slots=True)
class OrderNote:
    """One press of the button: all requests with one Idempotency-Key.

    `asked`: what the cart was last filled with; `order_ids`: every id any answer gave.
    """

    key: str
    user_id: int
    asked: Lines
    outcome: str = UNKNOWN
    order_ids: list[str] = field(default_factory=list)
    lines: Lines = ()
    amount: int = 0
    reason: str = ""
    payments: list[Paid] = field(default_factory=list)
    cancelled: bool = False

    @property
    def order_id(self) -> str:
        return self.order_ids[0] if self.order_ids else ""

    def hear(self, order_id: str) -> None:
        if order_id not in self.order_ids:
            self.order_ids.append(order_id)


@dataclass(slots=True)
class Notes:
    """Everything that was noted. `complaints`: answers that are wrong whatever the logs say."""

    orders: list[OrderNote] = field(default_factory=list)
    stocked: dict[int, int] = field(default_factory=dict)
    added: dict[str, tuple[int, int]] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    book: TextIO | None = None

    def begin(self, note: OrderNote) -> OrderNote:
        self.orders.append(note)
        return note

    def add_stock(self, reason: str, goods_id: int, delta: int) -> None:
        """An adjustment that was acknowledged; its reason is its name."""
        self.added[reason] = (goods_id, delta)
        self.write("added", {"reason": reason, "goods_id": goods_id, "delta": delta})

    def decided(self, note: OrderNote) -> None:
        self.write("decided", asdict(note))

    def complain(self, what: str) -> None:
        self.complaints.append(what)
        self.write("complaint", {"text": what})

    def count(self, outcome: str) -> int:
        return sum(note.outcome == outcome for note in self.orders)

    def write(self, what: str, fields: dict[str, Any]) -> None:
        """A line in the book, kept beside the data so that a failed run can be looked into."""
        if self.book is not None:
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            self.book.write(json.dumps({"at": at, "what": what, **fields}) + "\n")
