"""What a PostgreSQL server did and used between two moments, whoever its clients were."""

import time
from dataclasses import dataclass
from typing import Final, Self

import psutil
import psycopg

QUIET_LIMIT_S: Final = 10.0
QUIET_POLL_S: Final = 0.02

_OTHERS: Final = """
SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_COUNTERS: Final = """
SELECT (SELECT sum(xact_commit) FROM pg_stat_database)::bigint, (SELECT wal_bytes FROM pg_stat_wal)::bigint
"""


@dataclass(frozen=True, slots=True)
class Work:
    """`cpu_s`: seconds of processor time of all of the server's processes, those that ended included."""

    cpu_s: float
    commits: int
    wal_bytes: int

    @classmethod
    def until_now(cls, dsn: str) -> Self:
        """Since the server's start. Sessions add what they counted when they are idle or gone."""
        with psycopg.connect(dsn, autocommit=True) as connection:
            row = connection.execute(_COUNTERS).fetchone()
            assert row is not None
            return cls(server_cpu_s(connection.info.backend_pid), *row)

    def since(self, before: Self) -> "Work":
        return Work(
            self.cpu_s - before.cpu_s, self.commits - before.commits, self.wal_bytes - before.wal_bytes
        )


def server_cpu_s(session_pid: int) -> float:
    """Of the server that has this session. It waits for its children, so those that ended are in its own."""
    postmaster = psutil.Process(session_pid).parent()
    assert postmaster is not None, "the server is not on this machine"
    return tree_cpu_s(postmaster.pid)


def tree_cpu_s(pid: int) -> float:
    """Seconds of processor time of a process, its living children and all those it has waited for."""
    process = psutil.Process(pid)
    return sum(_cpu_s(each) for each in (process, *process.children(recursive=True)))


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def wait_until_alone(dsn: str) -> None:
    """Until no other session is left: only then have all counted. Raises TimeoutError."""
    deadline = time.monotonic() + QUIET_LIMIT_S
    with psycopg.connect(dsn, autocommit=True) as connection:
        while time.monotonic() < deadline:
            if connection.execute(_OTHERS).fetchone() == (0,):
                return
            time.sleep(QUIET_POLL_S)
    raise TimeoutError(f"sessions are left after {QUIET_LIMIT_S:.0f} s")
