"""One process of roles, as a child that dies with us and is started again when it dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from adapters.processes import dying_with_us, starting_thread

RESTART_PAUSES_S: Final = (0.0, 0.5, 1.0, 2.0, 5.0)
"""Before a process that died is started again; the last one repeats."""

STEADY_AFTER_S: Final = 30.0
"""A process that lived this long starts again at once."""

STOP_FOR_S: Final = 15.0
"""How long a process has to end by itself before it is killed."""


class RoleProcess:
    """`tillroll serve ROLE...` as a child. Its log lines go where ours go.

    `folder`: where it runs, so that a `.env` of ours is not read a second time.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = " ".join(argument for argument in arguments[1:] if argument.isalpha())
        self._arguments = arguments
        self._environment = dict(environment)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._deaths = 0

    def start(self) -> None:
        self._started = time.monotonic()
        self._process = starting_thread().submit(self._spawn).result()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def revive(self) -> str | None:
        """Starts it again if it has died, after a pause that grows; says why, or None."""
        process = self._process
        if process is None or process.poll() is None:
            return None
        lived_s = time.monotonic() - self._started
        self._deaths = 0 if lived_s > STEADY_AFTER_S else self._deaths
        pause_s = RESTART_PAUSES_S[min(self._deaths, len(RESTART_PAUSES_S) - 1)]
        if lived_s < pause_s:
            return None
        self._deaths += 1
        self.start()
        return f"the process of {self.name} ended with code {process.returncode} and was started again"

    def stop(self) -> None:
        process = self._process
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            process.wait(STOP_FOR_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._process = None

    def _spawn(self) -> subprocess.Popen[bytes]:
        # SIGKILL at our death: its port and its connections must be free for whoever comes next.
        launcher = dying_with_us(signal.SIGKILL, os.geteuid(), os.getegid())
        return subprocess.Popen(  # noqa: S603 - the command is our own
            [*launcher, sys.executable, "-m", "adapters.cli", *self._arguments],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
