"""Event bytes: JSON by msgspec, readable in SQL, under the names of `domain.events`.

    {"at": "2026-11-23T14:03:00Z", "by": "user-7", "cmd": "...", "cor": "<order id>", "data": {...}}

A name of before is upcast here (`domain.upcasts`), so whoever decodes sees every event in its newest form.
It is the eventsourcing library's Mapper, so a plain Application reads our logs with
`MAPPER_TOPIC=adapters.event_codec:EventMapper` (see docs/reading-the-log.md).
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import msgspec
from eventsourcing.persistence import (
    Cipher,
    Compressor,
    Mapper,
    MapperDeserialisationError,
    Notification,
    StoredEvent,
    Transcoder,
)

from domain.events import FORMS, NAMES
from domain.recorded import Cause, Recorded, made
from domain.upcasts import Form
from orchestrator.log import Stored

Data = TypeVar("Data")


class Envelope(msgspec.Struct, Generic[Data], frozen=True, gc=False):
    """What is stored of one event beside its stream, version and name."""

    at: datetime
    by: str
    cmd: str
    cor: str
    data: Data


class _Head(msgspec.Struct, frozen=True, gc=False):
    """An envelope without what is in it."""

    at: datetime
    by: str
    cmd: str
    cor: str


_spell = msgspec.json.Encoder().encode

_NOT_AS_STORED: Final = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What an upcast runs into when the fields are not those of its name."""


def reader(form: Form) -> Callable[[bytes], Envelope[Any]]:
    """From stored bytes to the event in its envelope, in one go unless it is upcast."""
    if not form.changes:
        kind: Any = form.kind
        return msgspec.json.Decoder(Envelope[kind]).decode
    as_stored = msgspec.json.Decoder(Envelope[dict[str, Any]])

    def upcast(state: bytes) -> Envelope[Any]:
        envelope = as_stored.decode(state)
        fields: Any = envelope.data
        try:
            for change in form.changes:
                fields = change(fields)
        except _NOT_AS_STORED as error:
            raise msgspec.ValidationError(f"cannot be upcast: {error!r}") from error
        return msgspec.structs.replace(envelope, data=msgspec.convert(fields, form.kind))

    return upcast


_readers = {name: reader(form) for name, form in FORMS.items()}


class UnknownEventName(MapperDeserialisationError):
    """The log holds an event name that this version of Tillroll does not know."""


def encode(recorded: Recorded) -> Stored:
    cause = recorded.cause
    state = _spell(Envelope(cause.at, cause.caller, cause.command_id, cause.correlation, recorded.event))
    return Stored(recorded.originator_id, recorded.originator_version, NAMES[type(recorded.event)], state)


def encode_all(cause: Cause, events: Iterable[tuple[str, int, Any]]) -> list[Stored]:
    """The same of all that one command wrote: (stream, version, event). Its cause is spelt once."""
    head = _spell(_Head(cause.at, cause.caller, cause.command_id, cause.correlation))[:-1] + b',"data":'
    return [
        made(Stored, (stream, version, NAMES[type(event)], head + _spell(event) + b"}"))
        for stream, version, event in events
    ]


def decode(stored: StoredEvent | Stored) -> Recorded:
    """Raises UnknownEventName, MapperDeserialisationError naming stream and version."""
    position = stored.id if isinstance(stored, Notification) else 0
    return decode_row(
        str(stored.originator_id), stored.originator_version, stored.topic, stored.state, position
    )


def decode_row(stream: str, version: int, topic: str, state: bytes, position: int) -> Recorded:
    """The same of a row of the log, for whoever reads very many of them."""
    read = _readers.get(topic)
    if read is None:
        raise UnknownEventName(f"unknown event name {topic!r} at {stream} version {version}")
    try:
        # The parser skips over what it does not know; damage there should show all the same.
        state.decode()
        envelope = read(state)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MapperDeserialisationError(f"{topic} at {stream} version {version}: {error}") from error
    cause = Cause(envelope.cmd, envelope.by, envelope.cor, envelope.at)
    return Recorded(stream, version, envelope.data, cause, position)


class EventMapper(Mapper[str]):
    """The library's Mapper over this codec. It has no use for a transcoder, compressor or cipher."""

    def __init__(
        self,
        transcoder: Transcoder,
        compressor: Compressor | None = None,
        cipher: Cipher | None = None,
    ) -> None:
        super().__init__(transcoder, compressor, cipher)

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        return StoredEvent(*encode(domain_event))

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        return decode(stored_event)
