"""What was recorded is decided in the same way today; where a rule was changed, exactly that is told."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import sale, stock, streams
from domain.cart import CartLine, PutCartLine, RemoveCartLine, ReplaceCart
from domain.events import NAMES
from domain.goods import ChangeGoods, CreateGoods, DeleteGoods, Offer
from domain.key import Keyed, KeyUse, NoteUndecided
from domain.recorded import Cause, Recorded
from domain.refusals import StockTooLarge
from domain.saga import NoteResend, StartOrder
from domain.sale import Line, Rollback, Sell
from domain.service import Rule, Service
from domain.services import GOODS, INVENTORY, ORDER, USER
from domain.session import EndSession, OpenSession, RotateSession
from domain.stock import AdjustStock, SetInv, SetInvMany, StockSold
from domain.user import (
    ChangePassword,
    ChangeProfile,
    EraseUser,
    GrantRole,
    LogOutEverywhere,
    RegisterUser,
    Role,
)
from orchestrator.audit import walk
from orchestrator.commands_recorded import NEVER_FIRST, WAYS_BACK, grouped
from orchestrator.redecide import DecidesTheSame, Difference, Load, Redecider
from tests.orchestrator.test_audit_histories import MAX_STEPS, shop_of, steps
from tests.shop_history import CONTACT, SERVICE_OF, START, ShopHistory

HOUR = timedelta(hours=1)


def differences(
    shop: ShopHistory, log: str, service: Service | None = None, *, after: int = 0, kept: int = 10_000
) -> list[Difference]:
    """What one log's commands give, with a reader that loads streams from that log."""
    redecider = Redecider(service or SERVICE_OF[log], loading(shop, log), after=after, kept=kept)
    found = [one for event in shop.logs[log][after:] for one in redecider.see(event)]
    return [*found, *redecider.end()]


def loading(shop: ShopHistory, log: str) -> Load:
    def load(stream: str) -> Iterable[Recorded]:
        return [recorded for recorded in shop.logs[log] if recorded.originator_id == stream]

    return load


def everything() -> ShopHistory:
    """A history with every kind of event in it."""
    shop = ShopHistory()
    people(shop)
    goods_and_carts(shop)
    orders(shop)
    return shop


def people(shop: ShopHistory) -> None:
    for user_id in (7, 8):
        shop.tell(USER, RegisterUser(user_id, "mail", f"d{user_id}", "nick", None, Role.CUSTOMER, "hash"))
    shop.tell(USER, OpenSession("s1", 7, "hash", "digest-1", shop.now + HOUR))
    shop.tell(USER, RotateSession("s1", "digest-1", "digest-2", shop.now))
    shop.tell(USER, RotateSession("s1", "digest-1", "digest-3", shop.now))
    shop.tell(USER, OpenSession("s2", 7, "hash", "digest-4", shop.now + HOUR))
    shop.tell(USER, EndSession("s2"))
    shop.tell(USER, ChangeProfile(7, nickname="other"))
    shop.tell(USER, ChangePassword(ChangeProfile(7, gender="f"), "hash", "hash-2", "s1", shop.now))
    shop.tell(USER, ChangePassword(ChangeProfile(7), "hash-2", "hash-3", "s1", shop.now))
    shop.tell(USER, GrantRole(8, Role.STAFF, 7), "user-7")
    shop.tell(USER, LogOutEverywhere(7, shop.now))
    shop.tell(USER, EraseUser(7, "d7"))


def goods_and_carts(shop: ShopHistory) -> None:
    for goods_id in (11, 12, 13):
        shop.stocked(goods_id, 50)
    shop.tell(GOODS, ChangeGoods(11, price=99))
    shop.tell(GOODS, Keyed(CreateGoods(14, "cup", 5), KeyUse("key-a", "f")))
    shop.tell(GOODS, DeleteGoods(14))
    many = SetInvMany((SetInv(11, 40, True), SetInv(12, 41, True), SetInv(11, 42, True)))
    shop.tell(INVENTORY, Keyed(many, KeyUse("key-b", "f")))
    shop.tell(INVENTORY, Keyed(SetInvMany(()), KeyUse("key-c", "f")))
    shop.tell(INVENTORY, Keyed(AdjustStock(12, -1, "broken", True), KeyUse("key-d", "f")))
    shop.tell(ORDER, ReplaceCart(7, (CartLine(11, 1, True), CartLine(11, 2, False))))
    shop.tell(ORDER, PutCartLine(7, CartLine(12, 3, False)))
    shop.tell(ORDER, RemoveCartLine(7, 12))


