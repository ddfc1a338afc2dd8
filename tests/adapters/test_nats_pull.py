"""One pull: how often the broker is asked, how much is under way, and what ends it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.errors import APIError

from adapters.nats_pull import WINDOW, Pull
from adapters.nats_wire import NatsWire, WireNames, connect

DURABLE = "inventory"
MESSAGES = 200
PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.nats_pull.EXPIRES_S", 0.6)
    monkeypatch.setattr("adapters.nats_pull.HEARTBEAT_S", 0.2)


@pytest.fixture
async def client(nats_url: str, names: WireNames) -> AsyncIterator[Client]:
    client = await connect(nats_url)
    await NatsWire(client, names).set_up(names.stream("cmd"), DURABLE)
    yield client
    await client.jetstream().delete_stream(names.stream("cmd"))
    await client.close()


class Desk:
    """Takes messages; those that come while it is not `open` are kept waiting."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.inside = self.most = 0
        self.open = asyncio.Event()
        self.open.set()

    async def take(self, message: Msg) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        await self.open.wait()
        await asyncio.sleep(0)
        self.inside -= 1
        self.taken.append(message.data.decode())
        await message.ack()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def pulling(
    client: Client, names: WireNames, take: Callable[[Msg], Awaitable[None]]
) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(Pull(client, names.stream("cmd"), DURABLE, take).run())
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def publish(client: Client, names: WireNames, count: int) -> list[str]:
    texts = [str(n) for n in range(count)]
    for text in texts:
        await client.jetstream().publish(names.subject("cmd.inventory", "sell"), text.encode())
    return texts


@pytest.fixture
def inboxes() -> list[str]:
    """Where the answers to every request go."""
    return []


@pytest.fixture
async def asked(client: Client, inboxes: list[str]) -> list[int]:
    """How many messages every request was for."""
    asked: list[int] = []

    async def spy(message: Msg) -> None:
        inboxes.append(message.reply)
        asked.append(msgspec.json.decode(message.data)["batch"])

    await client.subscribe("$JS.API.CONSUMER.MSG.NEXT.>", cb=spy)
    return asked


@pytest.fixture
def _long_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing happens for being late."""
    monkeypatch.setattr("adapters.nats_pull.EXPIRES_S", 60.0)
    monkeypatch.setattr("adapters.nats_pull.HEARTBEAT_S", 10.0)


@pytest.mark.usefixtures("_long_beats")
async def test_one_request_brings_many_messages(client: Client, names: WireNames, asked: list[int]) -> None:
    desk = Desk()
    async with pulling(client, names, desk.take):
        texts = await publish(client, names, MESSAGES)
        await until(lambda: len(desk.taken) == MESSAGES)
    assert sorted(desk.taken) == sorted(texts)
    assert len(asked) <= 2 * MESSAGES / WINDOW + 4
    assert max(asked) == WINDOW
    assert min(asked) >= WINDOW // 2


async def test_what_is_still_asked_for_is_not_asked_for_again(
    client: Client, names: WireNames, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.nats_pull.EXPIRES_S", 60.0)
    desk = Desk()
    async with pulling(client, names, desk.take):
        await publish(client, names, WINDOW // 2 - 1)
        await until(lambda: len(desk.taken) == WINDOW // 2 - 1)
        await asyncio.sleep(0.7)
        assert asked == [WINDOW]
        await publish(client, names, 1)
        await until(lambda: asked == [WINDOW, WINDOW // 2])


async def test_what_a_stranger_sends_is_neither_taken_nor_counted(
    client: Client, names: WireNames, asked: list[int], inboxes: list[str]
) -> None:
    desk = Desk()
    async with pulling(client, names, desk.take) as task:
        await until(lambda: len(inboxes) > 0)
        for _ in range(WINDOW):
            await client.publish(inboxes[0], b"stranger", reply="elsewhere")
        await client.publish(inboxes[0], b"stranger", headers={"Status": "100"})
        await until(lambda: len(asked) >= 3)
        assert not task.done()
        await publish(client, names, 1)
        await until(lambda: desk.taken == ["0"])
    assert max(asked) == WINDOW


async def test_no_more_than_a_window_is_under_way(client: Client, names: WireNames, asked: list[int]) -> None:
    """However long its handling takes: the broker is silent meanwhile, as nothing is asked of it."""
    desk = Desk()
    desk.open.clear()
    await publish(client, names, 3 * WINDOW)
    async with pulling(client, names, desk.take) as task:
        await until(lambda: desk.inside == WINDOW)
        await asyncio.sleep(1.0)
        assert (desk.inside, asked, task.done()) == (WINDOW, [WINDOW], False)
        desk.open.set()
        await until(lambda: len(desk.taken) == 3 * WINDOW)
    assert desk.most == WINDOW


async def test_it_asks_again_when_a_request_has_expired(
    client: Client, names: WireNames, asked: list[int]
) -> None:
    desk = Desk()
    async with pulling(client, names, desk.take) as task:
        await publish(client, names, 3)
        await until(lambda: len(asked) >= 4)
        assert not task.done()
        await publish(client, names, 2 * WINDOW)
        await until(lambda: len(desk.taken) == 3 + 2 * WINDOW)
    assert all(0 < each <= WINDOW for each in asked)


async def test_a_broker_that_does_not_beat_ends_it(client: Client, names: WireNames) -> None:
    """Somebody hears the request and says nothing."""
    mute = WireNames(prefix=f"{names.prefix}mute")

    async def say_nothing(message: Msg) -> None:
        pass

    await client.subscribe(f"$JS.API.CONSUMER.MSG.NEXT.{mute.stream('cmd')}.>", cb=say_nothing)
    with pytest.raises(TimeoutError, match="no heartbeat"):
        await asyncio.wait_for(Pull(client, mute.stream("cmd"), DURABLE, Desk().take).run(), 5)


async def test_a_consumer_that_is_not_there_ends_it(client: Client, names: WireNames) -> None:
    with pytest.raises(APIError, match="503"):
        await asyncio.wait_for(Pull(client, names.stream("cmd"), "nobody", Desk().take).run(), 5)


async def test_a_consumer_that_is_deleted_ends_it_when_all_it_brought_is_handled(
    client: Client, names: WireNames
) -> None:
    desk = Desk()
    desk.open.clear()
    await publish(client, names, 3)
    async with pulling(client, names, desk.take) as task:
        await until(lambda: desk.inside == 3)
        await client.jetstream().delete_consumer(names.stream("cmd"), DURABLE)
        await asyncio.sleep(0.3)
        assert not task.done()
        desk.open.set()
        with pytest.raises(APIError, match="Consumer Deleted"):
            await asyncio.wait_for(task, 5)
    assert len(desk.taken) == 3


async def test_what_taking_a_message_raises_ends_it(client: Client, names: WireNames) -> None:
    async def take(message: Msg) -> None:
        raise LookupError(message.data.decode())

    await publish(client, names, 1)
    with pytest.raises(LookupError, match="0"):
        await asyncio.wait_for(Pull(client, names.stream("cmd"), DURABLE, take).run(), 5)


async def test_a_cancellation_reaches_what_is_under_way(client: Client, names: WireNames) -> None:
    desk = Desk()
    desk.open.clear()
    await publish(client, names, 2)
    async with pulling(client, names, desk.take) as task:
        await until(lambda: desk.inside == 2)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=2)
        assert done
        assert task.cancelled()
    assert desk.taken == []
