"""Erasure over HTTP and from crash to crash: the person is gone at once, their parcels still arrive."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from adapters.erasure import Eraser
from adapters.event_codec import decode
from domain import streams
from domain.cart import CartLine, PutCartLine
from domain.order import OrderStatus
from domain.recorded import Cause
from domain.refusals import AccountClosed
from domain.saga import Step
from domain.user import Role
from tests.adapters.http_client import CONTACT, Client, open_client

ANN = {"email": "ann@example.com", "password": "correct horse battery", "nickname": "Ann", "gender": "f"}
LOG_IN = {"email": ANN["email"], "password": ANN["password"]}
NOTHING = dict.fromkeys(CONTACT)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


class Ann:
    """A customer with an account of her own, and what staff see of her orders."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.token = ""
        self.user_id = 0
        self.staff = ""

    async def join(self) -> "Ann":
        await self.client.call("POST", "/v1/users", ANN)
        session = await self.client.call("POST", "/v1/sessions", LOG_IN)
        self.token, self.user_id = session.json["access_token"], session.json["user"]["user_id"]
        self.staff = await self.client.user(Role.STAFF)
        return self

    async def order(self) -> str:
        goods_id = await self.client.goods(self.staff, stock=5)
        return str((await self.client.order(self.token, (goods_id, 1))).json["order_id"])

    async def leave(self) -> None:
        assert (await self.client.call("DELETE", "/v1/users/me", token=self.token)).status == 204

    async def pay(self, order_id: str) -> Any:
        body = {"pay_type": "card", "trade_id": f"t{order_id}", "amount": 1250}
        return await self.client.call("POST", f"/v1/orders/{order_id}/payment", body, token=self.staff)

    async def contact(self, order_id: str) -> dict[str, Any]:
        """Delivery data as staff see it."""
        order = (await self.client.call("GET", f"/v1/orders/{order_id}", token=self.staff)).json
        return {field: order[field] for field in CONTACT}


@pytest.fixture
async def ann(client: Client) -> Ann:
    return await Ann(client).join()


async def test_an_erased_user_is_one_that_never_was(client: Client, ann: Ann) -> None:
    erased = await client.call("DELETE", "/v1/users/me", token=ann.token)
    assert (erased.status, erased.raw) == (204, b"")
    assert erased.headers["Tillroll-Position"].startswith("user=")
    never = await client.call("GET", "/v1/users/424242", token=ann.staff)
    gone = await client.call("GET", f"/v1/users/{ann.user_id}", token=ann.staff)
    assert (gone.status, gone.raw) == (404, never.raw)
    role = await client.call("PATCH", f"/v1/users/{ann.user_id}", {"role": 2}, token=ann.staff)
    assert (role.status, role.name) == (404, "no-such-user")


async def test_every_token_of_an_erased_user_is_dead(client: Client, ann: Ann) -> None:
    elsewhere = (await client.call("POST", "/v1/sessions", LOG_IN)).json
    await ann.leave()
    for token in (ann.token, elsewhere["access_token"]):
        assert (await client.call("GET", "/v1/users/me", token=token)).status == 401
    refresh = {"refresh_token": elsewhere["refresh_token"]}
    assert (await client.call("POST", "/v1/sessions/refresh", refresh)).status == 401
    assert (await client.call("POST", "/v1/sessions", LOG_IN)).status == 401


async def test_the_address_is_free_again_for_somebody_new(client: Client, ann: Ann) -> None:
    await ann.leave()
    again = await client.call("POST", "/v1/users", ANN)
    assert again.status == 201
    assert again.json["user_id"] != ann.user_id
    session = await client.call("POST", "/v1/sessions", LOG_IN)
    assert session.json["user"]["user_id"] == again.json["user_id"]
    assert (await client.call("GET", "/v1/orders", token=session.json["access_token"])).json["items"] == []


async def test_an_order_under_way_keeps_what_delivery_needs_until_it_is_paid(ann: Ann) -> None:
    order_id = await ann.order()
    await ann.leave()
    await ann.client.shop.eraser.sweep()
    assert await ann.contact(order_id) == CONTACT
    assert (await ann.pay(order_id)).status == 200
    await ann.client.shop.eraser.sweep()
    assert await ann.contact(order_id) == NOTHING


async def test_an_order_under_way_keeps_what_delivery_needs_until_it_is_cancelled(ann: Ann) -> None:
    order_id = await ann.order()
    await ann.leave()
    await ann.client.call("POST", f"/v1/orders/{order_id}/cancel", token=ann.staff)
    await ann.client.shop.eraser.sweep()
    assert await ann.contact(order_id) == NOTHING


async def test_orders_that_ended_before_lose_it_at_once(ann: Ann) -> None:
    paid, open_one = await ann.order(), await ann.order()
    await ann.pay(paid)
    await ann.leave()
    assert await ann.contact(paid) == NOTHING
    assert await ann.contact(open_one) == CONTACT
    page = (await ann.client.call("GET", "/v1/orders", token=ann.staff)).json["items"]
    shown = {order["order_id"]: order["address"] for order in page}
    assert shown == {paid: None, open_one: CONTACT["address"]}
    assert {order["amount"] for order in page} == {1250}


async def test_a_paid_order_keeps_it_for_the_delivery_window(
    ann: Ann, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ann.client.shop.eraser, "_window", timedelta(days=2))
    order_id = await ann.order()
    await ann.pay(order_id)
    await ann.leave()
    await ann.client.shop.eraser.sweep()
    assert await ann.contact(order_id) == CONTACT
    ann.client.shop.ahead += timedelta(days=2, seconds=1)
    await ann.client.shop.eraser.sweep()
    assert ann.client.shop.keys.kept_keys == {}
    ann.staff = await ann.client.user(Role.STAFF)
    assert await ann.contact(order_id) == NOTHING


