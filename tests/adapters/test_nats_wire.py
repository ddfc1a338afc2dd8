"""The wire over a real broker: what was sent arrives until it is acked, whatever happens to the streams."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import APIError

from adapters.nats_wire import NatsWire, WireMisconfigured, WireNames, connect
from domain.refusals import Short, Unavailable
from domain.sale import Line, Rollback, Sell
from orchestrator.messages import Reply, RolledBackReply, SellRefusedReply, SoldReply, Undelivered
from tests.parking import MemoryParking

PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pauses, shorter."""
    monkeypatch.setattr("adapters.nats_wire.RETRY_AFTER_S", 0.1)
    monkeypatch.setattr("orchestrator.intake.RETRY_AFTER_S", 0.1)
    monkeypatch.setattr("adapters.nats_pull.EXPIRES_S", 1.0)
    monkeypatch.setattr("adapters.nats_pull.HEARTBEAT_S", 0.25)


@pytest.fixture
async def client(nats_url: str, names: WireNames) -> AsyncIterator[Client]:
    client = await connect(nats_url)
    yield client
    for stream in [info.config.name for info in await client.jetstream().streams_info()]:
        if stream is not None and stream.startswith(names.prefix.upper()):
            await client.jetstream().delete_stream(stream)
    await client.close()


@pytest.fixture
def wire(client: Client, names: WireNames) -> NatsWire:
    return NatsWire(client, names)


