"""The logs as files, read once each, some megabytes in memory at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adapters.export_files import Writer, appearing
from adapters.export_rows import Plain, Row, plain, row_of
from adapters.postgres_log_reader import LogReader
from domain.recorded import Recorded

GROUP_ROWS: Final = 20_000
GROUP_CHARS: Final = 16_000_000
"""What is written as one piece: that many rows, or that much of their data, whichever comes first."""

BATCH_EVENTS: Final = 200
"""Events made fit to leave at once: keys of persons are looked up for all of them together."""

Progress = Callable[[str, int, int], None]
Fit = Callable[[Sequence[tuple[Recorded, Plain]]], list[Plain]]
"""What of these events may leave, event by event."""


@dataclass(frozen=True, slots=True)
class Exported:
    """One log. `after`, `until`: the positions between which its rows are; `--since` goes on at `until`."""

    log: str
    file: str
    rows: int
    after: int
    until: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """`files`: of each log, the same one for several if they go together. `since`: positions to go on after.

    `new_writer`: what makes such a file.
    """

    files: Mapping[str, Path]
    since: Mapping[str, int]
    new_writer: Callable[[Path], Writer]
    force: bool = False


def export(
    dsns: Mapping[str, str], wanted: Wanted, fit: Fit, progress: Progress = lambda *_: None
) -> list[Exported]:
    """Reads only; each log to where it ended when it was begun. Raises LogUnreadable, CannotExport."""
    with appearing(list(wanted.files.values()), force=wanted.force) as parts:
        done, writers = [], dict[Path, Writer]()
        with ExitStack() as unfinished:
            for log, file in wanted.files.items():
                if file not in writers:
                    writers[file] = wanted.new_writer(parts[file])
                    unfinished.callback(_abandon, writers[file])
                reader = LogReader(dsns[log], log)
                rows = _Rows(reader, wanted.since.get(log, 0), fit, progress)
                for group in rows.groups():
                    writers[file].write(group)
                done.append(Exported(log, str(file), rows.count, rows.after, rows.until))
            for writer in writers.values():
                writer.close()
            unfinished.pop_all()
        return done


def _abandon(writer: Writer) -> None:
    """The file is thrown away: what closing it says, or that it was closed before, does not matter."""
    with suppress(OSError, ValueError):
        writer.close()


class _Rows:
    """The rows of one log after a position."""

    def __init__(self, reader: LogReader, after: int, fit: Fit, progress: Progress) -> None:
        self.count = 0
        self.until = max(after, reader.last_position())
        self.after = after
        self._reader = reader
        self._fit = fit
        self._progress = progress

    def groups(self) -> Iterator[list[Row]]:
        group: list[Row] = []
        chars = 0
        for row in self._rows():
            group.append(row)
            chars += len(row.data)
            if len(group) == GROUP_ROWS or chars >= GROUP_CHARS:
                yield group
                group, chars = [], 0
        if group:
            yield group

    def _rows(self) -> Iterator[Row]:
        for batch in self._batches():
            self.count += len(batch)
            for (recorded, _), data in zip(batch, self._fit(batch), strict=True):
                yield row_of(self._reader.log, recorded, data)
            self._progress(f"{self._reader.log} log", batch[-1][0].position, self.until)

    def _batches(self) -> Iterator[list[tuple[Recorded, Plain]]]:
        batch: list[tuple[Recorded, Plain]] = []
        for recorded in self._reader.read_all(self.after, self.until):
            batch.append((recorded, plain(recorded)))
            if len(batch) == BATCH_EVENTS:
                yield batch
                batch = []
        if batch:
            yield batch
