"""Files of secrets: mode 600, written whole or not at all, never overwritten by two who make one at once."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MODE: Final = 0o600
"""Only the owner of the process reads a key file."""


def make_once(path: Path, text: str) -> None:
    """Makes the file unless it is there: linked once it is whole, so nobody reads half. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = _draft_of(path)
    try:
        _write(draft, text)
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
    _sync(path.parent)


def replace(path: Path, text: str) -> None:
    """Replaces the file as a whole; its owner stays the same. Raises OSError."""
    owner = path.stat()
    draft = _draft_of(path)
    try:
        _write(draft, text)
        if os.geteuid() != owner.st_uid:
            # Whoever runs the shop is seldom root, and must still be able to read it.
            os.chown(draft, owner.st_uid, owner.st_gid)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    _sync(path.parent)


@contextmanager
def folder_locked(path: Path) -> Iterator[None]:
    """One at a time: the folder is locked, because the file is another one after it was replaced.

    Raises OSError, BlockingIOError when somebody else has it.
    """
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(folder)


def _draft_of(path: Path) -> Path:
    # Not the pid: processes in different containers may have the same one.
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


def _write(draft: Path, text: str) -> None:
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
