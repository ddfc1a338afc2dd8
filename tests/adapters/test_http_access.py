"""Who may call what, written out a second time by hand; and that nobody learns of what is somebody else's.

The table says what the contract says. It is compared with the OpenAPI document and with what a running
application answers to each role.
"""

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from domain.user import Role
from tests.adapters.http_client import CONTACT, Answered, Client, open_client

pytestmark = pytest.mark.asyncio(loop_scope="module")

# c customer, s staff, v service, - anybody with or without a token
TABLE = """
    POST   /v1/users                              -
    GET    /v1/users/me                           c s v
    PATCH  /v1/users/me                           c s v
    DELETE /v1/users/me                           c s v
    GET    /v1/users/{user_id}                    s
    PATCH  /v1/users/{user_id}                    s
    POST   /v1/sessions                           -
    POST   /v1/sessions/refresh                   -
    DELETE /v1/sessions                           c s v
    POST   /v1/goods                              s
    GET    /v1/goods                              -
    GET    /v1/goods/{goods_id}                   -
    PATCH  /v1/goods/{goods_id}                   s
    DELETE /v1/goods/{goods_id}                   s
    PUT    /v1/inventory                          s
    PUT    /v1/inventory/{goods_id}               s
    GET    /v1/inventory/{goods_id}               -
    POST   /v1/inventory/{goods_id}/adjustments   s
    POST   /v1/inventory/sell                     v
    POST   /v1/inventory/rollback                 v
    GET    /v1/inventory/sales/{order_id}         s v
    GET    /v1/cart                               c
    PUT    /v1/cart                               c
    PUT    /v1/cart/{goods_id}                    c
    PATCH  /v1/cart/{goods_id}                    c
    DELETE /v1/cart/{goods_id}                    c
    POST   /v1/orders                             c
    GET    /v1/orders                             c s
    GET    /v1/orders/{order_id}                  c s
    POST   /v1/orders/{order_id}/payment          s v
    POST   /v1/orders/{order_id}/cancel           c s
    GET    /v1/orders/{order_id}/timeline         c s
    GET    /v1/sagas                              s
    GET    /v1/sagas/{order_id}                   s
    POST   /v1/sagas/{order_id}/retry             s
    POST   /v1/sagas/{order_id}/compensate        s
    GET    /healthz                               -
    GET    /readyz                                -
    GET    /metrics                               -
"""
LETTERS = {"c": Role.CUSTOMER, "s": Role.STAFF, "v": Role.SERVICE}
NOBODYS = "7300000000000000001"
"""An order id that was never given out."""


