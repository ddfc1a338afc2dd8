"""The frozen corpus as values, and what to add to it for a new name. In a Python of the project's folder:

>>> from domain.goods import GoodsChanged
>>> from tests.adapters.event_corpus import show
>>> show(GoodsChanged("cup", 9))
"""

import hashlib
import json
import sys
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

from adapters.event_codec import encode
from domain.recorded import Cause, Recorded
from tests.adapters.event_shapes import shape_of

CORPUS: Final = Path(__file__).parents[1] / "corpus"

Entry = dict[str, Any]

ENTRIES: Final[list[Entry]] = json.loads((CORPUS / "events.json").read_text())
SHAPES: Final = dict(line.split(" ", 1) for line in (CORPUS / "shapes.txt").read_text().splitlines())
DIGESTS: Final = (CORPUS / "digests.txt").read_text().splitlines()

CAUSE: Final = Cause("cmd-1", "user-7", "386547056640001", datetime(2026, 11, 23, 14, 3, tzinfo=UTC))


def digest(entry: Entry, shape: str | None) -> str:
    """What was stored, not what it means: an upcast may tell it in another form one day."""
    stored = [entry["name"], entry["bytes"], shape]
    return f"{hashlib.sha256(json.dumps(stored).encode()).hexdigest()} {entry['name']}"


def plain(value: Any) -> Any:
    """A value with nothing in it but what JSON has; times in seconds since 1970."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.timestamp()
    return int(value) if isinstance(value, IntEnum) else value


def entry_of(event: Any) -> Entry:
    stored = encode(Recorded("any-1", 1, event, CAUSE))
    return {
        "name": stored.topic,
        "bytes": stored.state.decode(),
        "kind": type(event).__name__,
        "event": plain(event),
        "cause": {name: plain(getattr(CAUSE, name)) for name in ENTRIES[0]["cause"]},
    }


def show(event: Any) -> None:
    """Prints what joins the three files for the name that this event is stored under today."""
    entry, shape = entry_of(event), shape_of(type(event))
    sys.stdout.write(f"events.json:\n{json.dumps(entry, indent=1)}\n")
    sys.stdout.write(f"shapes.txt:\n{entry['name']} {shape}\n")
    sys.stdout.write(f"digests.txt:\n{digest(entry, shape)}\n")
