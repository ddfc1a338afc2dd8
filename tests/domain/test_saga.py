"""The order saga: every (step, event) pair has a verdict, and only a move moves it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import get_args

import pytest

from domain.cart import Cart, CartLine, CheckedOut, CheckoutBegun
from domain.limits import MAX_AMOUNT, MAX_LINES, MAX_NUMS, MAX_PRICE
from domain.order import Contact, Order, OrderClosed, OrderLine, OrderPlaced, OrderStatus, Placed
from domain.refusals import (
    AlreadyPaid,
    AmountTooLarge,
    CartChanged,
    CartEmpty,
    GoodsUnavailable,
    IdTaken,
    NoSuchOrder,
    OrderAlreadyClosed,
    OrderUnderWay,
    Refusal,
    Short,
)
from domain.saga import (
    MOVES,
    NEW,
    OWES,
    TERMINAL,
    ConfirmReturn,
    ConfirmSell,
    DenySell,
    GiveUpSelling,
    LapsePayment,
    NoteResend,
    Offer,
    OrderCancelled,
    OrderStarted,
    PaymentLapsed,
    PaymentTaken,
    Resent,
    ReturnConfirmed,
    Saga,
    SagaEvent,
    SellConfirmed,
    SellDenied,
    SellUnanswered,
    StartOrder,
    Step,
    evolve,
    owed,
    owed_after,
)
from domain.saga_decisions import (
    decide_cancel,
    decide_confirm_return,
    decide_confirm_sell,
    decide_deny_sell,
    decide_give_up,
    decide_lapse,
    decide_resend,
    decide_start,
)
from domain.saga_timing import RESEND_PAUSES_S, wake, wakes_at
from domain.sale import Line, Rollback, Sell

AT = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
SELL_BEFORE = AT + timedelta(seconds=30)
PAY_BEFORE = AT + timedelta(minutes=30)
CONTACT = Contact("1 High Street", "Ann", "07700 900000", "N1")
LINES = (OrderLine(12, "mug", 250, 2), OrderLine(13, "cup", 100, 1))
UNITS = (Line(12, 2), Line(13, 1))
STARTED = OrderStarted("7", 3, LINES, 600, CONTACT, AT, SELL_BEFORE)
SHORT = (Short(13, 1, 0),)

EVENTS: dict[type[SagaEvent], SagaEvent] = {
    OrderStarted: OrderStarted("8", 4, LINES[:1], 500, CONTACT, AT, SELL_BEFORE),
    SellConfirmed: SellConfirmed(PAY_BEFORE + timedelta(hours=1)),
    SellDenied: SellDenied("stock-short", SHORT),
    SellUnanswered: SellUnanswered(),
    PaymentTaken: PaymentTaken(),
    PaymentLapsed: PaymentLapsed(),
    OrderCancelled: OrderCancelled(),
    ReturnConfirmed: ReturnConfirmed(returned=True),
    Resent: Resent(9, AT + timedelta(minutes=9), "no answer"),
}

HISTORIES: dict[Step, tuple[SagaEvent, ...]] = {
    Step.NEW: (),
    Step.SELLING: (STARTED,),
    Step.AWAITING_PAYMENT: (STARTED, SellConfirmed(PAY_BEFORE)),
    Step.PAID: (STARTED, SellConfirmed(PAY_BEFORE), PaymentTaken()),
    Step.REFUSED: (STARTED, SellDenied("stock-short", (Short(12, 2, 1),))),
    Step.ROLLING_BACK: (STARTED, SellUnanswered()),
    Step.CLOSED: (STARTED, SellUnanswered(), ReturnConfirmed(returned=False)),
}

# move: the table of the machine. repeat: the same again. late: somebody else was first.
# impossible: no history of the other side leads here.
VERDICTS = """
                 NEW         SELLING     AWAITING_PAYMENT  PAID        REFUSED     ROLLING_BACK  CLOSED
