"""How much one caller may ask for: guesses from one address, orders of one customer that nobody has paid."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from domain.user import Role
from tests.adapters.http_client import CONTACT, Client, open_client
from tests.adapters.http_shop import MAX_OPEN_ORDERS

FREE = 30
"""Guesses from one address before it waits."""


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


async def test_an_address_that_guesses_at_many_accounts_waits(client: Client) -> None:
    ann = {"email": "ann@example.com", "password": "correct horse battery"}
    await client.call("POST", "/v1/users", {**ann, "nickname": "Ann"})
    for n in range(FREE):
        guess = {"email": f"user{n}@example.com", "password": "guess"}
        assert (await client.call("POST", "/v1/sessions", guess)).status == 401
    blocked = await client.call("POST", "/v1/sessions", ann)
    assert (blocked.status, blocked.name, blocked.headers["Retry-After"]) == (429, "too-many-attempts", "1")
    client.shop.ahead += timedelta(seconds=1)
    assert (await client.call("POST", "/v1/sessions", ann)).status == 201
    # Success forgives the account and not the address, or one's own account would open all others.
    again = {"email": "user0@example.com", "password": "guess"}
    assert (await client.call("POST", "/v1/sessions", again)).status == 401
    assert (await client.call("POST", "/v1/sessions", ann)).headers["Retry-After"] == "2"


async def test_changing_a_password_counts_as_guessing_it(client: Client) -> None:
    ann = {"email": "ann@example.com", "password": "correct horse battery"}
    await client.call("POST", "/v1/users", {**ann, "nickname": "Ann"})
    token = (await client.call("POST", "/v1/sessions", ann)).json["access_token"]
    change = {"password": "another long one", "current_password": "guess"}
    for _ in range(5):
        assert (await client.call("PATCH", "/v1/users/me", change, token=token)).status == 401
    assert (await client.call("PATCH", "/v1/users/me", change, token=token)).status == 429
    assert (await client.call("POST", "/v1/sessions", ann)).status == 429


class Customer:
    def __init__(self, client: Client, token: str, goods_id: int) -> None:
        self.client = client
        self.token = token
        self.goods_id = goods_id

    async def order(self, **headers: str) -> tuple[int, str]:
        """Status, and the order id or what is wrong."""
        answered = await self.client.order(self.token, (self.goods_id, 1), **headers)
        is_placed = answered.status == 201
        return answered.status, answered.json["order_id"] if is_placed else answered.name


@pytest.fixture
async def customer(client: Client) -> Customer:
    goods_id = await client.goods(await client.user(Role.STAFF), stock=MAX_OPEN_ORDERS + 1)
    return Customer(client, await client.user(), goods_id)


async def test_a_customer_has_so_many_unpaid_orders_and_no_more(client: Client, customer: Customer) -> None:
    placed = [(await customer.order())[1] for _ in range(MAX_OPEN_ORDERS)]
    answered = await client.order(customer.token, (customer.goods_id, 1))
    assert (answered.status, answered.name) == (429, "too-many-open-orders")
    assert answered.json["limit"] == answered.json["open"] == MAX_OPEN_ORDERS
    assert int(answered.headers["Retry-After"]) >= 1
    other = Customer(client, await client.user(), customer.goods_id)
    assert (await other.order())[0] == 201
    assert len(set(placed)) == MAX_OPEN_ORDERS


async def test_a_repeat_is_answered_whatever_the_limit(client: Client, customer: Customer) -> None:
    await customer.client.fill_cart(customer.token, (customer.goods_id, 1))
    first = await client.call("POST", "/v1/orders", CONTACT, token=customer.token, Idempotency_Key="k")
    for _ in range(MAX_OPEN_ORDERS - 1):
        await customer.order()
    assert (await customer.order(Idempotency_Key="new"))[0] == 429
    repeat = await client.call("POST", "/v1/orders", CONTACT, token=customer.token, Idempotency_Key="k")
    assert (repeat.status, repeat.raw) == (first.status, first.raw)
    assert repeat.headers["Idempotency-Replayed"] == "true"


async def test_orders_that_come_to_nothing_cost_nothing(client: Client, customer: Customer) -> None:
    """Refused by inventory, repeated, or refused for an empty cart: each gives its place back."""
    for _ in range(MAX_OPEN_ORDERS):
        short = await client.order(customer.token, (customer.goods_id, 1_000))
        assert short.name == "stock-short"
    await client.fill_cart(customer.token)
    for _ in range(MAX_OPEN_ORDERS):
        empty = await client.call("POST", "/v1/orders", CONTACT, token=customer.token)
        assert empty.name == "cart-empty"
    for _ in range(MAX_OPEN_ORDERS):
        assert (await customer.order())[0] == 201
