"""A log as the audit reads it: what is damaged is told and left out, and the rest is read on.

An event under a name of today must also be spelt as its encoder spells it. The parser skips over fields that
it does not know and takes any order and spacing, so JSON that somebody edited can decode all the same.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec
from eventsourcing.persistence import MapperDeserialisationError

from adapters.error_text import first_line
from adapters.event_codec import decode_row, encode, reader
from adapters.postgres_log_reader import LogReader, Row
from domain.events import EVENTS, FORMS
from domain.recorded import Cause, Recorded
from orchestrator.audit_streams import Damage

SHOWN_CHARS: Final = 120
"""Of what the parser says, which can quote what it read."""

PROGRESS_EVERY_EVENTS: Final = 1_000

RESPELT: Final = "its stored bytes are not those that are written for what they say: they were edited"

_readers: Final = {name: reader(FORMS[name]) for name in EVENTS}
_encode: Final = msgspec.json.Encoder().encode

Heard = Callable[[Damage], None]

Hear = Callable[[int], None]
"""Hears up to which position a log was read."""


class AuditedLog(LogReader):
    def read_on(self, heard: Heard, after: int = 0, until: int | None = None) -> Iterator[Recorded]:
        """As `read_all`; `heard` is told of damage before what comes after it. Raises LogUnreadable."""
        with self._connection() as connection:
            end = self._last_position(connection) if until is None else until
            while rows := self._batch(connection, after, end):
                for row in rows:
                    recorded = decoded(row, heard)
                    if recorded is not None:
                        yield recorded
                after = rows[-1][4]

    def stream_on(self, stream: str) -> list[Recorded]:
        """One stream as far as it can be read. Raises LogUnreadable."""
        with self._connection() as connection:
            rows = self._rows(connection, "read_stream", {"stream": stream, "version": None})
        found = (decoded(row, lambda _: None) for row in rows)
        return [recorded for recorded in found if recorded is not None]


def told(events: Iterable[Recorded], until: int, hear: Hear) -> Iterator[Recorded]:
    """The same events; `hear` is told now and then how far they are, and at the end that it is `until`."""
    for number, recorded in enumerate(events):
        if number % PROGRESS_EVERY_EVENTS == 0:
            hear(recorded.position)
        yield recorded
    hear(until)


def decoded(row: Row, heard: Heard) -> Recorded | None:
    """Most are as they were written, and that is seen in one go; what is not is looked at more closely."""
    stream, version, topic, state, position = row
    read = _readers.get(topic)
    try:
        envelope = read(state) if read is not None else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        envelope = None
    if envelope is None or _encode(envelope) != state:
        return _looked_at(row, heard)
    cause = Cause(envelope.cmd, envelope.by, envelope.cor, envelope.at)
    return Recorded(stream, version, envelope.data, cause, position)


def _looked_at(row: Row, heard: Heard) -> Recorded | None:
    stream, version, topic, state, position = row
    try:
        recorded = decode_row(stream, version, topic, state, position)
        respelt = topic in EVENTS and encode(recorded).state != state
    except MapperDeserialisationError as error:
        why = first_line(error)[:SHOWN_CHARS]
        heard(Damage(stream, version, position, f"it cannot be read: {why}", lost=True))
        return None
    if respelt:
        heard(Damage(stream, version, position, RESPELT, lost=False))
    return recorded
