"""The proxy: what it passes on is unchanged, and what it takes away has happened behind it."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import nats
import nats.errors
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.js.api import ConsumerConfig, StreamConfig
from psycopg import conninfo

from adapters.postgres_log import PostgresLog
from adapters.postgres_migrate import migrate_log
from orchestrator.log import LogUnavailable, Stored
from tests.chaos.protocols import NatsFrames, PostgresAnswers
from tests.chaos.proxy import HOST, Proxy, Stream

OpenProxy = Callable[..., Awaitable[Proxy]]


async def to_postgres(dsn: str) -> Stream:
    parts = conninfo.conninfo_to_dict(dsn)
    return await asyncio.open_unix_connection(f"{parts['host']}/.s.PGSQL.{parts['port']}")


async def to_nats(url: str) -> Stream:
    parts = urlsplit(url)
    return await asyncio.open_connection(parts.hostname, parts.port)


def dsn_through(proxy: Proxy, dsn: str) -> str:
    return conninfo.make_conninfo(dsn, host=HOST, port=proxy.port)


def url_through(proxy: Proxy, url: str) -> str:
    parts = urlsplit(url)
    return f"nats://{parts.username}:{parts.password}@{HOST}:{proxy.port}"


@pytest.fixture
async def open_proxy() -> AsyncIterator[OpenProxy]:
    opened: list[Proxy] = []

    async def make(connect: Callable[[], Awaitable[Stream]], kind: str = "", **more: Any) -> Proxy:
        opened.append(Proxy(connect, kind, **more))
        await opened[-1].start()
        return opened[-1]

    yield make
    for proxy in opened:
        await proxy.stop()


@pytest.fixture
async def postgres(fresh_database: str, open_proxy: OpenProxy) -> tuple[Proxy, str]:
    """A proxy, and the address of an empty database behind it."""
    proxy = await open_proxy(partial(to_postgres, fresh_database), "postgres")
    return proxy, dsn_through(proxy, fresh_database)


@pytest.fixture
async def echo(open_proxy: OpenProxy) -> AsyncIterator[Proxy]:
    """A proxy before a server that sends back what it gets."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    yield await open_proxy(partial(asyncio.open_connection, HOST, port))
    server.close()


# reading


def pieces_of(parser: Any, data: bytes, cuts: list[int]) -> list[Any]:
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    chunks = [data[a:b] for a, b in pairwise(places)]
    return [piece for chunk in chunks for piece in parser.feed(chunk) if piece.data]


def message(code: bytes, body: bytes) -> bytes:
    return code + (len(body) + 4).to_bytes(4, "big") + body


APPEND = message(b"T", b"\0\1notification_id\0" + bytes(18)) + message(b"C", b"INSERT 0 2\0")
COMMIT = message(b"C", b"COMMIT\0")
READY = message(b"Z", b"I")
WITHIN = message(b"Z", b"T")


@given(st.lists(st.integers(0, 200)))
def test_postgres_answers_are_read_wherever_the_network_cuts_them(cuts: list[int]) -> None:
    data = message(b"C", b"INSERT 0 1\0") + COMMIT + READY + APPEND + WITHIN + COMMIT + READY + COMMIT

    pieces = pieces_of(PostgresAnswers(), data, cuts)

    assert b"".join(piece.data for piece in pieces) == data
    assert [(p.kind, p.data) for p in pieces if p.kind] == [
        ("commit", COMMIT),
        ("stored", COMMIT),
        ("commit", COMMIT),
    ]


def test_an_append_that_is_a_transaction_is_stored_once_the_server_is_idle_again() -> None:
    failed = message(b"E", b"SERROR\0\0")
    data = APPEND + READY + APPEND + failed + READY + READY

    pieces = [(piece.kind, piece.data) for piece in PostgresAnswers().feed(data) if piece.kind]

    assert pieces == [("stored", READY)]


def test_a_transaction_that_was_rolled_back_counts_for_nothing() -> None:
    data = APPEND + message(b"C", b"ROLLBACK\0") + message(b"C", b"INSERT 0 1\0") + COMMIT

    assert [piece.kind for piece in PostgresAnswers().feed(data) if piece.kind] == ["commit"]