def orders(shop: ShopHistory) -> None:
    shop.placed("1", [(11, 2), (12, 1)])
    shop.paid("1")
    shop.placed("2", [(11, 2)])
    shop.now += HOUR
    shop.lapsed("2")
    shop.rolled_back("2")
    shop.paid("2")
    shop.placed("3", [(11, 500)])
    shop.started("4", [(12, 1)])
    shop.tell(ORDER, NoteResend("4", shop.now, "no answer"), "watchdog")
    shop.retried("4")
    shop.cancelled("4")
    shop.rolled_back("4")
    shop.started("5", [(12, 1)])
    shop.now += HOUR
    shop.given_up("5")
    shop.placed("6", [(12, 1)])
    shop.compensated("6")
    shop.started("7", [(12, 1)], user_id=9)
    shop.account_closed(9)
    shop.sold("7")
    shop.tell(INVENTORY, Rollback("900"))
    shop.tell(ORDER, ReplaceCart(10, (CartLine(12, 1, True),)))
    start = StartOrder("8", 10, (Offer(12, "cup", 5, True),), CONTACT, shop.now, shop.now + HOUR)
    shop.tell(ORDER, Keyed(start, KeyUse("key-e", "f")), "user-10")
    shop.tell(ORDER, NoteUndecided("key-e"), "user-10")
    shop.sold("8")
    shop.started("9", [(11, 1), (12, 900)], user_id=11, looked=True)


EVERYTHING = everything()


@pytest.mark.parametrize("log", SERVICE_OF)
@pytest.mark.parametrize("kept", [1, 10_000])
def test_the_history_of_everything_is_decided_the_same(log: str, kept: int) -> None:
    assert differences(EVERYTHING, log, kept=kept) == []


def test_the_history_of_everything_has_every_event_that_this_version_writes() -> None:
    recorded = {type(recorded.event) for log in EVERYTHING.logs.values() for recorded in log}
    assert recorded == set(NAMES)


def test_every_event_has_a_way_back_to_its_command_or_never_comes_first() -> None:
    assert WAYS_BACK.keys() | NEVER_FIRST == NAMES.keys()
    assert not WAYS_BACK.keys() & NEVER_FIRST


