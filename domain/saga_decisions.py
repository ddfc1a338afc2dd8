"""What the order saga decides: its rooms after `domain.saga`, which has the state, the tables and evolve.

Each function takes the saga as it stands and returns what is to be recorded, or None when the command
was carried out before, comes too late or too early. Only the caller's own mistakes are refusals.
"""

from collections.abc import Iterable
from typing import assert_never

from domain.cart import (
    Cart,
    CheckedOut,
    CheckoutBegun,
    CheckoutDropped,
    begin_checkout,
    finish_checkout,
    must_be_open,
)
from domain.goods import Offer
from domain.limits import MAX_AMOUNT
from domain.order import Order, OrderClosed, OrderLine, OrderPlaced, OrderStatus, Placed
from domain.refusals import (
    AccountClosed,
    AlreadyPaid,
    AmountTooLarge,
    CartChanged,
    CartEmpty,
    GoodsUnavailable,
    IdTaken,
    NoSuchOrder,
    NothingOwed,
    OrderAlreadyClosed,
    Short,
)
from domain.saga import (
    MOVES,
    OWES,
    REASONS,
    ConfirmReturn,
    ConfirmSell,
    DenySell,
    GiveUpSelling,
    LapsePayment,
    NoteResend,
    OrderCancelled,
    OrderStarted,
    PaymentLapsed,
    PlacementRefused,
    Resent,
    ReturnConfirmed,
    Saga,
    SagaEvent,
    SellConfirmed,
    SellDenied,
    SellUnanswered,
    StartDenied,
    StartOrder,
    Step,
)
from domain.saga_acts import CompensateSaga, CompensationOrdered, RetryOrdered, RetrySaga
from domain.saga_timing import resend_at
from domain.sale import Line
from domain.stock import Level

Started = tuple[OrderStarted, CheckoutBegun]
Denied = tuple[StartDenied, CheckoutDropped]


def decide_start(saga: Saga, cart: Cart, command: StartOrder) -> Started | Denied:
    """Denied when the levels that came along are too low. An order is found by its user's cart, so that
    leaves a trace there as well, although it takes no lines of it.

    Raises IdTaken, AccountClosed, OrderUnderWay, and what is wrong with the selection: CartEmpty,
    CartChanged, GoodsUnavailable, AmountTooLarge.
    """
    if saga.step is not Step.NEW:
        raise IdTaken
    must_be_open(cart)
    lines, units, amount = _priced(cart, command.offers)
    if amount > MAX_AMOUNT:
        raise AmountTooLarge
    begun = begin_checkout(cart, command.order_id, units)
    short = _short(lines, command.levels) if command.levels else ()
    if short:
        denied = StartDenied(command.order_id, command.user_id, lines, amount, command.at, short)
        return denied, CheckoutDropped(command.order_id)
    started = OrderStarted(
        order_id=command.order_id,
        user_id=command.user_id,
        lines=lines,
        amount=amount,
        contact=command.contact,
        at=command.at,
        sell_before=command.sell_before,
    )
    return started, begun


def _priced(cart: Cart, offers: tuple[Offer, ...]) -> tuple[tuple[OrderLine, ...], tuple[Line, ...], int]:
    """Everything that is checked, with names and prices; the same as units; and the sum.

    In one go: every order comes through here.
    """
    by_id = {offer.goods_id: offer for offer in offers}
    lines: list[OrderLine] = []
    units: list[Line] = []
    gone: list[int] = []
    amount = 0
    for line in cart.checked():
        goods_id, nums = line.goods_id, line.nums
        offer = by_id.get(goods_id)
        if offer is None:
            raise CartChanged
        if not offer.for_sale:
            gone.append(goods_id)
        lines.append(OrderLine(goods_id, offer.name, offer.price, nums))
        units.append(Line(goods_id, nums))
        amount += offer.price * nums
    if not lines:
        raise CartEmpty
    if gone:
        raise GoodsUnavailable(missing=tuple(gone))
    return tuple(lines), tuple(units), amount


def _short(lines: Iterable[OrderLine], levels: Iterable[Level]) -> tuple[Short, ...]:
    """What there is too little of; goods whose level is not known are not among it."""
    on_hand = {level.goods_id: level.on_hand for level in levels}
    return tuple(
        [
            Short(line.goods_id, line.nums, on_hand[line.goods_id])
            for line in lines
            if on_hand.get(line.goods_id, line.nums) < line.nums
        ]
    )


