"""The chart of a comparison: a bar for the median, a dot for every round, the ratio beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from statistics import median
from typing import Final

WIDTH: Final = 860
NAMES: Final = 210
RATIOS: Final = 150
ROW: Final = 26
TITLE: Final = 40

_STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#222}.t{font-weight:600}.b{fill:#7aa6c2}.l{fill:#c9b37a}"
    ".d{fill:#1d3b4f}.r{fill:#555}"
)


@dataclass(frozen=True, slots=True)
class Bar:
    """`per_s`: orders a second of every round; `ratio`: to the first bar of its shape."""

    shape: str
    name: str
    per_s: Sequence[float]
    ratio: float


def chart(bars: Sequence[Bar]) -> str:
    """An SVG picture, a panel for each shape; each panel has its own scale, from 0."""
    shapes = list(dict.fromkeys(bar.shape for bar in bars))
    parts: list[str] = []
    y = 0
    for shape in shapes:
        own = [bar for bar in bars if bar.shape == shape]
        parts += _panel(shape, own, y)
        y += TITLE + ROW * len(own)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 10}" width="{WIDTH}">'
    return "\n".join([head, f"<style>{_STYLE}</style>", *parts, "</svg>", ""])


def _panel(shape: str, bars: Sequence[Bar], top: int) -> list[str]:
    scale = (WIDTH - NAMES - RATIOS) / max(max(bar.per_s) for bar in bars)
    parts = [f'<text class="t" x="8" y="{top + 24}">{escape(shape)}: orders a second</text>']
    for number, bar in enumerate(bars):
        y = top + TITLE + number * ROW
        middle = median(bar.per_s)
        kind = "l" if number == 0 else "b"
        parts += [
            f'<text x="8" y="{y + 14}">{escape(bar.name)}</text>',
            f'<rect class="{kind}" x="{NAMES}" y="{y + 2}" width="{middle * scale:.1f}" height="16"/>',
            *(
                f'<circle class="d" cx="{NAMES + one * scale:.1f}" cy="{y + 10}" r="2.5"/>'
                for one in bar.per_s
            ),
            f'<text class="r" x="{WIDTH - RATIOS + 12}" y="{y + 14}">{middle:,.0f} = {bar.ratio:.2f}</text>',
        ]
    return parts
