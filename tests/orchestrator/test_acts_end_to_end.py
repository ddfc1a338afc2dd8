"""An operator's acts and closed accounts over a real log and a real wire: the stock comes back, and once."""

import asyncio
from collections.abc import Callable
from functools import partial

from domain.cart import CloseCart
from domain.order import OrderStatus
from domain.saga import PlacementRefused, Resent, Step
from domain.saga_acts import CompensateSaga, RetrySaga
from domain.sale import RolledBack, Sell, Sold
from domain.stock import StockReturned, StockSold
from tests.orchestrator import test_saga_end_to_end as end_to_end
from tests.orchestrator.test_saga_end_to_end import PATIENCE_S, USER, Shop

shop = end_to_end.shop
quick = end_to_end._quick


def _tries(shop: Shop, order_id: str) -> list[int]:
    return [event.tries for event in shop.events("order", f"saga-{order_id}") if isinstance(event, Resent)]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_compensated_order_gives_its_stock_back_once(shop: Shop) -> None:
    await shop.stocked(1, 10)
    placed = await shop.placing({1: 4})
    act = CompensateSaga(placed.order_id, shop.clock(), "the customer called")
    await asyncio.gather(shop.orders.submit(act, shop.cause()), shop.orders.submit(act, shop.cause()))
    saga = await shop.reaches(placed.order_id, Step.CLOSED)

    assert saga.reason == "compensated"
    assert (await shop.order(placed.order_id)).status is OrderStatus.CLOSED
    assert [type(event) for event in shop.events("inventory", "stock-1")][1:] == [StockSold, StockReturned]


async def test_what_was_sold_for_an_account_that_was_closed_meanwhile_comes_back_once(shop: Shop) -> None:
    shop.wire.drops = lambda item: type(item).__name__ == "SoldReply"
    await shop.stocked(1, 10)
    waiting = asyncio.create_task(shop.placing({1: 4}))
    await until(lambda: bool(shop.due.sagas) and shop.logs["inventory"].recorder.max_notification_id() == 3)
    await shop.orders.submit(CloseCart(USER), shop.cause())
    shop.wire.drops = lambda _item: False
    shop.clock.jump(2)
    refused = await waiting
    closed = await shop.reaches(refused.order_id, Step.CLOSED)

    assert (refused.saga.reason, closed.reason) == ("account-closed", "account-closed")
    assert PlacementRefused("account-closed") in shop.events("order", f"saga-{refused.order_id}")
    assert (await shop.order(refused.order_id)).status is OrderStatus.NONE
    sale = [type(event) for event in shop.events("inventory", f"sale-{refused.order_id}")]
    assert (sale, await shop.on_hand(1)) == ([Sold, RolledBack], 10)


async def test_a_retry_sends_what_is_owed_long_before_its_pause_ends(shop: Shop) -> None:
    lost: list[object] = []

    def lose(item: object) -> bool:
        lost.append(item)
        return isinstance(item, Sell)

    shop.wire.drops = lose
    await shop.stocked(1, 10)
    waiting = asyncio.create_task(shop.placing({1: 4}))
    for sent, pause_s in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 0)):
        await until(partial(_has, lost, sent))
        shop.clock.jump(pause_s)
    (order_id,) = shop.due.sagas
    shop.wire.drops = lambda _item: False
    await shop.orders.submit(RetrySaga(order_id, shop.clock(), "the broker is back"), shop.cause())
    placed = await waiting

    assert placed.order.status is OrderStatus.TO_PAY
    assert _tries(shop, order_id) == [1, 2, 3, 4, 1], "its pause was 15 s, and the clock has hardly moved"


def _has(things: list[object], number: int) -> bool:
    return len(things) >= number
