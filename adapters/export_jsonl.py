"""JSON Lines: one object an event, with the columns of a row."""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from adapters.export_rows import Row


class JsonLines:
    """Implements adapters.export_files.Writer."""

    def __init__(self, file: Path) -> None:
        """Raises OSError."""
        self._file = file.open("wb", buffering=0)
        self._encoder = msgspec.json.Encoder()

    def write(self, rows: Sequence[Row]) -> None:
        whole = memoryview(self._encoder.encode_lines([row._asdict() for row in rows]))
        while whole:
            # Unbuffered, so that nothing is left to be written by a close that fails.
            whole = whole[self._file.write(whole) :]

    def close(self) -> None:
        with self._file:
            os.fsync(self._file.fileno())
