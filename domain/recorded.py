"""What stands in a log: an event, where it stands, and who caused it.

Tuples with names, made twice as fast as frozen dataclasses: two for every event that is read.
"""

from datetime import datetime
from typing import Any, NamedTuple

made = tuple.__new__
"""Makes a tuple with names in half the time that its class takes: `made(Kind, (field, ...))`, all fields."""


class Cause(NamedTuple):
    """Who caused an event (`caller`), by which command, for which order (`correlation`), and when.

    `command_id` ends in `~` and the mark of the ledger that recorded it. `caller` is `user-<id>`, or the
    name of the part of the system that acted by itself.
    """

    command_id: str
    caller: str
    correlation: str
    at: datetime


class Recorded(NamedTuple):
    """One event of a stream. The first two names are those of the eventsourcing library.

    `position`: its notification id, 1 and up, in the order of commits of its log; 0 before it is known.
    """

    originator_id: str
    originator_version: int
    event: Any
    cause: Cause
    position: int = 0
