"""One stream as of a version or a moment: its events and the state they make, in plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import msgspec

from adapters.postgres_log_reader import LogReader
from domain.events import NAMES
from domain.recorded import Recorded
from domain.service import Service
from domain.services import SERVICES
from domain.streams import category

SECRETS: Final = frozenset({"password_hash", "refresh_digest"})
"""Fields that nobody who looks at a stream needs, and that must not end up in a terminal's history."""


@dataclass(frozen=True, slots=True)
class PlainEvent:
    """In its newest form: `by` caused it, with the command `cmd`; `cor` is the order it belongs to."""

    version: int
    position: int
    at: datetime
    by: str
    cmd: str
    cor: str
    event: str
    data: Any


@dataclass(frozen=True, slots=True)
class StreamState:
    stream: str
    log: str
    events: tuple[PlainEvent, ...]
    state: Any

    def plain(self) -> Any:
        """All of it as lists and dicts."""
        return msgspec.to_builtins(self)


def read_state(
    dsns: Mapping[str, str], stream: str, *, version: int | None = None, at: datetime | None = None
) -> StreamState | None:
    """None when the stream has no events by then. Streams of keys are looked for in each log that has keys.

    Raises LogUnreadable.
    """
    for service in SERVICES:
        if category(stream) in service.categories:
            events = LogReader(dsns[service.log], service.log).read_stream(stream, version, at)
            if events:
                return _folded(service, stream, events)
    return None


def _folded(service: Service, stream: str, events: list[Recorded]) -> StreamState:
    state = service.initial(stream)
    for recorded in events:
        state = service.evolve(stream, state, recorded.event)
    return StreamState(stream, service.log, tuple(map(_plain, events)), _shown(state))


def _plain(recorded: Recorded) -> PlainEvent:
    cause = recorded.cause
    return PlainEvent(
        version=recorded.originator_version,
        position=recorded.position,
        at=cause.at,
        by=cause.caller,
        cmd=cause.command_id,
        cor=cause.correlation,
        event=NAMES[type(recorded.event)],
        data=_shown(recorded.event),
    )


SEALED_FIELDS: Final = frozenset(
    {"email", "nickname", "gender", "address", "signer_name", "signer_mobile", "post"}
)
"""Personal data, encrypted in the log: nobody reads it, and long texts nobody reads are in the way."""


def sealed(found: StreamState) -> StreamState:
    """The same without the encrypted texts of personal fields."""
    events = tuple(replace(event, data=_without_seals(event.data)) for event in found.events)
    return replace(found, events=events, state=_without_seals(found.state))


def _without_seals(value: Any) -> Any:
    match value:
        case dict():
            return {
                name: "(sealed)"
                if name in SEALED_FIELDS and isinstance(field, str) and field
                else _without_seals(field)
                for name, field in value.items()
            }
        case list():
            return list(map(_without_seals, value))
        case _:
            return value


def _shown(value: Any) -> Any:
    # Some states are tuples with names, whose names would be lost.
    named = value._asdict() if hasattr(value, "_asdict") else value
    fields = msgspec.to_builtins(named)
    return {name: "(hidden)" if name in SECRETS and field else field for name, field in fields.items()}
