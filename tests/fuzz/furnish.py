"""What is in the shop before it is fuzzed: goods, stock, carts, and an order in every state."""

from dataclasses import dataclass, field
from typing import Any, Final

from tests.fuzz.people import ROLES, Person, Wire

PARCEL: Final = {
    "address": "1 Fuzz Street",
    "signer_name": "A. Buyer",
    "signer_mobile": "13800000000",
    "post": "ring twice",
}
GOODS: Final = 12
STOCK: Final = 1_000_000


@dataclass(slots=True)
class Furniture:
    """Real ids, for the generator to choose from. `boss_id`: a user who has to stay staff."""

    boss_id: int
    goods: list[int] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)


def furnish(wire: Wire, boss: dict[str, str], customer: Person) -> Furniture:
    """Everything is made over the API. `customer` owns half of the orders, a stranger the others."""
    done = Furniture(_must_sign_in(wire, boss))
    staff = Person(wire, boss, ROLES["staff"])
    for number in range(GOODS):
        goods = _must(wire, staff, "POST", "/v1/goods", {"name": f"Mug {number}", "price": 100 + number})
        done.goods.append(goods["goods_id"])
        _must(wire, staff, "PUT", f"/v1/inventory/{goods['goods_id']}", {"stock": STOCK})
    stranger = Person(wire, boss, ROLES["customer"])
    for buyer in (customer, stranger):
        _buy(wire, staff, buyer, done)
    return done


def _buy(wire: Wire, staff: Person, buyer: Person, done: Furniture) -> None:
    """One order to pay, one paid, one cancelled; and a cart for the next."""
    for becomes in ("to pay", "paid", "cancelled"):
        order = _order(wire, buyer, done.goods[:2])
        done.orders.append(order["order_id"])
        path = f"/v1/orders/{order['order_id']}"
        if becomes == "paid":
            paid = {"pay_type": "card", "trade_id": f"t{order['order_id']}", "amount": order["amount"]}
            _must(wire, staff, "POST", f"{path}/payment", paid)
        elif becomes == "cancelled":
            _must(wire, buyer, "POST", f"{path}/cancel")
    fill_cart(wire, buyer, done.goods[:3])


def _order(wire: Wire, buyer: Person, goods: list[int]) -> Any:
    fill_cart(wire, buyer, goods)
    return _must(wire, buyer, "POST", "/v1/orders", PARCEL)


def fill_cart(wire: Wire, buyer: Person, goods: list[int]) -> None:
    """One of each replaces what was in it."""
    items = [{"goods_id": goods_id, "nums": 1} for goods_id in goods]
    _must(wire, buyer, "PUT", "/v1/cart", {"items": items})


def _must_sign_in(wire: Wire, boss: dict[str, str]) -> int:
    status, answer = wire.call("POST", "/v1/sessions", boss)
    assert status == 201, answer
    return int(answer["user"]["user_id"])


def _must(wire: Wire, who: Person, method: str, path: str, body: Any = None) -> Any:
    status, answer = wire.call(method, path, body, who.token)
    assert status < 300, f"{method} {path}: {status} {answer}"
    return answer
