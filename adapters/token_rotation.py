"""`tillroll keys`: the keys of access tokens looked at, and a new one put beside them."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from adapters.key_errors import KeyFileError
from adapters.paseto_key import generate
from adapters.token_key_file import read_ring, stamp, write_ring
from adapters.token_ring import MAX_KEYS, KeyRing, RingKey


class CannotRotate(KeyFileError):
    """The keys cannot be replaced now; the message says why, and what to do."""


def rotate(path: Path, now: datetime, *, delay_s: int) -> KeyRing:
    """Adds a key that signs in `delay_s` seconds, and drops those that are retired for good.

    The ring as it is in the file now. Raises CannotRotate, KeyFileError.
    """
    with _locked(path) as real:
        ring = read_ring(real)
        _must_be_settled(ring.keys[-1], now)
        kept = ring.kept(now)
        if len(kept) >= MAX_KEYS:
            raise CannotRotate(f"{path}: there are {MAX_KEYS} keys; one retires at {_first_end(ring, now)}")
        return _replaced(path, real, KeyRing([*kept, (now + timedelta(seconds=delay_s), generate())]))


def replace_all(path: Path, now: datetime) -> KeyRing:
    """A new key that signs at once, and no other: every access token there is dies.

    Raises CannotRotate, KeyFileError.
    """
    with _locked(path) as real:
        # Also read before it goes: what is no file of keys is not overwritten.
        read_ring(real)
        return _replaced(path, real, KeyRing([(now, generate())]))


def _must_be_settled(newest: RingKey, now: datetime) -> None:
    """A key that does not sign yet may not be on every machine; one at a time."""
    if now <= newest.signs_from:
        raise CannotRotate(f"another rotation is pending: its key signs from {stamp(newest.signs_from)}")


def _first_end(ring: KeyRing, now: datetime) -> str:
    return stamp(min(each.accepted_until for each in ring.keys if each.accepted_until > now))


def _replaced(path: Path, real: Path, ring: KeyRing) -> KeyRing:
    try:
        write_ring(real, ring)
    except OSError as error:
        raise CannotRotate(f"{path}: cannot be replaced here: {error.strerror}") from error
    return ring


@contextmanager
def _locked(path: Path) -> Iterator[Path]:
    """Yields the file itself, should `path` be a link to it, and holds its folder meanwhile.

    The folder, because the file is another one after every rotation.
    """
    try:
        real = path.resolve(strict=True)
        folder = os.open(real.parent, os.O_RDONLY)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    try:
        _lock(folder, path)
        yield real
    finally:
        os.close(folder)


def _lock(folder: int, path: Path) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CannotRotate(f"{path}: another rotation is under way") from None
    except OSError as error:
        raise CannotRotate(f"{path}: its folder cannot be locked: {error.strerror}") from error
