"""Files that are there whole or not at all: written under another name, renamed when all of them are done."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from adapters.export_rows import Row


class CannotExport(Exception):
    """The files cannot be written; the text says which and why, in one line."""


class Writer(Protocol):
    """Writes one file. Raises OSError."""

    def write(self, rows: Sequence[Row]) -> None:
        """Rows of some megabytes at most: they are written as one piece."""
        ...

    def close(self) -> None:
        """Nothing is missing from the file afterwards."""
        ...


def targets(path: Path, suffix: str, logs: Sequence[str]) -> dict[str, Path]:
    """The file of each log: one for all when `path` ends in `suffix`, else one each in that folder."""
    if path.suffix == suffix:
        return dict.fromkeys(logs, path)
    return {log: path / f"{log}{suffix}" for log in logs}


@contextmanager
def appearing(files: Sequence[Path], *, force: bool) -> Iterator[dict[Path, Path]]:
    """Where to write each of these files for now; they get their names together, at the end.

    A folder that is missing is made. Raises CannotExport, also for what goes wrong inside, with nothing left.
    """
    wanted = list(dict.fromkeys(files))
    folder = wanted[0].parent
    parts = {file: file.with_name(f".{file.name}.{os.getpid()}.part") for file in wanted}
    made = False
    try:
        made = _made(folder)
        _must_be_free(wanted, force=force)
        yield parts
        for file, part in parts.items():
            part.replace(file)
    except OSError as error:
        raise CannotExport(f"{folder}: {error.strerror or error}") from error
    finally:
        for part in parts.values():
            with suppress(OSError):
                part.unlink()
        if made:
            # It stays when there is something in it.
            with suppress(OSError):
                folder.rmdir()


def _made(folder: Path) -> bool:
    if folder.is_dir():
        return False
    if folder.exists():
        raise CannotExport(f"{folder} is not a folder")
    folder.mkdir()
    return True


def _must_be_free(files: Sequence[Path], *, force: bool) -> None:
    for file in files:
        if file.is_dir():
            raise CannotExport(f"{file} is a folder")
        if file.exists() and not force:
            raise CannotExport(f"{file} is there already; --force replaces it")
