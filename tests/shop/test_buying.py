"""Buying, as customers and staff do it over HTTP, against real PostgreSQL and NATS."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import aiohttp


async def test_an_order_sells_its_units_and_empties_the_cart(shop: Any) -> None:
    goods_id = await shop.goods(stock=10, price=299)
    buyer = await shop.customer()
    await buyer.fill_cart((goods_id, 3))

    status, order, headers = await buyer.order()

    assert status == 201
    assert (order["status"], order["amount"], order["user_id"]) == (1, 897, buyer.user_id)
    assert order["goods"] == [{"goods_id": goods_id, "goods_name": "Teapot", "goods_price": 299, "nums": 3}]
    assert headers["Tillroll-Position"].startswith("order=")
    await shop.stock_becomes(goods_id, 7)
    assert (await buyer.call("GET", "/v1/cart"))[1]["items"] == []
    read = await buyer.call("GET", f"/v1/orders/{order['order_id']}")
    assert (read[0], read[1]) == (200, order)


async def test_one_of_fifty_gets_the_last_unit(shop: Any) -> None:
    goods_id = await shop.goods(stock=1)
    buyers = await shop.customers(50)
    await asyncio.gather(*(buyer.fill_cart((goods_id, 1)) for buyer in buyers))

    answers = await asyncio.gather(*(buyer.order() for buyer in buyers))

    assert Counter(status for status, _, _ in answers) == {201: 1, 409: 49}
    for status, body, _ in answers:
        if status == 409:
            assert body["type"] == "urn:tillroll:stock-short"
            assert body["short"] == [{"goods_id": goods_id, "wanted": 1, "available": 0}]
    await shop.stock_becomes(goods_id, 0)


async def test_orders_over_the_same_goods_in_opposite_order_never_half_sell(shop: Any) -> None:
    first, second = await shop.goods(stock=15), await shop.goods(stock=15)
    buyers = await shop.customers(40)
    for place, buyer in enumerate(buyers):
        lines = ((first, 1), (second, 1)) if place % 2 else ((second, 1), (first, 1))
        await buyer.fill_cart(*lines)

    answers = await asyncio.gather(*(buyer.order() for buyer in buyers))

    assert Counter(status for status, _, _ in answers) == {201: 15, 409: 25}
    await shop.stock_becomes(first, 0)
    await shop.stock_becomes(second, 0)


async def test_every_short_line_is_named_and_nothing_is_sold(shop: Any) -> None:
    plenty, scarce, none = [await shop.goods(stock=n) for n in (9, 2, 0)]
    buyer = await shop.customer()
    await buyer.fill_cart((plenty, 1), (scarce, 3), (none, 1))

    status, body, _ = await buyer.order()

    assert status == 409
    assert body["short"] == [
        {"goods_id": scarce, "wanted": 3, "available": 2},
        {"goods_id": none, "wanted": 1, "available": 0},
    ]
    assert [await shop.stock(goods_id) for goods_id in (plenty, scarce, none)] == [9, 2, 0]
    assert len((await buyer.call("GET", "/v1/cart"))[1]["items"]) == 3


async def test_a_hundred_calls_with_one_key_make_one_order(shop: Any) -> None:
    goods_id = await shop.goods(stock=100)
    buyer = await shop.customer()
    await buyer.fill_cart((goods_id, 1))
    key = uuid4().hex
    parcel = {"address": "a", "signer_name": "b", "signer_mobile": "c", "post": "d"}

    answers = await asyncio.gather(
        *(buyer.raw("POST", "/v1/orders", parcel, Idempotency_Key=key) for _ in range(100))
    )

    assert {status for status, _, _ in answers} == {201}
    assert len({body for _, body, _ in answers}) == 1
    await shop.stock_becomes(goods_id, 99)
    other = await buyer.call("POST", "/v1/orders", {**parcel, "post": "x"}, Idempotency_Key=key)
    assert (other[0], other[1]["type"]) == (422, "urn:tillroll:key-reused")


async def test_payment_counts_once_and_only_for_the_right_amount(shop: Any) -> None:
    goods_id = await shop.goods(stock=5, price=100)
    buyer = await shop.customer()
    await buyer.fill_cart((goods_id, 2))
    _, order, _ = await buyer.order()
    path = f"/v1/orders/{order['order_id']}/payment"
    trade = {"pay_type": "card", "trade_id": uuid4().hex, "amount": 200}

    wrong = await shop.staff.call("POST", path, {**trade, "amount": 199})
    paid = await shop.staff.call("POST", path, trade)
    again = await shop.staff.call("POST", path, trade)
    other = await shop.staff.call("POST", path, {**trade, "trade_id": "another"})
    cancelled = await buyer.call("POST", f"/v1/orders/{order['order_id']}/cancel")

    assert (wrong[0], wrong[1]["type"]) == (422, "urn:tillroll:wrong-amount")
    assert (paid[0], paid[1]["status"], paid[1]["trade_id"]) == (200, 2, trade["trade_id"])
    assert again[:2] == paid[:2]
    assert (other[0], other[1]["type"]) == (409, "urn:tillroll:already-paid")
    assert (cancelled[0], cancelled[1]["type"]) == (409, "urn:tillroll:already-paid")
    assert (await buyer.call("POST", path, trade))[0] == 403
    await shop.stock_becomes(goods_id, 3)


async def test_a_cancelled_order_gives_back_once_and_a_late_payment_is_a_refund_due(shop: Any) -> None:
    goods_id = await shop.goods(stock=5, price=100)
    buyer = await shop.customer()
    await buyer.fill_cart((goods_id, 2))
    _, order, _ = await buyer.order()
    path = f"/v1/orders/{order['order_id']}"

    first = await buyer.call("POST", f"{path}/cancel")
    second = await buyer.call("POST", f"{path}/cancel")
    trade = {"pay_type": "card", "trade_id": uuid4().hex, "amount": 200}
    late = await shop.staff.call("POST", f"{path}/payment", trade)
    repeat = await shop.staff.call("POST", f"{path}/payment", trade)

    assert (first[0], first[1]["status"], first[1]["close_reason"]) == (200, 3, "cancelled")
    assert second[:2] == first[:2]
    assert (late[0], late[1]["type"]) == (409, "urn:tillroll:order-closed")
    assert repeat[:2] == late[:2]
    await shop.stock_becomes(goods_id, 5)
    _, read, _ = await buyer.call("GET", path)
    assert (read["status"], read["refund_due"]) == (3, 200)
    status, sale, _ = await shop.staff.call("GET", f"/v1/inventory/sales/{order['order_id']}")
    assert (status, sale["status"]) == (200, 2)


async def test_somebody_elses_order_looks_like_one_that_does_not_exist(shop: Any) -> None:
    goods_id = await shop.goods(stock=5)
    buyer, stranger = await shop.customers(2)
    await buyer.fill_cart((goods_id, 1))
    _, order, _ = await buyer.order()

    for suffix, method in (("", "GET"), ("/timeline", "GET"), ("/cancel", "POST")):
        foreign = await stranger.raw(method, f"/v1/orders/{order['order_id']}{suffix}")
        missing = await stranger.raw(method, f"/v1/orders/123456789{suffix}")
        assert (foreign[0], foreign[1]) == (404, missing[1])


async def test_setting_stock_while_orders_come_in_keeps_the_count_right(shop: Any) -> None:
    goods_id = await shop.goods(stock=1000)
    buyers = await shop.customers(10)

    async def buy(buyer: Any) -> int:
        bought = 0
        for _ in range(5):
            await buyer.fill_cart((goods_id, 1))
            bought += (await buyer.order())[0] == 201
        return bought

    async def adjust() -> int:
        path = f"/v1/inventory/{goods_id}/adjustments"
        for _ in range(20):
            assert (await shop.staff.call("POST", path, {"delta": 3, "reason": "found"}))[0] == 200
        return 0

    bought = sum(await asyncio.gather(adjust(), *(buy(buyer) for buyer in buyers)))

    assert bought == 50
    await shop.stock_becomes(goods_id, 1000 + 60 - 50)


async def test_the_documentation_page_needs_nothing_from_outside(shop: Any) -> None:
    async with shop.session.get(f"{shop.url}/docs") as answer:
        page = await answer.text()

    assert answer.status == 200
    assert "//" not in page.replace("http://127.0.0.1", "").replace("://127.0.0.1", "").split("<script>")[0]


async def test_an_order_of_two_thousand_lines_goes_through(shop: Any) -> None:
    goods = await asyncio.gather(
        *(shop.staff.call("POST", "/v1/goods", {"name": f"g{n}", "price": 1}) for n in range(2000))
    )
    ids = [body["goods_id"] for _, body, _ in goods]
    items = [{"goods_id": goods_id, "stock": 1} for goods_id in ids]
    assert (await shop.staff.call("PUT", "/v1/inventory", {"items": items}))[0] == 200
    buyer = await shop.customer()
    await buyer.fill_cart(*((goods_id, 1) for goods_id in ids))

    status, order, _ = await buyer.order()

    assert (status, order["amount"], len(order["goods"])) == (201, 2000, 2000)
    too_many = [{"goods_id": n, "nums": 1, "checked": True} for n in range(1, 2002)]
    assert (await buyer.call("PUT", "/v1/cart", {"items": too_many}))[0] == 422


async def test_an_order_that_nobody_pays_is_closed_and_its_stock_comes_back(
    lapsing_up: Any, shop_at: Any
) -> None:
    async with aiohttp.ClientSession() as session:
        shop = shop_at(session, lapsing_up.start())
        await shop.open()
        goods_id = await shop.goods(stock=4)
        buyer = await shop.customer()
        await buyer.fill_cart((goods_id, 4))
        _, order, _ = await buyer.order()

        for _ in range(150):
            _, read, _ = await buyer.call("GET", f"/v1/orders/{order['order_id']}")
            if read["status"] == 3:
                break
            await asyncio.sleep(0.1)

        assert (read["status"], read["close_reason"]) == (3, "payment-lapsed")
        await shop.stock_becomes(goods_id, 4)
        _, sale, _ = await shop.staff.call("GET", f"/v1/inventory/sales/{order['order_id']}")
        assert sale["status"] == 2


async def test_one_cart_is_ordered_once_however_often_the_button_is_pressed(shop: Any) -> None:
    goods_id = await shop.goods(stock=20)
    buyer = await shop.customer()
    await buyer.fill_cart((goods_id, 1))

    answers = await asyncio.gather(*(buyer.order() for _ in range(10)))

    placed = [body for status, body, _ in answers if status == 201]
    refused = {body["type"].removeprefix("urn:tillroll:") for status, body, _ in answers if status != 201}
    assert len(placed) == 1
    assert refused <= {"order-under-way", "cart-empty"}
    await shop.stock_becomes(goods_id, 19)


async def test_what_is_put_into_the_cart_while_an_order_is_under_way_stays(shop: Any) -> None:
    goods_id = await shop.goods(stock=20)
    buyer = await shop.customer()
    await buyer.fill_cart((goods_id, 1))

    status, undecided, headers = await buyer.order(Prefer="wait=0")
    await buyer.fill_cart((goods_id, 3))

    assert status == 202
    assert headers["Location"] == f"/v1/orders/{undecided['order_id']}"
    await shop.stock_becomes(goods_id, 19)
    _, cart, _ = await buyer.call("GET", "/v1/cart")
    assert [(line["goods_id"], line["nums"]) for line in cart["items"]] == [(goods_id, 3)]


async def test_stock_of_a_live_order_goes_back_through_its_saga_only(shop: Any) -> None:
    goods_id = await shop.goods(stock=2)
    buyer = await shop.customer()
    await buyer.fill_cart((goods_id, 2))
    _, order, _ = await buyer.order()
    await shop.hire_service()

    by_hand = await shop.service.call("POST", "/v1/inventory/rollback", {"order_id": order["order_id"]})

    assert (by_hand[0], by_hand[1]["type"]) == (409, "urn:tillroll:order-in-hand")
    await shop.stock_becomes(goods_id, 0)
