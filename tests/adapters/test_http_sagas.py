"""Sagas over HTTP: staff see what waits and why, and what they do about it is recorded and shown at once."""

from collections.abc import AsyncIterator

import pytest

from domain import streams
from domain.cart import CloseCart
from domain.recorded import Cause
from domain.saga import NoteResend
from domain.user import Role
from tests.adapters.http_client import CONTACT, Answered, Client, open_client

NOBODYS_ORDER = "7300000000000000001"
WHY = {"reason": "the broker is back"}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


async def act(client: Client, staff: str, order_id: str, what: str) -> Answered:
    return await client.call("POST", f"/v1/sagas/{order_id}/{what}", WHY, token=staff)


async def undecided(client: Client, staff: str) -> str:
    """An order that inventory does not answer; its customer waits no longer."""
    client.shop.inventory_answers = False
    mug = await client.goods(staff, stock=5)
    answered = await client.order(await client.user(), (mug, 1), Prefer="wait=0")
    return str(answered.json["order_id"])


async def placed(client: Client, staff: str) -> str:
    mug = await client.goods(staff, stock=5)
    return str((await client.order(await client.user(), (mug, 1))).json["order_id"])


async def resent(client: Client, order_id: str, tries: int) -> None:
    for _ in range(tries):
        saga = (await client.shop.orders.read(f"saga-{order_id}"))[f"saga-{order_id}"]
        at = saga.next_try_at or client.shop.now()
        cause = Cause(f"resend-{at}", "watchdog", order_id, at)
        await client.shop.orders.submit(NoteResend(order_id, at, "inventory has not answered Sell"), cause)


async def test_a_saga_shows_what_it_owes_and_why_it_waits(client: Client) -> None:
    staff = await client.user(Role.STAFF)
    order_id = await undecided(client, staff)
    await resent(client, order_id, 2)
    shown = await client.call("GET", f"/v1/sagas/{order_id}", token=staff)
    assert shown.status == 200
    assert (shown.json["step"], shown.json["owes"], shown.json["tries"]) == ("SELLING", "Sell", 2)
    assert shown.json["last_error"].startswith("inventory has not answered Sell since 20")


async def test_an_unknown_saga_is_absent_whatever_is_done_to_it(client: Client) -> None:
    staff = await client.user(Role.STAFF)
    shown = await client.call("GET", f"/v1/sagas/{NOBODYS_ORDER}", token=staff)
    answers = [shown, *[await act(client, staff, NOBODYS_ORDER, what) for what in ("retry", "compensate")]]
    assert [(answer.status, answer.name) for answer in answers] == [(404, "no-such-order")] * 3


async def test_a_retry_is_recorded_with_who_and_why_and_shown_at_once(client: Client) -> None:
    staff = await client.user(Role.STAFF)
    order_id = await undecided(client, staff)
    await resent(client, order_id, 4)
    client.shop.reads.hold()
    answered = await act(client, staff, order_id, "retry")
    assert (answered.status, answered.json["step"], answered.json["tries"]) == (200, "SELLING", 0)
    assert answered.json["next_try_at"] <= f"{client.shop.now():%Y-%m-%dT%H:%M:%S.%f}Z"
    recorded = client.shop.recorders["order"].select_events(streams.saga(order_id))[-1]
    assert recorded.topic == "RetryOrdered"
    assert b'"reason":"the broker is back"' in recorded.state
    assert b'"by":"user-1"' in recorded.state
    assert answered.headers["Tillroll-Position"].startswith("order=")


async def test_a_compensated_order_that_was_placed_is_closed_and_its_stock_given_back(client: Client) -> None:
    staff, customer = await client.user(Role.STAFF), await client.user()
    mug = await client.goods(staff, stock=5)
    order_id = (await client.order(customer, (mug, 2))).json["order_id"]
    answered = await act(client, staff, order_id, "compensate")
    assert answered.status == 200
    assert (answered.json["step"], answered.json["owes"]) == ("ROLLING_BACK", "Rollback")
    await client.shop.settled()
    order = await client.call("GET", f"/v1/orders/{order_id}", token=customer)
    assert (order.json["status"], order.json["close_reason"]) == (3, "compensated")
    assert (await client.call("GET", f"/v1/inventory/{mug}")).json["stock"] == 5


async def test_whoever_waits_for_a_compensated_order_is_told_that_it_is_closed(client: Client) -> None:
    staff = await client.user(Role.STAFF)
    order_id = await undecided(client, staff)
    assert (await act(client, staff, order_id, "compensate")).status == 200
    looked = await client.call("GET", f"/v1/orders/{order_id}", token=staff)
    assert (looked.status, looked.name, looked.json["close_reason"]) == (409, "order-closed", "compensated")


async def test_compensating_twice_records_once_and_answers_the_saga_as_it_is(client: Client) -> None:
    staff = await client.user(Role.STAFF)
    order_id = await undecided(client, staff)
    first = await act(client, staff, order_id, "compensate")
    again = await act(client, staff, order_id, "compensate")
    assert (again.status, again.raw) == (200, first.raw)
    assert again.headers["Tillroll-Position"]
    topics = [e.topic for e in client.shop.recorders["order"].select_events(streams.saga(order_id))]
    assert topics == ["OrderStarted", "CompensationOrdered"]


