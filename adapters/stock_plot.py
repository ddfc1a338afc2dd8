"""The level of one goods over time as a picture: one SVG file that needs nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from adapters.stock_axes import day_of, levels, moments
from adapters.stock_columns import Column, Happened, StockColumns, joined
from adapters.stock_reading import StockStory
from adapters.story_words import clock, harmless
from domain.goods import UNKNOWN
from orchestrator.stock_story import ADJUSTED, RETURNED, SET, SOLD, LedgerLine

WIDTH, HEIGHT = 1_100, 500
LEFT, RIGHT, TOP, BOTTOM = 150, 1_076, 84, 296
"""Of the level's field, in pixels."""

LANES_TOP: Final = 356
LANE_HEIGHT: Final = 28
BUNDLE_WIDTH: Final = 24
"""Pixels within which marks of one kind are one mark with a count."""

LEVEL_TICKS: Final = 6
TIME_TICKS: Final = 9
TITLE_CHARS: Final = 70
MARKS_ON_LINE: Final = 60
"""With more events than that, marks on the line would hide it."""

LEAST_AIR: Final = timedelta(milliseconds=1)
"""On both sides of what happened: labels are a millisecond apart at least."""

LONE_AIR: Final = timedelta(seconds=2)
"""On both sides of a single moment."""

KINDS: Final = (
    (SOLD, "Sales", "Sale", "M-6,-4.5L6,-4.5L0,6Z"),
    (RETURNED, "Returns", "Return", "M-6,4.5L6,4.5L0,-6Z"),
    (SET, "Settings", "Setting", "M-5,-5H5V5H-5Z"),
    (ADJUSTED, "Adjustments", "Adjustment", "M0,-7L7,0L0,7L-7,0Z"),
)
"""Kind, words for many and for one, and its shape."""


@dataclass(frozen=True, slots=True)
class Frame:
    """From moments and levels to pixels."""

    start: datetime
    end: datetime
    low: int
    high: int

    def x(self, at: datetime) -> float:
        return round(LEFT + (at - self.start) / (self.end - self.start) * (RIGHT - LEFT), 1)

    def y(self, level: int) -> float:
        return round(BOTTOM - (level - self.low) / (self.high - self.low) * (BOTTOM - TOP), 1)


@dataclass(frozen=True, slots=True)
class Mark:
    """`count`: what is written in it, empty for a single event; `told`: when a pointer rests on it."""

    x: float
    y: float
    shape: str
    kind: str
    count: str
    told: str


@dataclass(frozen=True, slots=True)
class Lane:
    y: float
    kind: str
    shape: str
    name: str
    sums: str
    marks: tuple[Mark, ...]


def draw(goods_id: int, story: StockStory, heard: StockColumns) -> str:
    """The whole file. `heard`: has heard every line of the story."""
    columns = heard.columns
    frame = _frame(columns, story)
    title = harmless(story.goods.name) if story.goods != UNKNOWN else "unknown to the goods log"
    return _template().render(
        width=WIDTH,
        height=HEIGHT,
        field=(LEFT, RIGHT, TOP, BOTTOM),
        title=_cut(f"Stock of goods {goods_id}: {title}"),
        whole_title=f"Stock of goods {goods_id}: {title}",
        facts=_facts(story),
        levels=[(frame.y(level), f"{level:,}") for level in levels(frame.low, frame.high, LEVEL_TICKS)],
        times=list(_times(frame)),
        path=_path(columns, frame),
        area=_path(columns, frame) + f"V{frame.y(0)}H{frame.x(columns[0].first_at)}Z",
        end=(frame.x(columns[-1].last_at), frame.y(columns[-1].last), f"{columns[-1].last:,}"),
        lanes=[_lane(number, columns, frame) for number in range(len(KINDS))],
        marks=list(_on_line(columns, frame, story)),
        wrong=_wrong(frame, story),
        note=_note(columns, story),
    )


