"""A whole shop of real processes, every one of them behind proxies, to be killed, stopped and restarted.

Two processes of each role; each role has its own proxy to PostgreSQL and its own to NATS, so a fault of the
network hits one role at a time.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil
from psycopg import conninfo

from adapters.embedded_nats import EmbeddedNats
from adapters.embedded_postgres import EmbeddedPostgres
from adapters.http_server import bound_socket
from adapters.processes import dying_with_us, starting_thread
from tests.chaos.proxy import HOST, Proxy, Stream

ROLES: Final = ("api", "inventory", "orchestrator", "projector")
COPIES: Final = 2
STAFF: Final = {"email": "boss@chaos.example", "password": "open sesame, please"}

REVIVE_EVERY_S: Final = 0.1
REVIVE_PAUSE_S: Final = 0.5
"""A process that ended by itself is started again this long after its last start."""
STOP_WITHIN_S: Final = 15.0
KILLED_WITHIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Terms:
    """Of the shop. Seconds."""

    payment_window_s: int = 20
    sell_deadline_s: int = 8


class RoleChild:
    """`tillroll serve ROLE` as a child whose log is a file of its own."""

    def __init__(
        self, name: str, arguments: Sequence[str], folder: Path, variables: Mapping[str, str]
    ) -> None:
        self.name = name
        self.lock = asyncio.Lock()
        self.deaths = 0
        self._arguments = arguments
        self._folder = folder
        self._variables = variables
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0

    def start(self) -> None:
        self._started = time.monotonic()
        self._process = starting_thread().submit(self._spawn).result()

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def kill(self) -> None:
        """Returns with it gone."""
        self.send(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def end(self) -> None:
        """As an operator would; killed when it does not end in time."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        if self._process is not None:
            try:
                self._process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def revive(self) -> None:
        """Starts it again if it ended by itself, for example because a server was away when it began."""
        if not self.is_alive() and time.monotonic() - self._started > REVIVE_PAUSE_S:
            self.deaths += 1
            self.start()

    def _spawn(self) -> subprocess.Popen[bytes]:
        launcher = dying_with_us(signal.SIGKILL, os.geteuid(), os.getegid())
        with (self._folder / f"{self.name}.log").open("ab") as log:
            return subprocess.Popen(
                [*launcher, sys.executable, "-m", "adapters.cli", "serve", *self._arguments],
                cwd=self._folder,
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


class Shop:
    """Servers, proxies and role processes on a fresh folder, between `start` and `stop`."""

    def __init__(self, folder: Path, terms: Terms, seed: int) -> None:
        self.folder = folder
        self.terms = terms
        self.postgres = EmbeddedPostgres(folder)
        self.nats = EmbeddedNats(folder)
        self.postgres_lock = asyncio.Lock()
        self.nats_lock = asyncio.Lock()
        self.children: list[RoleChild] = []
        self.urls: list[str] = []
        self.is_closing = False
        self.to_postgres = {role: Proxy(self._reach_postgres, "postgres", seed=seed) for role in ROLES}
        self.to_nats = {role: Proxy(self._reach_nats, "nats", seed=seed) for role in ROLES}
        self._reviving: asyncio.Task[None] | None = None

    @property
    def proxies(self) -> list[Proxy]:
        return [*self.to_postgres.values(), *self.to_nats.values()]

    @property
    def dsn(self) -> str:
        """Straight to the server, past every proxy."""
        return self.postgres.dsn

    @property
    def store(self) -> Path:
        """Where the broker keeps its streams."""
        return self.folder / "nats" / "store"

    async def start(self) -> None:
        """Raises EmbeddedServerError, CalledProcessError."""
        await asyncio.to_thread(self.postgres.start)
        await asyncio.to_thread(self.nats.start)
        for proxy in self.proxies:
            await proxy.start()
        await asyncio.to_thread(self.tillroll, "migrate")
        self.children = [child for role in ROLES for child in self._children_of(role)]
        for child in self.children:
            child.start()
        self._reviving = asyncio.create_task(self._revive_for_ever())

    async def stop(self) -> None:
        """Ends everything, whatever state it is in."""
        self.is_closing = True
        if self._reviving is not None:
            self._reviving.cancel()
        for child in self.children:
            child.kill()
        for proxy in self.proxies:
            await proxy.stop()
        await asyncio.to_thread(self.nats.stop)
        await asyncio.to_thread(self.postgres.stop)

    def tillroll(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command of the shop's owner, straight to the servers."""
        return subprocess.run(
            [sys.executable, "-m", "adapters.cli", *arguments],
            cwd=self.folder,
            env=self._variables(self.dsn, self.nats.url),
            capture_output=True,
            text=True,
            check=check,
        )

    # processes

    def alive(self) -> int:
        """Role processes and servers that run now."""
        servers = (self.postgres.is_alive(), self.nats.is_alive())
        return sum(child.is_alive() for child in self.children) + sum(servers)

    def postgres_processes(self) -> list[psutil.Process]:
        """The server first, then its children."""
        with suppress(psutil.NoSuchProcess):
            server = psutil.Process(self.postgres.pid)
            return [server, *server.children(recursive=True)]
        return []

    def kill_postgres(self) -> None:
        """All of it at once, as when the machine loses power, except that written pages survive."""
        for process in self.postgres_processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        _await_death(self.postgres)

    def kill_nats(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.nats.pid, signal.SIGKILL)
        _await_death(self.nats)

    def wipe_store(self) -> None:
        shutil.rmtree(self.store, ignore_errors=True)

    async def _revive_for_ever(self) -> None:
        while not self.is_closing:
            for child in self.children:
                if not child.lock.locked():
                    child.revive()
            await asyncio.sleep(REVIVE_EVERY_S)

    # set-up

    def _children_of(self, role: str) -> Iterator[RoleChild]:
        dsn = conninfo.make_conninfo(self.dsn, host=HOST, port=self.to_postgres[role].port)
        there = urlsplit(self.nats.url)
        url = f"nats://{there.username}:{there.password}@{HOST}:{self.to_nats[role].port}"
        for number in range(1, COPIES + 1):
            at = self._address() if role == "api" else []
            yield RoleChild(f"{role}-{number}", [role, *at], self.folder, self._variables(dsn, url))

    def _address(self) -> list[str]:
        with bound_socket(HOST, 0) as sock:
            port = sock.getsockname()[1]
        self.urls.append(f"http://{HOST}:{port}")
        return ["--host", HOST, "--port", str(port)]

    def _variables(self, dsn: str, nats_url: str) -> dict[str, str]:
        rest = {name: value for name, value in os.environ.items() if not name.startswith("TILLROLL_")}
        return rest | {
            "TILLROLL_DATA": str(self.folder),
            "TILLROLL_DSN": dsn,
            "TILLROLL_NATS_URL": nats_url,
            "TILLROLL_PAYMENT_WINDOW_S": str(self.terms.payment_window_s),
            "TILLROLL_SELL_DEADLINE_S": str(self.terms.sell_deadline_s),
            "TILLROLL_STAFF_EMAIL": STAFF["email"],
            "TILLROLL_STAFF_PASSWORD": STAFF["password"],
        }

    async def _reach_postgres(self) -> Stream:
        parts = conninfo.conninfo_to_dict(self.dsn)
        return await asyncio.open_unix_connection(f"{parts['host']}/.s.PGSQL.{parts['port']}")

    async def _reach_nats(self) -> Stream:
        parts = urlsplit(self.nats.url)
        return await asyncio.open_connection(parts.hostname, parts.port)


def _await_death(server: EmbeddedPostgres | EmbeddedNats) -> None:
    """The kernel takes a moment; and somebody must ask, or its process id stays taken."""
    ends_at = time.monotonic() + KILLED_WITHIN_S
    while server.is_alive() and time.monotonic() < ends_at:
        time.sleep(0.002)
