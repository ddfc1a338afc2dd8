"""The services: what each command reads and what one commit holds; no commit spans two logs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain import saga, sale, user
from domain.cart import (
    CartClosed,
    CartLine,
    CartReplaced,
    ChangeCartLine,
    CheckedOut,
    CheckoutBegun,
    CheckoutDropped,
    ReplaceCart,
)
from domain.goods import Offer
from domain.order import Contact, OrderClosed, OrderLine, OrderPaid, OrderPlaced, Payment, PayOrder, RefundDue
from domain.refusals import AccountClosed, NoSuchGoods, OrderUnderWay
from domain.saga import (
    CancelOrder,
    ConfirmSell,
    DenySell,
    GiveUpSelling,
    LapsePayment,
    OrderCancelled,
    OrderStarted,
    PaymentLapsed,
    PaymentTaken,
    PlacementRefused,
    SellConfirmed,
    SellDenied,
    SellUnanswered,
    StartOrder,
)
from domain.saga_acts import CompensateSaga, CompensationOrdered, RetryOrdered, RetrySaga
from domain.sale import Line, Rollback, Sell
from domain.service import Service, Written
from domain.services import INVENTORY, ORDER, SERVICES, USER
from domain.stock import SetInv, SetInvMany, StockSet
from tests.shop_history import ShopHistory

AT = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
PAY_BEFORE = AT + timedelta(minutes=30)
STARTED = OrderStarted(
    "7", 3, (OrderLine(12, "mug", 250, 2),), 500, Contact("1 High Street", "Ann", "07700", "N1"), AT, AT
)
FILLED = CartReplaced((CartLine(12, 2, checked=True),))
BEGUN = CheckoutBegun("7", (Line(12, 2),))
PAYMENT = Payment("alipay", "T-1", 500, AT)


def decided(service: Service, command: Any, states: dict[str, Any]) -> Written:
    rule = service.rules[type(command)]
    names = list(rule.reads(command))
    known = {name: states.get(name, service.initial(name)) for name in names}
    more = {name: states.get(name, service.initial(name)) for name in rule.reads_then(command, known)}
    return rule.decide(command, known | more)


def folded(service: Service, stream: str, *events: Any) -> Any:
    state = service.initial(stream)
    for event in events:
        state = service.evolve(stream, state, event)
    return state


def order_states(*written: tuple[str, Any]) -> dict[str, Any]:
    """Order 7 of user 3 is under way with all of the cart, and then this was written."""
    states: dict[str, Any] = {}
    for stream, event in (("cart-3", FILLED), ("saga-7", STARTED), ("cart-3", BEGUN), *written):
        states[stream] = ORDER.evolve(stream, states.get(stream, ORDER.initial(stream)), event)
    return states


PLACED = decided(ORDER, ConfirmSell("7", AT, PAY_BEFORE), order_states())


def test_sold_writes_saga_order_and_cart_in_one_commit() -> None:
    assert [(stream, type(event)) for stream, event in PLACED] == [
        ("saga-7", SellConfirmed),
        ("order-7", OrderPlaced),
        ("cart-3", CheckedOut),
    ]


def start(order_id: str) -> StartOrder:
    offers = (Offer(12, "mug", 250, for_sale=True),)
    return StartOrder(order_id, 3, offers, STARTED.contact, AT, STARTED.sell_before)


def test_a_start_writes_saga_and_cart_in_one_commit() -> None:
    assert decided(ORDER, start("7"), {"cart-3": folded(ORDER, "cart-3", FILLED)}) == (
        ("saga-7", STARTED),
        ("cart-3", BEGUN),
    )


def test_a_second_order_of_the_same_cart_is_refused_until_the_first_is_decided() -> None:
    with pytest.raises(OrderUnderWay) as refusal:
        decided(ORDER, start("8"), order_states())
    assert refusal.value.facts == {"order_id": "7"}


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (DenySell("7", "stock-short", ()), SellDenied("stock-short", ())),
        (GiveUpSelling("7", AT), SellUnanswered()),
        (CancelOrder("7"), OrderCancelled()),
        (CompensateSaga("7", AT, "stuck"), CompensationOrdered("stuck")),
    ],
    ids=["denied", "given up", "cancelled", "compensated"],
)
class TestAnOrderThatIsNotPlaced:
    def test_releases_its_lines_in_the_same_commit(self, command: Any, event: Any) -> None:
        written = decided(ORDER, command, order_states())

        assert written == (("saga-7", event), ("cart-3", CheckoutDropped("7")))
        assert decided(ORDER, start("8"), order_states(*written))[1][0] == "cart-3"

    def test_leaves_a_replaced_cart_alone(self, command: Any, event: Any) -> None:
        states = order_states(("cart-3", CartReplaced((CartLine(13, 1, checked=True),))))

        assert decided(ORDER, command, states) == (("saga-7", event),)

    def test_leaves_lines_alone_that_are_under_way_for_the_next_order(self, command: Any, event: Any) -> None:
        states = order_states(("cart-3", FILLED), ("cart-3", CheckoutBegun("8", BEGUN.lines)))

        assert decided(ORDER, command, states) == (("saga-7", event),)

    def test_is_decided_once(self, command: Any, event: Any) -> None:
        states = order_states(("saga-7", event), ("cart-3", CheckoutDropped("7")), ("cart-3", BEGUN))

        assert decided(ORDER, command, states) == ()


def test_a_compensation_closes_the_order_and_moves_the_saga_in_one_commit() -> None:
    assert decided(ORDER, CompensateSaga("7", AT, "stuck"), order_states(*PLACED)) == (
        ("saga-7", CompensationOrdered("stuck")),
        ("order-7", OrderClosed("compensated")),
    )


def test_a_retry_writes_the_saga_and_nothing_else() -> None:
    assert decided(ORDER, RetrySaga("7", AT, "stuck"), order_states()) == (
        ("saga-7", RetryOrdered("stuck", AT)),
    )


def test_a_sale_for_a_closed_account_moves_the_saga_and_places_no_order() -> None:
    states = order_states(("cart-3", CartClosed()))

    assert decided(ORDER, ConfirmSell("7", AT, PAY_BEFORE), states) == (
        ("saga-7", PlacementRefused("account-closed")),
    )


@pytest.mark.parametrize(
    "command", [DenySell("7", "stock-short", ()), GiveUpSelling("7", AT), CancelOrder("7")]
)
def test_an_order_of_a_closed_account_has_no_lines_to_release(command: Any) -> None:
    written = decided(ORDER, command, order_states(("cart-3", CartClosed())))

    assert [stream for stream, _ in written] == ["saga-7"]


def test_a_closed_account_keeps_and_pays_what_was_placed_before() -> None:
    states = order_states(*PLACED, ("cart-3", CartClosed()))

    assert decided(ORDER, PayOrder("7", PAYMENT), states)[0] == ("order-7", OrderPaid(PAYMENT))


def test_a_closed_account_is_told_so_and_nothing_is_recorded() -> None:
    with pytest.raises(AccountClosed):
        decided(ORDER, start("8"), order_states(("cart-3", CartClosed())))


def test_a_cart_replaced_while_its_order_is_under_way_keeps_the_new_lines() -> None:
    shop = ShopHistory()
    shop.stocked(12, 5)
    shop.stocked(13, 5)
    shop.started("7", [(12, 2), (13, 1)])
    new = (CartLine(12, 4, checked=True), CartLine(13, 1, checked=True))
    shop.tell(ORDER, ReplaceCart(7, new))
    shop.sold("7")

    assert shop.state(ORDER, "cart-7").lines == new
    assert shop.state(ORDER, "saga-7").step is saga.Step.AWAITING_PAYMENT


def test_a_line_changed_while_its_order_is_under_way_stays_and_the_others_leave() -> None:
    shop = ShopHistory()
    shop.stocked(12, 5)
    shop.stocked(13, 5)
    shop.started("7", [(12, 2), (13, 1)])
    shop.tell(ORDER, ChangeCartLine(7, 12, nums=3))
    shop.sold("7")

    assert shop.state(ORDER, "cart-7").lines == (CartLine(12, 3, checked=True),)


def test_a_payment_pays_the_order_and_moves_the_saga_in_one_commit() -> None:
    assert decided(ORDER, PayOrder("7", PAYMENT), order_states(*PLACED)) == (
        ("order-7", OrderPaid(PAYMENT)),
        ("saga-7", PaymentTaken()),
    )


def test_a_late_payment_is_recorded_and_leaves_the_saga_alone() -> None:
    closed = order_states(*PLACED, ("saga-7", PaymentLapsed()), ("order-7", OrderClosed("payment-lapsed")))
    late = replace(PAYMENT, at=PAY_BEFORE)

    assert decided(ORDER, PayOrder("7", late), closed) == (("order-7", RefundDue(late)),)


def test_a_lapse_closes_the_order_and_moves_the_saga_in_one_commit() -> None:
    assert decided(ORDER, LapsePayment("7", PAY_BEFORE), order_states(*PLACED)) == (
        ("saga-7", PaymentLapsed()),
        ("order-7", OrderClosed("payment-lapsed")),
    )


def test_a_cancel_closes_the_order_and_moves_the_saga_in_one_commit() -> None:
    assert decided(ORDER, CancelOrder("7"), order_states(*PLACED)) == (
        ("saga-7", OrderCancelled()),
        ("order-7", OrderClosed("cancelled")),
    )


def test_a_cancel_before_the_sale_is_known_closes_no_order() -> None:
    assert decided(ORDER, CancelOrder("7"), order_states()) == (
        ("saga-7", OrderCancelled()),
        ("cart-3", CheckoutDropped("7")),
    )


def test_payment_and_close_write_the_same_streams_so_one_of_them_comes_first() -> None:
    states = order_states(*PLACED)
    paid = {stream for stream, _ in decided(ORDER, PayOrder("7", PAYMENT), states)}
    closed = {stream for stream, _ in decided(ORDER, LapsePayment("7", PAY_BEFORE), states)}

    assert paid == closed == {"order-7", "saga-7"}


def test_a_sell_reads_the_sale_and_each_stock_once() -> None:
    command = Sell("7", (Line(12, 1), Line(13, 1), Line(12, 4)))

    assert list(INVENTORY.rules[Sell].reads(command)) == ["sale-7", "stock-12", "stock-13"]


def test_a_rollback_reads_the_stock_that_its_sale_names() -> None:
    sold = {"sale-7": folded(INVENTORY, "sale-7", sale.Sold((Line(12, 2), Line(13, 1))))}

    assert list(INVENTORY.rules[Rollback].reads_then(Rollback("7"), sold)) == ["stock-12", "stock-13"]


def test_setting_many_is_all_or_none() -> None:
    some = SetInvMany((SetInv(12, 5, goods_exist=True), SetInv(13, 6, goods_exist=False)))
    all_known = SetInvMany((SetInv(12, 5, goods_exist=True), SetInv(13, 0, goods_exist=True)))

    with pytest.raises(NoSuchGoods):
        decided(INVENTORY, some, {})
    assert decided(INVENTORY, all_known, {}) == (("stock-12", StockSet(5, 0)), ("stock-13", StockSet(0, 0)))


def test_setting_the_same_goods_twice_at_once_keeps_the_running_balance() -> None:
    twice = SetInvMany((SetInv(12, 5, goods_exist=True), SetInv(12, 7, goods_exist=True)))
    level = 0
    for _, event in decided(INVENTORY, twice, {}):
        assert event.before == level
        level = event.on_hand


def test_two_registrations_of_one_email_meet_in_the_same_stream() -> None:
    ann = user.RegisterUser(1, "ann@example.org", "d1", "ann", None, user.Role.CUSTOMER, "$h")
    bob = replace(ann, user_id=2)

    written = [{stream for stream, _ in decided(USER, command, {})} for command in (ann, bob)]
    assert written[0] & written[1] == {"email-d1"}


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.log)
def test_the_first_states_are_shared_so_they_are_frozen(service: Service) -> None:
    for category in service.categories.values():
        kind = type(category.initial)
        assert issubclass(kind, tuple) or kind.__dataclass_params__.frozen


def test_a_whole_order_in_both_logs() -> None:
    shop = ShopHistory()
    shop.stocked(12, 5)
    shop.placed("7", [(12, 2)])
    shop.paid("7")
    shop.placed("8", [(12, 3)])
    shop.cancelled("8")
    shop.rolled_back("8")
    shop.started("9", [(12, 4)])
    shop.sold("9")

    assert shop.state(INVENTORY, "stock-12").on_hand == 3
    steps = [shop.state(ORDER, f"saga-{order_id}").step for order_id in ("7", "8", "9")]
    assert steps == [saga.Step.PAID, saga.Step.CLOSED, saga.Step.REFUSED]