async def test_an_order_that_inventory_has_not_answered_is_not_placed_and_its_stock_comes_back(
    ann: Ann,
) -> None:
    shop = ann.client.shop
    goods_id = await ann.client.goods(ann.staff, stock=5)
    shop.inventory_answers = False
    undecided = await ann.client.order(ann.token, (goods_id, 2), Prefer="wait=0")
    order_id = undecided.json["order_id"]
    await ann.leave()
    shop.inventory_answers = True
    await shop.answer_owed(order_id)
    await shop.settled()
    assert (await shop.orders.read(streams.saga(order_id)))[streams.saga(order_id)].step is Step.CLOSED
    assert (await shop.orders.read(streams.order(order_id)))[
        streams.order(order_id)
    ].status is OrderStatus.NONE
    stock = await ann.client.call("GET", f"/v1/inventory/{goods_id}")
    assert stock.json["stock"] == 5


async def test_a_key_that_fits_a_repeat_is_of_no_use_after_erasure(ann: Ann) -> None:
    """The same request by somebody new is another request: nothing of the first can be asked out of it."""
    goods_id = await ann.client.goods(ann.staff, stock=5)
    placed = await ann.client.order(ann.token, (goods_id, 1), Idempotency_Key="k1")
    await ann.leave()
    somebody = await Ann(ann.client).join()
    again = await ann.client.order(somebody.token, (goods_id, 1), Idempotency_Key="k1")
    assert again.json["order_id"] != placed.json["order_id"]
    assert "Idempotency-Replayed" not in again.headers


# crashes


async def erase_and_crash(ann: Ann, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies after the log has it and before anything else is done."""
    with monkeypatch.context() as patch:
        patch.setattr(Eraser, "finish", _crashed)
        await ann.leave()


async def _crashed(_self: Eraser, _user_id: int) -> bool:
    return False


async def test_a_crash_after_the_log_has_it_leaves_the_rest_to_the_sweep(
    ann: Ann, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = ann.client.shop
    paid, open_one = await ann.order(), await ann.order()
    await ann.pay(paid)
    await erase_and_crash(ann, monkeypatch)
    assert ann.user_id in shop.keys.keys
    # Nobody is shown anything all the same: the log says so, whatever is left of the key.
    assert await ann.contact(paid) == NOTHING
    await shop.eraser.sweep()
    assert ann.user_id not in shop.keys.keys
    assert list(shop.keys.kept_keys) == [open_one]
    assert await ann.contact(open_one) == CONTACT
    assert shop.reads.states[streams.cart(ann.user_id)].is_closed


async def test_a_database_that_is_away_delays_the_erasure_and_loses_nothing(
    ann: Ann, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = ann.client.shop

    async def away(*_: Any) -> None:
        raise psycopg.OperationalError("the server is gone")

    with monkeypatch.context() as patch:
        patch.setattr(shop.keys, "destroy", away)
        await ann.leave()
        with pytest.raises(psycopg.OperationalError):
            await shop.eraser.sweep()
    assert ann.user_id in shop.keys.keys
    await shop.eraser.sweep()
    assert ann.user_id not in shop.keys.keys


async def test_read_models_that_are_behind_delay_the_erasure(
    ann: Ann, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order that they do not show yet must not lose the key that delivers it."""
    monkeypatch.setattr("adapters.erasure.READS_WAIT_S", 0.05)
    shop = ann.client.shop
    shop.reads.hold()
    order_id = await ann.order()
    await ann.leave()
    assert ann.user_id in shop.keys.keys
    await shop.eraser.sweep()
    assert (ann.user_id in shop.keys.keys, shop.keys.position) == (True, 0)
    shop.reads.release()
    await shop.eraser.sweep()
    assert ann.user_id not in shop.keys.keys
    assert await ann.contact(order_id) == CONTACT


async def test_erasing_and_sweeping_again_changes_nothing(ann: Ann) -> None:
    shop = ann.client.shop
    order_id = await ann.order()
    await ann.leave()
    for _ in range(2):
        shop.keys.position = 0
        await shop.eraser.sweep()
        assert await shop.eraser.finish(ann.user_id)
    assert await shop.desk.erase(ann.user_id, by="test") is None
    assert await ann.contact(order_id) == CONTACT


async def test_an_event_of_another_process_makes_this_one_forget_the_key(ann: Ann) -> None:
    shop = ann.client.shop
    order_id = await ann.order()
    await ann.pay(order_id)
    assert await ann.contact(order_id) == CONTACT
    key = shop.personal._keys[ann.user_id]
    await ann.leave()
    # As if this process had not been the one to erase, and had the key in memory still.
    shop.personal._erased.clear()
    shop.personal._remember(ann.user_id, key)
    for recorded in await user_events(ann):
        shop.sessions.learn(recorded)
    assert await ann.contact(order_id) == NOTHING


async def user_events(ann: Ann) -> list[Any]:
    stored = ann.client.shop.recorders["user"].select_events(streams.user(ann.user_id))
    return [decode(event) for event in stored]


async def test_nothing_of_an_order_can_be_started_once_the_cart_is_closed(ann: Ann) -> None:
    """A token that is verified elsewhere at this very moment does not help."""
    await ann.leave()
    cause = Cause("c", "test", "", ann.client.shop.now())
    with pytest.raises(AccountClosed):
        await ann.client.shop.orders.submit(PutCartLine(ann.user_id, CartLine(1, 1, True)), cause)
