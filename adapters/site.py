"""A whole shop on one machine: embedded servers, migrated logs, and three processes of roles.

The api and orchestrator roles share a process, as both write the order log. Inventory has its own, so that it
sells while requests are read and answered; the projector and the sealer have theirs, so that nobody who
orders waits for them.
"""

import asyncio
import logging
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

import msgspec

from adapters.embedded_servers import EmbeddedServers
from adapters.grounds import CannotStart
from adapters.listening import bound_socket
from adapters.postgres_migrate import migrate
from adapters.role_process import RoleProcess
from adapters.server_account import EmbeddedServerError
from adapters.settings import SERVICES, Settings, child_environment, only_embedded
from adapters.staff_account import StaffAccount, ensure_staff

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 0.5
READY_WITHIN_S: Final = 60.0
READYZ_BYTES: Final = 65_536
ROLES: Final = (("api", "orchestrator"), ("inventory",), ("projector", "sealer"))


class Site:
    """Running between enter and exit; `settings` then name every server.

    Raises CannotStart, EmbeddedServerError, KeyFileError, psycopg.Error.
    """

    def __init__(self, settings: Settings, *, host: str, port: int) -> None:
        self.settings = settings
        self._address = (host, port)
        self._stack = ExitStack()
        self._stopping = threading.Event()
        self._processes: list[RoleProcess] = []
        self.staff: StaffAccount | None = None

    @property
    def url(self) -> str:
        host, port = self._address
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - only compared
        return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"

    @property
    def role_pids(self) -> list[int]:
        return [process.pid for process in self._processes if process.pid is not None]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def watch(self) -> None:
        """Starts again what dies, until `stop`. Blocks."""
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                for name in self._servers.restart_dead():
                    logger.warning("%s had died and was started again", name)
            except EmbeddedServerError as error:
                logger.error("%s", error)
            for process in self._processes:
                news = process.revive()
                if news is not None:
                    logger.warning("%s", news)

    def stop(self) -> None:
        """May be called from a signal handler or another thread."""
        self._stopping.set()

    def _start(self, stack: ExitStack) -> None:
        self._address = _free_address(*self._address)
        wants = {"postgres": not _has_databases(self.settings), "nats": not self.settings.nats_servers}
        self._servers = stack.enter_context(EmbeddedServers(self.settings.data, **wants))
        self.settings = settings = _with_addresses(self.settings, self._servers)
        _must_reach_broker(settings)
        migrate(settings)
        self.staff = asyncio.run(ensure_staff(settings))
        environment = child_environment(settings)
        host, port = self._address
        for roles in ROLES:
            at = ["--host", host, "--port", str(port)] if "api" in roles else []
            process = RoleProcess(["serve", *roles, *at], environment, settings.data)
            process.start()
            stack.callback(process.stop)
            self._processes.append(process)
        self._await_ready()
        self._servers.note(api_url=self.url)

    def _await_ready(self) -> None:
        ends_at = time.monotonic() + READY_WITHIN_S
        problem = "no answer"
        while time.monotonic() < ends_at:
            problem = _readiness(self.url)
            if not problem:
                return
            self._must_live()
            time.sleep(0.05)
        raise CannotStart(f"the API at {self.url} did not become ready: {problem}")

    def _must_live(self) -> None:
        for process in self._processes:
            news = process.revive()
            if news is not None:
                raise CannotStart(f"{news}; see its message above")


@contextmanager
def fresh_site(settings: Settings, purpose: str) -> Iterator[Site]:
    """A watched shop on a folder and a port of its own, both gone afterwards; no server of the settings."""
    with ExitStack() as stack:
        new_folder = tempfile.TemporaryDirectory(prefix=f"tillroll-{purpose}-", ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(new_folder))
        site = stack.enter_context(Site(only_embedded(settings, folder), host="127.0.0.1", port=0))
        watching = threading.Thread(target=site.watch, daemon=True)
        watching.start()
        stack.callback(watching.join)
        stack.callback(site.stop)
        yield site


def _free_address(host: str, port: int) -> tuple[str, int]:
    """Port 0 becomes one that is free. Raises CannotStart."""
    try:
        sock = bound_socket(host, port)
    except OSError as error:
        raise CannotStart(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
    with sock:
        return host, int(sock.getsockname()[1])


def _has_databases(settings: Settings) -> bool:
    named = [settings.dsn(service) is not None for service in SERVICES]
    if any(named) and not all(named):
        raise CannotStart("name a database for every service, or for none: TILLROLL_DSN names one for all")
    return all(named)


def _with_addresses(settings: Settings, servers: EmbeddedServers) -> Settings:
    found = {"shared_dsn": servers.dsn, "nats_url": servers.nats_url}
    return settings.model_copy(update={name: value for name, value in found.items() if value})


def _must_reach_broker(settings: Settings) -> None:
    """Any of the named addresses will do. Raises CannotStart."""
    why = ""
    for url in settings.nats_servers:
        parts = urlsplit(url)
        try:
            socket.create_connection((parts.hostname or "", parts.port or 4222), timeout=5).close()
        except OSError as error:
            why = error.strerror or str(error)
        else:
            return
    raise CannotStart(f"TILLROLL_NATS_URL: no broker answers there: {why}")


def _readiness(url: str) -> str:
    """Empty when ready, else what is missing."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2):  # noqa: S310 - our own address
            return ""
    except urllib.error.HTTPError as error:
        return _not_ready(error.read(READYZ_BYTES))
    except OSError as error:
        return str(error)


def _not_ready(body: bytes) -> str:
    """What is missing; empty when the shop works but for projections that stand still.

    Those are mended beside a running shop, by `tillroll replay rebuild`, which needs its servers.
    """
    try:
        parts = msgspec.json.decode(body, type=_NotReady).parts
    except msgspec.DecodeError:
        return body.decode(errors="replace")
    wrong = {name: state for name, state in parts.items() if not state.startswith("ok")}
    told = "; ".join(f"{name}: {state}" for name, state in wrong.items())
    if not all(state.startswith("projection ") for state in wrong.values()):
        return told
    logger.warning("reads stand still: %s", told)
    return ""


class _NotReady(msgspec.Struct):
    """What of /readyz's problem says which parts do not work."""

    parts: dict[str, str]
