"""What the saga decides when it hears from inventory, when time is up, and when somebody intervenes."""

from dataclasses import replace
from datetime import datetime

import pytest

from domain.cart import Cart, CheckedOut
from domain.order import Order, OrderClosed, OrderPlaced, OrderStatus, Placed
from domain.refusals import AlreadyPaid, NoSuchOrder, NothingOwed, OrderAlreadyClosed, Refusal
from domain.saga import (
    OWES,
    ConfirmReturn,
    ConfirmSell,
    DenySell,
    GiveUpSelling,
    LapsePayment,
    NoteResend,
    OrderCancelled,
    PaymentLapsed,
    PlacementRefused,
    Resent,
    ReturnConfirmed,
    Saga,
    SellConfirmed,
    SellDenied,
    SellUnanswered,
    Step,
    evolve,
)
from domain.saga_acts import CompensateSaga, CompensationOrdered, RetryOrdered, RetrySaga
from domain.saga_decisions import (
    decide_cancel,
    decide_compensate,
    decide_confirm_return,
    decide_confirm_sell,
    decide_deny_sell,
    decide_give_up,
    decide_lapse,
    decide_resend,
    decide_retry,
)
from domain.saga_timing import wake, wakes_at
from domain.sale import Line
from tests.saga_histories import (
    AT,
    CART,
    CONTACT,
    LINES,
    PAY_BEFORE,
    SECOND,
    SELL_BEFORE,
    SHORT,
    STARTED,
    UNITS,
    saga_in,
    told,
)

# hearing from inventory

CONFIRM = ConfirmSell("7", AT, PAY_BEFORE)
PLACED = Placed("7", 3, LINES, 600, CONTACT, AT, PAY_BEFORE)


UNDER_WAY = CART._replace(order_id="7", under_way=UNITS)


def test_sold_places_the_order_and_checks_out_the_cart_in_one_commit() -> None:
    assert decide_confirm_sell(saga_in(Step.SELLING), UNDER_WAY, CONFIRM) == (
        SellConfirmed(PAY_BEFORE),
        OrderPlaced(PLACED),
        CheckedOut("7", UNITS),
    )