PUB_ACK = b'MSG _INBOX.abc.1 1 26\r\n{"stream":"T_CMD","seq":1}\r\n'
DELIVERY = b"HMSG tillroll.cmd.x 2 $JS.ACK.T.c.1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"
ACK = b"PUB $JS.ACK.T.c.1 4\r\n+ACK\r\n"
PUBLISH = b"HPUB tillroll.cmd.inventory.sell.0 _INBOX.a 12 14\r\nNATS/1.0\r\n\r\n\r\n\r\n"


@given(st.lists(st.integers(0, 400)))
def test_nats_frames_are_read_wherever_the_network_cuts_them(cuts: list[int]) -> None:
    info = b'MSG _INBOX.abc.2 1 14\r\n{"type":"info"\r\n'
    data = b"PING\r\n" + PUB_ACK + info + DELIVERY + ACK + PUBLISH + b"PUB tillroll.decided 0\r\n\r\n+OK\r\n"

    pieces = pieces_of(NatsFrames(), data, cuts)

    assert b"".join(piece.data for piece in pieces) == data
    kinds = [("pub ack", PUB_ACK), ("delivery", DELIVERY), ("ack", ACK), ("publish", PUBLISH)]
    assert [(piece.kind, piece.data) for piece in pieces if piece.kind] == kinds


# passing on


async def test_bytes_arrive_unchanged_also_in_small_pieces_and_late(echo: Proxy) -> None:
    sent = bytes(range(256)) * 40
    echo.slice(60)
    echo.slow_down(0.001, 60)
    reader, writer = await asyncio.open_connection(HOST, echo.port)
    writer.write(sent)

    assert await reader.readexactly(len(sent)) == sent
    writer.close()


async def test_a_held_connection_is_silent_and_then_goes_on(echo: Proxy) -> None:
    reader, writer = await asyncio.open_connection(HOST, echo.port)
    writer.write(b"one")
    assert await reader.readexactly(3) == b"one"
    echo.hold(0.4)
    began = time.monotonic()
    writer.write(b"two")

    assert await reader.readexactly(3) == b"two"
    assert time.monotonic() - began > 0.3
    writer.close()


async def test_a_reset_is_seen_at_once(echo: Proxy) -> None:
    reader, writer = await asyncio.open_connection(HOST, echo.port)
    writer.write(b"one")
    await reader.readexactly(3)

    assert echo.reset() == 1
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    writer.close()


async def test_a_server_that_is_not_there_ends_the_clients_connection(open_proxy: OpenProxy) -> None:
    with socket.socket() as nobody:
        nobody.bind((HOST, 0))
        proxy = await open_proxy(partial(asyncio.open_connection, *nobody.getsockname()))
        reader, writer = await asyncio.open_connection(HOST, proxy.port)

        assert await reader.read(1) == b""
        writer.close()


# PostgreSQL


async def in_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


async def test_a_dropped_commit_is_stored_and_its_client_sees_a_broken_connection(
    postgres: tuple[Proxy, str], fresh_database: str
) -> None:
    proxy, dsn = postgres

    def insert() -> str:
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute("CREATE TABLE t (n int)")
            conn.execute("BEGIN")
            conn.execute("INSERT INTO t VALUES (7)")
            proxy.drop("commit")
            try:
                conn.execute("COMMIT")
            except psycopg.OperationalError as error:
                return str(error)
        return "answered"

    assert "closed" in await in_thread(insert)
    assert proxy.done["commit dropped"] == 1
    with psycopg.connect(fresh_database) as conn:
        assert conn.execute("SELECT n FROM t").fetchall() == [(7,)]


