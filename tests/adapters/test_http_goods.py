"""Goods, stock and carts over HTTP."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from domain import streams
from domain.limits import MAX_STOCK
from domain.user import Role
from tests.adapters.http_client import Client, open_client

ORDER_ID = "7300000000000000001"


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


async def test_goods_are_created_changed_and_taken_off_sale(client: Client) -> None:
    staff = await client.user(Role.STAFF)
    created = await client.call("POST", "/v1/goods", {"name": "  Mug ", "price": 0}, token=staff)
    path = f"/v1/goods/{created.json['goods_id']}"
    assert (created.status, created.json["name"]) == (201, "Mug")
    changed = await client.call("PATCH", path, {"price": 5}, token=staff)
    assert (changed.status, changed.json) == (200, {**created.json, "price": 5})
    assert (await client.call("GET", path)).json == changed.json
    deleted = await client.call("DELETE", path, token=staff)
    assert (deleted.status, deleted.raw) == (204, b"")
    assert deleted.headers["Tillroll-Position"].startswith("goods=")
    for method, body in (("GET", None), ("PATCH", {"price": 1}), ("DELETE", None)):
        gone = await client.call(method, path, body, token=staff)
        assert (gone.status, gone.name) == (404, "no-such-goods")


async def test_goods_are_found_by_id_in_the_order_asked(client: Client) -> None:
    staff = await client.user(Role.STAFF)
    first, second = await client.goods(staff, stock=1), await client.goods(staff, stock=1, name="Cup")
    found = await client.call("GET", f"/v1/goods?ids={second},999,{first},{second}")
    assert [item["goods_id"] for item in found.json["items"]] == [second, first]
    assert found.json["missing"] == [999]
    page = await client.call("GET", "/v1/goods?q=Cup&limit=1")
    assert [item["name"] for item in page.json["items"]] == ["Cup"]


@pytest.mark.parametrize("ids", ["", "1,,2", "1,x", "0", "-1", "1.0", "9" * 30, "1&q=a", "1&limit=5"])
async def test_ids_that_are_none_are_refused(client: Client, ids: str) -> None:
    refused = await client.call("GET", f"/v1/goods?ids={ids}")
    assert (refused.status, refused.name) == (422, "invalid")
    assert refused.json["errors"][0]["where"] == "query.ids"


async def test_creating_with_a_key_twice_creates_once(client: Client) -> None:
    staff = await client.user(Role.STAFF)
    body = {"name": "Mug", "price": 5}
    first = await client.call("POST", "/v1/goods", body, token=staff, Idempotency_Key="g")
    await client.call("PATCH", f"/v1/goods/{first.json['goods_id']}", {"price": 9}, token=staff)
    replay = await client.call("POST", "/v1/goods", body, token=staff, Idempotency_Key="g")
    other = await client.call("POST", "/v1/goods", {**body, "price": 6}, token=staff, Idempotency_Key="g")
    assert (replay.status, replay.raw) == (201, first.raw)
    assert replay.headers["Idempotency-Replayed"] == "true"
    assert (other.status, other.name) == (422, "key-reused")


# inventory


async def test_levels_are_set_and_adjusted(client: Client) -> None:
    staff = await client.user(Role.STAFF)
    mug = await client.goods(staff, stock=5)
    path = f"/v1/inventory/{mug}"
    more = await client.call("POST", f"{path}/adjustments", {"delta": -2, "reason": "broken"}, token=staff)
    assert (more.status, more.json) == (200, {"goods_id": mug, "stock": 3, "version": 2})
    short = await client.call("POST", f"{path}/adjustments", {"delta": -4, "reason": "x"}, token=staff)
    assert (short.status, short.name) == (409, "stock-short")
    assert short.json["short"] == [{"goods_id": mug, "wanted": 4, "available": 3}]
    much = await client.call("POST", f"{path}/adjustments", {"delta": MAX_STOCK, "reason": "x"}, token=staff)
    assert (much.status, much.name) == (422, "stock-too-large")
    assert (await client.call("GET", path)).json == more.json


async def test_goods_nobody_has_counted_have_no_stock_yet(client: Client) -> None:
    staff = await client.user(Role.STAFF)
    created = await client.call("POST", "/v1/goods", {"name": "Mug", "price": 1}, token=staff)
    goods_id = created.json["goods_id"]
    level = await client.call("GET", f"/v1/inventory/{goods_id}")
    assert level.json == {"goods_id": goods_id, "stock": 0, "version": 0}
    assert (await client.call("GET", "/v1/inventory/999")).name == "no-such-goods"


async def test_many_levels_are_set_all_or_none(client: Client) -> None:
    staff = await client.user(Role.STAFF)
    mug = await client.goods(staff, stock=5)
    items = [{"goods_id": goods_id, "stock": 9} for goods_id in (mug, 998, 999)]
    refused = await client.call("PUT", "/v1/inventory", {"items": items}, token=staff)
    assert (refused.status, refused.name, refused.json["missing"]) == (404, "no-such-goods", [998, 999])
    assert (await client.call("GET", f"/v1/inventory/{mug}")).json["stock"] == 5
    written = await client.call("PUT", "/v1/inventory", {"items": items[:1]}, token=staff)
    assert written.json == {"items": [{"goods_id": mug, "stock": 9, "version": 2}]}
    one = await client.call("PUT", "/v1/inventory/999", {"stock": 1}, token=staff)
    assert (one.status, one.json["missing"]) == (404, [999])


@pytest.mark.parametrize(
    ("method", "rest", "body"),
    [
        ("PUT", "/{goods_id}", {"stock": 4}),
        ("PUT", "", {"items": [{"goods_id": 0, "stock": 4}]}),
        ("POST", "/{goods_id}/adjustments", {"delta": 4, "reason": "found"}),
    ],
)
async def test_a_replayed_level_is_answered_as_the_first_time(
    client: Client, method: str, rest: str, body: dict[str, Any]
) -> None:
    staff = await client.user(Role.STAFF)
    mug = await client.goods(staff, stock=1)
    if "items" in body:
        body = {"items": [{"goods_id": mug, "stock": 4}]}
    path = f"/v1/inventory{rest.format(goods_id=mug)}"
    first = await client.call(method, path, body, token=staff, Idempotency_Key="k")
    await client.call("PUT", f"/v1/inventory/{mug}", {"stock": 70}, token=staff)
    await client.call("DELETE", f"/v1/goods/{mug}", token=staff)
    replay = await client.call(method, path, body, token=staff, Idempotency_Key="k")
    assert (first.status, replay.status, replay.raw) == (200, 200, first.raw)
    assert replay.headers["Idempotency-Replayed"] == "true"
    assert (await client.call("GET", f"/v1/inventory/{mug}")).json["stock"] == 70


async def test_sell_and_rollback_count_once_each(client: Client) -> None:
    staff, service = await client.user(Role.STAFF), await client.user(Role.SERVICE)
    mug = await client.goods(staff, stock=5)
    body = {"order_id": ORDER_ID, "lines": [{"goods_id": mug, "nums": 2}]}
    for _ in range(2):
        sold = await client.call("POST", "/v1/inventory/sell", body, token=service)
        assert (sold.status, sold.json["status"]) == (200, 1)
    other = {**body, "lines": [{"goods_id": mug, "nums": 3}]}
    differs = await client.call("POST", "/v1/inventory/sell", other, token=service)
    assert (differs.status, differs.name) == (409, "sale-differs")
    for _ in range(2):
        back = await client.call("POST", "/v1/inventory/rollback", {"order_id": ORDER_ID}, token=service)
        assert back.json == {"order_id": ORDER_ID, "returned": True}
    late = await client.call("POST", "/v1/inventory/sell", body, token=service)
    assert (late.status, late.name) == (409, "already-returned")
    assert (await client.call("GET", f"/v1/inventory/{mug}")).json["stock"] == 5
    sale = await client.call("GET", f"/v1/inventory/sales/{ORDER_ID}", token=staff)
    assert (sale.json["status"], sale.json["lines"]) == (2, body["lines"])


async def test_a_sell_that_is_short_is_recorded_and_refused(client: Client) -> None:
    staff, service = await client.user(Role.STAFF), await client.user(Role.SERVICE)
    mug = await client.goods(staff, stock=1)
    body = {"order_id": ORDER_ID, "lines": [{"goods_id": mug, "nums": 1}, {"goods_id": mug, "nums": 1}]}
    short = await client.call("POST", "/v1/inventory/sell", body, token=service)
    assert (short.status, short.name) == (409, "stock-short")
    assert short.json["short"] == [{"goods_id": mug, "wanted": 2, "available": 1}]
    assert "Tillroll-Position" in short.headers
    back = await client.call("POST", "/v1/inventory/rollback", {"order_id": ORDER_ID}, token=service)
    assert back.json["returned"] is False
    nothing = await client.call("GET", "/v1/inventory/sales/7300000000000000002", token=service)
    assert (nothing.status, nothing.name) == (404, "no-such-sale")


async def test_an_order_refused_from_the_books_is_a_refused_sale_like_any_other(client: Client) -> None:
    """The second one was not even sent to inventory; who asks what was sold for it is told the same."""
    staff, customer = await client.user(Role.STAFF), await client.user()
    mug = await client.goods(staff, stock=1)
    refused = [await client.order(customer, (mug, 2)) for _ in range(2)]
    assert [(one.status, one.name) for one in refused] == [(409, "stock-short")] * 2
    sales = []
    for one in refused:
        order_id = one.json["order_id"]
        sale = await client.call("GET", f"/v1/inventory/sales/{order_id}", token=staff)
        sales.append((sale.status, sale.json))
    lines = [{"goods_id": mug, "nums": 2}]
    assert sales == [
        (200, {"order_id": one.json["order_id"], "status": 3, "lines": lines}) for one in refused
    ]
    asked, unasked = [
        (await client.shop.orders.read(name))[name]
        for name in (streams.saga(one.json["order_id"]) for one in refused)
    ]
    assert (asked.contact is None, unasked.contact is None) == (False, True)


async def test_nobody_sells_by_hand_for_an_order_that_was_refused_before_it_began(client: Client) -> None:
    staff, customer = await client.user(Role.STAFF), await client.user()
    mug = await client.goods(staff, stock=1)
    _, denied = [await client.order(customer, (mug, 2)) for _ in range(2)]
    await client.call("PUT", f"/v1/inventory/{mug}", {"stock": 9}, token=staff)
    body = {"order_id": denied.json["order_id"], "lines": [{"goods_id": mug, "nums": 2}]}
    sold = await client.call("POST", "/v1/inventory/sell", body, token=await client.user(Role.SERVICE))
    assert (sold.status, sold.name) == (409, "stock-short")
    assert sold.json["short"] == denied.json["short"]
    assert (await client.call("GET", f"/v1/inventory/{mug}")).json["stock"] == 9


# carts


async def test_a_cart_is_filled_changed_and_emptied(client: Client) -> None:
    staff, customer = await client.user(Role.STAFF), await client.user()
    mug = await client.goods(staff, stock=5, price=100)
    filled = await client.call("PUT", f"/v1/cart/{mug}", {"nums": 2}, token=customer)
    assert filled.json == {"items": [{"goods_id": mug, "nums": 2, "checked": True}]}
    cart = await client.call("GET", "/v1/cart", token=customer)
    assert cart.json["amount"] == 200
    line = {"name": "Blue mug", "price": 100, "for_sale": True}
    assert cart.json["items"] == [{**filled.json["items"][0], **line}]
    unchecked = await client.call("PATCH", f"/v1/cart/{mug}", {"checked": False}, token=customer)
    assert unchecked.json["items"][0]["checked"] is False
    assert (await client.call("GET", "/v1/cart", token=customer)).json["amount"] == 0
    removed = await client.call("DELETE", f"/v1/cart/{mug}", token=customer)
    again = await client.call("DELETE", f"/v1/cart/{mug}", token=customer)
    changed = await client.call("PATCH", f"/v1/cart/{mug}", {"nums": 1}, token=customer)
    assert removed.status == 204
    assert (again.name, changed.name) == ("no-such-cart-line", "no-such-cart-line")


async def test_items_of_the_same_goods_are_added_up_within_the_limit_of_one(client: Client) -> None:
    customer = await client.user()
    twice = [{"goods_id": 1, "nums": 2**31 - 1}, {"goods_id": 1, "nums": 1}]
    refused = await client.call("PUT", "/v1/cart", {"items": twice}, token=customer)
    assert (refused.status, refused.name) == (422, "invalid")
    folded = [{"goods_id": 1, "nums": 2}, {"goods_id": 1, "nums": 1}]
    written = await client.call("PUT", "/v1/cart", {"items": folded}, token=customer)
    assert written.json["items"] == [{"goods_id": 1, "nums": 3, "checked": True}]


async def test_a_write_that_changes_nothing_still_has_a_position(client: Client) -> None:
    customer = await client.user()
    items = {"items": [{"goods_id": 1, "nums": 1}]}
    first = await client.call("PUT", "/v1/cart", items, token=customer)
    same = await client.call("PUT", "/v1/cart", items, token=customer)
    assert same.headers["Tillroll-Position"] == first.headers["Tillroll-Position"]
