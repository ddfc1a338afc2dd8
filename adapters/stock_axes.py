"""Round numbers and round times for the axes of a picture."""

from datetime import UTC, datetime, timedelta
from typing import Final

SECOND, MINUTE, HOUR, DAY = 1, 60, 3_600, 86_400
STEPS_S: Final = (
    *(n * SECOND for n in (1, 2, 5, 10, 15, 30)),
    *(n * MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * HOUR for n in (1, 2, 3, 6, 12)),
    *(n * DAY for n in (1, 2, 7, 14)),
)
STEPS_MONTHS: Final = (1, 2, 3, 6, 12, 24, 60, 120, 1_200)
MONTH_S: Final = 30 * DAY
MONDAY: Final = datetime(2001, 1, 1, tzinfo=UTC)
"""Steps of days and weeks are counted from one."""


def round_step(span: int, most: int) -> int:
    """1, 2 or 5 times a power of ten, so that `most` steps at the most fit into the span."""
    power = 1
    while True:
        for digit in (1, 2, 5):
            if digit * power * most >= span:
                return digit * power
        power *= 10


def levels(low: int, high: int, most: int) -> list[int]:
    """Round levels from at most `low` to at least `high`; two at least."""
    step = round_step(max(high - low, 1), most)
    first = low // step
    last = max(-(-high // step), first + 1)
    return [number * step for number in range(first, last + 1)]


def moments(start: datetime, end: datetime, most: int) -> list[tuple[datetime, str]]:
    """Round times within a span, each with its words; `most`, or a few less."""
    span = (end - start).total_seconds()
    step = next((step for step in STEPS_S if span / step <= most), None)
    if step is None:
        return _months(start, end, most)
    words = "%H:%M:%S" if step < MINUTE else "%H:%M" if step < DAY else "%-d %b"
    at = MONDAY + -(-(start - MONDAY) // timedelta(seconds=step)) * timedelta(seconds=step)
    found = []
    while at <= end:
        found.append((at, f"{at:{words}}"))
        at += timedelta(seconds=step)
    return found


def _months(start: datetime, end: datetime, most: int) -> list[tuple[datetime, str]]:
    span = (end - start).total_seconds() / MONTH_S
    step = next((step for step in STEPS_MONTHS if span / step <= most), STEPS_MONTHS[-1])
    first, last = start.year * 12 + start.month - 1, end.year * 12 + end.month - 1
    words = "%b %Y" if step < 12 else "%Y"
    months = range(-(-first // step) * step, last + 1, step)
    firsts = [datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC) for number in months]
    return [(at, f"{at:{words}}") for at in firsts if start <= at <= end]


def day_of(at: datetime) -> str:
    return f"{at:%-d %b %Y}"
