"""Anything at all on the wire: it is parked or counted, nothing crashes, and what comes behind it is handled.

Real broker, real Postgres, the real consumers of both streams.
"""

import asyncio
import hashlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
import pytest
from nats.aio.msg import Msg
from psycopg import conninfo, sql

from adapters.ids import utc_now
from adapters.postgres_migrate import migrate_log
from adapters.postgres_parked import MAX_DATA_BYTES
from domain import sale
from domain.cart import CartLine, ReplaceCart
from domain.goods import Offer
from domain.order import Contact
from domain.recorded import Cause
from domain.saga import StartOrder, Step
from domain.sale import Line, Rollback, Sale, SaleStatus, Sell
from domain.stock import SetInv
from orchestrator.intake import Parked, ParkingLot, ParkingUnavailable
from orchestrator.messages import RolledBackReply, SellRefusedReply, SoldReply
from tests.adapters.test_wire_codec import POISON
from tests.adapters.wire_shop import GOOD, Shop, a_shop

MAX_PAYLOAD: Final = 8 * 2**20


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pauses, shorter; the same wait for an ack, as long as it is."""
    monkeypatch.setattr("adapters.nats_wire.RETRY_AFTER_S", 0.1)
    monkeypatch.setattr("adapters.nats_pull.EXPIRES_S", 1.0)
    monkeypatch.setattr("adapters.nats_pull.HEARTBEAT_S", 0.25)
    monkeypatch.setattr("orchestrator.intake.RETRY_AFTER_S", 0.1)
    monkeypatch.setattr("orchestrator.intake.FAILED_PAUSES_S", (0.05, 0.1))
    monkeypatch.setattr("adapters.postgres_parked.WAIT_S", 1.0)
    monkeypatch.setattr("orchestrator.patient_log.RETRY_PAUSES_S", (0.05,))


@pytest.fixture
def dsn(fresh_database: str) -> str:
    for log in ("inventory", "order"):
        migrate_log(fresh_database, log)
    return fresh_database


@pytest.fixture
async def shop(dsn: str, nats_url: str, wire_prefix: str) -> AsyncIterator[Shop]:
    async with a_shop(dsn, nats_url, wire_prefix) as shop:
        shop.start()
        yield shop


HOSTILE: Final = {name: data[:MAX_PAYLOAD] for name, data in POISON.items()} | {
    "8 MB that break off": b'{"v":1,"type":"Sell","items":[' + b'{"order_id":"7"},' * 500_000,
    "8 MB of order ids": b'{"v":1,"type":"Rollback","items":[' + b'{"order_id":"7"},' * 400_000 + b"null]}",
    "lists in an order id": b'{"v":1,"type":"Rollback","items":[{"order_id":' + b"[" * 10_000 + b"]}]}",
}


@pytest.mark.parametrize(("kind", "log"), [("cmd.inventory", "inventory"), ("reply.order", "order")])
async def test_whatever_cannot_be_read_is_parked_once_and_the_queue_flows_on(
    shop: Shop, kind: str, log: str
) -> None:
    for data in HOSTILE.values():
        await shop.publish(data[:MAX_PAYLOAD], kind)
    await shop.until(lambda: shop.counted["parked-unreadable"] >= len(HOSTILE))
    await shop.flows(1)

    kept = Counter(message.sha256 for message in shop.parked(log))
    sent = {name: hashlib.sha256(data[:MAX_PAYLOAD]).digest() for name, data in HOSTILE.items()}
    assert [name for name, digest in sent.items() if kept[digest] != 1] == []
    assert sum(kept.values()) == len(sent)
    assert all(message.reason and message.times == 1 for message in shop.parked(log))
    assert max(len(message.data) for message in shop.parked(log)) == MAX_DATA_BYTES
    assert shop.counted["handled"] >= 1
    assert sum(shop.counted[word] for word in ("again-failed", "unheard", "parked-failed")) == 0


async def test_random_bytes_of_any_length_are_parked(shop: Shop) -> None:
    generator = Random(7)
    sizes = [0, 1, 2, 3, 10, 100, 1_000, 65_535, 65_536, 65_537, 2**20, MAX_PAYLOAD]
    for size in sizes:
        await shop.publish(b"\xfe"[:size] + generator.randbytes(max(0, size - 1)))
    await shop.until(lambda: shop.counted["parked-unreadable"] == len(sizes))
    await shop.flows(1)

    assert [message.size for message in sorted(shop.parked(), key=lambda m: m.size)] == sizes


@pytest.mark.parametrize("status", ["100", "404", "408", "409", "503", "no number"])
async def test_a_header_that_imitates_the_broker_is_not_believed(shop: Shop, status: str) -> None:
    """The library would take the message for a heartbeat or an error of the broker, and never answer it."""
    await shop.publish(GOOD % 7, Status=status, Description="Idle Heartbeat")
    await shop.publish(b"\x00", Status=status)
    await shop.flows(1)

    assert await shop.status(7) is SaleStatus.BARRED
    assert len(shop.parked()) == 1


class RawPublisher:
    """Speaks the broker's protocol without a library, which would not send such things."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5)
        self._lines = self._socket.makefile("rb")
        self._lines.readline()
        words = b'CONNECT {"verbose":true,"headers":true,"user":"%s","pass":"%s"}\r\n'
        self.send(words % ((parts.username or "").encode(), (parts.password or "").encode()))

    def send(self, words: bytes) -> None:
        self._socket.sendall(words)
        assert self._lines.readline() == b"+OK\r\n"

    def publish(self, subject: bytes, header: bytes, data: bytes) -> None:
        sizes = b"%d %d" % (len(header), len(header) + len(data))
        self.send(b"HPUB %s %s\r\n%s%s\r\n" % (subject, sizes, header, data))

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


