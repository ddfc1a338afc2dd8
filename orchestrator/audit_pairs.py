"""Do orders and sales agree, both ways? Two logs that share no transaction must tell the same story.

The order log is read first and the inventory log after it: then every sale that an order speaks of has been
read. An order that moved on in between is left to the next audit, as `moving`.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from domain.order import OrderStatus
from domain.saga import OWES, Step
from domain.sale import SaleStatus
from orchestrator.audit import Finding, Unfinished
from orchestrator.audit_orders import OrderFacts
from orchestrator.audit_sagas import SagaFacts
from orchestrator.audit_sales import SaleFacts

CHECK: Final = "orders and sales"
QUESTION: Final = "Every order has its sale, every sale its order"
UNIT: Final = "orders"

SIGNED_IN: Final = "user-"
"""How a caller's name begins who sold by hand (POST /v1/inventory/sell); such a sale has no order."""

SALE_IS: Final[Mapping[Step, frozenset[SaleStatus]]] = {
    Step.AWAITING_PAYMENT: frozenset({SaleStatus.SOLD}),
    Step.PAID: frozenset({SaleStatus.SOLD}),
    Step.REFUSED: frozenset({SaleStatus.REFUSED, SaleStatus.RETURNED, SaleStatus.BARRED}),
    Step.CLOSED: frozenset({SaleStatus.RETURNED, SaleStatus.REFUSED, SaleStatus.BARRED}),
}
"""What a sale can be once its saga is at a step. Closed without a sale: refused, or barred before it came."""

UNASKED: Final = frozenset({SaleStatus.NONE, SaleStatus.REFUSED, SaleStatus.BARRED})
"""What a sale can be whose saga never asked for it: nothing was sold for that order, by hand neither."""

NO_SALE: Final = SaleFacts()


@dataclass(frozen=True, slots=True)
class Books:
    """What three checks know of each order by its id. `moving`: orders that moved while we read."""

    orders: Mapping[str, OrderFacts]
    sagas: Mapping[str, SagaFacts]
    sales: Mapping[str, SaleFacts]
    moving: Collection[str] = ()


def compare(books: Books) -> Iterator[Finding]:
    for order_id, saga in books.sagas.items():
        if order_id not in books.moving:
            yield from _order_against_sale(books, order_id, saga)
    for order_id, sale in books.sales.items():
        if order_id not in books.moving:
            yield from _sale_against_order(books, order_id, sale)


def unfinished(books: Books) -> Iterator[Unfinished]:
    """Orders that still owe something, or moved while we read: the audit of them is not over."""
    for order_id, saga in books.sagas.items():
        if saga.step in OWES or order_id in books.moving:
            yield Unfinished(order_id, saga.step, saga.since)


def _order_against_sale(books: Books, order_id: str, saga: SagaFacts) -> Iterator[Finding]:
    order, sale = books.orders.get(order_id, OrderFacts()), books.sales.get(order_id, NO_SALE)
    place = order.placed_at or saga.moved_at
    if _by_hand(sale) and not order.placed_at and not saga.is_unasked:
        return  # Somebody sold under this id before; the order was refused for that, and took nothing.
    if order.placed_at and not sale.sold_at:
        yield _finding(order_id, place, "an order without a sale: it was placed, but nothing was sold for it")
    elif saga.sold_at and not sale.sold_at:
        yield _finding(order_id, saga.sold_at, "refused after its sale, but nothing was sold for it")
    elif sale.sold_at and sale.units != order.units:
        yield _finding(order_id, place, "the sale has other units than the order")
    elif sale.status not in (UNASKED if saga.is_unasked else SALE_IS.get(saga.step, {sale.status})):
        yield _finding(order_id, saga.moved_at, f"the saga is at {saga.step}, but {_said(sale)}")
    elif saga.returned is not None and saga.returned != bool(sale.returned_at):
        claim = "was given back" if saga.returned else "had not been sold"
        yield _finding(order_id, saga.moved_at, f"the saga says that the stock {claim}, but {_said(sale)}")


def _sale_against_order(books: Books, order_id: str, sale: SaleFacts) -> Iterator[Finding]:
    if order_id in books.sagas or not sale.sold_at or _by_hand(sale):
        return
    placed = books.orders.get(order_id, OrderFacts()).status is not OrderStatus.NONE
    if not placed:
        what = f"a sale without an order: sold by {sale.sold_by}, but no such order was ever started"
        yield Finding(CHECK, f"order {order_id}", sale.sold_at, what, log="inventory")


def _by_hand(sale: SaleFacts) -> bool:
    return sale.sold_by.startswith(SIGNED_IN)


def _said(sale: SaleFacts) -> str:
    return {
        SaleStatus.NONE: "inventory never heard of it",
        SaleStatus.SOLD: "its units are sold and were not given back",
        SaleStatus.RETURNED: "its units were sold and given back",
        SaleStatus.REFUSED: "the sale was refused",
        SaleStatus.BARRED: "its id is barred",
    }[sale.status]


def _finding(order_id: str, position: int, what: str) -> Finding:
    return Finding(CHECK, f"order {order_id}", position, what, log="order")
