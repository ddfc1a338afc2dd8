"""The shop with eventsourcing as its documentation shows it: aggregates with @event, saved by an application.

Goods and order are saved together, which is one transaction of the library's own PostgreSQL recorder. Who
was second to change the same goods gets an IntegrityError and has to try again.
The recorder's settings are the library's: fifteen connections at most, no cache of aggregates.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from psycopg.conninfo import conninfo_to_dict

STOCKED_AT_ONCE: Final = 500
READ_AT_ONCE: Final = 1_000
SNAPSHOT_EVERY: Final = 100
SCHEMA: Final = "shop_of_aggregates"


class SoldOut(Exception):
    """There is not enough of one goods."""


class Goods(Aggregate):
    @event("Stocked")
    def __init__(self, number: int, name: str, price: int, stock: int) -> None:
        self.number = number
        self.name = name
        self.price = price
        self.stock = stock

    @staticmethod
    def create_id(number: int) -> UUID:
        return uuid5(NAMESPACE_URL, f"/goods/{number}")

    def sell(self, order_id: UUID, nums: int) -> None:
        if self.stock < nums:
            raise SoldOut(self.number)
        self._sold(order_id, nums)

    @event("Sold")
    def _sold(self, order_id: UUID, nums: int) -> None:
        self.stock -= nums


class Order(Aggregate):
    @event("Placed")
    def __init__(self, user: int, lines: list[dict[str, int | str]], amount: int, contact: list[str]) -> None:
        self.user = user
        self.lines = lines
        self.amount = amount
        self.contact = contact


CONTACT: Final = ["1 High Street, London", "Ann Example", "07700 900000", "leave at the door"]


class Shop(Application[UUID]):
    name = "shop"

    def place(self, user: int, one: int, other: int) -> UUID:
        """Raises SoldOut, and IntegrityError when another was first to change one of the goods."""
        wanted: list[Goods] = [self.repository.get(Goods.create_id(number)) for number in (one, other)]
        lines: list[dict[str, int | str]] = [
            {"goods": goods.number, "name": goods.name, "price": goods.price, "nums": 1} for goods in wanted
        ]
        order = Order(user, lines, sum(goods.price for goods in wanted), CONTACT)
        for goods in wanted:
            goods.sell(order.id, 1)
        self.save(*wanted, order)
        return order.id

    def stock_up(self, goods: int, stock: int) -> None:
        """Goods 1 to `goods`, `stock` units of each."""
        for first in range(1, goods + 1, STOCKED_AT_ONCE):
            numbers = range(first, min(first + STOCKED_AT_ONCE, goods + 1))
            self.save(*(Goods(number, f"goods {number}", 1_000 + number, stock) for number in numbers))


class SnapshottingShop(Shop):
    """For goods with long streams: they are not read from their beginning."""

    name = "shop"
    snapshotting_intervals: ClassVar = {Goods: SNAPSHOT_EVERY}


def environment(dsn: str) -> dict[str, str]:
    """The library's settings for a server at this address, all in a schema of its own."""
    parts = conninfo_to_dict(dsn)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(parts["dbname"]),
        "POSTGRES_HOST": str(parts.get("host", "")),
        "POSTGRES_PORT": str(parts.get("port", "5432")),
        "POSTGRES_USER": str(parts["user"]),
        "POSTGRES_PASSWORD": str(parts.get("password", "")),
        "POSTGRES_SCHEMA": SCHEMA,
    }


def checked_orders(shop: Shop, stock: int) -> int:
    """How many there are. Raises AssertionError when others were sold, or more than `stock` of one goods."""
    ordered: Counter[UUID] = Counter()
    sold: Counter[UUID] = Counter()
    orders = 0
    for each in _events(shop):
        if isinstance(each, Order.Placed):  # type: ignore[attr-defined]
            orders += 1
            ordered.update(Goods.create_id(line["goods"]) for line in each.lines)
        elif isinstance(each, Goods.Sold):  # type: ignore[attr-defined]
            sold[each.originator_id] += each.nums
    assert sold == ordered, "what was sold is not what was ordered"
    assert max(sold.values(), default=0) <= stock, "more was sold than there was"
    return orders


def _events(shop: Shop) -> Iterator[Aggregate.Event]:
    position = 0
    while found := shop.recorder.select_notifications(start=position + 1, limit=READ_AT_ONCE):
        yield from _decoded(shop, found)
        position = found[-1].id


def _decoded(shop: Shop, found: Sequence[object]) -> Iterator[Aggregate.Event]:
    return (shop.mapper.to_domain_event(notification) for notification in found)  # type: ignore[arg-type, misc]