@pytest.fixture
def raw(nats_url: str) -> Iterator[RawPublisher]:
    publisher = RawPublisher(nats_url)
    yield publisher
    publisher.close()


HEADERS: Final = (
    b"NATS/1.0\r\n\r\n",
    b"NATS/1.0 404 No Messages\r\n\r\n",
    b"NATS/1.0 100 Idle Heartbeat\r\n\r\n",
    b"NATS/1.0 503\r\n\r\n",
    b"NATS/1.0 \xff\xfe\xfd\r\n\r\n",
    b"NATS/1.0 404 \xff\xfe\r\n\r\n",
    b"NATS/1.0\r\nStatus: 409\r\n\r\n",
    b"NATS/1.0\r\n\xff\xfe: \xff\r\n\r\n",
    b"NATS/1.0\r\nno colon at all\r\n\r\n",
    b"NATS/1.0\r\n" + b"a: b\r\n" * 1_000 + b"\r\n",
)
"""A message that has them is stored by the broker as any other."""


async def test_headers_of_any_kind_change_nothing(shop: Shop, raw: RawPublisher) -> None:
    subject = shop.names.subject("cmd.inventory", "rollback").encode()
    for number, header in enumerate(HEADERS, start=100):
        raw.publish(subject, header, GOOD % number)
        raw.publish(subject, header, b"")
    await shop.flows(1)

    for number in range(100, 100 + len(HEADERS)):
        assert await shop.status(number) is SaleStatus.BARRED, HEADERS[number - 100]
    assert len(shop.parked()) == len(HEADERS)


async def test_a_subject_that_is_no_text_stops_nobody(shop: Shop, raw: RawPublisher) -> None:
    """The library stops reading at it, without a word; and it would come again after every reconnect."""
    raw.publish(shop.names.prefix.encode() + b".cmd.inventory.\xff\xfe.0", b"NATS/1.0\r\n\r\n", b"\x00")
    await shop.flows(1)

    (message,) = shop.parked()
    assert message.subject.endswith(r".\xff\xfe.0")


