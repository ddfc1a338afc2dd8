"""How orders go: one short story for each outcome. A story does something, then says how long it waits.

The waits between two logs are never shorter than LAG_TICKS, so whoever stores the events may put the
commits of some ticks together and still never stores an effect before its cause.
"""

from collections.abc import Callable, Generator
from datetime import timedelta
from itertools import accumulate
from typing import Any, Final

from benchmarks.sealed import contact
from benchmarks.shop import Shop
from domain import streams
from domain.cart import CartLine, ReplaceCart
from domain.goods import Goods, Offer
from domain.key import Keyed, KeyUse
from domain.order import Payment, PayOrder
from domain.refusals import Refusal
from domain.saga import (
    CancelOrder,
    ConfirmReturn,
    ConfirmSell,
    DenySell,
    LapsePayment,
    StartOrder,
    Step,
)
from domain.saga_acts import CompensateSaga, RetrySaga
from domain.saga_owed import owed
from domain.saga_timing import wake, wakes_at
from domain.sale import Rollback, SaleStatus
from domain.services import GOODS, INVENTORY, ORDER

Story = Generator[int, None, None]
"""Yields the ticks until it goes on."""

SELL_DEADLINE: Final = timedelta(seconds=30)
PAYMENT_WINDOW: Final = timedelta(seconds=120)
PAID_WITHIN_TICKS: Final = 400
LARGE_ORDERS: Final = 0.01
LARGE_ORDER_LINES: Final = 50
MOST_LINES: Final = 5
TOO_MANY: Final = 1_000_000
LOW_STOCK: Final = 60

INVENTORY_CALLER: Final = "order-saga"
ORDER_CALLER: Final = "inventory"
PAYMENT_SERVICE: Final = "user-2"
OPERATOR: Final = "operator-ann"


def order(shop: Shop) -> Story:
    user_id = shop.visitor()
    if user_id is None:
        return
    outcome = shop.rng.choices(_OUTCOMES, cum_weights=_WEIGHTS)[0]
    lines = _selection(shop, TOO_MANY if outcome is refused else 1 + shop.rng.randrange(3))
    shop.tell(ORDER, ReplaceCart(user_id, lines), streams.user(user_id))
    yield 1 + shop.rng.randrange(9)
    order_id = shop.new_order_id()
    try:
        _start(shop, order_id, user_id, lines)
    except Refusal:
        # Goods of the cart were deleted just now.
        shop.leave(user_id)
        return
    yield shop.hop()
    yield from outcome(shop, order_id)
    shop.forget((streams.saga(order_id), streams.order(order_id), streams.sale(order_id)))


def paid(shop: Shop, order_id: str) -> Story:
    if (yield from _sold(shop, order_id)):
        yield 1 + shop.rng.randrange(PAID_WITHIN_TICKS)
        _pay(shop, order_id)


def refused(shop: Shop, order_id: str) -> Story:
    """One line of it wants more than there is."""
    yield from _sold(shop, order_id)


def lapsed(shop: Shop, order_id: str) -> Story:
    """Nobody pays in time; now and then somebody pays too late."""
    if not (yield from _sold(shop, order_id)):
        return
    pay_before = shop.saga(order_id).pay_before
    assert pay_before is not None
    yield shop.ticks_until(pay_before)
    _by_watchdog(shop, LapsePayment(order_id, shop.now))
    yield from _rolled_back(shop, order_id)
    if shop.rng.random() < 0.2:
        yield shop.hop()
        _pay(shop, order_id)


def cancelled(shop: Shop, order_id: str) -> Story:
    if (yield from _sold(shop, order_id)):
        yield 1 + shop.rng.randrange(PAID_WITHIN_TICKS)
        _cancel(shop, order_id)
        yield from _rolled_back(shop, order_id)


def cancelled_early(shop: Shop, order_id: str) -> Story:
    """Before the answer of inventory is heard, which has or has not sold meanwhile."""
    if shop.rng.random() < 0.5:
        _sell(shop, order_id)
        yield shop.hop()
    _cancel(shop, order_id)
    shop.leave(shop.saga(order_id).user_id)
    yield from _rolled_back(shop, order_id)


def unanswered(shop: Shop, order_id: str) -> Story:
    """Inventory is asked again and again, until the deadline; its answer is lost, or its Sell was."""
    if shop.rng.random() < 0.5:
        _sell(shop, order_id)
    yield from _waited_for(shop, order_id)
    shop.leave(shop.saga(order_id).user_id)
    yield from _rolled_back(shop, order_id)


def retried(shop: Shop, order_id: str) -> Story:
    """An operator has it sent again, and that helps."""
    yield shop.hop()
    act = RetrySaga(order_id, shop.now, "the broker was away")
    shop.tell(ORDER, act, OPERATOR, about=order_id)
    yield shop.hop()
    yield from paid(shop, order_id)


def compensated(shop: Shop, order_id: str) -> Story:
    if (yield from _sold(shop, order_id)):
        yield shop.hop()
        act = CompensateSaga(order_id, shop.now, "the customer called")
        shop.tell(ORDER, act, OPERATOR, about=order_id)
        yield from _rolled_back(shop, order_id)