OrderStarted     move        repeat      repeat            repeat      repeat      repeat        repeat
SellConfirmed    impossible  move        repeat            late        impossible  late          late
SellDenied       impossible  move        impossible        impossible  repeat      late          late
SellUnanswered   impossible  move        late              late        late        repeat        late
PaymentTaken     impossible  impossible  move              repeat      impossible  late          late
PaymentLapsed    impossible  impossible  move              late        impossible  repeat        late
OrderCancelled   impossible  move        move              late        late        repeat        late
ReturnConfirmed  impossible  impossible  impossible        impossible  impossible  move          repeat
Resent           impossible  repeat      late              late        late        repeat        late
"""

_HEAD, *_ROWS = [line.split() for line in VERDICTS.strip().splitlines()]
_KINDS = {kind.__name__: kind for kind in EVENTS}
TABLE: dict[tuple[Step, type[SagaEvent]], str] = {
    (Step(step), _KINDS[row[0]]): verdict
    for row in _ROWS
    for step, verdict in zip(_HEAD, row[1:], strict=True)
}
PAIRS = list(product(Step, EVENTS))


def told(*events: SagaEvent) -> Saga:
    saga = NEW
    for event in events:
        saga = evolve(saga, event)
    return saga


def saga_in(step: Step) -> Saga:
    """A saga in this step; where something is owed it was sent again twice already."""
    saga = told(*HISTORIES[step])
    assert saga.step is step
    return evolve(saga, Resent(2, AT + timedelta(seconds=7), "no answer")) if step in OWES else saga


def pair_name(pair: tuple[Step, type[SagaEvent]]) -> str:
    return f"{pair[0]}-{pair[1].__name__}"


# the table


def test_every_pair_has_a_verdict() -> None:
    assert set(EVENTS) == set(get_args(SagaEvent))
    assert set(TABLE) == set(PAIRS)
    assert set(TABLE.values()) == {"move", "repeat", "late", "impossible"}


def test_exactly_the_moves_are_in_the_table_of_moves() -> None:
    assert {pair for pair, verdict in TABLE.items() if verdict == "move"} == set(MOVES)


def test_exactly_the_steps_with_a_way_out_owe_something_or_wait_for_the_payer() -> None:
    with_a_way_out = {step for step, _ in MOVES}

    assert with_a_way_out == set(Step) - TERMINAL
    assert set(OWES) == with_a_way_out - {Step.NEW, Step.AWAITING_PAYMENT}


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if TABLE[pair] == "move"], ids=pair_name)
def test_a_move_leads_to_its_step_and_the_tries_begin_anew(pair: tuple[Step, type[SagaEvent]]) -> None:
    step, kind = pair
    after = evolve(saga_in(step), EVENTS[kind])

    assert after.step is MOVES[pair]
    assert (after.tries, after.next_try_at) == (0, None)


@pytest.mark.parametrize(
    "pair",
    [pair for pair in PAIRS if TABLE[pair] != "move" and not (pair[1] is Resent and pair[0] in OWES)],
    ids=pair_name,
)
def test_what_does_not_move_the_saga_changes_nothing(pair: tuple[Step, type[SagaEvent]]) -> None:
    step, kind = pair
    saga = saga_in(step)

    assert evolve(saga, EVENTS[kind]) == saga


@pytest.mark.parametrize("step", OWES)
def test_a_resend_changes_the_tries_and_the_pause_and_nothing_else(step: Step) -> None:
    saga = saga_in(step)
    again_at = AT + timedelta(minutes=9)

    assert evolve(saga, Resent(9, again_at, "no answer")) == replace(saga, tries=9, next_try_at=again_at)


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ((STARTED, SellUnanswered()), "sell-unanswered"),
        ((STARTED, OrderCancelled()), "cancelled"),
        ((STARTED, SellConfirmed(PAY_BEFORE), PaymentLapsed()), "payment-lapsed"),
        ((STARTED, SellConfirmed(PAY_BEFORE), OrderCancelled()), "cancelled"),
        ((STARTED, SellDenied("stock-short", SHORT)), "stock-short"),
        ((STARTED, SellUnanswered(), ReturnConfirmed(returned=True)), "sell-unanswered"),
        ((STARTED, SellConfirmed(PAY_BEFORE), PaymentTaken()), None),
    ],
)
def test_the_saga_remembers_why_it_ended(events: tuple[SagaEvent, ...], reason: str | None) -> None:
    assert told(*events).reason == reason


# what is owed


@pytest.mark.parametrize("step", Step)
def test_what_is_owed_can_be_told_from_the_stream_alone(step: Step) -> None:
    expected = {Step.SELLING: Sell("7", UNITS), Step.ROLLING_BACK: Rollback("7")}

    assert owed(told(*HISTORIES[step])) == expected.get(step)


@pytest.mark.parametrize("pair", MOVES, ids=pair_name)
def test_the_event_alone_tells_the_same_as_the_whole_stream(pair: tuple[Step, type[SagaEvent]]) -> None:
    step, kind = pair
    event = STARTED if kind is OrderStarted else EVENTS[kind]

    assert owed_after("7", event) == owed(evolve(saga_in(step), event))


def test_a_resend_makes_nothing_owed_by_itself() -> None:
    assert owed_after("7", EVENTS[Resent]) is None


# waking


@pytest.mark.parametrize(
    ("saga", "at"),
    [
        (NEW, None),
        (saga_in(Step.PAID), None),
        (saga_in(Step.REFUSED), None),
        (saga_in(Step.CLOSED), None),
        (saga_in(Step.AWAITING_PAYMENT), PAY_BEFORE),
        (told(STARTED), AT + timedelta(seconds=RESEND_PAUSES_S[0])),
        (saga_in(Step.SELLING), AT + timedelta(seconds=7)),
        (saga_in(Step.ROLLING_BACK), AT + timedelta(seconds=7)),
    ],
)
def test_a_saga_says_when_to_look_at_it(saga: Saga, at: datetime | None) -> None:
    assert wakes_at(saga, AT) == at


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("saga", "at", "command"),
    [
        (NEW, AT, None),
        (saga_in(Step.PAID), PAY_BEFORE, None),
        (saga_in(Step.REFUSED), PAY_BEFORE, None),
        (saga_in(Step.CLOSED), PAY_BEFORE, None),
        (saga_in(Step.AWAITING_PAYMENT), PAY_BEFORE - SECOND, None),
        (saga_in(Step.AWAITING_PAYMENT), PAY_BEFORE, LapsePayment("7", PAY_BEFORE)),
        (saga_in(Step.SELLING), SELL_BEFORE, GiveUpSelling("7", SELL_BEFORE)),
    ],
)
def test_a_deadline_that_has_passed_wakes_the_saga(
    saga: Saga, at: datetime, command: GiveUpSelling | LapsePayment | None
) -> None:
    assert wake(saga, at) == command


@pytest.mark.parametrize(
    ("step", "at"), [(Step.SELLING, SELL_BEFORE - SECOND), (Step.ROLLING_BACK, AT + timedelta(days=9))]
)
def test_what_is_owed_is_sent_again(step: Step, at: datetime) -> None:
    command = wake(saga_in(step), at)

    assert isinstance(command, NoteResend)
    assert (command.order_id, command.at) == ("7", at)


def resent_until_quiet(saga: Saga, now: datetime, times: int) -> list[float]:
    """Seconds to the next try after each of so many resends, each made when it was due."""
    pauses = []
    for _ in range(times):
        resent = decide_resend(saga, NoteResend("7", now, "no answer"))
        assert resent is not None
        pauses.append((resent.next_try_at - now).total_seconds())
        saga, now = evolve(saga, resent), resent.next_try_at
    return pauses


def test_pauses_between_resends_grow_and_then_stay() -> None:
    back = told(STARTED, SellUnanswered())

    assert resent_until_quiet(back, AT, 9) == [2, 4, 8, 15, 30, 60, 60, 60, 60]


def test_a_pause_never_sleeps_through_the_deadline_of_the_sell() -> None:
    assert resent_until_quiet(told(STARTED), AT + SECOND, 5) == [2, 4, 8, 15, 0]
    assert AT + timedelta(seconds=1 + 2 + 4 + 8 + 15) == SELL_BEFORE


def test_two_watchdogs_at_once_send_it_again_once() -> None:
    saga = told(STARTED, Resent(1, AT + timedelta(seconds=2), "no answer"))

    assert decide_resend(saga, NoteResend("7", AT + timedelta(seconds=1), "no answer")) is None


@pytest.mark.parametrize("step", set(Step) - set(OWES))
def test_nothing_is_sent_again_when_nothing_is_owed(step: Step) -> None:
    assert decide_resend(saga_in(step), NoteResend("7", PAY_BEFORE, "no answer")) is None


# starting

CART = Cart((CartLine(12, 2, checked=True), CartLine(13, 1, checked=True), CartLine(14, 5, checked=False)))
OFFERS = (Offer(12, "mug", 250, for_sale=True), Offer(13, "cup", 100, for_sale=True))


def start(offers: tuple[Offer, ...] = OFFERS) -> StartOrder:
    return StartOrder("7", 3, offers, CONTACT, AT, SELL_BEFORE)


def one_line(nums: int, price: int) -> tuple[Cart, StartOrder]:
    return Cart((CartLine(12, nums, checked=True),)), start((Offer(12, "mug", price, for_sale=True),))


def test_an_order_starts_with_the_checked_lines_at_the_prices_of_now() -> None:
    assert decide_start(NEW, CART, start()) == (STARTED, CheckoutBegun("7", UNITS))


def test_offers_of_goods_that_are_not_checked_are_left_out() -> None:
    started = decide_start(NEW, CART, start((*OFFERS, Offer(14, "pot", 1, for_sale=True))))

    assert started == (STARTED, CheckoutBegun("7", UNITS))


def test_lines_that_another_order_has_under_way_are_refused_and_it_is_named() -> None:
    with pytest.raises(OrderUnderWay) as refusal:
        decide_start(NEW, replace(CART, order_id="6", under_way=UNITS[1:]), start())
    assert refusal.value.facts == {"order_id": "6"}


def test_lines_that_the_user_changed_since_another_order_began_are_ordered() -> None:
    cart = replace(CART, order_id="6", under_way=(Line(14, 5),))

    assert decide_start(NEW, cart, start()) == (STARTED, CheckoutBegun("7", UNITS))


@pytest.mark.parametrize("cart", [Cart(), Cart((CartLine(12, 2, checked=False),))])
def test_an_empty_selection_is_refused(cart: Cart) -> None:
    with pytest.raises(CartEmpty):
        decide_start(NEW, cart, start())


def test_a_cart_that_got_more_goods_meanwhile_is_refused() -> None:
    with pytest.raises(CartChanged):
        decide_start(NEW, CART, start(OFFERS[:1]))


def test_goods_that_are_gone_are_all_named() -> None:
    gone = tuple(replace(offer, for_sale=False) for offer in OFFERS)

    with pytest.raises(GoodsUnavailable) as refusal:
        decide_start(NEW, CART, start(gone))
    assert refusal.value.facts == {"missing": (12, 13)}


@pytest.mark.parametrize("step", set(Step) - {Step.NEW})
def test_an_order_id_starts_once(step: Step) -> None:
    with pytest.raises(IdTaken):
        decide_start(saga_in(step), CART, start())


@pytest.mark.parametrize(("nums", "price"), [(1, MAX_AMOUNT), (MAX_AMOUNT, 1), (7, MAX_AMOUNT // 7)])
def test_an_amount_up_to_63_bits_is_accepted(nums: int, price: int) -> None:
    cart, command = one_line(nums, price)

    started, begun = decide_start(NEW, cart, command)

    assert started.amount == nums * price
    assert begun.lines == (Line(12, nums),)


@pytest.mark.parametrize(
    ("nums", "price"), [(1, MAX_AMOUNT + 1), (2, 2**62), (2**31, 2**32), (MAX_NUMS, MAX_PRICE)]
)
def test_an_amount_past_63_bits_is_refused(nums: int, price: int) -> None:
    cart, command = one_line(nums, price)

    with pytest.raises(AmountTooLarge):
        decide_start(NEW, cart, command)


def test_an_amount_past_63_bits_by_many_lines_is_refused() -> None:
    lines = range(1, MAX_LINES + 1)
    cart = Cart(tuple(CartLine(goods_id, MAX_NUMS, checked=True) for goods_id in lines))
    offers = tuple(Offer(goods_id, "x", MAX_AMOUNT // MAX_NUMS // 1_000, for_sale=True) for goods_id in lines)

    with pytest.raises(AmountTooLarge):
        decide_start(NEW, cart, start(offers))


# hearing from inventory

CONFIRM = ConfirmSell("7", AT, PAY_BEFORE)
PLACED = Placed("7", 3, LINES, 600, CONTACT, AT, PAY_BEFORE)


UNDER_WAY = replace(CART, order_id="7", under_way=UNITS)


def test_sold_places_the_order_and_checks_out_the_cart_in_one_commit() -> None:
    assert decide_confirm_sell(saga_in(Step.SELLING), UNDER_WAY, CONFIRM) == (
        SellConfirmed(PAY_BEFORE),
        OrderPlaced(PLACED),
        CheckedOut("7", UNITS),
    )


@pytest.mark.parametrize(
    ("cart", "leaving"),
    [
        (replace(UNDER_WAY, under_way=UNITS[1:]), UNITS[1:]),
        (replace(UNDER_WAY, under_way=()), ()),
        (replace(UNDER_WAY, order_id="8"), ()),
        (CART, ()),
    ],
    ids=["one line changed", "all lines changed", "another order", "replaced"],
)
def test_an_order_is_placed_whole_whatever_became_of_the_cart(cart: Cart, leaving: tuple[Line, ...]) -> None:
    assert decide_confirm_sell(saga_in(Step.SELLING), cart, CONFIRM) == (
        SellConfirmed(PAY_BEFORE),
        OrderPlaced(PLACED),
        CheckedOut("7", leaving),
    )


def test_a_denied_sell_says_what_was_short() -> None:
    denied = decide_deny_sell(saga_in(Step.SELLING), DenySell("7", "stock-short", SHORT))

    assert denied == SellDenied("stock-short", SHORT)
    assert evolve(saga_in(Step.SELLING), denied).short == SHORT


@pytest.mark.parametrize("returned", [True, False])
def test_a_confirmed_return_says_whether_anything_came_back(returned: bool) -> None:
    command = ConfirmReturn("7", returned)

    assert decide_confirm_return(saga_in(Step.ROLLING_BACK), command) == ReturnConfirmed(returned)


@pytest.mark.parametrize("step", set(Step) - {Step.SELLING})
def test_a_late_or_repeated_answer_to_the_sell_records_nothing(step: Step) -> None:
    assert decide_confirm_sell(saga_in(step), UNDER_WAY, CONFIRM) is None
    assert decide_deny_sell(saga_in(step), DenySell("7", "stock-short", SHORT)) is None
    assert decide_give_up(saga_in(step), GiveUpSelling("7", PAY_BEFORE)) is None


@pytest.mark.parametrize("step", set(Step) - {Step.ROLLING_BACK})
def test_a_late_or_repeated_return_records_nothing(step: Step) -> None:
    assert decide_confirm_return(saga_in(step), ConfirmReturn("7", returned=True)) is None


# deadlines


@pytest.mark.parametrize(
    ("at", "event"),
    [(SELL_BEFORE - SECOND, None), (SELL_BEFORE, SellUnanswered()), (PAY_BEFORE, SellUnanswered())],
)
def test_silence_is_given_up_only_past_the_deadline(at: datetime, event: SellUnanswered | None) -> None:
    assert decide_give_up(saga_in(Step.SELLING), GiveUpSelling("7", at)) == event


def test_payment_lapses_only_past_the_window() -> None:
    saga = saga_in(Step.AWAITING_PAYMENT)

    assert decide_lapse(saga, LapsePayment("7", PAY_BEFORE - SECOND)) is None
    assert decide_lapse(saga, LapsePayment("7", PAY_BEFORE)) == (
        PaymentLapsed(),
        OrderClosed("payment-lapsed"),
    )


@pytest.mark.parametrize("step", set(Step) - {Step.AWAITING_PAYMENT})
def test_nothing_lapses_that_does_not_wait_for_payment(step: Step) -> None:
    assert decide_lapse(saga_in(step), LapsePayment("7", PAY_BEFORE)) is None


# cancelling

TO_PAY = Order(OrderStatus.TO_PAY, PLACED)
CANCELLED = (STARTED, OrderCancelled())


def test_a_placed_order_is_cancelled_and_closed() -> None:
    assert decide_cancel(saga_in(Step.AWAITING_PAYMENT), TO_PAY) == (
        OrderCancelled(),
        OrderClosed("cancelled"),
    )


def test_an_order_still_being_sold_is_cancelled_and_there_is_nothing_to_close() -> None:
    assert decide_cancel(saga_in(Step.SELLING), Order()) == (OrderCancelled(), None)


@pytest.mark.parametrize(
    "saga", [told(*CANCELLED), told(*CANCELLED, ReturnConfirmed(returned=False))], ids=["back", "closed"]
)
def test_cancelling_again_records_nothing(saga: Saga) -> None:
    assert decide_cancel(saga, Order()) is None


@pytest.mark.parametrize(
    ("step", "refusal"),
    [
        (Step.NEW, NoSuchOrder),
        (Step.REFUSED, NoSuchOrder),
        (Step.PAID, AlreadyPaid),
        (Step.ROLLING_BACK, OrderAlreadyClosed),
        (Step.CLOSED, OrderAlreadyClosed),
    ],
)
def test_what_cannot_be_cancelled_says_why(step: Step, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        decide_cancel(saga_in(step), TO_PAY)