@pytest.mark.parametrize(
    "reply", ["", "elsewhere", "$JS.ACK.", "$JS.ACK.a.b.c.d.e.f.g", "$JS.ACK" + ".x" * 12]
)
async def test_what_did_not_come_out_of_a_stream_is_not_handled(shop: Shop, reply: str) -> None:
    """Whoever may publish anywhere can send straight to the inbox of a consumer that is waiting."""
    asked: set[str] = set()

    async def spy(message: Msg) -> None:
        asked.add(message.reply)

    await shop.client.subscribe("$JS.API.CONSUMER.MSG.NEXT.>", cb=spy)
    await shop.until(lambda: len(asked) >= 2)
    for inbox in asked:
        await shop.client.publish(inbox, GOOD % 7, reply=reply)
    await shop.flows(1)

    assert await shop.status(7) is SaleStatus.NONE
    assert shop.parked() == []


async def test_commands_on_the_replies_stream_and_the_other_way_round_are_parked(shop: Shop) -> None:
    await shop.publish(GOOD % 7, "reply.order")
    await shop.publish(b'{"v":1,"type":"Sold","items":[{"order_id":"7"}]}')
    await shop.until(lambda: shop.counted["parked-failed"] == 2)
    await shop.flows(1)

    assert await shop.status(7) is SaleStatus.NONE
    assert (len(shop.parked("inventory")), len(shop.parked("order"))) == (1, 1)


async def test_replies_that_nobody_asked_for_are_counted_and_change_nothing(shop: Shop) -> None:
    await shop.wire.send_replies(
        [SoldReply("7"), SellRefusedReply("8", "stock-short", ()), RolledBackReply("9", returned=True)]
    )
    await shop.until(lambda: shop.counted["ignored-unknown-order"] == 3)
    await shop.flows(1)

    with psycopg.connect(shop.dsn) as conn:
        assert conn.execute('SELECT count(*) FROM "order".events').fetchall() == [(0,)]
    assert shop.parked("order") == []


@pytest.fixture
async def selling(shop: Shop) -> Shop:
    """Order 7 of user 3 is being sold: 2 of 5 units of goods 1."""
    now = utc_now()
    cause = Cause("setting", "user-3", "", now)
    await shop.inventory.submit(SetInv(1, 5, goods_exist=True), cause)
    await shop.orders.submit(ReplaceCart(3, (CartLine(1, 2, checked=True),)), cause)
    offers = (Offer(1, "mug", 250, for_sale=True),)
    contact = Contact("1 High Street", "Ann", "07700 900000", "N1")
    start = StartOrder("7", 3, offers, contact, now, now + timedelta(seconds=30))
    await shop.orders.submit(start, Cause("starting", "user-3", "7", now))
    return shop


async def test_a_forged_sold_is_believed_which_is_why_only_inventory_may_publish_replies(
    selling: Shop,
) -> None:
    """Nothing in a message proves who sent it; tests/adapters/test_compose_nats.py keeps them out. If one
    got in, the audit finds an order without its sale, and the real Sell still counts once.
    """
    await selling.wire.send_replies([SoldReply("7")])
    await selling.until(lambda: selling.counted["applied"] == 1)
    states = await selling.orders.read("saga-7")
    assert states["saga-7"].step is Step.AWAITING_PAYMENT
    assert await selling.status(7) is SaleStatus.NONE

    await selling.wire.send_commands([Sell("7", (Line(1, 2),))])
    await selling.until(lambda: selling.counted["ignored-late-or-repeated"] == 1)
    assert await selling.status(7) is SaleStatus.SOLD
    assert (await selling.inventory.read("stock-1"))["stock-1"].on_hand == 3


async def test_a_forged_rollback_gives_back_once_and_the_books_tell(selling: Shop) -> None:
    """As above: who may publish commands is believed. No unit is made up, and none is given back twice."""
    await selling.wire.send_commands([Sell("7", (Line(1, 2),))])
    await selling.until(lambda: selling.counted["applied"] == 1)
    for _ in range(3):
        await selling.wire.send_commands([Rollback("7")])
    await selling.until(lambda: selling.counted["ignored-late-or-repeated"] == 3)

    assert await selling.status(7) is SaleStatus.RETURNED
    assert (await selling.inventory.read("stock-1"))["stock-1"].on_hand == 5
    assert (await selling.orders.read("saga-7"))["saga-7"].step is Step.AWAITING_PAYMENT


