"""A read sees what its caller asks to see, and what its caller wrote a moment ago."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from adapters.http_errors import BadHeader
from adapters.http_positions import parse_after
from domain.user import Role
from tests.adapters.http_client import Client, open_client

ITEMS = {"items": [{"goods_id": 1, "nums": 1}]}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


def test_a_position_names_logs_once_each() -> None:
    assert parse_after("order=3, inventory=4,order=2") == {"order": 3, "inventory": 4}


@pytest.mark.parametrize(
    "text",
    ["", "order", "order=", "order=-1", "order=x", "stock=1", "order=1,", "order=" + "9" * 19, "order=1;2"],
)
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(BadHeader):
        parse_after(text)


async def test_a_read_waits_until_the_read_models_are_that_far(client: Client) -> None:
    staff = await client.user(Role.STAFF)
    client.shop.reads.hold()
    created = await client.call("POST", "/v1/goods", {"name": "Mug", "price": 1}, token=staff)
    path, after = f"/v1/goods/{created.json['goods_id']}", created.headers["Tillroll-Position"]
    assert (await client.call("GET", path)).status == 404
    asyncio.get_running_loop().call_later(0.2, client.shop.reads.release)
    assert (await client.call("GET", path, Tillroll_After=after)).status == 200


async def test_read_models_that_stay_behind_are_a_503_after_two_seconds(client: Client) -> None:
    began = asyncio.get_running_loop().time()
    answered = await client.call("GET", "/v1/goods/1", Tillroll_After="goods=99")
    assert (answered.status, answered.name) == (503, "behind")
    assert "Retry-After" in answered.headers
    assert 1.9 < asyncio.get_running_loop().time() - began < 4


async def test_a_position_that_is_none_is_a_400(client: Client) -> None:
    answered = await client.call("GET", "/v1/goods/1", Tillroll_After="goods:1")
    assert (answered.status, answered.name, answered.json["header"]) == (400, "bad-header", "Tillroll-After")


async def test_a_user_sees_what_he_wrote_without_asking(client: Client) -> None:
    customer = await client.user()
    client.shop.reads.hold()
    await client.call("PUT", "/v1/cart", ITEMS, token=customer)
    asyncio.get_running_loop().call_later(0.2, client.shop.reads.release)
    cart = await client.call("GET", "/v1/cart", token=customer)
    assert len(cart.json["items"]) == 1


async def test_only_the_first_read_after_a_write_waits(client: Client) -> None:
    customer = await client.user()
    await client.call("PUT", "/v1/cart", ITEMS, token=customer)
    for _ in range(3):
        await client.call("GET", "/v1/cart", token=customer)
    assert client.shop.reads.waits == 1


async def test_a_read_goes_on_when_ones_own_write_does_not_show(client: Client) -> None:
    customer, other = await client.user(), await client.user()
    client.shop.reads.hold()
    await client.call("PUT", "/v1/cart", ITEMS, token=customer)
    began = asyncio.get_running_loop().time()
    assert (await client.call("GET", "/v1/cart", token=other)).status == 200
    assert asyncio.get_running_loop().time() - began < 1
    cart = await client.call("GET", "/v1/cart", token=customer)
    assert (cart.status, cart.json["items"]) == (200, [])
