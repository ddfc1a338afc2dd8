"""Whatever the services decide, in whatever order messages come and however often: the books are clean."""

from contextlib import suppress
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from domain import streams
from domain.refusals import Refusal
from domain.saga import Step
from domain.sale import Line, Rollback, Sell
from domain.services import INVENTORY, ORDER
from domain.stock import AdjustStock, SetInv
from orchestrator.audit import walk
from orchestrator.audit_orders import OrdersAddUp
from orchestrator.audit_pairs import Books, compare
from orchestrator.audit_sagas import SagasMoveLegally
from orchestrator.audit_sales import SalesMoveTheirStock
from orchestrator.audit_stock import StockAddsUp
from orchestrator.audit_streams import LogIsWhole
from tests.shop_history import ShopHistory

GOODS_IDS = (11, 12, 13)
Steps = list[tuple[str, str, tuple[tuple[int, int], ...]]]

ORDER_IDS = ("1", "2", "3", "4")
MAX_STEPS = 60

STEPS_OF_AN_ORDER = (
    *("sell", "heard", "paid", "cancelled", "given_up", "lapsed", "rollback", "returned"),
    *("retried", "compensated"),
)

order_ids = st.sampled_from(ORDER_IDS)
lines = st.dictionaries(st.sampled_from(GOODS_IDS), st.integers(1, 5), min_size=1).map(
    lambda nums: tuple(nums.items())
)
onwards = st.tuples(st.just("on"), order_ids, lines)
steps = st.one_of(
    onwards,
    onwards,
    onwards,
    st.tuples(
        st.sampled_from(STEPS_OF_AN_ORDER),
        order_ids,
        st.just(()),
    ),
    st.tuples(st.just("looked"), order_ids, lines),
    st.tuples(st.just("set"), st.just(""), lines),
    st.tuples(st.just("adjusted"), st.just(""), lines),
    st.tuples(st.just("later"), st.just(""), st.just(())),
    st.tuples(st.just("closed"), st.just(""), st.just(())),
)


def take(shop: ShopHistory, step: tuple[str, str, tuple[tuple[int, int], ...]]) -> None:
    """One step of the shop; messages are only what a saga owes, or a reply to it, however late."""
    what, order_id, units = step
    saga = shop.state(ORDER, streams.saga(order_id))
    match what:
        case "on":
            go_on(shop, order_id, units)
        case "looked":
            shop.started(order_id, units, looked=True)
        case "sell" if saga.contact is not None:
            sold = tuple(Line(line.goods_id, line.nums) for line in saga.lines)
            shop.tell(INVENTORY, Sell(order_id, sold), "order-saga")
        case "rollback" if saga.reason is not None and saga.step in ("ROLLING_BACK", "CLOSED"):
            shop.tell(INVENTORY, Rollback(order_id), "order-saga")
        case "rollback" if saga.step == "REFUSED":
            shop.tell(INVENTORY, Rollback(order_id), "user-3")
        case "returned" if saga.step in ("ROLLING_BACK", "CLOSED"):
            shop.rolled_back(order_id)
        case "set":
            for goods_id, nums in units:
                shop.tell(INVENTORY, SetInv(goods_id, nums, goods_exist=True))
        case "adjusted":
            for goods_id, nums in units:
                shop.tell(INVENTORY, AdjustStock(goods_id, nums - 3, "counted", goods_exist=True))
        case "later":
            shop.now += timedelta(minutes=20)
        case "closed":
            shop.account_closed()
        case "heard" | "paid" | "cancelled" | "given_up" | "lapsed" | "retried" | "compensated":
            getattr(shop, what)(order_id)
        case _:
            pass


def shop_of(history: Steps) -> ShopHistory:
    shop = ShopHistory()
    for goods_id in GOODS_IDS:
        shop.stocked(goods_id, 6)
    for step in history:
        with suppress(Refusal):
            take(shop, step)
    return shop


def go_on(shop: ShopHistory, order_id: str, units: tuple[tuple[int, int], ...]) -> None:
    """What comes next for an order when nothing goes wrong."""
    match shop.state(ORDER, streams.saga(order_id)).step:
        case Step.NEW:
            shop.started(order_id, units)
        case Step.SELLING:
            shop.sold(order_id)
        case Step.AWAITING_PAYMENT:
            shop.paid(order_id)
        case Step.ROLLING_BACK:
            shop.rolled_back(order_id)
        case _:
            pass


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, min_size=MAX_STEPS // 4, max_size=MAX_STEPS))
def test_every_valid_history_is_clean(history: Steps) -> None:
    shop = shop_of(history)
    orders, sales = OrdersAddUp(), SalesMoveTheirStock()
    sagas = SagasMoveLegally(orders.facts)
    found = [
        *walk(shop.logs["order"], [LogIsWhole("order"), orders, sagas]),
        *walk(shop.logs["inventory"], [LogIsWhole("inventory"), StockAddsUp(), sales]),
        *compare(Books(orders.facts, sagas.facts, sales.facts)),
    ]
    assert found == []
