"""What was stored under a name of before, told in the newest form of its event.

A stored name is a format. When an event needs another shape it gets a new name, and the old name moves from
`domain.events` into UPCASTS, with a pure function from what was stored to what the next name stores. Nobody
but the decoder ever sees the old shape; nothing in a log is rewritten. docs/evolution.md shows how.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Fields = Mapping[str, Any]
"""An event's own fields as plain JSON: texts, numbers, lists, mappings; times are RFC 3339 texts."""

Change = Callable[[Fields], Fields]
"""Makes new fields and leaves those it is given as they are. Fields that it does not know go along."""


@dataclass(frozen=True, slots=True)
class Upcast:
    """`to`: the name whose fields `change` gives. If that was replaced later, it is upcast in its turn."""

    to: str
    change: Change


def _of_the_first_epoch(fields: Fields) -> Fields:
    """Recorded before there were epochs."""
    return {**fields, "epoch": 0}


UPCASTS: Mapping[str, Upcast] = {
    "SessionOpened": Upcast("SessionBegun", _of_the_first_epoch),
}
"""By the name that was stored. Append only: with the names of events it is all that can stand in a log."""


# what every stored name means


class BadUpcast(Exception):
    """An upcast that is no way to an event; the text says which, and why."""


@dataclass(frozen=True, slots=True)
class Form:
    """`kind`: the event's class. `changes`: what leads there from the stored fields, first to last."""

    kind: type[Any]
    changes: tuple[Change, ...] = ()


def newest_forms(events: Mapping[str, type[Any]], upcasts: Mapping[str, Upcast]) -> Mapping[str, Form]:
    """Every name that may stand in a log. Raises BadUpcast."""
    both = sorted(events.keys() & upcasts.keys())
    if both:
        raise BadUpcast(f"{', '.join(both)}: a name that is upcast cannot be an event's as well")
    today = {name: Form(kind) for name, kind in events.items()}
    return today | {name: _followed(name, events, upcasts) for name in upcasts}


def _followed(name: str, events: Mapping[str, type[Any]], upcasts: Mapping[str, Upcast]) -> Form:
    way, changes = [name], list[Change]()
    while way[-1] not in events:
        upcast = upcasts.get(way[-1])
        if upcast is None:
            raise BadUpcast(f"{' -> '.join(way)}: the last of them is no event and is not upcast")
        if upcast.to in way:
            raise BadUpcast(f"{' -> '.join([*way, upcast.to])}: a circle")
        changes.append(upcast.change)
        way.append(upcast.to)
    return Form(events[way[-1]], tuple(changes))