def decide_confirm_sell(
    saga: Saga, cart: Cart, command: ConfirmSell
) -> tuple[SellConfirmed, OrderPlaced, CheckedOut] | PlacementRefused | None:
    """Sold: the order is placed, the cart is checked out and the saga moves on, in one commit.

    There is no order for an account that was closed since: what was sold for it is owed back.
    """
    if (saga.step, SellConfirmed) not in MOVES or saga.contact is None:
        return None
    if cart.is_closed:
        return PlacementRefused(AccountClosed.name)
    placed = Placed(
        order_id=saga.order_id,
        user_id=saga.user_id,
        lines=saga.lines,
        amount=saga.amount,
        contact=saga.contact,
        at=command.at,
        pay_before=command.pay_before,
    )
    return SellConfirmed(command.pay_before), OrderPlaced(placed), finish_checkout(cart, saga.order_id)


def decide_deny_sell(saga: Saga, command: DenySell) -> SellDenied | None:
    if (saga.step, SellDenied) not in MOVES:
        return None
    return SellDenied(command.reason, command.short)


def decide_give_up(saga: Saga, command: GiveUpSelling) -> SellUnanswered | None:
    """Only when the deadline really has passed: an early wake-up changes nothing."""
    late = saga.sell_before is not None and command.at >= saga.sell_before
    return SellUnanswered() if late and (saga.step, SellUnanswered) in MOVES else None


def decide_lapse(saga: Saga, command: LapsePayment) -> tuple[PaymentLapsed, OrderClosed] | None:
    """Only when the payment window really has closed."""
    late = saga.pay_before is not None and command.at >= saga.pay_before
    if not late or (saga.step, PaymentLapsed) not in MOVES:
        return None
    return PaymentLapsed(), OrderClosed(REASONS[PaymentLapsed])


def decide_cancel(saga: Saga, order: Order) -> tuple[OrderCancelled, OrderClosed | None] | None:
    """None when the order was cancelled before. Raises NoSuchOrder, AlreadyPaid, OrderAlreadyClosed."""
    match saga.step:
        case Step.NEW | Step.REFUSED:
            raise NoSuchOrder
        case Step.PAID:
            raise AlreadyPaid
        case Step.ROLLING_BACK | Step.CLOSED:
            if saga.reason != REASONS[OrderCancelled]:
                raise OrderAlreadyClosed
            return None
        case Step.SELLING | Step.AWAITING_PAYMENT:
            return OrderCancelled(), _closed(order, OrderCancelled)
        case _:
            assert_never(saga.step)


def decide_confirm_return(saga: Saga, command: ConfirmReturn) -> ReturnConfirmed | None:
    if (saga.step, ReturnConfirmed) not in MOVES:
        return None
    return ReturnConfirmed(command.returned)


def decide_resend(saga: Saga, command: NoteResend) -> Resent | None:
    """None when nothing is owed, or somebody else has just sent it again."""
    early = saga.next_try_at is not None and command.at < saga.next_try_at
    if saga.step not in OWES or early:
        return None
    next_try_at = resend_at(saga.tries + 1, command.at)
    if saga.step is Step.SELLING and saga.sell_before is not None:
        # The deadline must not be slept through.
        next_try_at = min(next_try_at, max(saga.sell_before, command.at))
    return Resent(saga.tries + 1, next_try_at, command.error)


# an operator's acts


def decide_retry(saga: Saga, command: RetrySaga) -> RetryOrdered:
    """Never later than it would have been sent anyway, nor than the deadline: it must not be slept through
    because an operator's clock is ahead. Raises NoSuchOrder, NothingOwed.
    """
    if saga.step is Step.NEW:
        raise NoSuchOrder
    if saga.step not in OWES:
        raise NothingOwed(order_id=saga.order_id, step=saga.step.value)
    deadline = saga.sell_before if saga.step is Step.SELLING else None
    return RetryOrdered(
        command.reason, min(command.at, saga.next_try_at or command.at, deadline or command.at)
    )


def decide_compensate(
    saga: Saga, order: Order, command: CompensateSaga
) -> tuple[CompensationOrdered, OrderClosed | None] | None:
    """None when the stock is owed back already.

    Raises NoSuchOrder, AlreadyPaid, OrderAlreadyClosed; NothingOwed for an order that was refused.
    """
    match saga.step:
        case Step.NEW:
            raise NoSuchOrder
        case Step.PAID:
            raise AlreadyPaid
        case Step.REFUSED:
            raise NothingOwed(order_id=saga.order_id, step=saga.step.value)
        case Step.CLOSED:
            raise OrderAlreadyClosed(order_id=saga.order_id, close_reason=saga.reason)
        case Step.ROLLING_BACK:
            return None
        case Step.SELLING | Step.AWAITING_PAYMENT:
            return CompensationOrdered(command.reason), _closed(order, CompensationOrdered)
        case _:
            assert_never(saga.step)


def _closed(order: Order, why: type[SagaEvent]) -> OrderClosed | None:
    """What closes the order when the saga gives it up; None before it was placed."""
    return OrderClosed(REASONS[why]) if order.status is OrderStatus.TO_PAY else None
