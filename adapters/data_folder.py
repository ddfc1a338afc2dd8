"""What the process that runs the servers of a data folder tells the tools, and whether it still runs."""

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path


class NotRunning(Exception):
    """No process runs servers in this data folder."""


@dataclass(frozen=True)
class Running:
    """What the process that runs the servers of a data folder tells others. None: not started there."""

    pid: int
    dsn: str | None
    nats_url: str | None
    notes: dict[str, str]


def read_running(data: Path) -> Running:
    """What the process that runs the servers of this folder says about itself.

    Raises:
        NotRunning: no process does, or it is only just starting.
    """
    try:
        text = running_file(data).read_text(encoding="utf-8")
        if not _is_locked(data):
            raise NotRunning(
                f"no Tillroll runs on the data folder {data.resolve()} (its last run was killed)"
            )
    except FileNotFoundError:
        raise NotRunning(f"no Tillroll runs on the data folder {data.resolve()}") from None
    except OSError as error:
        raise NotRunning(f"cannot look into the data folder {data.resolve()}: {error.strerror}") from error
    return Running(**json.loads(text))


def running_file(data: Path) -> Path:
    return data / "running.json"


def _is_locked(data: Path) -> bool:
    lock = os.open(data / "lock", os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