Outcome = Callable[[Shop, str], Story]
"""What becomes of an order that was started. Its user leaves once it is decided, and may do other things."""

WEIGHTS: Final[dict[Outcome, float]] = {
    paid: 72,
    lapsed: 9,
    cancelled: 7,
    refused: 5,
    unanswered: 3,
    cancelled_early: 2,
    retried: 1,
    compensated: 1,
}

_OUTCOMES: Final = list(WEIGHTS)
_WEIGHTS: Final = list(accumulate(WEIGHTS.values()))


# its steps


def _selection(shop: Shop, nums: int) -> tuple[CartLine, ...]:
    """`nums`: units of the first line."""
    is_large = shop.rng.random() < LARGE_ORDERS
    count = LARGE_ORDER_LINES if is_large else 1 + shop.rng.randrange(MOST_LINES)
    first, *others = shop.some_goods(count)
    rest = tuple(CartLine(goods_id, 1 + shop.rng.randrange(3), checked=True) for goods_id in others)
    return (CartLine(first, nums, checked=True), *rest)


def _start(shop: Shop, order_id: str, user_id: int, lines: tuple[CartLine, ...]) -> None:
    offers = tuple(_offer(shop, line.goods_id) for line in lines)
    sell_before = shop.now + SELL_DEADLINE
    start = StartOrder(order_id, user_id, offers, contact(shop.rng), shop.now, sell_before)
    use = KeyUse(streams.key(shop.token()), shop.token())
    shop.tell(ORDER, Keyed(start, use), streams.user(user_id), about=order_id)
    shop.forget((use.stream,))


def _offer(shop: Shop, goods_id: int) -> Offer:
    goods: Goods = shop.state(GOODS, streams.goods(goods_id))
    return Offer(goods_id, goods.name, goods.price, goods.for_sale)


def _sold(shop: Shop, order_id: str) -> Generator[int, None, bool]:
    """Inventory answers and the saga hears it. Returns whether the order was placed."""
    _sell(shop, order_id)
    yield shop.hop()
    saga, sale = shop.saga(order_id), shop.sale(order_id)
    if sale.status is SaleStatus.SOLD:
        sold = ConfirmSell(order_id, shop.now, shop.now + PAYMENT_WINDOW)
        shop.tell(ORDER, sold, ORDER_CALLER, f"SoldReply-{order_id}", order_id)
    else:
        denied = DenySell(order_id, "stock-short", sale.short)
        shop.tell(ORDER, denied, ORDER_CALLER, f"SellRefusedReply-{order_id}", order_id)
    shop.leave(saga.user_id)
    return sale.status is SaleStatus.SOLD


def _sell(shop: Shop, order_id: str) -> None:
    command = owed(shop.saga(order_id))
    shop.tell(INVENTORY, command, INVENTORY_CALLER, f"sell-{order_id}", order_id)
    for line in shop.sale(order_id).lines:
        if shop.state(INVENTORY, streams.stock(line.goods_id)).on_hand < LOW_STOCK:
            shop.low[line.goods_id] = None


def _pay(shop: Shop, order_id: str) -> None:
    payment = Payment("alipay", f"T-{shop.token()[:16]}", shop.saga(order_id).amount, shop.now)
    shop.tell(ORDER, PayOrder(order_id, payment), PAYMENT_SERVICE, about=order_id)


def _cancel(shop: Shop, order_id: str) -> None:
    user_id = shop.saga(order_id).user_id
    shop.tell(ORDER, CancelOrder(order_id), streams.user(user_id), about=order_id)


def _rolled_back(shop: Shop, order_id: str) -> Story:
    """Inventory answers the owed Rollback and the saga hears it."""
    assert shop.saga(order_id).step is Step.ROLLING_BACK, f"order {order_id} owes no stock"
    yield shop.hop()
    shop.tell(INVENTORY, Rollback(order_id), INVENTORY_CALLER, f"rollback-{order_id}", order_id)
    yield shop.hop()
    returned = shop.sale(order_id).status is SaleStatus.RETURNED
    heard = ConfirmReturn(order_id, returned)
    shop.tell(ORDER, heard, ORDER_CALLER, f"RolledBackReply-{order_id}", order_id)


def _waited_for(shop: Shop, order_id: str) -> Story:
    """The watchdog wakes the saga each time it is due, until it gives up."""
    while (saga := shop.saga(order_id)).step is Step.SELLING:
        assert saga.started_at is not None
        due = wakes_at(saga, saga.started_at)
        assert due is not None
        yield shop.ticks_until(due)
        command = wake(saga, shop.now)
        if command is not None:
            _by_watchdog(shop, command)


def _by_watchdog(shop: Shop, command: Any) -> None:
    command_id = f"{type(command).__name__}-{command.order_id}-{shop.now:%Y%m%dT%H%M%S.%f}"
    shop.tell(ORDER, command, "watchdog", command_id, command.order_id)