@pytest.mark.parametrize(
    ("cart", "leaving"),
    [
        (UNDER_WAY._replace(under_way=UNITS[1:]), UNITS[1:]),
        (UNDER_WAY._replace(under_way=()), ()),
        (UNDER_WAY._replace(order_id="8"), ()),
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


@pytest.mark.parametrize("step", sorted(set(Step) - {Step.SELLING}))
def test_a_late_or_repeated_answer_to_the_sell_records_nothing(step: Step) -> None:
    assert decide_confirm_sell(saga_in(step), UNDER_WAY, CONFIRM) is None
    assert decide_deny_sell(saga_in(step), DenySell("7", "stock-short", SHORT)) is None
    assert decide_give_up(saga_in(step), GiveUpSelling("7", PAY_BEFORE)) is None


@pytest.mark.parametrize("step", sorted(set(Step) - {Step.ROLLING_BACK}))
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


@pytest.mark.parametrize("step", sorted(set(Step) - {Step.AWAITING_PAYMENT}))
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


# closed accounts


def test_a_sale_for_an_account_that_was_closed_meanwhile_is_owed_back() -> None:
    closed = Cart(is_closed=True)
    refused = decide_confirm_sell(saga_in(Step.SELLING), closed, CONFIRM)

    assert refused == PlacementRefused("account-closed")
    after = evolve(saga_in(Step.SELLING), refused)
    assert (after.step, after.reason) == (Step.ROLLING_BACK, "account-closed")


@pytest.mark.parametrize("step", sorted(set(Step) - {Step.SELLING}))
def test_a_late_or_repeated_sold_for_a_closed_account_records_nothing(step: Step) -> None:
    assert decide_confirm_sell(saga_in(step), Cart(is_closed=True), CONFIRM) is None


# an operator's acts

RETRY = RetrySaga("7", AT + SECOND, "the broker is back")
COMPENSATE = CompensateSaga("7", AT, "the customer called")


@pytest.mark.parametrize("step", OWES)
def test_a_retry_ends_the_pause_and_counts_tries_anew(step: Step) -> None:
    ordered = decide_retry(saga_in(step), RETRY)

    assert ordered == RetryOrdered("the broker is back", RETRY.at)
    assert evolve(saga_in(step), ordered) == saga_in(step)._replace(tries=0, next_try_at=RETRY.at)


@pytest.mark.parametrize("step", OWES)
def test_what_an_operator_retries_is_sent_at_once_and_the_pauses_grow_anew(step: Step) -> None:
    saga = evolve(saga_in(step), decide_retry(saga_in(step), RETRY))

    assert wakes_at(saga, AT) == RETRY.at
    command = wake(saga, RETRY.at)
    assert isinstance(command, NoteResend)
    assert decide_resend(saga, command) == Resent(1, RETRY.at + 2 * SECOND, command.error)


def test_a_retry_never_puts_off_what_is_due_sooner() -> None:
    due = evolve(told(STARTED), Resent(1, AT, "no answer"))

    assert decide_retry(due, RETRY).next_try_at == AT


def test_a_retry_of_the_first_try_of_a_step_is_now() -> None:
    assert decide_retry(told(STARTED), RETRY).next_try_at == RETRY.at


def test_a_retry_past_the_deadline_of_the_sell_is_given_up() -> None:
    late = replace(RETRY, at=SELL_BEFORE + SECOND)
    saga = evolve(saga_in(Step.SELLING), decide_retry(saga_in(Step.SELLING), late))

    assert wake(saga, late.at) == GiveUpSelling("7", late.at)


def test_a_retry_by_a_clock_that_is_ahead_does_not_put_off_the_deadline() -> None:
    """Whoever folds the saga's row, and not its stream, sees no other time than this one."""
    ahead = replace(RETRY, at=SELL_BEFORE + 60 * SECOND)

    assert decide_retry(told(STARTED), ahead).next_try_at == SELL_BEFORE


@pytest.mark.parametrize("step", sorted(set(Step) - set(OWES) - {Step.NEW}))
def test_where_nothing_is_owed_nothing_is_retried(step: Step) -> None:
    with pytest.raises(NothingOwed) as refusal:
        decide_retry(saga_in(step), RETRY)
    assert refusal.value.facts == {"order_id": "7", "step": step.value}


def test_an_unknown_order_is_neither_retried_nor_compensated() -> None:
    with pytest.raises(NoSuchOrder):
        decide_retry(Saga(), RETRY)
    with pytest.raises(NoSuchOrder):
        decide_compensate(Saga(), Order(), COMPENSATE)


def test_a_compensated_order_that_was_placed_is_closed() -> None:
    saga = saga_in(Step.AWAITING_PAYMENT)

    assert decide_compensate(saga, TO_PAY, COMPENSATE) == (
        CompensationOrdered("the customer called"),
        OrderClosed("compensated"),
    )


def test_a_compensated_order_that_is_still_being_sold_has_nothing_to_close() -> None:
    ordered = (CompensationOrdered("the customer called"), None)

    assert decide_compensate(saga_in(Step.SELLING), Order(), COMPENSATE) == ordered


def test_compensating_what_is_rolling_back_records_nothing() -> None:
    assert decide_compensate(saga_in(Step.ROLLING_BACK), Order(), COMPENSATE) is None


@pytest.mark.parametrize(
    ("step", "refusal"),
    [(Step.PAID, AlreadyPaid), (Step.CLOSED, OrderAlreadyClosed), (Step.REFUSED, NothingOwed)],
)
def test_what_cannot_be_compensated_says_why(step: Step, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        decide_compensate(saga_in(step), TO_PAY, COMPENSATE)


@pytest.mark.parametrize("step", [Step.ROLLING_BACK, Step.CLOSED])
def test_a_compensated_order_cannot_be_cancelled_as_well(step: Step) -> None:
    saga = saga_in(step)._replace(reason="compensated")

    with pytest.raises(OrderAlreadyClosed):
        decide_cancel(saga, TO_PAY)
