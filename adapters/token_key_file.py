"""The file of the keys that sign access tokens: named by a setting, or made under the data folder.

    2026-11-25T06:00:00Z k4.secret.<...>      a key, and when it begins to sign
    2026-12-25T06:00:00Z k4.secret.<...>      the next one
    # a comment

One key alone, in PEM or PASERK form and without a time, is a good file too: it has been signing since ever.
"""

import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from adapters import private_file
from adapters.key_errors import KeyFileError
from adapters.paseto_key import SigningKey, generate, parse_key
from adapters.settings import Settings
from adapters.token_ring import EVER, KeyRing

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
"""How often a file is looked at, whatever it is asked: strangers make up key ids, and must not make work."""

MAX_FILE_BYTES: Final = 16 * 1024

HEAD: Final = "# Keys of access tokens: when each begins to sign, and the key. See `tillroll keys list`.\n"

_Mark = tuple[int, ...] | None
"""What a change of a file changes; None for one that is not there."""


def token_key_path(settings: Settings) -> Path:
    return settings.token_key_file or settings.data / "keys" / "token.key"


def token_key(settings: Settings) -> "WatchedRing":
    """The keys of access tokens, as their file has them while this process runs. Raises KeyFileError."""
    path = token_key_path(settings)
    if settings.token_key_file is None and not path.exists():
        _make(path)
    return WatchedRing(path)


class WatchedRing:
    """The ring in a file, read again when the file changes.

    A file that cannot be used any more changes nothing but the log: tokens of the keys before go on.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds. Raises KeyFileError."""
        self._path = path
        self._clock = clock
        self._mark = _mark_of(path)
        self._ring = read_ring(path)
        self._looked_at = clock()
        self._asked_at = -LOOK_EVERY_S

    def current(self) -> KeyRing:
        now = self._clock()
        if now - self._looked_at >= LOOK_EVERY_S:
            self._look(now)
        return self._ring

    def again(self) -> KeyRing:
        """Looks now, unless it did so for an unknown key less than a second ago."""
        now = self._clock()
        if now - self._asked_at >= LOOK_EVERY_S:
            self._asked_at = now
            self._look(now)
        return self._ring

    def _look(self, now: float) -> None:
        self._looked_at = now
        # Taken before the file is read: what is written in between shows as a change next time.
        mark = _mark_of(self._path)
        if mark != self._mark:
            self._mark = mark
            self._read()

    def _read(self) -> None:
        try:
            self._ring = read_ring(self._path)
        except KeyFileError as error:
            logger.error("the keys of access tokens stay as they were: %s", error)
        else:
            logger.info("the keys of access tokens have changed: there are %d", len(self._ring.keys))


def _mark_of(path: Path) -> _Mark:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def read_ring(path: Path) -> KeyRing:
    """Raises KeyFileError."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise KeyFileError(f"{path}: others can read this key; run: chmod 600 {path}")
            text = file.read(MAX_FILE_BYTES + 1)
        if len(text) > MAX_FILE_BYTES:
            raise KeyFileError(f"{path}: larger than {MAX_FILE_BYTES} bytes")
        return parse_ring(text.decode("ascii"))
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise KeyFileError(f"{path}: not ASCII text") from None
    except ValueError as error:
        raise KeyFileError(f"{path}: {error}") from None


def parse_ring(text: str) -> KeyRing:
    """Raises ValueError, which says where, and never quotes the text: it may be a key."""
    lines = {number: line.strip() for number, line in enumerate(text.splitlines(), 1)}
    lines = {number: line for number, line in lines.items() if line and not line.startswith("#")}
    whole = "\n".join(lines.values())
    if whole.startswith("-----") or len(whole.split()) == 1:
        return KeyRing([(EVER, parse_key(whole))])
    return KeyRing(_dated(number, line) for number, line in lines.items())


def _dated(number: int, line: str) -> tuple[datetime, SigningKey]:
    said, *written = line.split(maxsplit=1)
    try:
        signs_from = datetime.fromisoformat(said)
        if signs_from.utcoffset() is None:
            raise ValueError
        signs_from = signs_from.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"line {number} does not begin with a time such as 2026-11-25T06:00:00Z") from None
    try:
        return signs_from, parse_key("".join(written))
    except ValueError as error:
        raise ValueError(f"line {number} is {error}") from None


def written_ring(ring: KeyRing) -> str:
    """As `parse_ring` reads it. A secret."""
    return HEAD + "".join(f"{stamp(each.signs_from)} {each.key.key.to_paserk()}\n" for each in ring.keys)


def stamp(at: datetime) -> str:
    """RFC 3339, to the microsecond where there is one: a key must not sign before its file says so."""
    return at.isoformat().replace("+00:00", "Z")


def write_ring(path: Path, ring: KeyRing) -> None:
    """Raises OSError."""
    private_file.replace(path, written_ring(ring))


def _make(path: Path) -> None:
    try:
        private_file.make_once(path, written_ring(KeyRing([(EVER, generate())])))
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