class Heard(list[Any]):
    """A handler that keeps what it was given; it raises what stands in `failures` first."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self.parking = MemoryParking()
        self.intake = self.parking.intake(self)
        self.failures = list(failures)
        self.calls = 0

    async def __call__(self, items: Sequence[Any]) -> None:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        self.extend(items)

    async def until(self, enough: Callable[["Heard"], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not enough(self):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(job: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(job)
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def nothing_pending(client: Client, names: WireNames, durable: str = "inventory") -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            info = await client.jetstream().consumer_info(names.stream("cmd"), durable)
            if info.num_ack_pending == info.num_pending == 0:
                return
            await asyncio.sleep(0.02)


SELLS = [Sell(str(n), (Line(1, 1),)) for n in range(1, 6)]


async def test_commands_arrive_and_are_acked(client: Client, wire: NatsWire, names: WireNames) -> None:
    heard = Heard()
    await wire.set_up_streams()
    async with running(wire.serve_commands(heard.intake)):
        await wire.send_commands([*SELLS, Rollback("9")])
        await heard.until(lambda h: len(h) == 6)
        await nothing_pending(client, names)

    assert set(heard) == {*SELLS, Rollback("9")}
    assert heard.calls == 2, "one message a kind"


async def test_replies_arrive(wire: NatsWire) -> None:
    heard = Heard()
    replies: list[Reply] = [
        SoldReply("1"),
        SellRefusedReply("2", "stock-short", (Short(1, 2, 0),)),
        RolledBackReply("3", returned=True),
    ]
    await wire.set_up_streams()
    async with running(wire.serve_replies(heard.intake)):
        await wire.send_replies(replies)
        await heard.until(lambda h: len(h) == 3)

    assert set(heard) == set(replies)


async def test_what_was_sent_before_anybody_listened_arrives(wire: NatsWire) -> None:
    heard = Heard()
    await wire.set_up_streams()
    await wire.send_commands(SELLS)
    async with running(wire.serve_commands(heard.intake)):
        await heard.until(lambda h: len(h) == 5)


async def test_many_commands_travel_in_few_messages(wire: NatsWire) -> None:
    heard = Heard()
    await wire.set_up_streams()
    async with running(wire.serve_commands(heard.intake)):
        await wire.send_commands([Rollback(str(n)) for n in range(1, 1_001)])
        await heard.until(lambda h: len(h) == 1_000)

    assert heard.calls == 5


async def test_two_processes_share_the_work(nats_url: str, wire: NatsWire, names: WireNames) -> None:
    first, second = Heard(), Heard()
    other = await connect(nats_url)
    try:
        await wire.set_up_streams()
        async with (
            running(wire.serve_commands(first.intake)),
            running(NatsWire(other, names).serve_commands(second.intake)),
        ):
            for n in range(1, 201):
                await wire.send_commands([Rollback(str(n))])
            await first.until(lambda h: len(h) + len(second) >= 200)
    finally:
        await other.close()

    assert sorted([*first, *second], key=lambda r: int(r.order_id)) == [
        Rollback(str(n)) for n in range(1, 201)
    ]


@pytest.mark.parametrize("failure", [Unavailable(), Undelivered("no reply could be sent")])
async def test_what_a_handler_could_not_take_comes_again(
    client: Client, wire: NatsWire, names: WireNames, failure: Exception
) -> None:
    heard = Heard(failure, failure)
    await wire.set_up_streams()
    async with running(wire.serve_commands(heard.intake)):
        await wire.send_commands(SELLS)
        await heard.until(lambda h: len(h) == 5)
        await nothing_pending(client, names)

    assert heard == SELLS
    assert heard.calls == 3


async def test_poison_is_taken_out_and_the_rest_flows_on(
    client: Client, wire: NatsWire, names: WireNames
) -> None:
    heard = Heard()
    subject = names.subject("cmd.inventory", "sell")
    await wire.set_up_streams()
    await client.jetstream().publish(subject, b"\x00\x01")
    await wire.send_commands(SELLS[:1])
    await client.jetstream().publish(subject, b'{"v":99,"type":"Sell","items":[]}')
    await wire.send_commands(SELLS[1:])
    async with running(wire.serve_commands(heard.intake)):
        await heard.until(lambda h: len(h) == 5)
        await nothing_pending(client, names)
        info = await client.jetstream().consumer_info(names.stream("cmd"), "inventory")

    assert set(heard) == set(SELLS)
    assert info.num_redelivered == 0
    assert [(p.place, p.subject, p.data) for p in heard.parking.parked] == [
        (f"{names.stream('cmd')}/1", subject, b"\x00\x01"),
        (f"{names.stream('cmd')}/3", subject, b'{"v":99,"type":"Sell","items":[]}'),
    ]
    assert "version 99" in heard.parking.parked[1].reason


async def test_a_stream_deleted_under_its_consumer_is_made_again_and_traffic_goes_on(
    client: Client, wire: NatsWire, names: WireNames
) -> None:
    heard = Heard()
    await wire.set_up_streams()
    async with running(wire.serve_commands(heard.intake)):
        await wire.send_commands(SELLS[:1])
        await heard.until(lambda h: len(h) == 1)

        await client.jetstream().delete_stream(names.stream("cmd"))
        await sent_at_last(wire, SELLS[1:])
        await heard.until(lambda h: len(h) == 5)
        await nothing_pending(client, names)

    assert set(heard) == set(SELLS)


async def test_a_consumer_deleted_under_its_feet_is_made_again(
    client: Client, wire: NatsWire, names: WireNames
) -> None:
    """The new consumer begins at the stream's start: what comes twice is answered by the sale's stream."""
    heard = Heard()
    await wire.set_up_streams()
    async with running(wire.serve_commands(heard.intake)):
        await wire.send_commands(SELLS[:1])
        await heard.until(lambda h: len(h) == 1)
        await client.jetstream().delete_consumer(names.stream("cmd"), "inventory")
        await wire.send_commands(SELLS[1:])
        await heard.until(lambda h: set(h) == set(SELLS))


async def sent_at_last(wire: NatsWire, commands: Sequence[Sell]) -> None:
    """As the watchdog does it: again until the wire takes it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await wire.send_commands(commands)
            except Undelivered:
                await asyncio.sleep(0.05)
            else:
                return


async def test_what_no_stream_takes_is_undelivered(wire: NatsWire) -> None:
    with pytest.raises(Undelivered):
        await wire.send_commands(SELLS)


async def test_setting_up_again_changes_nothing(client: Client, wire: NatsWire, names: WireNames) -> None:
    await wire.set_up(names.stream("cmd"), "inventory")
    await wire.send_commands(SELLS)
    await wire.set_up(names.stream("cmd"), "inventory")

    assert (await client.jetstream().stream_info(names.stream("cmd"))).state.messages == 1


async def test_streams_are_bounded_files_from_which_nothing_is_deleted(
    client: Client, wire: NatsWire, names: WireNames
) -> None:
    await wire.set_up_streams()
    for part in ("cmd", "reply"):
        config = (await client.jetstream().stream_info(names.stream(part))).config
        assert (config.storage, config.discard) == (StorageType.FILE, DiscardPolicy.OLD)
        assert (config.max_bytes, config.deny_delete, config.deny_purge) == (names.max_bytes, True, True)
        assert config.max_age == 14 * 24 * 3600
        with pytest.raises(APIError):
            await client.jetstream().purge_stream(names.stream(part))


