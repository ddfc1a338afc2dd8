"""An audit that continues finds in what is new exactly what a whole one finds there, wherever the cut is."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import groupby

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.order import OrderPaid, Payment, RefundDue
from domain.recorded import Recorded
from domain.saga import PaymentTaken
from domain.sale import Line, RolledBack, Sold
from domain.services import INVENTORY, ORDER
from domain.stock import StockReturned, StockSet, StockSold
from orchestrator.audit import Check, Finding, walk
from orchestrator.audit_orders import OrdersAddUp
from orchestrator.audit_pairs import Books, compare
from orchestrator.audit_sagas import SagasMoveLegally
from orchestrator.audit_sales import SalesMoveTheirStock
from orchestrator.audit_since import Earlier, earlier_of, level_only, orders_of, recall
from orchestrator.audit_stock import StockAddsUp
from orchestrator.audit_streams import LogIsWhole
from tests.orchestrator.test_audit_histories import MAX_STEPS, Steps, shop_of, steps
from tests.shop_history import START, ShopHistory

LOGS = ("order", "inventory")

Logs = dict[str, list[Recorded]]


def audited(logs: Logs, since: dict[str, int]) -> list[Finding]:
    """`since`: how many events of each log were audited before; all of it is read where that is 0."""
    earlier = earlier_in(logs, since)
    orders, sales = OrdersAddUp(), SalesMoveTheirStock()
    sagas = SagasMoveLegally(orders.facts)
    checks: dict[str, list[Check]] = {
        "order": [LogIsWhole("order", after=since["order"]), orders, sagas],
        "inventory": [LogIsWhole("inventory", after=since["inventory"]), StockAddsUp(), sales],
    }
    found: list[Finding] = []
    for log in LOGS:
        found += recall(recalled(logs[log], earlier[log]), checks[log])
        found += walk(logs[log][since[log] :], checks[log])
    return found + list(compare(Books(orders.facts, sagas.facts, sales.facts)))


def earlier_in(logs: Logs, since: dict[str, int]) -> dict[str, Earlier]:
    """What the databases are asked for, from lists."""
    touched = {log: {recorded.originator_id for recorded in logs[log][since[log] :]} for log in LOGS}
    orders = orders_of(touched["order"] | touched["inventory"])
    trades = {trade for trade, _ in trades_of(logs["order"][since["order"] :])}
    orders |= {order for trade, order in trades_of(logs["order"][: since["order"]]) if trade in trades}
    return {log: earlier_of(log, since[log], touched[log], orders) for log in LOGS}


def trades_of(events: Iterable[Recorded]) -> Iterable[tuple[str, str]]:
    for recorded in events:
        if isinstance(recorded.event, OrderPaid | RefundDue):
            yield recorded.event.payment.trade_id, recorded.originator_id.partition("-")[2]


def recalled(events: list[Recorded], earlier: Earlier) -> Iterable[Recorded]:
    before = events[: earlier.after]
    yield from (recorded for recorded in before if recorded.originator_id in earlier.whole)
    for stream in earlier.ends:
        of_stream = [level_only(recorded) for recorded in before if recorded.originator_id == stream]
        yield from of_stream[:1]
        yield from of_stream[1:][-1:]


def commit_ends(events: list[Recorded]) -> list[int]:
    """The positions at which an audit can continue."""
    ends = [0]
    for _, together in groupby(events, key=lambda recorded: recorded.cause.command_id):
        ends.append(ends[-1] + len(list(together)))
    return ends


# faults, written at the end of a history by somebody who knows the next versions


def no_fault(_: ShopHistory) -> None:
    pass


def a_unit_out_of_nowhere(shop: ShopHistory) -> None:
    level = shop.state(INVENTORY, "stock-11").on_hand
    shop.plant(INVENTORY, "stock-11", StockSet(level + 2, level + 1))


def a_movement_nobody_announced(shop: ShopHistory) -> None:
    shop.plant(INVENTORY, "stock-12", StockSold("1", 1, shop.state(INVENTORY, "stock-12").on_hand - 1))


def a_return_twice(shop: ShopHistory) -> None:
    level = shop.state(INVENTORY, "stock-13").on_hand
    for times in (1, 2):
        shop.plant(INVENTORY, "sale-1", RolledBack((Line(13, 1),)))
        shop.plant(INVENTORY, "stock-13", StockReturned("1", 1, level + times))


def a_sale_without_an_order(shop: ShopHistory) -> None:
    shop.plant(INVENTORY, "sale-77", Sold((Line(13, 1),)))
    shop.plant(INVENTORY, "stock-13", StockSold("77", 1, shop.state(INVENTORY, "stock-13").on_hand - 1))


def a_payment_out_of_nowhere(shop: ShopHistory) -> None:
    shop.plant(ORDER, "order-2", OrderPaid(Payment("alipay", "T-1", 1, START)))
    shop.plant(ORDER, "saga-2", PaymentTaken())


Fault = Callable[[ShopHistory], None]

FAULTS: tuple[Fault, ...] = (
    no_fault,
    a_unit_out_of_nowhere,
    a_movement_nobody_announced,
    a_return_twice,
    a_sale_without_an_order,
    a_payment_out_of_nowhere,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, min_size=MAX_STEPS // 4, max_size=MAX_STEPS), st.sampled_from(FAULTS), st.data())
def test_wherever_it_continues_it_finds_what_a_whole_audit_finds(
    history: Steps, fault: Fault, data: st.DataObject
) -> None:
    shop = shop_of(history)
    cuts = {log: data.draw(st.sampled_from(commit_ends(shop.logs[log])), log) for log in LOGS}
    with suppress(AssertionError, LookupError, ValueError):
        fault(shop)
    whole = audited(shop.logs, dict.fromkeys(LOGS, 0))
    assert places(audited(shop.logs, cuts)) == places(whole)


def places(findings: list[Finding]) -> set[tuple[str, str, str, int]]:
    """Not the words: an account that continues begins with its level, and does not know what made that."""
    return {(found.check, found.subject, found.log, found.position) for found in findings}