async def test_only_commits_that_append_to_a_log_are_taken_for_stored(postgres: tuple[Proxy, str]) -> None:
    """Also when the driver has come to prepare its COMMIT, and when the connection asks for encryption."""
    proxy, dsn = postgres
    await in_thread(partial(migrate_log, dsn, "order"))
    log = PostgresLog(conninfo.make_conninfo(dsn, sslmode="prefer"), "order")
    proxy.drop("stored")

    def look(version: int) -> int | None:
        return log.find(Stored("order-1", version, "Told", b"{}"))

    def append(version: int) -> list[int]:
        return [*log.append([Stored("order-1", version, "Told", b"{}")], {})]

    def story() -> list[int | None]:
        assert look(1) is None
        assert proxy.done["stored dropped"] == 0
        for version in range(1, 9):
            with pytest.raises(LogUnavailable):
                append(version)
            proxy.drop("stored")
        found = [look(version) for version in range(1, 9)]
        log.close()
        return found

    assert await in_thread(story) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert proxy.done["stored dropped"] == 8


async def test_a_held_database_times_out(postgres: tuple[Proxy, str]) -> None:
    proxy, dsn = postgres
    proxy.hold(30)

    def connect() -> None:
        psycopg.connect(conninfo.make_conninfo(dsn, connect_timeout="2"))

    with pytest.raises(psycopg.OperationalError, match="timeout"):
        await in_thread(connect)


# NATS


@pytest.fixture
async def stream(nats_url: str, open_proxy: OpenProxy, wire_prefix: str) -> AsyncIterator[tuple[Proxy, Any]]:
    """A proxy, and a client behind it of a broker with one stream."""
    direct = await nats.connect(nats_url)
    config = StreamConfig(name=wire_prefix, subjects=[f"{wire_prefix}.cmd.>"])
    await direct.jetstream().add_stream(config)
    proxy = await open_proxy(partial(to_nats, nats_url), "nats", prefix=wire_prefix)
    client = await nats.connect(url_through(proxy, nats_url), allow_reconnect=False)
    yield proxy, client
    await client.close()
    await direct.jetstream().delete_stream(wire_prefix)
    await direct.close()


async def stored(client: Any, name: str) -> int:
    return int((await client.jetstream().stream_info(name)).state.messages)


async def test_a_dropped_pub_ack_is_stored_and_its_publisher_hears_nothing(
    stream: tuple[Proxy, Any], wire_prefix: str
) -> None:
    proxy, client = stream
    proxy.drop("pub ack")

    with pytest.raises(nats.errors.TimeoutError):
        await client.jetstream().publish(f"{wire_prefix}.cmd.1", b"x", timeout=0.5)
    assert await stored(client, wire_prefix) == 1
    assert proxy.done["pub ack dropped"] == 1


async def test_a_dropped_publish_is_not_stored_and_a_doubled_one_is_stored_twice(
    stream: tuple[Proxy, Any], wire_prefix: str
) -> None:
    proxy, client = stream
    proxy.drop("publish")
    with pytest.raises(nats.errors.TimeoutError):
        await client.jetstream().publish(f"{wire_prefix}.cmd.1", b"lost", timeout=0.3)
    proxy.double("publish")
    await client.jetstream().publish(f"{wire_prefix}.cmd.1", b"x" * 300_000, headers={"A": "b"})

    # The first copy is acknowledged before the second has arrived.
    async with asyncio.timeout(3):
        while await stored(client, wire_prefix) < 2:
            await asyncio.sleep(0.01)
    assert await stored(client, wire_prefix) == 2


async def test_what_is_not_acked_or_not_delivered_comes_again(
    stream: tuple[Proxy, Any], wire_prefix: str
) -> None:
    proxy, client = stream
    js = client.jetstream()
    await js.publish(f"{wire_prefix}.cmd.1", b"x")
    config = ConsumerConfig(durable_name="c", ack_wait=0.5)
    subscription = await js.pull_subscribe(f"{wire_prefix}.cmd.>", "c", config=config)
    proxy.drop("delivery")
    with pytest.raises(nats.errors.TimeoutError):
        await subscription.fetch(1, 0.3)
    (first,) = await subscription.fetch(1, 3)
    proxy.drop("ack")
    await first.ack()
    (second,) = await subscription.fetch(1, 3)
    await second.ack()

    assert second.metadata.num_delivered == 3
    assert [proxy.done[f"{kind} dropped"] for kind in ("delivery", "ack")] == [1, 1]