@pytest.mark.parametrize(
    ("field", "config"),
    [
        ("ack_wait", ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=5, max_ack_pending=20_000)),
        ("max_ack_pending", ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=30, max_ack_pending=7)),
        ("max_deliver", ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=30, max_deliver=3)),
        ("ack_policy", ConsumerConfig(ack_policy=AckPolicy.ALL, ack_wait=30, max_ack_pending=20_000)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_consumer_with_other_settings_is_named_with_the_field(
    client: Client, wire: NatsWire, names: WireNames, field: str, config: ConsumerConfig
) -> None:
    await wire.set_up_streams()
    config.durable_name = "inventory"
    await client.jetstream().add_consumer(names.stream("cmd"), config)

    with pytest.raises(WireMisconfigured, match=field):
        await wire.set_up(names.stream("cmd"), "inventory")


async def test_serving_a_misconfigured_consumer_fails_instead_of_going_on(
    client: Client, wire: NatsWire, names: WireNames
) -> None:
    await wire.set_up_streams()
    config = ConsumerConfig(durable_name="inventory", ack_policy=AckPolicy.EXPLICIT, ack_wait=5)
    await client.jetstream().add_consumer(names.stream("cmd"), config)

    with pytest.raises(WireMisconfigured):
        await asyncio.wait_for(wire.serve_commands(Heard().intake), PATIENCE_S)


SMALL_BYTES = 64 * 1024


async def test_a_full_stream_goes_on_taking_messages_and_drops_the_oldest(
    client: Client, wire_prefix: str
) -> None:
    wire = NatsWire(client, WireNames(prefix=wire_prefix, max_bytes=SMALL_BYTES))
    await wire.set_up_streams()
    for n in range(300):
        await wire.send_commands([Sell(str(n), tuple(Line(goods_id, 1) for goods_id in range(40)))])

    state = (await client.jetstream().stream_info(f"{wire_prefix}_CMD".upper())).state
    assert state.bytes <= SMALL_BYTES
    assert (state.first_seq > 1, state.last_seq) == (True, 300)


async def test_a_full_stream_that_discards_new_messages_would_refuse(
    client: Client, wire_prefix: str
) -> None:
    """Why ours discards old ones (docs/decisions.md, 3): acked messages stay under limits retention."""
    await client.jetstream().add_stream(
        StreamConfig(
            name=f"{wire_prefix}_NEW".upper(),
            subjects=[f"{wire_prefix}.cmd.>"],
            storage=StorageType.FILE,
            discard=DiscardPolicy.NEW,
            max_bytes=SMALL_BYTES,
        )
    )
    wire = NatsWire(client, WireNames(prefix=wire_prefix))
    sent = 0

    async def fill() -> None:
        nonlocal sent
        for sent in range(300):
            await wire.send_commands([Sell(str(sent), tuple(Line(goods_id, 1) for goods_id in range(40)))])

    with pytest.raises(Undelivered, match="maximum bytes exceeded"):
        await fill()
    assert 10 < sent < 299


async def test_serving_stops_when_told_however_busy_the_wire_is(wire: NatsWire) -> None:
    """A cancellation that meets an arriving message must not get lost."""
    await wire.set_up_streams()

    async def busy() -> None:
        while True:
            await wire.send_commands(SELLS[:1])

    async with running(busy()):
        for n in range(60):
            task = asyncio.create_task(wire.serve_commands(Heard().intake))
            await asyncio.sleep(0.02 + n * 0.0005)
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=3.0)
            task.cancel()
            assert done, f"still serving after round {n}"


async def test_whoever_waits_elsewhere_hears_that_an_order_is_decided(
    client: Client, wire: NatsWire, names: WireNames
) -> None:
    heard: list[str] = []
    async with running(wire.hear_decided(heard.append)):
        async with asyncio.timeout(PATIENCE_S):
            while not heard:
                await wire.announce(["1"])
                await asyncio.sleep(0.02)
        await client.publish(names.decided(), b"\xff not JSON")
        await client.publish(names.decided(), b'{"order": 1}')
        await client.publish(names.decided(), b'["\xff\xfe"]')
        await client.publish(names.decided(), b"[" * 1_000_000)
        await client.publish(names.decided(), b"", headers={"Status": "503"})
        await wire.announce(["2", "3"])
        async with asyncio.timeout(PATIENCE_S):
            while heard[-1] != "3":
                await asyncio.sleep(0.01)

    assert heard[-2:] == ["2", "3"]


async def test_a_closed_client_cannot_announce(nats_url: str, names: WireNames) -> None:
    client = await connect(nats_url)
    await client.close()

    with pytest.raises(Undelivered):
        await NatsWire(client, names).announce(["1"])
