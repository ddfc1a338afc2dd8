"""The picture of a stock's level: bounded however many events there are, and no lowest level is lost."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import reduce

import pytest

from adapters.stock_axes import moments
from adapters.stock_columns import MAX_COLUMNS, StockColumns
from adapters.stock_plot import BOTTOM, draw
from adapters.stock_reading import StockStory
from domain.goods import UNKNOWN
from orchestrator.stock_story import ADJUSTED, LedgerLine, Totals

START = datetime(2026, 11, 23, 14, tzinfo=UTC)
MANY = 100_000
TIMES = re.compile(r'text-anchor="middle">([^<]+:[^<]+)</text>')
LEVEL = re.compile(r'class="level" d="([^"]+)"')


def lines(levels: Iterable[int], apart: timedelta) -> list[LedgerLine]:
    """One adjustment after the other, to these levels."""
    before, found = 0, []
    for number, level in enumerate(levels, start=1):
        at, change = START + apart * (number - 1), level - before
        found.append(
            LedgerLine(at, ADJUSTED, "user 1", "", "counted", change, level, level, number, number, "")
        )
        before = level
    return found


def heard(ledger: list[LedgerLine]) -> StockColumns:
    columns = StockColumns()
    for line in ledger:
        columns.hear(line)
    return columns


def picture(ledger: list[LedgerLine]) -> str:
    story = StockStory(UNKNOWN, None, reduce(Totals.plus, ledger, Totals()), tuple(ledger[-1:]))
    return draw(14, story, heard(ledger))


@pytest.mark.parametrize("place", [1, MANY // 3, MANY - 2])
def test_of_very_many_events_the_lowest_and_the_highest_level_are_drawn(place: int) -> None:
    levels = [500 + number % 7 for number in range(MANY)]
    levels[place], levels[-place] = 0, 1_000
    ledger = lines(levels, timedelta(seconds=7))
    columns = heard(ledger).columns
    assert len(columns) <= MAX_COLUMNS
    assert sum(column.events for column in columns) == MANY
    lowest = min(columns, key=lambda column: column.low)
    assert lowest.low == 0
    assert lowest.first_at <= ledger[place].at <= lowest.last_at
    assert max(column.high for column in columns) == 1_000
    svg = picture(ledger)
    assert len(svg) < 250_000
    (path,) = LEVEL.findall(svg)
    assert f"V{float(BOTTOM)}V" in path[10:]


@pytest.mark.parametrize("apart_ms", [0.05, 1, 30, 200])
def test_a_history_of_less_than_a_second_has_times_to_the_millisecond(apart_ms: float) -> None:
    times = TIMES.findall(picture(lines([3, 2, 1, 0], timedelta(milliseconds=apart_ms))))
    assert 2 <= len(times) <= 9
    assert times == sorted(set(times))
    assert all(re.fullmatch(r"1[34]:[05]\d:\d\d\.\d{3}", time) for time in times)


def test_a_single_event_stands_between_whole_seconds() -> None:
    times = TIMES.findall(picture(lines([3], timedelta())))
    assert "14:00:00.000" in times or "14:00:00" in times


@pytest.mark.parametrize(
    ("lasts", "words"),
    [
        (timedelta(milliseconds=40), "14:00:00.005"),
        (timedelta(seconds=3), "14:00:00.500"),
        (timedelta(seconds=30), "14:00:05"),
        (timedelta(hours=1), "14:10"),
        (timedelta(days=9), "25 Nov"),
        (timedelta(days=400), "Mar 2027"),
    ],
)
def test_times_are_as_fine_as_the_span_needs(lasts: timedelta, words: str) -> None:
    found = [told for _, told in moments(START, START + lasts, 9)]
    assert words in found
    assert len(found) <= 10