async def test_where_nothing_is_owed_an_operator_is_told_so(client: Client) -> None:
    staff = await client.user(Role.STAFF)
    order_id = await placed(client, staff)
    retried = await act(client, staff, order_id, "retry")
    assert (retried.status, retried.name, retried.json["step"]) == (409, "nothing-owed", "AWAITING_PAYMENT")
    payment = {"pay_type": "alipay", "trade_id": "t-1", "amount": 1250}
    await client.call("POST", f"/v1/orders/{order_id}/payment", payment, token=staff)
    compensated = await act(client, staff, order_id, "compensate")
    assert (compensated.status, compensated.name) == (409, "already-paid")


@pytest.mark.parametrize(
    "reason", ["", "   ", "x" * 501, "two\nlines", "bell\a", "\u202eeman", "\u200b", None, 7]
)
@pytest.mark.parametrize("what", ["retry", "compensate"])
async def test_an_act_needs_a_reason(client: Client, what: str, reason: object) -> None:
    staff = await client.user(Role.STAFF)
    path = f"/v1/sagas/{NOBODYS_ORDER}/{what}"
    refused = await client.call("POST", path, {"reason": reason}, token=staff)
    assert (refused.status, refused.name) == (422, "invalid")
    assert refused.json["errors"][0]["where"] == "body.reason"


async def test_a_reason_is_kept_without_the_space_around_it(client: Client) -> None:
    staff = await client.user(Role.STAFF)
    order_id = await undecided(client, staff)
    path = f"/v1/sagas/{order_id}/retry"
    assert (await client.call("POST", path, {"reason": "  " + "x" * 497 + " "}, token=staff)).status == 200
    recorded = client.shop.recorders["order"].select_events(streams.saga(order_id))[-1]
    assert b'"reason":"' + b"x" * 497 + b'"' in recorded.state


async def test_a_list_shows_only_what_is_stuck_when_asked_to(client: Client) -> None:
    staff = await client.user(Role.STAFF)
    once, often = await undecided(client, staff), await undecided(client, staff)
    await resent(client, once, 1)
    await resent(client, often, 3)
    stuck = await client.call("GET", "/v1/sagas?stuck=true", token=staff)
    everything = await client.call("GET", "/v1/sagas?stuck=false", token=staff)
    assert [item["order_id"] for item in stuck.json["items"]] == [often]
    assert {item["order_id"] for item in everything.json["items"]} == {once, often}
    wrong = await client.call("GET", "/v1/sagas?stuck=1", token=staff)
    assert (wrong.status, wrong.json["errors"][0]["what"]) == (422, "must be true or false")


# closed accounts


async def test_a_closed_account_fills_no_cart_and_places_no_order(client: Client) -> None:
    staff, customer = await client.user(Role.STAFF), await client.user()
    mug = await client.goods(staff, stock=5)
    await client.fill_cart(customer, (mug, 1))
    await close_account(client, 2)
    items = {"items": [{"goods_id": mug, "nums": 1}]}
    answers = [
        await client.call("PUT", "/v1/cart", items, token=customer),
        await client.call("PUT", f"/v1/cart/{mug}", {"nums": 1}, token=customer),
        await client.call("PATCH", f"/v1/cart/{mug}", {"nums": 1}, token=customer),
        await client.call("DELETE", f"/v1/cart/{mug}", token=customer),
        await client.call("POST", "/v1/orders", CONTACT, token=customer),
    ]
    assert [(answer.status, answer.name) for answer in answers] == [(409, "account-closed")] * 5
    assert (await client.call("GET", "/v1/cart", token=customer)).json == {"items": [], "amount": 0}


async def test_an_order_that_was_sold_for_an_account_closed_meanwhile_is_closed_and_returned(
    client: Client,
) -> None:
    staff, customer = await client.user(Role.STAFF), await client.user()
    mug = await client.goods(staff, stock=5)
    client.shop.inventory_answers = False
    undecided = await client.order(customer, (mug, 1), Prefer="wait=0")
    order_id = undecided.json["order_id"]
    await close_account(client, 2)
    client.shop.inventory_answers = True
    await client.shop.answer_owed(order_id)
    await client.shop.settled()
    looked = await client.call("GET", f"/v1/orders/{order_id}", token=customer)
    assert (looked.status, looked.name) == (409, "order-closed")
    assert looked.json["close_reason"] == "account-closed"
    assert (await client.call("GET", f"/v1/inventory/{mug}")).json["stock"] == 5
    saga = await client.call("GET", f"/v1/sagas/{order_id}", token=staff)
    assert (saga.json["step"], saga.json["owes"]) == ("CLOSED", None)


async def close_account(client: Client, user_id: int) -> None:
    cause = Cause(f"close-{user_id}", f"user-{user_id}", "", client.shop.now())
    await client.shop.orders.submit(CloseCart(user_id), cause)
