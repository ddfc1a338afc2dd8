"""Round numbers and round times for the axes of a picture."""

from datetime import UTC, datetime, timedelta
from typing import Final

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
STEPS_MS: Final = (
    *(1, 2, 5, 10, 20, 50, 100, 200, 500),
    *(n * SECOND for n in (1, 2, 5, 10, 15, 30)),
    *(n * MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * HOUR for n in (1, 2, 3, 6, 12)),
    *(n * DAY for n in (1, 2, 7, 14)),
)
STEPS_MONTHS: Final = (1, 2, 3, 6, 12, 24, 60, 120, 1_200)
MONTH_MS: Final = 30 * DAY
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
    span = (end - start) / timedelta(milliseconds=1)
    step = next((step for step in STEPS_MS if span / step <= most), None)
    if step is None:
        return _months(start, end, most)
    length = timedelta(milliseconds=step)
    at = MONDAY + -(-(start - MONDAY) // length) * length
    found = []
    while at <= end:
        found.append((at, _words(at, step)))
        at += length
    return found


def _words(at: datetime, step: int) -> str:
    if step < SECOND:
        return f"{at:%H:%M:%S}.{at.microsecond // 1_000:03}"
    words = "%H:%M:%S" if step < MINUTE else "%H:%M" if step < DAY else "%-d %b"
    return f"{at:{words}}"


def _months(start: datetime, end: datetime, most: int) -> list[tuple[datetime, str]]:
    span = (end - start) / timedelta(milliseconds=MONTH_MS)
    step = next((step for step in STEPS_MONTHS if span / step <= most), STEPS_MONTHS[-1])
    first, last = start.year * 12 + start.month - 1, end.year * 12 + end.month - 1
    words = "%b %Y" if step < 12 else "%Y"
    months = range(-(-first // step) * step, last + 1, step)
    firsts = [datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC) for number in months]
    return [(at, f"{at:{words}}") for at in firsts if start <= at <= end]


def day_of(at: datetime) -> str:
    return f"{at:%-d %b %Y}"
