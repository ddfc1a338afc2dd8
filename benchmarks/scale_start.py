"""A cold start: how long after `tillroll up` a shop with very many events has its first order.

    python -m benchmarks.scale_start --events 10000000
    python -m benchmarks.scale_start --events 2000000 --counts 1000000   one of its goods has so long a stream
    python -m benchmarks.scale_start --behind                            with all read models still to be made

The logs are filled by SQL, the read models made from them, and the logs sealed; these are timed as well. Then
the shop is started and stopped several times, the last times with none of its files in memory. Seconds count
from the start of the command. The customer has been registered before, and logs in after each start.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from rich.console import Console

from adapters.ids import new_command_id, utc_now
from adapters.listening import bound_socket
from adapters.seal_key import seal_keys
from adapters.sealer import LogSealer
from adapters.settings import LOGS, Settings, child_environment, load_settings, only_embedded
from benchmarks.scale_fill import Size, address, fill, heads, kept_shop, log_bytes, make_read_models, size_of

WIDTH: Final = 140
LOOK_EVERY_S: Final = 0.01
START_LIMIT_S: Final = 300.0
CALL_LIMIT_S: Final = 30.0
STOP_LIMIT_S: Final = 60.0
FEW_GOODS: Final = 100
LONG_STREAM: Final = 1
"""The goods whose stock was counted so often."""

CUSTOMER: Final = {"email": "ann@example.com", "password": "a cold winter morning"}
CART: Final = {"items": [{"goods_id": each, "nums": 1, "checked": True} for each in (LONG_STREAM, 2)]}
CONTACT: Final = {
    "address": "1 High Street, London",
    "signer_name": "Ann Example",
    "signer_mobile": "07700900000",
    "post": "leave at the door",
}


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from the start of the command until each of these had happened, in this order."""

    answers: float
    ready: float
    logged_in: float
    cart_filled: float
    ordered: float


class Shop:
    """`tillroll up` on a data folder, as a process of its own."""

    def __init__(self, data: Path, port: int) -> None:
        self._begun = time.monotonic()
        self._url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "adapters.cli", "up", "--data", str(data), "--port", str(port)]
        environment = child_environment(only_embedded(load_settings(), data))
        self._process = subprocess.Popen(command, env=environment, cwd=data.parent, stdout=subprocess.DEVNULL)

    def seconds(self) -> float:
        """Since the start of the command."""
        return time.monotonic() - self._begun

    def wait_for(self, path: str) -> float:
        """Seconds until it answers with 200. Raises TimeoutError; AssertionError if the shop has ended."""
        while self.seconds() < START_LIMIT_S:
            assert self._process.poll() is None, "the shop has ended; see its message above"
            try:
                self.call("GET", path)
            except OSError:
                time.sleep(LOOK_EVERY_S)
            else:
                return self.seconds()
        raise TimeoutError(f"{path} does not answer")

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, token: str = "") -> Any:
        """The answer's body. Raises OSError for any other than 2xx."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": new_command_id()}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=CALL_LIMIT_S) as answer:
            return json.load(answer) if path.startswith("/v1") else answer.read()

    def log_in(self) -> str:
        """An access token. Raises OSError."""
        return str(self.call("POST", "/v1/sessions", CUSTOMER)["access_token"])

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def running(data: Path) -> Iterator[Shop]:
    with bound_socket("127.0.0.1", 0) as sock:
        port = int(sock.getsockname()[1])
    shop = Shop(data, port)
    try:
        yield shop
    finally:
        shop.stop()


def cold_start(data: Path) -> Start:
    """Raises OSError, TimeoutError."""
    with running(data) as shop:
        answers, ready = shop.wait_for("/healthz"), shop.wait_for("/readyz")
        token = shop.log_in()
        logged_in = shop.seconds()
        shop.call("PUT", "/v1/cart", CART, token)
        cart_filled = shop.seconds()
        order = shop.call("POST", "/v1/orders", CONTACT, token)
        ordered = shop.seconds()
        assert order["status"] == 1, order
    return Start(answers, ready, logged_in, cart_filled, ordered)


def register_customer(data: Path) -> None:
    """Starts the shop for it. Raises OSError but where the customer is known already."""
    with running(data) as shop:
        shop.wait_for("/readyz")
        try:
            shop.call("POST", "/v1/users", {**CUSTOMER, "nickname": "Ann"})
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise


def forget_files(folder: Path) -> None:
    """Takes them out of the system's memory, as after a restart of the machine."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(handle)


def prepare(data: Path, size: Size, *, behind: bool, out: Console) -> None:
    """A shop that has been at work: logs, read models and seals; logs that are there are left as they are."""
    with kept_shop(data) as settings:
        dsn = address(settings)
        if not heads(dsn)["order"]:
            _timed("filled", lambda: fill(dsn, size), size, out)
        out.print(f"The logs take {log_bytes(dsn) / 1e9:.1f} GB.")
        if not behind:
            _timed("made into read models", lambda: make_read_models(dsn), size, out)
            _timed("sealed", lambda: seal_all(settings, dsn), size, out)


def seal_all(settings: Settings, dsn: str) -> None:
    keys = seal_keys(settings)
    for log in LOGS:
        sealer, last = LogSealer(dsn, log, keys, settings.data, utc_now), None
        while (seal := sealer.seal()) != last:
            last = seal
        sealer.close()


def _timed(what: str, work: Callable[[], object], size: Size, out: Console) -> None:
    begun = time.monotonic()
    work()
    seconds = time.monotonic() - begun
    out.print(f"{size.events:,} events {what} in {seconds:.0f} s, {size.events / seconds:,.0f} a second.")


def main(arguments: Sequence[str]) -> int:
    args = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.ERROR)
    out = Console(width=WIDTH, highlight=False)
    temporary = TemporaryDirectory(prefix="tillroll-start-", ignore_cleanup_errors=True)
    with temporary as path:
        data = (args.folder or Path(path)) / "data"
        prepare(data, size_of(args.events, FEW_GOODS, args.counts), behind=args.behind, out=out)
        register_customer(data)
        for is_cold in [False] * args.runs + [True] * args.runs:
            if is_cold:
                forget_files(data)
            _tell(cold_start(data), "nothing in memory" if is_cold else "files in memory", out)
    return 0


def _tell(start: Start, how: str, out: Console) -> None:
    moments = ", ".join(f"{name.replace('_', ' ')} {at:.2f}" for name, at in asdict(start).items())
    out.print(f"{how}, seconds after the start: {moments}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--counts", type=int, default=0, help="of them, in the stock stream of one goods")
    parser.add_argument(
        "--runs", type=int, default=3, help="starts with files in memory, and as many without"
    )
    parser.add_argument("--folder", type=Path, help="an empty one, or one of an earlier run; it is kept")
    parser.add_argument("--behind", action="store_true", help="leave read models and seals to the shop")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
