"""Which position of each log is meant by a moment, or by a position of one of them.

As of a moment means: everything before the first event that says a later time. Clocks of processes may differ
by milliseconds; leaving out an event in the middle would give a state that never was.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from adapters.postgres_log_reader import LogReader
from domain.services import SERVICES

LOGS: Final = tuple(service.log for service in SERVICES)

_POSITIONS = re.compile(r"[a-z]+=[0-9]{1,18}(,[a-z]+=[0-9]{1,18})*")


class NoSuchMoment(Exception):
    """There is no state as of then; the text says why, in one line."""


@dataclass(frozen=True, slots=True)
class Until:
    """A moment, or positions of some logs; the others are meant as of the latest moment of these."""

    at: datetime | None
    positions: Mapping[str, int]


def parse_until(text: str) -> Until:
    """`2026-11-23T14:03:00Z`, or `order=123`, or several of these with commas. Raises NoSuchMoment."""
    if _POSITIONS.fullmatch(text):
        return Until(None, _parse_positions(text))
    moment: datetime | None = None
    with suppress(ValueError, OverflowError):
        given = datetime.fromisoformat(text)
        moment = None if given.tzinfo is None else given.astimezone(UTC)
    if moment is None:
        raise NoSuchMoment(
            f"--until {text[:40]!r}: expected a time with its zone such as 2026-11-23T14:03:00Z,"
            f" or positions such as order=123 or order=123,inventory=456"
        )
    return Until(moment, {})


def _parse_positions(text: str) -> dict[str, int]:
    positions: dict[str, int] = {}
    for part in text.split(","):
        log, _, number = part.partition("=")
        if log not in LOGS:
            raise NoSuchMoment(f"--until: there is no log {log[:40]!r}; the logs are {', '.join(LOGS)}")
        if log in positions:
            raise NoSuchMoment(f"--until: log {log} is named twice")
        positions[log] = int(number)
    return positions


def heads(dsns: Mapping[str, str]) -> dict[str, int]:
    """The last position of every log. Raises LogUnreadable."""
    return {log: LogReader(dsns[log], log).last_position() for log in LOGS}


def resolve(until: Until, dsns: Mapping[str, str], now: datetime) -> dict[str, int]:
    """The position of every log as of then. Raises NoSuchMoment; LogUnreadable."""
    readers = {log: LogReader(dsns[log], log) for log in LOGS}
    if until.at is not None and until.at > now:
        raise NoSuchMoment(f"{_told(until.at)} is in the future; it is {_told(now)}")
    for log, position in until.positions.items():
        last = readers[log].last_position()
        if position > last:
            raise NoSuchMoment(f"the {log} log has no position {position}; its last one is {last}")
    moment = until.at or _latest(until, readers)
    found = {log: _position(reader, until.positions.get(log), moment) for log, reader in readers.items()}
    if not any(found.values()):
        raise NoSuchMoment("nothing had been recorded by then")
    return found


def _latest(until: Until, readers: Mapping[str, LogReader]) -> datetime | None:
    """None when all of it is before the first event."""
    moments = [readers[log].moment_of(position) for log, position in until.positions.items()]
    return max((moment for moment in moments if moment is not None), default=None)


def _position(reader: LogReader, given: int | None, moment: datetime | None) -> int:
    if given is not None:
        return given
    return 0 if moment is None else reader.position_at(moment)


def _told(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