@cache
def _template() -> Template:
    folder = FileSystemLoader(Path(__file__).parent / "templates")
    return Environment(
        loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template("stock.svg.j2")


def _frame(columns: list[Column], story: StockStory) -> Frame:
    first, last = columns[0].first_at.astimezone(UTC), columns[-1].last_at.astimezone(UTC)
    # Air on both sides: the first setting is not drawn on the axis, nor the last level on the border.
    air = LONE_AIR if first == last else max((last - first) / 40, LEAST_AIR)
    ticks = levels(min(0, *(c.low for c in columns)), max(0, *(c.high for c in columns)), LEVEL_TICKS)
    return Frame(first - air, last + air, ticks[0], ticks[-1])


def _times(frame: Frame) -> Iterator[tuple[float, str, str]]:
    """Where, the words, and below them the day where it changes."""
    day = ""
    for at, words in moments(frame.start, frame.end, TIME_TICKS):
        is_clock = ":" in words
        new = day_of(at) if is_clock else (str(at.year) if " " in words and str(at.year) not in words else "")
        yield frame.x(at), words, new if new != day else ""
        day = new


def _path(columns: list[Column], frame: Frame) -> str:
    """Steps: across at the level so far, then to the level after the event, and on to the border."""
    parts = [f"M{frame.x(columns[0].first_at)},{frame.y(0)}"]
    for column in columns:
        first, last = frame.x(column.first_at), frame.x(column.last_at)
        parts.append(f"H{first}V{frame.y(column.first)}")
        if column.events > 1:
            parts.append(f"V{frame.y(column.low)}V{frame.y(column.high)}H{last}V{frame.y(column.last)}")
    return "".join(parts) + f"H{RIGHT}"


def _lane(number: int, columns: list[Column], frame: Frame) -> Lane:
    kind, many, one, shape = KINDS[number]
    y = LANES_TOP + LANE_HEIGHT * number
    bundles = list(_bundles(kind, columns, frame))
    whole = joined(bundles) if bundles else None
    marks = tuple(_mark(bundle, frame.x(_middle(bundle)), y, one, many, shape) for bundle in bundles)
    sums = f"{whole.count:,} ({whole.units:+,})" if whole else "none"
    return Lane(y, kind, shape, many, sums, marks)


def _bundles(kind: str, columns: list[Column], frame: Frame) -> Iterator[Happened]:
    near: list[Happened] = []
    for column in columns:
        if what := column.happened.get(kind):
            if near and frame.x(what.last.at) - frame.x(near[0].first_at) > BUNDLE_WIDTH:
                yield joined(near)
                near = []
            near.append(what)
    if near:
        yield joined(near)


def _middle(bundle: Happened) -> datetime:
    return bundle.first_at + (bundle.last.at - bundle.first_at) / 2


def _mark(bundle: Happened, x: float, y: float, one: str, many: str, shape: str) -> Mark:
    told = _told(bundle.last, one) if bundle.count == 1 else _told_many(bundle, many)
    return Mark(x, y, shape, bundle.last.kind, _short(bundle.count) if bundle.count > 1 else "", told)


def _told(line: LedgerLine, one: str) -> str:
    order = f", order {line.order_id}" if line.order_id else ""
    reason = f", {harmless(line.reason)}" if line.reason else ""
    wrong = f"; {line.wrong}" if line.wrong else ""
    return (
        f"{one} {line.change:+,}, then {line.balance:,} on hand{order}{reason}\n"
        f"{clock(line.at)} UTC by {harmless(line.who)}, inventory={line.position}{wrong}"
    )


def _told_many(bundle: Happened, many: str) -> str:
    last = bundle.last
    return (
        f"{bundle.count:,} {many.lower()}, {bundle.units:+,} units, then {last.balance:,} on hand\n"
        f"{clock(bundle.first_at)} to {clock(last.at)} UTC, the last is inventory={last.position}"
    )


def _on_line(columns: list[Column], frame: Frame, story: StockStory) -> Iterator[Mark]:
    if story.totals.events > MARKS_ON_LINE:
        return
    for kind, many, one, shape in KINDS:
        for column in columns:
            if what := column.happened.get(kind):
                yield _mark(what, frame.x(what.last.at), frame.y(what.last.balance), one, many, shape)


def _wrong(frame: Frame, story: StockStory) -> tuple[float, str] | None:
    first = story.totals.first_wrong
    if first is None:
        return None
    return frame.x(first.at), f"inventory={first.position}: {first.wrong}"


def _facts(story: StockStory) -> str:
    totals = story.totals
    deleted = "deleted goods · " if story.goods != UNKNOWN and not story.goods.for_sale else ""
    then = f"at {clock(story.as_of)} UTC" if story.as_of else "now"
    return (
        f"{deleted}{totals.on_hand:,} on hand {then} · sold {totals.sold:,} · returned {totals.returned:,}"
        f" · adjusted {totals.adjusted:+,} · set {totals.counted:+,}"
    )


def _note(columns: list[Column], story: StockStory) -> str:
    events = f"{story.totals.events:,} event{'' if story.totals.events == 1 else 's'}"
    if len(columns) == story.totals.events:
        return f"{events}, each drawn; times in UTC. Marks close together are one with a count."
    return (
        f"{events}, some in one pixel column: of each its first, lowest, highest and last level is drawn."
        " Marks close together are one with a count. Times in UTC."
    )


def _short(count: int) -> str:
    if count < 1_000:
        return str(count)
    return f"{count / 1_000:.1f}k" if count < 10_000 else f"{count // 1_000}k"


def _cut(text: str) -> str:
    return text if len(text) <= TITLE_CHARS else text[: TITLE_CHARS - 1] + "…"
