"""One order's story as a page that needs nothing else: no script, no font, no picture from elsewhere."""

from datetime import datetime
from pathlib import Path
from typing import Any, Final

from adapters.cli_reading import BadArgument
from adapters.cli_story import COLOURS, STATUS_WORDS
from adapters.order_story import Story
from adapters.story_drawing import draw
from adapters.story_words import clock, lasted, money
from adapters.templates_of import template

TONES: Final = {"green": "good", "red": "bad", "bold red": "bad", "yellow": "late", "cyan": "hand"}
"""What a terminal's colour is called on a page."""


def write_page(file: Path, story: Story, currency: str, now: datetime) -> None:
    """Raises BadArgument for a file that cannot be written."""
    try:
        file.write_text(page_of(story, currency, now), encoding="utf-8")
    except OSError as error:
        raise BadArgument(f"{file}: {error.strerror}") from error


def page_of(story: Story, currency: str, now: datetime) -> str:
    tones = {event: TONES[colour] for event, colour in COLOURS.items()}
    return template("story.html.j2").render(
        story=story,
        amount=money(story.amount, currency),
        status=STATUS_WORDS[story.status],
        looked=clock(story.as_of or now),
        refunds=[_refund(refund, currency) for refund in story.outlook.refunds],
        waits=_waits(story),
        drawing=draw(story.entries, tones),
        rows=[
            {
                "entry": entry,
                "at": clock(entry.at),
                "after": lasted(entry.since_before_s),
                "tone": tones.get(entry.event, "plain"),
            }
            for entry in story.entries
        ],
        lines=[
            {
                "goods_id": line.goods_id,
                "name": line.name,
                "nums": line.nums,
                "price": money(line.price, currency),
            }
            for line in story.lines
        ],
    )


def _refund(refund: Any, currency: str) -> dict[str, Any]:
    return {
        "amount": money(refund.amount, currency),
        "user_id": refund.user_id,
        "trade_id": refund.trade_id,
        "pay_type": refund.pay_type,
        "at": clock(refund.at),
    }


def _waits(story: Story) -> dict[str, Any] | None:
    waiting, outlook = story.waiting, story.outlook
    if waiting is None:
        return None
    return {
        "what": waiting.what,
        "since": clock(waiting.since),
        "lasted": lasted(outlook.waits_s),
        "due": clock(waiting.next_try_at) if waiting.next_try_at else "",
        "overdue": lasted(outlook.overdue_s) if outlook.overdue_s else "",
        "tries": waiting.tries,
        "error": waiting.last_error,
    }
