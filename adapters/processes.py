"""Server processes that belong to us: started so that they cannot outlive us, and found again if they try.

A child started here gets a signal of our choice from the kernel when we die, however we die. The kernel ties
that to the *thread* that started the child, so all children are started by one thread that lives as long as
the process. A child also has its own session: Ctrl-C reaches us alone, and we stop it in order.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from adapters import child_launcher
from adapters.server_account import EmbeddedServerError, ServerAccount

LOG_LIMIT_BYTES = 16 * 1024**2
QUOTED_LOG_LINES = 12
# The embedded servers need nothing of ours, and variables such as PGDATA would mislead them.
_CLEAN_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Push:
    """One step of ending a process: send `signal` (None: only wait), then wait up to `wait_s` seconds."""

    signal: signal.Signals | None
    wait_s: float


@dataclass(frozen=True)
class Program:
    """What to run. `folder` is its working folder, by which it is also recognised later."""

    command: Sequence[str]
    folder: Path
    log: Path
    account: ServerAccount
    death_signal: signal.Signals


class ServerProcess:
    """A running child."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def exit_code(self, wait_s: float) -> int | None:
        """Its exit code once it has ended, or None if it has not within `wait_s` seconds."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(wait_s)
        return None

    def end(self, pushes: Sequence[Push]) -> None:
        """End it, each push stronger than the last. Returns with it gone, or after the last push."""
        for push in pushes:
            if push.signal is not None:
                self._process.send_signal(push.signal)
            if self.exit_code(push.wait_s) is not None:
                return


def start(program: Program) -> ServerProcess:
    """Start a child that dies with us. Its output is appended to the program's log."""
    return ServerProcess(starting_thread().submit(_start, program).result())


@cache
def starting_thread() -> ThreadPoolExecutor:
    """The one thread from which every child is started; it lives as long as the process."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="starts-servers")


def dying_with_us(death_signal: signal.Signals, uid: int, gid: int) -> list[str]:
    """What to put before a command, so that it runs as this account and gets the signal when we are gone."""
    identity = (int(death_signal), os.getpid(), uid, gid)
    return [sys.executable, "-I", "-S", child_launcher.__file__, *map(str, identity)]


def _start(program: Program) -> subprocess.Popen[bytes]:
    account = program.account
    launcher = dying_with_us(program.death_signal, account.uid, account.gid)
    program.log.touch(mode=0o600)
    with program.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - the command is one of ours
            [*launcher, *program.command],
            cwd=program.folder,
            env=_CLEAN_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            umask=0o077,
        )


def left_over(name: str, folder: Path) -> list[psutil.Process]:
    """Processes of the program `name` that work in `folder`: left by an earlier run of ours that was killed.

    The working folder is asked from the kernel, so a pid file that names a stranger cannot mislead us.
    """
    return [process for process in psutil.process_iter(["name"]) if _works_in(process, name, folder)]


def _works_in(process: psutil.Process, name: str, folder: Path) -> bool:
    with suppress(psutil.Error):
        return process.info["name"] == name and Path(process.cwd()) == folder
    return False


def end_left_over(name: str, folder: Path, pushes: Sequence[Push]) -> None:
    """Wait for the left-over processes of a folder to end by themselves, then make them.

    Raises:
        EmbeddedServerError: when they are still there after the last push.
    """
    for push in pushes:
        if not (processes := left_over(name, folder)):
            return
        if push.signal is not None:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(push.signal)
        psutil.wait_procs(processes, timeout=push.wait_s)
    if stubborn := left_over(name, folder):
        pids = ", ".join(str(process.pid) for process in stubborn)
        raise EmbeddedServerError(f"{name} of an earlier run still works in {folder}, process {pids}")


def keep_log_short(log: Path) -> None:
    """Move a log that grew past its limit aside, in place of the one moved before.

    The running server keeps writing to the same file, so it is copied and cut, not renamed.
    """
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        shutil.copy(log, log.with_suffix(log.suffix + ".1"))
        os.truncate(log, 0)


def last_lines(log: Path) -> str:
    """The end of a log, for an error message."""
    with suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-QUOTED_LOG_LINES:])
    return "(no log)"