async def test_a_bug_in_one_command_is_parked_alone_and_its_neighbours_are_done(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = sale.decide_rollback

    def with_a_bug(found: Sale, stocks: Any, command: Rollback) -> Any:
        if command.order_id == "7":
            raise KeyError("a bug")
        return decide(found, stocks, command)

    monkeypatch.setattr(sale, "decide_rollback", with_a_bug)
    await shop.wire.send_commands([Rollback("6"), Rollback("7"), Rollback("8")])
    await shop.until(lambda: shop.counted["parked-failed"] == 1)
    await shop.flows(1)

    assert [await shop.status(n) for n in (6, 7, 8)] == [
        SaleStatus.BARRED,
        SaleStatus.NONE,
        SaleStatus.BARRED,
    ]
    (message,) = shop.parked()
    assert message.reason == "1 of 3 items failed: KeyError: 'a bug'"
    assert shop.counted["again-failed"] == 2


async def test_poison_that_comes_while_postgres_is_away_is_parked_once_it_is_back(
    shop: Shop, postgres_dsn: str
) -> None:
    await shop.inventory.submit(SetInv(1, 5, goods_exist=True), Cause("set", "user-1", "", utc_now()))
    with postgres_away(postgres_dsn, shop.dsn) as come_back:
        await shop.publish(b"\x00 poison")
        await shop.wire.send_commands([Sell("7", (Line(1, 2),))])
        await shop.until(lambda: shop.counted["again-not-parked"] >= 2 and shop.counted["again-busy"] >= 1)
        come_back()
    await shop.until(lambda: shop.counted["parked-unreadable"] == 1)
    await shop.flows(1)

    assert await shop.status(7) is SaleStatus.SOLD
    assert [(message.data, message.times) for message in shop.parked()] == [(b"\x00 poison", 1)]


class postgres_away:  # noqa: N801 - read as a word
    """Nobody gets into one database, and whoever was in it is thrown out."""

    def __init__(self, owner_dsn: str, dsn: str) -> None:
        self._owner = psycopg.connect(owner_dsn, autocommit=True)
        self._database = str(conninfo.conninfo_to_dict(dsn)["dbname"])

    def __enter__(self) -> Callable[[], None]:
        self._allow(False)
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        self._owner.execute(ended, (self._database,))
        return lambda: self._allow(True)

    def __exit__(self, *_: object) -> None:
        self._allow(True)
        self._owner.close()

    def _allow(self, connections: bool) -> None:
        words = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        self._owner.execute(words.format(sql.Identifier(self._database), sql.Literal(connections)))


class CrashingLot:
    """Parks it, and is gone before the broker is told, once."""

    def __init__(self, lot: ParkingLot) -> None:
        self._lot = lot
        self.crashes = 0

    async def park(self, parked: Parked) -> None:
        await self._lot.park(parked)
        if not self.crashes:
            self.crashes += 1
            raise ParkingUnavailable("gone")


async def test_poison_that_comes_again_after_it_was_parked_is_one_row(
    dsn: str, nats_url: str, wire_prefix: str
) -> None:
    async with a_shop(dsn, nats_url, wire_prefix) as shop:
        lot = shop.lots["inventory"]
        shop.lots["inventory"] = CrashingLot(lot)
        shop.start()
        await shop.publish(b"\x00")
        await shop.flows(1)

        assert [message.times for message in shop.parked()] == [2]


async def test_a_flood_of_poison_does_not_stop_the_shop(shop: Shop) -> None:
    js = shop.client.jetstream()
    subject = shop.names.subject("cmd.inventory", "sell")
    await asyncio.gather(*(js.publish(subject, b"\x00%d" % n, timeout=20.0) for n in range(1_000)))
    await shop.flows(1)

    assert shop.counted["parked-unreadable"] == 1_000
