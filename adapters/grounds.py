"""What every role stands on: its settings, what is closed at the end, and what runs until then.

Nothing here needs a broker, so the roles that do without one do not load one.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from adapters.settings import Settings


class CannotStart(Exception):
    """A role lacks something it needs; the message is one line that says what."""


def dsn_for(settings: Settings, service: Any) -> str:
    """`service`: of adapters.settings. Raises CannotStart."""
    dsn = settings.dsn(service)
    if dsn is None:
        raise CannotStart(f"no database for {service}: set TILLROLL_DSN, or run `tillroll up`")
    return dsn


@dataclass(slots=True)
class Grounds:
    """`tasks` run until the process ends, or until the first of them does; `stopping` asks them to end."""

    settings: Settings
    stack: AsyncExitStack
    tasks: list[Coroutine[Any, Any, None]] = field(default_factory=list, kw_only=True)
    stopping: asyncio.Event = field(default_factory=asyncio.Event, kw_only=True)

    def dsn(self, service: Any) -> str:
        return dsn_for(self.settings, service)
