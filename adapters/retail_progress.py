"""How far a load is, for the person who waits: a live bar on a terminal, plain lines elsewhere."""

from time import monotonic
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

LINE_EVERY_S = 3.0


class LoadProgress(Protocol):
    """Told by the load how far it is."""

    def stage(self, name: str, total: int) -> None:
        """A new stage begins, of `total` steps."""

    def advance(self) -> None:
        """One more step of the stage is done."""


class SilentProgress:
    """For callers that wait without looking."""

    def stage(self, name: str, total: int) -> None:
        """Nothing to show."""

    def advance(self) -> None:
        """Nothing to show."""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        return Text(f"{rate:,.0f}/s" if rate else "", style="cyan")


class LiveProgress:
    """A bar for each stage. A context manager: the bars stop moving at its end."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<8}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=console,
            # Drawing takes time from the server on the same machine.
            refresh_per_second=4,
        )
        self._bar = TaskID(0)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def stage(self, name: str, total: int) -> None:
        """A new bar, below those that are full."""
        self._bar = self._bars.add_task(name, total=total)

    def advance(self) -> None:
        """Moves the newest bar."""
        self._bars.advance(self._bar)


class LineProgress:
    """Plain lines, for a log or a pipe: at the start and end of a stage and every `LINE_EVERY_S` between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._name, self._total, self._done = "", 0, 0
        self._began = self._told = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left open."""

    def stage(self, name: str, total: int) -> None:
        """Starts counting anew."""
        self._name, self._total, self._done = name, total, 0
        self._began = self._told = monotonic()

    def advance(self) -> None:
        """Counts, and says so when it is time."""
        self._done += 1
        now = monotonic()
        if self._done == self._total or now - self._told >= LINE_EVERY_S:
            self._told = now
            self._console.print(self._line(now - self._began), highlight=False)

    def _line(self, seconds: float) -> str:
        done = f"{self._name}: {self._done:,} of {self._total:,}"
        rate = self._done / seconds if seconds > 0 else 0.0
        if self._done == self._total:
            return f"{done}, {seconds:.1f} s"
        left_s = (self._total - self._done) / rate if rate else 0.0
        return f"{done}, {rate:,.0f}/s, {left_s:.0f} s left"


def shown_on(console: Console) -> LiveProgress | LineProgress:
    """The progress that suits where the console writes to."""
    return LiveProgress(console) if console.is_terminal else LineProgress(console)
