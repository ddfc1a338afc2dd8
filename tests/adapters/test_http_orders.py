"""Orders over HTTP: placed once, refused with reasons, paid, cancelled, and seen by nobody else."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from domain.goods import CreateGoods
from domain.recorded import Cause
from domain.user import Role
from tests.adapters.http_client import CONTACT, Client, open_client

NOBODYS_ORDER = "7300000000000000001"


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


def payment(amount: int, trade_id: str = "t-1") -> dict[str, Any]:
    return {"pay_type": "alipay", "trade_id": trade_id, "amount": amount}


async def test_an_order_is_placed_of_the_checked_lines(client: Client) -> None:
    staff, customer = await client.user(Role.STAFF), await client.user()
    mug, cup = await client.goods(staff, stock=5), await client.goods(staff, stock=5, price=200)
    items = [{"goods_id": mug, "nums": 2}, {"goods_id": cup, "nums": 1, "checked": False}]
    await client.call("PUT", "/v1/cart", {"items": items}, token=customer)
    placed = await client.call("POST", "/v1/orders", CONTACT, token=customer)
    assert placed.status == 201
    assert (placed.json["amount"], placed.json["status"]) == (2500, 1)
    assert placed.json["goods"] == [
        {"goods_id": mug, "goods_name": "Blue mug", "goods_price": 1250, "nums": 2}
    ]
    assert placed.json["created_at"].endswith("Z")
    assert placed.headers["Tillroll-Position"].startswith("order=")
    cart = await client.call("GET", "/v1/cart", token=customer)
    assert [item["goods_id"] for item in cart.json["items"]] == [cup]
    assert (await client.call("GET", f"/v1/inventory/{mug}")).json["stock"] == 3


async def test_stock_that_is_short_refuses_the_order_and_names_every_short_line(client: Client) -> None:
    staff, customer = await client.user(Role.STAFF), await client.user()
    mug = await client.goods(staff, stock=1)
    refused = await client.order(customer, (mug, 2))
    assert (refused.status, refused.name) == (409, "stock-short")
    assert refused.json["short"] == [{"goods_id": mug, "wanted": 2, "available": 1}]
    assert "Tillroll-Position" in refused.headers
    again = await client.call("GET", f"/v1/orders/{refused.json['order_id']}", token=customer)
    assert again.raw == refused.raw


async def test_fifty_orders_for_one_unit_give_one_order(client: Client) -> None:
    staff = await client.user(Role.STAFF)
    mug = await client.goods(staff, stock=1)
    customers = [await client.user() for _ in range(50)]
    answers = await asyncio.gather(*(client.order(customer, (mug, 1)) for customer in customers))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 49
    assert (await client.call("GET", f"/v1/inventory/{mug}")).json["stock"] == 0


async def test_an_empty_cart_is_refused(client: Client) -> None:
    refused = await client.call("POST", "/v1/orders", CONTACT, token=await client.user())
    assert (refused.status, refused.name) == (422, "cart-empty")


async def test_deleted_goods_cannot_be_ordered(client: Client) -> None:
    staff, customer = await client.user(Role.STAFF), await client.user()
    mug = await client.goods(staff, stock=1)
    await client.call("DELETE", f"/v1/goods/{mug}", token=staff)
    refused = await client.order(customer, (mug, 1))
    assert (refused.status, refused.name, refused.json["missing"]) == (409, "goods-unavailable", [mug])


async def test_the_same_key_gives_the_first_answer_byte_for_byte(client: Client) -> None:
    staff, customer = await client.user(Role.STAFF), await client.user()
    mug = await client.goods(staff, stock=5)
    first = await client.order(customer, (mug, 1), Idempotency_Key="k 1")
    order_id = first.json["order_id"]
    await client.call("POST", f"/v1/orders/{order_id}/payment", payment(1250), token=staff)
    replay = await client.order(customer, (mug, 1), Idempotency_Key="k 1")
    assert (replay.status, replay.raw) == (201, first.raw)
    assert "Idempotency-Replayed" not in first.headers
    assert replay.headers["Idempotency-Replayed"] == "true"
    assert "Tillroll-Position" in replay.headers
    assert (await client.call("GET", f"/v1/inventory/{mug}")).json["stock"] == 4


async def test_a_hundred_calls_with_one_key_give_one_order(client: Client) -> None:
    staff, customer = await client.user(Role.STAFF), await client.user()
    mug = await client.goods(staff, stock=500)
    await client.fill_cart(customer, (mug, 1))
    calls = [
        client.call("POST", "/v1/orders", CONTACT, token=customer, Idempotency_Key="same") for _ in range(100)
    ]
    answers = await asyncio.gather(*calls)
    assert {(answer.status, answer.raw) for answer in answers} == {(201, answers[0].raw)}
    assert (await client.call("GET", f"/v1/inventory/{mug}")).json["stock"] == 499


async def test_a_refusal_is_replayed_too(client: Client) -> None:
    staff, customer = await client.user(Role.STAFF), await client.user()
    mug = await client.goods(staff, stock=0)
    first = await client.order(customer, (mug, 1), Idempotency_Key="k")
    await client.call("PUT", f"/v1/inventory/{mug}", {"stock": 9}, token=staff)
    replay = await client.order(customer, (mug, 1), Idempotency_Key="k")
    assert (replay.status, replay.raw) == (409, first.raw)


async def test_one_key_for_two_requests_is_refused(client: Client) -> None:
    staff, customer = await client.user(Role.STAFF), await client.user()
    mug = await client.goods(staff, stock=5)
    await client.order(customer, (mug, 1), Idempotency_Key="k")
    await client.fill_cart(customer, (mug, 1))
    other = {**CONTACT, "signer_name": "Bob"}
    refused = await client.call("POST", "/v1/orders", other, token=customer, Idempotency_Key="k")
    assert (refused.status, refused.name) == (422, "key-reused")


async def test_two_customers_may_use_the_same_key(client: Client) -> None:
    staff, ann, bob = await client.user(Role.STAFF), await client.user(), await client.user()
    mug = await client.goods(staff, stock=5)
    first = await client.order(ann, (mug, 1), Idempotency_Key="k")
    second = await client.order(bob, (mug, 1), Idempotency_Key="k")
    assert (first.status, second.status) == (201, 201)
    assert first.json["order_id"] != second.json["order_id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "\u00e9"])
async def test_a_key_that_is_no_key_is_refused(client: Client, key: str) -> None:
    refused = await client.call("POST", "/v1/orders", CONTACT, token=await client.user(), Idempotency_Key=key)
    assert (refused.status, refused.name) == (400, "bad-header")


async def test_an_undecided_order_is_answered_with_where_to_look(client: Client) -> None:
    staff, customer = await client.user(Role.STAFF), await client.user()
    mug = await client.goods(staff, stock=5)
    client.shop.inventory_answers = False
    undecided = await client.order(customer, (mug, 1), Prefer="respond-async, wait=0")
    assert undecided.status == 202
    assert undecided.json["step"] == "SELLING"
    where = undecided.headers["Location"]
    assert where == f"/v1/orders/{undecided.json['order_id']}"
    looked = await client.call("GET", where, token=customer)
    assert (looked.status, looked.raw, looked.headers["Location"]) == (202, undecided.raw, where)
    assert (await client.call("GET", where, token=await client.user())).status == 404


async def test_an_undecided_answer_stays_the_answer_of_its_key(client: Client) -> None:
    """What became of the order is asked at its Location; the key gives one answer, byte for byte."""
    staff, customer = await client.user(Role.STAFF), await client.user()
    mug = await client.goods(staff, stock=5)
    client.shop.inventory_answers = False
    first = await client.order(customer, (mug, 1), Prefer="wait=0", Idempotency_Key="k")
    where = first.headers["Location"]
    await client.call("POST", f"{where}/cancel", token=customer)
    repeat = await client.call(
        "POST", "/v1/orders", CONTACT, token=customer, Idempotency_Key="k", Prefer="wait=5"
    )

    assert first.status == 202
    assert (repeat.status, repeat.raw, repeat.headers["Location"]) == (202, first.raw, where)
    assert repeat.headers["Idempotency-Replayed"] == "true"
    assert (await client.call("GET", where, token=customer)).status == 409


@pytest.mark.parametrize("prefer", ["wait=31", "wait=x", "wait=-1", "wait="])
async def test_a_wait_that_is_none_is_refused(client: Client, prefer: str) -> None:
    refused = await client.call("POST", "/v1/orders", CONTACT, token=await client.user(), Prefer=prefer)
    assert (refused.status, refused.name, refused.json["header"]) == (400, "bad-header", "Prefer")


@pytest.mark.parametrize(
    "prefer", ["", "await=31", "respond-async", "wait=1,respond-async", "x=1, Wait = 2 ;y"]
)
async def test_other_preferences_are_ignored(client: Client, prefer: str) -> None:
    answered = await client.call("POST", "/v1/orders", CONTACT, token=await client.user(), Prefer=prefer)
    assert (answered.status, answered.name) == (422, "cart-empty")


async def test_an_order_cancelled_while_it_is_sold_is_closed(client: Client) -> None:
    staff, customer = await client.user(Role.STAFF), await client.user()
    mug = await client.goods(staff, stock=5)
    client.shop.inventory_answers = False
    undecided = await client.order(customer, (mug, 1), Prefer="wait=0")
    order_id = undecided.json["order_id"]
    cancelled = await client.call("POST", f"/v1/orders/{order_id}/cancel", token=customer)
    assert (cancelled.status, cancelled.json["status"]) == (200, 3)
    assert (cancelled.json["close_reason"], cancelled.json["pay_before"]) == ("cancelled", None)
    looked = await client.call("GET", f"/v1/orders/{order_id}", token=customer)
    assert (looked.status, looked.name) == (409, "order-closed")


async def test_an_order_the_read_model_has_not_heard_of_is_answered_from_the_log(client: Client) -> None:
    staff, customer = await client.user(Role.STAFF), await client.user()
    mug = await client.goods(staff, stock=5)
    client.shop.reads.hold()
    placed = await client.order(customer, (mug, 1))
    order_id = placed.json["order_id"]
    looked = await client.call("GET", f"/v1/orders/{order_id}", token=staff)
    assert (looked.status, looked.json) == (200, placed.json)


async def test_a_payment_counts_once_and_is_answered_the_same_way(client: Client) -> None:
    staff, service, customer = (
        await client.user(Role.STAFF),
        await client.user(Role.SERVICE),
        await client.user(),
    )
    mug = await client.goods(staff, stock=5)
    order_id = (await client.order(customer, (mug, 2))).json["order_id"]
    path = f"/v1/orders/{order_id}/payment"
    wrong = await client.call("POST", path, payment(2400), token=service)
    assert (wrong.status, wrong.name, wrong.json["expected"]) == (422, "wrong-amount", 2500)
    first = await client.call("POST", path, payment(2500), token=service)
    repeat = await client.call("POST", path, payment(2500), token=service)
    other = await client.call("POST", path, payment(2500, "t-2"), token=service)
    assert (first.status, first.json["status"], first.json["trade_id"]) == (200, 2, "t-1")
    assert repeat.raw == first.raw
    assert (other.status, other.name) == (409, "already-paid")
    late = await client.call("POST", f"/v1/orders/{order_id}/cancel", token=customer)
    assert (late.status, late.name) == (409, "already-paid")


async def test_money_for_a_closed_order_is_a_refund_due(client: Client) -> None:
    staff, customer = await client.user(Role.STAFF), await client.user()
    mug = await client.goods(staff, stock=5)
    order_id = (await client.order(customer, (mug, 2))).json["order_id"]
    path = f"/v1/orders/{order_id}"
    cancelled = await client.call("POST", f"{path}/cancel", token=customer)
    again = await client.call("POST", f"{path}/cancel", token=customer)
    assert (cancelled.status, cancelled.json["close_reason"]) == (200, "cancelled")
    assert again.raw == cancelled.raw
    first = await client.call("POST", f"{path}/payment", payment(2500), token=staff)
    other = await client.call("POST", f"{path}/payment", payment(100, "t-2"), token=staff)
    repeat = await client.call("POST", f"{path}/payment", payment(2500), token=staff)
    assert (first.status, first.name, first.json["refund_due"]) == (409, "order-closed", 2500)
    assert other.json["refund_due"] == 100
    assert repeat.raw == first.raw
    assert (await client.call("GET", path, token=customer)).json["refund_due"] == 2600


@pytest.mark.parametrize(
    ("method", "rest"),
    [("GET", ""), ("POST", "/cancel"), ("GET", "/timeline")],
    ids=["get", "cancel", "timeline"],
)
async def test_anothers_order_and_none_are_the_same_404(client: Client, method: str, rest: str) -> None:
    staff, ann, bob = await client.user(Role.STAFF), await client.user(), await client.user()
    mug = await client.goods(staff, stock=5)
    order_id = (await client.order(ann, (mug, 1))).json["order_id"]
    anns = await client.call(method, f"/v1/orders/{order_id}{rest}", token=bob)
    nobodys = await client.call(method, f"/v1/orders/{NOBODYS_ORDER}{rest}", token=bob)
    assert (anns.status, nobodys.status) == (404, 404)
    assert anns.raw == nobodys.raw
    assert {k for k in anns.headers if k != "Date"} == {k for k in nobodys.headers if k != "Date"}
    assert (await client.call(method, f"/v1/orders/{order_id}{rest}", token=staff)).status == 200


async def test_customers_list_their_own_orders_and_staff_all(client: Client) -> None:
    staff, ann, bob = await client.user(Role.STAFF), await client.user(), await client.user()
    mug = await client.goods(staff, stock=5)
    await client.order(ann, (mug, 1))
    await client.order(bob, (mug, 1))
    own = await client.call("GET", "/v1/orders?status=1&limit=10", token=ann)
    everybodys = await client.call("GET", "/v1/orders", token=staff)
    assert len(own.json["items"]) == 1
    assert len(everybodys.json["items"]) == 2
    assert (await client.call("GET", "/v1/orders?status=2", token=ann)).json["items"] == []


async def test_the_largest_order_is_placed(client: Client) -> None:
    staff, customer = await client.user(Role.STAFF), await client.user()
    goods = [await client.shop.new_id() for _ in range(2000)]
    for goods_id in goods:
        await client.shop.goods.submit(*_create(client, goods_id))
    items = [{"goods_id": goods_id, "stock": 1} for goods_id in goods]
    assert (await client.call("PUT", "/v1/inventory", {"items": items}, token=staff)).status == 200
    placed = await client.order(customer, *((goods_id, 1) for goods_id in goods))
    assert placed.status == 201
    assert len(placed.json["goods"]) == 2000


def _create(client: Client, goods_id: int) -> tuple[Any, Any]:
    return CreateGoods(goods_id, f"Goods {goods_id}", 1), Cause(f"c{goods_id}", "test", "", client.shop.now())


async def test_two_idempotency_keys_are_none(client: Client) -> None:
    """Whoever stands in between may go by the other one."""
    token = await client.user()
    headers = [("Authorization", f"Bearer {token}"), ("Content-Type", "application/json")]
    keys = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]
    async with client.http.post(
        client.base + "/v1/orders", data=json.dumps(CONTACT), headers=[*headers, *keys]
    ) as answered:
        assert (answered.status, (await answered.json())["type"]) == (400, "urn:tillroll:bad-header")
