"""Who may publish what, by the very configuration in compose.yaml: messages prove nothing by themselves."""

import asyncio
import re
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

import pytest
from nats.aio.client import Client

from adapters.embedded_nats import _free_port, _has_jetstream, _installed
from adapters.nats_wire import NatsWire, WireNames, connect
from domain.sale import Rollback
from orchestrator.messages import SoldReply, Undelivered
from tests.parking import MemoryParking

COMPOSE: Final = Path(__file__).parents[2] / "compose.yaml"
PATIENCE_S: Final = 20.0
NAMES: Final = WireNames(max_bytes=16 * 2**20)
"""As in production: the configuration names the streams."""


def configuration(folder: Path, port: int) -> str:
    """The text as compose hands it to the server, but for where it listens and stores."""
    block = re.search(r"^  nats:\n    content: \|\n((?:      .*\n|\n)+)", COMPOSE.read_text(), re.MULTILINE)
    assert block is not None
    text = re.sub(r"\$\{(\w+):\?[^}]*\}", r"\1", dedent(block[1])).replace("$$", "$")
    text = text.replace("0.0.0.0:4222", f"127.0.0.1:{port}").replace('"/data"', f'"{folder}/store"')
    assert f"127.0.0.1:{port}" in text
    return re.sub(r"^http: .*\n", "", text, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder, port = tmp_path_factory.mktemp("compose"), _free_port()
    (folder / "nats.conf").write_text(configuration(folder, port))
    command = [str(_installed()), "-c", str(folder / "nats.conf")]
    with (
        (folder / "nats.log").open("wb") as log,
        subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL) as server,
    ):
        ends_at = time.monotonic() + PATIENCE_S
        while not _has_jetstream(port):
            assert server.poll() is None, (folder / "nats.log").read_text()
            assert time.monotonic() < ends_at
            time.sleep(0.05)
        yield port
        server.send_signal(signal.SIGTERM)


async def opened(port: int, user: str) -> Client:
    password = f"NATS_{user.upper()}_PASSWORD"
    return await connect(f"nats://{user}:{password}@127.0.0.1:{port}")


@pytest.fixture
async def orders(port: int) -> AsyncIterator[Client]:
    client = await opened(port, "orders")
    yield client
    await client.close()


@pytest.fixture
async def inventory(port: int) -> AsyncIterator[Client]:
    client = await opened(port, "inventory")
    yield client
    await client.close()


class Shop:
    """Both sides, each as its own user, serving."""

    def __init__(self, orders: Client, inventory: Client) -> None:
        self.orders, self.inventory = NatsWire(orders, NAMES), NatsWire(inventory, NAMES)
        self.commands: list[Any] = []
        self.replies: list[Any] = []
        self.parking = MemoryParking()

    async def serve(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.inventory.serve_commands(self.parking.intake(self._command)))
            tasks.create_task(self.orders.serve_replies(self.parking.intake(self._reply)))

    async def _command(self, commands: Sequence[Any]) -> None:
        self.commands += commands
        await self.inventory.send_replies([SoldReply(command.order_id) for command in commands])

    async def _reply(self, replies: Sequence[Any]) -> None:
        self.replies += replies

    async def order(self, order_id: str) -> None:
        """Sends until it goes out, as the watchdog does: the streams are made by who serves them."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    return await self.orders.send_commands([Rollback(order_id)])
                except Undelivered:
                    await asyncio.sleep(0.1)

    async def until_heard(self, order_id: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while SoldReply(order_id) not in self.replies:
                await asyncio.sleep(0.02)


@pytest.fixture
async def shop(orders: Client, inventory: Client) -> AsyncIterator[Shop]:
    shop = Shop(orders, inventory)
    serving = asyncio.create_task(shop.serve())
    yield shop
    assert not serving.done()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def test_both_sides_make_their_streams_and_talk(shop: Shop) -> None:
    await shop.order("7")
    await shop.until_heard("7")

    assert Rollback("7") in shop.commands


async def test_nobody_says_the_others_part(
    shop: Shop, orders: Client, inventory: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forged Sold would be believed, and a forged Rollback would give a paid order's goods back."""
    await shop.order("8")
    await shop.until_heard("8")
    monkeypatch.setattr("adapters.nats_wire.PUBLISH_TIMEOUT_S", 0.5)
    with pytest.raises(Undelivered):
        await NatsWire(orders, NAMES).send_replies([SoldReply("9")])
    with pytest.raises(Undelivered):
        await NatsWire(inventory, NAMES).send_commands([Rollback("9")])
    await shop.order("10")
    await shop.until_heard("10")

    assert SoldReply("9") not in shop.replies
    assert Rollback("9") not in shop.commands


@pytest.mark.parametrize(
    ("user", "subject"),
    [
        ("orders", "$JS.API.STREAM.DELETE.TILLROLL_CMD"),
        ("orders", "$JS.API.STREAM.UPDATE.TILLROLL_REPLY"),
        ("orders", "$JS.API.STREAM.CREATE.ANOTHER"),
        ("orders", "$JS.API.CONSUMER.DURABLE.CREATE.TILLROLL_CMD.spy"),
        ("orders", "$JS.API.CONSUMER.MSG.NEXT.TILLROLL_CMD.inventory"),
        ("orders", "$JS.API.CONSUMER.DELETE.TILLROLL_REPLY.orchestrator"),
        ("inventory", "$JS.API.STREAM.MSG.GET.TILLROLL_REPLY"),
        ("inventory", "$JS.API.CONSUMER.MSG.NEXT.TILLROLL_REPLY.orchestrator"),
        ("inventory", "tillroll.decided"),
        ("inventory", "_INBOX.anybody.anything"),
        ("orders", "_INBOX.anybody.anything"),
    ],
)
async def test_what_a_side_does_not_need_it_may_not_do(port: int, user: str, subject: str) -> None:
    refused: list[str] = []

    async def hear(error: Exception) -> None:
        refused.append(str(error))

    client = Client()
    password = f"NATS_{user.upper()}_PASSWORD"
    await client.connect(f"nats://{user}:{password}@127.0.0.1:{port}", error_cb=hear)
    try:
        await client.publish(subject, b"{}")
        await client.flush()
        async with asyncio.timeout(PATIENCE_S):
            while not refused:
                await asyncio.sleep(0.01)
    finally:
        await client.close()

    assert "permissions violation" in refused[0].lower()
    assert subject.lower() in refused[0].lower()


def test_nobody_gets_in_without_a_password(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        lines = connection.makefile("rb")
        lines.readline()
        connection.sendall(b'CONNECT {"verbose":true}\r\nPING\r\n')

        assert b"Authorization Violation" in lines.readline()
        lines.close()