def table() -> dict[tuple[str, str], set[Role] | None]:
    """Roles by method and path; None: anybody."""
    rows = [line.split() for line in TABLE.strip().splitlines()]
    return {
        (method, path): None if who == ["-"] else {LETTERS[letter] for letter in who}
        for method, path, *who in rows
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


async def test_the_document_says_the_same(client: Client) -> None:
    said = {
        (method.upper(), path): operation
        for path, methods in client.app.openapi()["paths"].items()
        for method, operation in methods.items()
    }
    assert said.keys() == table().keys()
    for route, who in table().items():
        assert ("security" in said[route]) == (who is not None), route
        roles = "" if who is None else ", ".join(role.name.lower() for role in sorted(who))
        assert said[route].get("description", "").startswith(f"Roles: {roles}." if roles else ""), route


@pytest.mark.parametrize("role", [None, *Role])
async def test_every_route_answers_every_role_as_the_table_says(client: Client, role: Role | None) -> None:
    for (method, path), who in table().items():
        # A token of its own for each: some of these calls end the session they are made with.
        token = None if role is None else await client.user(role)
        answered = await client.call(method, re.sub(r"\{\w+\}", "1", path), token=token)
        if who is None or role in who:
            assert answered.status not in (401, 403), (method, path)
        else:
            expected = (401, "unauthorized") if role is None else (403, "forbidden")
            assert (answered.status, answered.name) == expected, (method, path)


# what is somebody else's


class Ann:
    """A customer with an order in every state, and somebody who wants to know about them."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.orders: dict[str, str] = {}
        self.token = self.other = self.staff = ""
        self.goods_id = 0

    async def live(self) -> "Ann":
        client = self.client
        self.token, self.other = await client.user(), await client.user()
        self.staff = await client.user(Role.STAFF)
        self.goods_id = await client.goods(self.staff, stock=100)
        for state in ("to pay", "paid", "cancelled"):
            placed = await client.order(self.token, (self.goods_id, 1), Idempotency_Key=state)
            self.orders[state] = placed.json["order_id"]
        pay = {"pay_type": "card", "trade_id": uuid4().hex, "amount": 1250}
        await client.call("POST", f"/v1/orders/{self.orders['paid']}/payment", pay, token=self.staff)
        await client.call("POST", f"/v1/orders/{self.orders['cancelled']}/cancel", token=self.token)
        client.shop.inventory_answers = False
        undecided = await client.order(self.token, (self.goods_id, 1), Prefer="wait=0")
        self.orders["undecided"] = undecided.json["order_id"]
        client.shop.inventory_answers = True
        short = await client.order(self.token, (await client.goods(self.staff, stock=0), 1))
        self.orders["refused"] = short.json["order_id"]
        await client.fill_cart(self.token, (self.goods_id, 7))
        return self


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ann(client: Client) -> Ann:
    return await Ann(client).live()


def told(answered: Answered, order_id: str) -> tuple[int, bytes, dict[str, str]]:
    """All that a caller can see, the id that was asked for made the same."""
    headers = {name: value for name, value in answered.headers.items() if name.lower() != "date"}
    masked = {name: value.replace(order_id, "ID") for name, value in headers.items()}
    # Two ids of different length make two lengths of an answer that quotes them.
    masked.pop("Content-Length", None)
    return answered.status, answered.raw.replace(order_id.encode(), b"ID"), masked


FOREIGN = [
    ("GET", "/v1/orders/{}"),
    ("POST", "/v1/orders/{}/cancel"),
    ("GET", "/v1/orders/{}/timeline"),
]


@pytest.mark.parametrize("state", ["to pay", "paid", "cancelled", "undecided", "refused"])
@pytest.mark.parametrize(("method", "path"), FOREIGN)
async def test_somebody_elses_order_is_one_that_is_not_there(
    ann: Ann, method: str, path: str, state: str
) -> None:
    own = ann.orders[state]
    there = await ann.client.call(method, path.format(own), token=ann.other)
    never = await ann.client.call(method, path.format(NOBODYS), token=ann.other)
    assert (there.status, there.name) == (404, "no-such-order")
    assert told(there, own) == told(never, NOBODYS)
    if method == "GET":
        mine = await ann.client.call(method, path.format(own), token=ann.token)
        assert mine.raw != there.raw


async def test_every_route_that_names_an_order_is_looked_at_here() -> None:
    """A new one must not be forgotten: customers reach these, and staff or services all others."""
    routes = {
        route for route, who in table().items() if "order_id" in route[1] and who and Role.CUSTOMER in who
    }
    assert routes == {(method, path.format("{order_id}")) for method, path in FOREIGN}


async def test_trying_changed_nothing(ann: Ann) -> None:
    for state, status in (("to pay", 1), ("paid", 2), ("cancelled", 3)):
        order = await ann.client.call("GET", f"/v1/orders/{ann.orders[state]}", token=ann.token)
        assert (order.status, order.json["status"]) == (200, status)


async def test_lists_hold_ones_own_and_a_cursor_opens_no_other(ann: Ann) -> None:
    listed = (await ann.client.call("GET", "/v1/orders", token=ann.token)).json["items"]
    assert {ann.orders[state] for state in ("to pay", "paid", "cancelled")} == {o["order_id"] for o in listed}
    for status in ("", "?status=1", "?status=2", "?status=3"):
        page = await ann.client.call("GET", f"/v1/orders{status}", token=ann.other)
        assert page.json["items"] == []
    assert (await ann.client.call("GET", "/v1/cart", token=ann.other)).json["items"] == []


async def test_a_cart_is_changed_by_its_owner_alone(ann: Ann) -> None:
    path = f"/v1/cart/{ann.goods_id}"
    never = f"/v1/cart/{ann.goods_id + 424242}"
    for method, body in (("PATCH", {"nums": 1}), ("DELETE", None)):
        there = await ann.client.call(method, path, body, token=ann.other)
        missing = await ann.client.call(method, never, body, token=ann.other)
        assert (there.status, there.name) == (missing.status, missing.name) == (404, "no-such-cart-line")
    (line,) = (await ann.client.call("GET", "/v1/cart", token=ann.token)).json["items"]
    assert line["nums"] == 7


async def test_an_idempotency_key_of_somebody_else_says_nothing(ann: Ann) -> None:
    """The same key and body, by another caller, is another request."""
    answered = await ann.client.call("POST", "/v1/orders", CONTACT, token=ann.other, Idempotency_Key="paid")
    assert (answered.status, answered.name) == (422, "cart-empty")
    assert not any(order_id.encode() in answered.raw for order_id in ann.orders.values())


async def test_users_are_seen_by_themselves_and_staff(ann: Ann) -> None:
    own_id = (await ann.client.call("GET", "/v1/users/me", token=ann.token)).json["user_id"]
    for user_id in (own_id, 424242):
        refused = await ann.client.call("GET", f"/v1/users/{user_id}", token=ann.other)
        assert (refused.status, refused.name) == (403, "forbidden")


async def test_a_refresh_token_of_another_session_opens_nothing(client: Client) -> None:
    async def session(name: str) -> Any:
        login = {"email": f"{name}@example.com", "password": "correct horse battery"}
        await client.call("POST", "/v1/users", {**login, "nickname": name})
        return (await client.call("POST", "/v1/sessions", login)).json

    one, other = await session("one"), await session("other")
    mixed = one["refresh_token"].partition(".")[0] + "." + other["refresh_token"].partition(".")[2]
    never = "0" * 34 + "." + other["refresh_token"].partition(".")[2]
    there = await client.call("POST", "/v1/sessions/refresh", {"refresh_token": mixed})
    missing = await client.call("POST", "/v1/sessions/refresh", {"refresh_token": never})
    assert (there.status, there.raw) == (missing.status, missing.raw) == (401, missing.raw)
