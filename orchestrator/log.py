"""The log as the ledger sees it, and that view over any recorder of the eventsourcing library."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from eventsourcing.persistence import ApplicationRecorder, IntegrityError, Notification, StoredEvent


class Stored(NamedTuple):
    """An event as it is stored: the library's StoredEvent, which takes four times as long to make."""

    originator_id: str
    originator_version: int
    topic: str
    state: bytes


Since = Mapping[str, int | None]
"""Versions by stream: what comes after them is asked for. None: the stream's last event alone."""


class LogConflict(Exception):
    """Somebody else recorded an event in a stream that this batch reads or writes."""


class LogUnavailable(Exception):
    """The log cannot be reached, or did not say whether it stored what it was given."""


class Log(Protocol):
    """Blocking calls; the ledger makes them from a thread of its own, one at a time.

    `try_append` alone is made in the event loop, and never while another call is under way.
    """

    async def try_append(self, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int] | None:
        """One try of `append` without a thread; None when it is not known to have worked, for any reason.

        `append` of the same events then tells what became of them, and does what is missing.
        """
        ...

    def append(self, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int]:
        """Stores all or none, in order, and returns their positions.

        `expect`: streams that were read and are not written, with the version that must still be their
        last. Raises LogConflict, LogUnavailable.
        """
        ...

    def load(self, since: Since) -> Sequence[Stored]:
        """Events of these streams after the given versions, each stream in order. Raises LogUnavailable."""
        ...

    def find(self, event: Stored) -> int | None:
        """The position of exactly this event, once it is sure to be stored or sure not to be."""
        ...

    def changed(self, after: int | None) -> tuple[int, Collection[str]]:
        """The last position, and the streams with events after the given one; None for the last one alone.

        Raises LogUnavailable.
        """
        ...


class RecorderLog:
    """Any recorder of the library, such as its in-memory one. `expect` holds while one thread writes."""

    def __init__(self, recorder: ApplicationRecorder) -> None:
        self.recorder = recorder

    async def try_append(self, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int] | None:
        """The library's recorders block, so this is left to the thread."""
        return None

    def append(self, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int]:
        if self.load(expect):
            raise LogConflict
        try:
            return self.recorder.insert_events([StoredEvent(*event) for event in events]) or ()
        except IntegrityError as error:
            raise LogConflict from error

    def load(self, since: Since) -> Sequence[Stored]:
        return [
            Stored(stream, event.originator_version, event.topic, event.state)
            for stream, version in since.items()
            for event in self._events(stream, version)
        ]

    def _events(self, stream: str, after: int | None) -> Sequence[StoredEvent]:
        if after is None:
            return self.recorder.select_events(stream, desc=True, limit=1)
        return self.recorder.select_events(stream, gt=after)

    def find(self, event: Stored) -> int | None:
        stored = self.recorder.select_events(event.originator_id, gt=event.originator_version - 1, limit=1)
        if not stored or stored[0].state != event.state:
            return None
        return self._position(event)

    def changed(self, after: int | None) -> tuple[int, Collection[str]]:
        if after is None:
            return self.recorder.max_notification_id() or 0, ()
        later = self._notes(after)
        return max([after, *(note.id for note in later)]), {str(note.originator_id) for note in later}

    def _position(self, event: Stored) -> int:
        return next(note.id for note in self._notes() if _same_place(note, event))

    def _notes(self, after: int | None = None) -> Sequence[Notification]:
        last = self.recorder.max_notification_id() or 1
        return self.recorder.select_notifications(after, last, inclusive_of_start=False)


def _same_place(one: StoredEvent, other: Stored) -> bool:
    return (one.originator_id, one.originator_version) == (other.originator_id, other.originator_version)
