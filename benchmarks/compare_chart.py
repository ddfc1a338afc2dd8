"""The chart of a comparison: a bar for the median, a dot for every round, and every goal with its line."""

from collections.abc import Sequence
from html import escape
from statistics import median
from typing import Final

from benchmarks.compare_goals import Outcome, number, outcome_of, outcomes
from benchmarks.compare_rounds import ENGINE, LIMIT, UNITS, Comparison, Result
from benchmarks.compare_tables import ratios_to_limit
from benchmarks.engine_shapes import SOLD_OUT

WIDTH: Final = 920
NAMES: Final = 210
WORDS: Final = 300
"""Room for the text beside a bar."""

ROOM: Final = WIDTH - NAMES - WORDS
ROW: Final = 26
TITLE: Final = 40
MOST_GOALS: Final = 2.0
"""A bar is cut off at so many times its goal; the figure beside it is whole."""

_STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#222}.t{font-weight:600}.b{fill:#7aa6c2}.l{fill:#c9b37a}"
    ".d{fill:#1d3b4f}.r{fill:#555}.w{fill:#fff}.y{fill:#8fb98a}.n{fill:#d39a8c}"
    ".g{stroke:#222;stroke-dasharray:3 3}"
)


def chart(comparison: Comparison) -> str:
    """An SVG picture, a panel for each shape and one for the goals; each panel has its own scale, from 0."""
    parts: list[str] = []
    y = 0
    for shape in dict.fromkeys(one.shape for one in comparison.found()):
        own = [one for one in comparison.found() if one.shape == shape]
        own += _hot_beside(comparison) if shape == SOLD_OUT else []
        parts += _panel(own, comparison, y)
        y += TITLE + ROW * len(own)
    goals = outcomes(comparison)
    parts += _goals(goals, y)
    y += TITLE + ROW * len(goals) + 10
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}">'
    ground = f'<rect class="w" width="{WIDTH}" height="{y}"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", ground, *parts, "</svg>", ""])


def _panel(results: Sequence[Result], comparison: Comparison, top: int) -> list[str]:
    shape = results[0].shape
    what, figure = UNITS.get(shape, ("orders", "orders_per_s"))
    values = {one.name: [each[figure] for each in one.rounds.values()] for one in results}
    scale = ROOM / (max(max(each) for each in values.values()) or 1)
    parts = [_title(f"{shape}: {what} a second", top)]
    for place, one in enumerate(results):
        middle = median(values[one.name])
        parts += _row(
            one.name,
            [each * scale for each in values[one.name]],
            f"{middle:,.0f}{_beside(one, comparison)}",
            top + TITLE + place * ROW,
            "l" if one.name == LIMIT else "b",
        )
    return parts


def _hot_beside(comparison: Comparison) -> list[Result]:
    """Orders of what is not sold out, in the same rounds: what refusals are compared with."""
    hot = comparison.of(ENGINE, "hot")
    return [Result("orders, while there are some", SOLD_OUT, hot.clients, hot.rounds)] if hot.rounds else []


def _beside(one: Result, comparison: Comparison) -> str:
    ratios = ratios_to_limit(one, comparison).values()
    outcome = outcome_of(one, comparison)
    if ratios and one.name != LIMIT:
        return f" = {median(ratios):.2f} of the limit"
    if outcome is None:
        return ""
    ratio = f" = {number(outcome.median)} of hot" if outcome.goal.under else ""
    return f"{ratio}, goal {number(outcome.goal.least)}"


def _goals(found: Sequence[Outcome], top: int) -> list[str]:
    """All on one scale: how much of its goal each is."""
    line = NAMES + ROOM / MOST_GOALS
    bottom = top + TITLE + ROW * len(found)
    parts = [_title("goals: the median of all rounds, beside what was promised", top)]
    for place, one in enumerate(found):
        shares = [min(each / one.goal.least, MOST_GOALS) for each in one.values.values()]
        text = f"{number(one.median)} of {number(one.goal.least)}: {one.verdict}"
        kind = "y" if one.verdict.startswith("met") else "n"
        lengths = [each / MOST_GOALS * ROOM for each in shares]
        parts += _row(one.goal.name, lengths, text, top + TITLE + place * ROW, kind)
    return [*parts, f'<line class="g" x1="{line}" x2="{line}" y1="{top + TITLE - 4}" y2="{bottom}"/>']


def _title(text: str, top: int) -> str:
    return f'<text class="t" x="8" y="{top + 24}">{escape(text)}</text>'


def _row(name: str, lengths: Sequence[float], text: str, y: int, kind: str) -> list[str]:
    """`lengths`: of every round; the bar is as long as their median."""
    middle = median(lengths) if lengths else 0.0
    return [
        f'<text x="8" y="{y + 14}">{escape(name)}</text>',
        f'<rect class="{kind}" x="{NAMES}" y="{y + 2}" width="{middle:.1f}" height="16"/>',
        *(f'<circle class="d" cx="{NAMES + each:.1f}" cy="{y + 10}" r="2.5"/>' for each in lengths),
        f'<text class="r" x="{WIDTH - WORDS + 12}" y="{y + 14}">{escape(text)}</text>',
    ]
