"""What an operator may do about a saga, and what is recorded of it: why in the event, who in its cause."""

from dataclasses import dataclass
from datetime import datetime

# commands


@dataclass(frozen=True, slots=True)
class RetrySaga:
    """Send what is owed now, without waiting for the end of the pause."""

    order_id: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class CompensateSaga:
    """Give the order up and its stock back, without waiting for inventory or the payer."""

    order_id: str
    at: datetime
    reason: str


# events


@dataclass(frozen=True, slots=True)
class RetryOrdered:
    """Moves nothing: the pause is over, and tries are counted anew."""

    reason: str
    next_try_at: datetime


@dataclass(frozen=True, slots=True)
class CompensationOrdered:
    """The order is given up; what it took is owed back."""

    reason: str
