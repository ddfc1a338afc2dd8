"""When a saga that waits is looked at again, and what is done about it then."""

from datetime import datetime, timedelta

from domain.saga import OWES, GiveUpSelling, LapsePayment, NoteResend, Saga, Step

RESEND_PAUSES_S = (1, 2, 4, 8, 15, 30, 60)
"""Seconds before the owed command is sent again; the last one repeats."""

STUCK_AFTER_TRIES = 3
"""Resends without an answer after which a saga is shown to the operator as stuck."""


def resend_at(tries: int, now: datetime) -> datetime:
    """When to send again what was sent `tries` times again already."""
    return now + timedelta(seconds=RESEND_PAUSES_S[min(tries, len(RESEND_PAUSES_S) - 1)])


def wakes_at(saga: Saga, step_began: datetime) -> datetime | None:
    """When the watchdog must look at this saga, or None when it waits for nothing."""
    if saga.step is Step.AWAITING_PAYMENT:
        return saga.pay_before
    if saga.step not in OWES:
        return None
    due = saga.next_try_at or resend_at(0, step_began)
    if saga.step is Step.SELLING and saga.sell_before is not None:
        # The two times may come from clocks that disagree; the deadline must not be slept through.
        return min(due, saga.sell_before)
    return due


def wake(saga: Saga, at: datetime) -> GiveUpSelling | LapsePayment | NoteResend | None:
    """What the watchdog does about a saga that should not be waiting any more."""
    if saga.step is Step.AWAITING_PAYMENT:
        late = saga.pay_before is not None and at >= saga.pay_before
        return LapsePayment(saga.order_id, at) if late else None
    if saga.step is Step.SELLING and saga.sell_before is not None and at >= saga.sell_before:
        return GiveUpSelling(saga.order_id, at)
    if saga.step in OWES:
        return NoteResend(saga.order_id, at, f"inventory has not answered {OWES[saga.step].__name__}")
    return None