@settings(max_examples=100, deadline=None)
@given(st.lists(steps, min_size=MAX_STEPS // 4, max_size=MAX_STEPS), st.sampled_from([1, 3, 10_000]))
def test_every_valid_history_is_decided_the_same_however_little_is_kept(
    history: list[tuple[str, str, tuple[tuple[int, int], ...]]], kept: int
) -> None:
    shop = shop_of(history)
    for log, events in shop.logs.items():
        assert differences(shop, log, kept=kept) == []
        commands = list(grouped(events))
        half = sum(map(len, commands[: len(commands) // 2]))
        assert differences(shop, log, after=half, kept=kept) == []


# a rule that was changed


def changed(service: Service, command: type[Any], decide: Any) -> Service:
    rule = service.rules[command]
    return replace(service, rules={**service.rules, command: Rule(rule.reads, decide, rule.reads_then)})


def test_stock_that_may_go_below_zero_sells_exactly_what_was_refused() -> None:
    def sells_anything(command: Sell, states: Any) -> Any:
        name = streams.sale(command.order_id)
        on_hand = {line.goods_id: states[streams.stock(line.goods_id)].on_hand for line in command.lines}
        sold = (
            (streams.stock(n.goods_id), StockSold(command.order_id, n.nums, on_hand[n.goods_id] - n.nums))
            for n in command.lines
        )
        return ((name, sale.Sold(command.lines)), *sold)

    found = differences(EVERYTHING, "inventory", changed(INVENTORY, Sell, sells_anything))

    (refused,) = (r for r in EVERYTHING.logs["inventory"] if isinstance(r.event, sale.SellRefused))
    (only,) = found
    assert (only.log, only.position, only.command) == ("inventory", refused.position, "Sell")
    assert only.recorded == ("SellRefused in sale-3",)
    assert only.expected == ("Sold in sale-3", "StockSold in stock-11")


def test_a_stricter_rule_refuses_exactly_what_it_forbids() -> None:
    def no_more_than_fifty(command: SetInv, states: Any) -> Any:
        if command.stock >= 50:
            raise StockTooLarge
        return INVENTORY.rules[SetInv].decide(command, states)

    found = differences(EVERYTHING, "inventory", changed(INVENTORY, SetInv, no_more_than_fifty))

    assert [(one.stream, one.expected) for one in found] == [
        (f"stock-{goods_id}", ("a refusal, stock-too-large",)) for goods_id in (11, 12, 13)
    ]


def test_a_cart_that_does_not_fold_says_which_value_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domain.sale.fold", lambda lines: tuple(lines)[:1])

    found = differences(EVERYTHING, "inventory")

    (only,) = found
    assert (only.command, only.stream) == ("Sell", "sale-1")
    assert "Sold in sale-1 with lines (Line(goods_id=11, nums=2),) instead of" in only.expected[0]


def test_a_rule_that_breaks_is_told_for_the_command_that_breaks_it() -> None:
    def broken(command: AdjustStock, states: Any) -> Any:
        raise ZeroDivisionError("by chance")

    found = differences(EVERYTHING, "inventory", changed(INVENTORY, AdjustStock, broken))

    assert [one.expected for one in found] == []  # the adjustment came with a key, whose rule is another
    shop = ShopHistory()
    shop.stocked(11, 5)
    shop.tell(INVENTORY, AdjustStock(11, 1, "found", True))
    (only,) = differences(shop, "inventory", changed(INVENTORY, AdjustStock, broken))
    assert only.expected == ("no decision, by chance",)


# events that nobody decided


def planted(stream: str, event: Any, service: Service = INVENTORY) -> tuple[ShopHistory, int]:
    shop = ShopHistory()
    shop.stocked(11, 5)
    shop.placed("1", [(11, 2)])
    position = shop.plant(service, stream, event, Cause("x", "somebody", "", START))
    shop.stocked(11, 9)
    return shop, position


def test_an_event_that_no_command_begins_with_is_a_difference() -> None:
    shop, position = planted("stock-11", StockSold("1", 1, 2))
    (only,) = differences(shop, "inventory")
    assert (only.position, only.command) == (position, "No command")
    assert only.what.startswith("No command gives no command begins with StockSold today")


def test_a_wrong_level_is_a_difference_with_both_values() -> None:
    shop, position = planted("stock-11", stock.StockAdjusted(-1, "broken", 77))
    (only,) = differences(shop, "inventory")
    assert (only.position, only.command) == (position, "AdjustStock")
    assert only.expected == ("StockAdjusted in stock-11 with on_hand 2 instead of 77",)


def test_a_second_sale_of_an_order_is_a_difference_even_when_the_first_is_long_forgotten() -> None:
    shop, position = planted("sale-1", sale.Sold((Line(11, 2),)))
    (only,) = differences(shop, "inventory", kept=1)
    assert (only.position, only.expected) == (position, ())
    assert only.what == "Sell gives nothing today; recorded: Sold in sale-1"


def test_the_check_of_the_audit_counts_commands_and_names_the_place() -> None:
    shop, position = planted("stock-11", stock.StockAdjusted(-1, "broken", 77))
    check = DecidesTheSame(INVENTORY, loading(shop, "inventory"))

    (finding,) = walk(shop.logs["inventory"], [check])

    assert (finding.log, finding.position, finding.subject) == ("inventory", position, "stream stock-11")
    assert (finding.check, check.count, check.unit) == ("decisions inventory", 4, "commands")
