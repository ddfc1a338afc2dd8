"""PostgreSQL and NATS together below one data folder, which one process at a time may use.

In the folder: `lock` (held by flock while servers run, so a killed holder frees it), `running.json` (their
addresses, for the tools), `postgres`, `nats`, their logs, and `socket`.
"""

import fcntl
import json
import logging
import os
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import RLock
from typing import Self

from adapters.data_folder import NotRunning, Running, read_running, running_file
from adapters.embedded_nats import EmbeddedNats
from adapters.embedded_postgres import EmbeddedPostgres
from adapters.server_account import EmbeddedServerError, our_account

__all__ = ["DataFolderInUse", "EmbeddedServers", "NotRunning", "Running", "read_running"]

# Readers of running.json take the lock for an instant, and a killed process frees it a little late.
LOCK_PATIENCE_S = 1.0
LOCK_POLL_S = 0.02

_log = logging.getLogger(__name__)


class DataFolderInUse(EmbeddedServerError):
    """Another process runs servers in this data folder."""


class EmbeddedServers:
    """The servers of one data folder, running between enter and exit.

    Args:
        data: the folder; made if missing.
        postgres, nats: False for one that exists elsewhere and is not started here.
        fsync: False only where losing the data with the machine does not matter, as in tests.

    Raises:
        EmbeddedServerError: there is no account that the servers could run as.
    """

    def __init__(self, data: Path, *, postgres: bool = True, nats: bool = True, fsync: bool = True) -> None:
        self.data = data.resolve()
        self.postgres = EmbeddedPostgres(self.data, fsync=fsync)
        self.nats = EmbeddedNats(self.data)
        self._wants_postgres = postgres
        self._wants_nats = nats
        self._notes: dict[str, str] = {}
        # Supervision and stop may come from different threads.
        self._turn = RLock()
        self._lock: int | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def dsn(self) -> str | None:
        """The PostgreSQL address, the same for the life of the data folder; None if not started here."""
        return self.postgres.dsn if self._wants_postgres else None

    @property
    def nats_url(self) -> str | None:
        """The NATS address, password included; None if not started here."""
        return self.nats.url if self._wants_nats else None

    def start(self) -> None:
        """Lock the folder and start the servers; all or nothing.

        Raises:
            DataFolderInUse: another process has the folder.
            EmbeddedServerError: the folder cannot be used or a server did not come up.
        """
        with self._turn:
            self._lock = _take_lock(self.data)
            try:
                running_file(self.data).unlink(missing_ok=True)
                self._start_together()
                self._publish()
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """Stop the servers and free the folder. Doing it twice is harmless."""
        with self._turn:
            if self._lock is None:
                return
            self.nats.stop()
            self.postgres.stop()
            running_file(self.data).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def restart_dead(self) -> list[str]:
        """Start again whichever server has died, and say which. To be called every second or so.

        The NATS address changes only if another program took its port meanwhile.

        Raises:
            EmbeddedServerError: a server did not come up again; the next call tries again.
        """
        with self._turn:
            if self._lock is None:
                return []
            restarted = [name for name, server in self._wanted().items() if _revived(name, server)]
            if restarted:
                self._publish()
            return restarted

    def note(self, **facts: str) -> None:
        """Add facts such as `api_url` to what read_running() tells other processes."""
        with self._turn:
            self._notes |= facts
            self._publish()

    def _wanted(self) -> dict[str, EmbeddedPostgres | EmbeddedNats]:
        wanted: dict[str, EmbeddedPostgres | EmbeddedNats] = {}
        if self._wants_postgres:
            wanted["postgres"] = self.postgres
        if self._wants_nats:
            wanted["nats"] = self.nats
        return wanted

    def _start_together(self) -> None:
        """NATS comes up while PostgreSQL does."""
        if self._wants_nats:
            self.nats.launch()
        if self._wants_postgres:
            self.postgres.start()
        if self._wants_nats:
            self.nats.await_ready()

    def _publish(self) -> None:
        running = Running(os.getpid(), self.dsn, self.nats_url, self._notes)
        our_account().write_file(running_file(self.data), json.dumps(asdict(running), indent=1))


def _revived(name: str, server: EmbeddedPostgres | EmbeddedNats) -> bool:
    server.keep_log_short()
    if server.is_alive():
        return False
    _log.warning("the embedded %s has died and is started again", name)
    server.start()
    return True


def _take_lock(data: Path) -> int:
    # When we are root, the servers have another account, and must pass through; what is inside stays closed.
    mode = 0o711 if os.geteuid() == 0 else 0o700
    try:
        data.mkdir(mode=mode, parents=True, exist_ok=True)
        lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EmbeddedServerError(f"the data folder {data} cannot be used: {error.strerror}") from error
    if not _locked_in_time(lock):
        holder = os.pread(lock, 32, 0).decode(errors="replace")
        os.close(lock)
        raise DataFolderInUse(f"the data folder {data} is in use by process {holder}")
    os.truncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def _locked_in_time(lock: int) -> bool:
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while time.monotonic() < deadline:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(LOCK_POLL_S)
    return False
