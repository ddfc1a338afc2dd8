"""The time line of a story as places on a page: lanes, marks, pauses cut short, and what caused what."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from adapters.story_words import clock, lasted
from orchestrator.timeline import Entry

LANES: Final = ("Customer, cart", "Order, saga", "Stock", "Payment", "Operator")
CART, SAGA, STOCK, PAYMENT, HAND = range(len(LANES))

LANE_OF: Final[Mapping[str, int]] = {
    **dict.fromkeys(("CartReplaced", "CartLinePut", "CartLineRemoved"), CART),
    **dict.fromkeys(("CheckoutBegun", "CheckoutDropped", "CheckedOut"), CART),
    **dict.fromkeys(("Sold", "SellRefused", "RolledBack", "RollbackBarred"), STOCK),
    **dict.fromkeys(("OrderPaid", "RefundDue", "PaymentTaken", "PaymentLapsed"), PAYMENT),
    **dict.fromkeys(("RetryOrdered", "CompensationOrdered"), HAND),
}
"""By the name of the event; all others are the saga's."""

LEFT_PX: Final = 150
TOP_PX: Final = 48
LANE_PX: Final = 44
STEP_PX: Final = 34
PAUSE_PX: Final = 92
LONG_PAUSE_S: Final = 10.0
MIN_WIDTH_PX: Final = 900
TIME_PX: Final = 64


@dataclass(frozen=True, slots=True)
class Lane:
    name: str
    y: int


@dataclass(frozen=True, slots=True)
class Mark:
    """`number`: of its row in the table below; `title`: shown when a pointer rests on it."""

    number: int
    x: int
    y: int
    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class Label:
    x: int
    words: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """All in pixels from the top left. `causes`: paths of SVG."""

    width: int
    height: int
    lanes: tuple[Lane, ...]
    marks: tuple[Mark, ...]
    pauses: tuple[Label, ...]
    causes: tuple[str, ...]
    times: tuple[Label, ...]


def draw(entries: tuple[Entry, ...], tones: Mapping[str, str]) -> Drawing:
    """`tones`: by the name of the event; others are plain."""
    xs = list(_xs(entries))
    marks = tuple(
        _mark(number, x, entry, tones) for number, (x, entry) in enumerate(zip(xs, entries, strict=True), 1)
    )
    lanes = tuple(Lane(name, _y(number)) for number, name in enumerate(LANES))
    return Drawing(
        width=max(MIN_WIDTH_PX, (xs[-1] if xs else 0) + 40),
        height=_y(len(LANES) - 1) + 52,
        lanes=lanes,
        marks=marks,
        pauses=tuple(
            Label(x - PAUSE_PX // 2, lasted(entry.since_before_s))
            for x, entry in zip(xs, entries, strict=True)
            if _is_long(entry)
        ),
        causes=tuple(_causes(entries, marks)),
        times=tuple(_times(entries, xs)),
    )


def _xs(entries: tuple[Entry, ...]) -> Iterator[int]:
    x = LEFT_PX
    for number, entry in enumerate(entries):
        if number:
            x += PAUSE_PX if _is_long(entry) else STEP_PX
        yield x


def _is_long(entry: Entry) -> bool:
    return entry.since_before_s >= LONG_PAUSE_S


def _y(lane: int) -> int:
    return TOP_PX + lane * LANE_PX


def _mark(number: int, x: int, entry: Entry, tones: Mapping[str, str]) -> Mark:
    title = f"{clock(entry.at)} UTC, {entry.who}: {entry.what}"
    return Mark(number, x, _y(LANE_OF.get(entry.event, SAGA)), tones.get(entry.event, "plain"), title)


def _causes(entries: tuple[Entry, ...], marks: tuple[Mark, ...]) -> Iterator[str]:
    by_place = {f"{entry.log}={entry.position}": mark for entry, mark in zip(entries, marks, strict=True)}
    for entry, to in zip(entries, marks, strict=True):
        start = by_place.get(entry.caused_by)
        if start is not None and start.y != to.y:
            middle = (start.x + to.x) // 2
            yield f"M{start.x},{start.y} C{middle},{start.y} {middle},{to.y} {to.x},{to.y}"


def _times(entries: tuple[Entry, ...], xs: list[int]) -> Iterator[Label]:
    """Of as many marks as there is room for: the first, and each that is far enough from the one before.

    Within one second it is told how long after the last time that was told.
    """
    free_from = 0
    told: Entry | None = None
    for x, entry in zip(xs, entries, strict=True):
        if x < free_from:
            continue
        free_from = x + TIME_PX
        if told is not None and clock(told.at) == clock(entry.at):
            yield Label(x, f"+{lasted((entry.at - told.at).total_seconds())}")
        else:
            told = entry
            yield Label(x, f"{entry.at:%H:%M:%S}")
