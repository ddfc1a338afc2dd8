"""More than can be done: what is over the bound is refused at once, and no sender keeps the others out."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.http_admission import (
    DEAF_S,
    HEARD_PER_S,
    LEAST,
    MAX_DEAF_S,
    OWN_QUEUES,
    QUIET_S,
    TARGET_S,
    Admission,
    Line,
    sender_of,
)
from adapters.http_errors import document
from adapters.http_server import DROPPED_BYTES
from domain.refusals import Overloaded
from domain.user import Role
from tests.adapters.http_client import Client, open_client

MOST = 100
ANN, BOB, CAT = b"Bearer ann", b"Bearer bob", b"Bearer cat"


def entered(line: Line, sender: bytes, times: int) -> int:
    return sum(line.enter(sender) for _ in range(times))


def test_no_more_are_let_in_than_the_bound() -> None:
    line = Line(MOST)
    assert sum(line.enter(b"%d" % n) for n in range(3 * MOST)) == MOST
    line.leave(b"0")
    assert [line.enter(b"new"), line.enter(b"newer")] == [True, False]


def test_one_sender_gets_half_and_leaves_room_for_whoever_comes_next() -> None:
    line = Line(MOST)
    assert entered(line, ANN, 3 * MOST) == MOST // 2
    assert entered(line, BOB, 3 * MOST) == -(-MOST // 3)
    assert line.enter(CAT)


def test_who_had_more_than_a_share_waits_until_it_is_one() -> None:
    line = Line(MOST)
    entered(line, ANN, 50)
    entered(line, BOB, 30)
    for _ in range(17):
        assert not line.enter(ANN)
        line.leave(ANN)
    assert line.under_way == 63
    assert line.enter(ANN)


def test_below_half_of_the_bound_nobody_counts_shares() -> None:
    line = Line(MOST)
    line.enter(BOB)
    assert entered(line, ANN, 49) == 49


def test_what_is_left_of_a_sender_is_forgotten() -> None:
    line = Line(MOST)
    for n in range(10 * MOST):
        assert line.enter(b"%d" % n)
        line.leave(b"%d" % n)
    assert (line.under_way, line._of) == (0, {})


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_slow_answers_bring_the_bound_down_to_what_is_answered_in_time() -> None:
    """A shop that answers 200 requests a second, whatever is asked of it."""
    per_s, clock = 200.0, Clock()
    line = Line(1_000, clock)
    entered_last = 0
    for _ in range(10_000):
        while line.enter(b"%d" % (entered_last + 1)):
            entered_last += 1
            assert line.under_way <= 1_000
        clock.now += 1 / per_s
        line.answered(line.under_way / per_s)
        line.leave(b"%d" % (entered_last - line.under_way + 1))
    assert line.bound == pytest.approx(per_s * TARGET_S, rel=0.15)


def test_the_bound_never_goes_below_the_least_and_comes_back_on_a_quiet_shop() -> None:
    clock = Clock()
    line = Line(MOST, clock)
    line.enter(ANN)
    for _ in range(1_000):
        clock.now += 1.0
        line.answered(30.0)
    assert line.bound == LEAST
    line.leave(ANN)
    clock.now += QUIET_S / 2
    line.enter(ANN)
    assert line.bound == LEAST
    line.leave(ANN)
    clock.now += QUIET_S * 2
    line.enter(ANN)
    assert line.bound == MOST


def test_one_slow_answer_among_quick_ones_changes_nothing() -> None:
    line = Line(MOST, Clock())
    line.enter(ANN)
    for seconds in (*[0.01] * 100, 3.0):
        line.answered(seconds)
    assert line.bound == MOST


def test_a_refused_connection_is_not_listened_to_for_a_moment_and_many_are_heard_in_turn() -> None:
    clock = Clock()
    admission = Admission(MOST, clock)
    assert admission.deaf_s() == pytest.approx(DEAF_S)
    deaf = [admission.deaf_s() for _ in range(HEARD_PER_S // 4)]
    assert deaf[-1] == pytest.approx(0.25 + DEAF_S)
    assert max(admission.deaf_s() for _ in range(5 * HEARD_PER_S)) == pytest.approx(MAX_DEAF_S)
    clock.now += 3.0
    assert admission.deaf_s() == pytest.approx(DEAF_S)


def test_what_monitoring_asks_and_what_has_its_own_queue_is_always_let_in() -> None:
    admission = Admission(1)
    for path in ("/healthz", "/readyz", "/metrics", "/docs", *OWN_QUEUES):
        assert admission.line("GET", path) is None
        assert admission.line("POST", path) is None
    assert admission.line("GET", "/v1/orders") is admission.reads
    assert admission.line("POST", "/v1/orders") is admission.writes
    assert admission.line("POST", "/v1/orders/7/payment") is admission.payments


def test_who_takes_payments_for_thousands_is_not_one_of_them() -> None:
    """One sender, beside so many who order that nobody gets more than one request in."""
    admission = Admission(MOST)
    orders, payments = admission.line("POST", "/v1/orders"), admission.line("POST", "/v1/orders/7/payment")
    assert orders is not None
    assert payments is not None
    for number in range(MOST):
        orders.enter(b"customer %d" % number)
    assert not orders.has_room(ANN)
    assert entered(payments, ANN, MOST) == MOST // 2


def test_a_sender_is_a_token_or_an_address() -> None:
    assert sender_of([(b"host", b"x"), (b"authorization", b"Bearer abc")], "10.0.0.7") == b"Bearer abc"
    assert sender_of([(b"host", b"x")], "10.0.0.7") == b"10.0.0.7"


# over a real socket


@pytest.fixture
async def admission() -> Admission:
    return Admission(MOST)


@pytest.fixture
async def client(admission: Admission) -> AsyncIterator[Client]:
    async with open_client(admission) as client:
        yield client


def fill(line: Line) -> None:
    """As full as it can be, of nobody's requests."""
    line.under_way, line.bound = 1, 0.0


def empty(line: Line) -> None:
    line.under_way, line.bound = 0, float(MOST)


async def spoken(client: Client, *parts: bytes) -> bytes:
    """What the server says to these bytes on one connection, until it closes or has no more to say."""
    host, port = client.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    said = b""
    for part in parts:
        writer.write(part)
        said += await _heard(reader)
    writer.close()
    return said


async def _heard(reader: asyncio.StreamReader) -> bytes:
    said = b""
    try:
        async with asyncio.timeout(0.5):
            while piece := await reader.read(65536):
                said += piece
    except TimeoutError:
        pass
    return said


def put_cart(body: bytes = b'{"items":[]}', *headers: bytes) -> bytes:
    length = b"content-length: %d" % len(body)
    head = [b"PUT /v1/cart HTTP/1.1", b"host: x", b"content-type: application/json", length, *headers]
    return b"\r\n".join([*head, b"", body])


def told(answer: bytes) -> Any:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


async def test_too_much_is_refused_before_anybody_looks_who_asks(
    client: Client, admission: Admission
) -> None:
    fill(admission.writes)
    answer = await client.call("POST", "/v1/orders", {"no": "order"}, token="no token")
    assert (answer.status, answer.name, answer.headers["Retry-After"]) == (503, "overloaded", "1")
    assert answer.json == document(Overloaded())
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert admission.refused == 1
    assert (await client.call("GET", "/v1/cart")).status == 401
    assert (await client.call("GET", "/healthz")).status == 200
    fill(admission.reads)
    assert (await client.call("GET", "/v1/cart")).status == 503


async def test_a_refused_connection_is_as_good_as_any(client: Client, admission: Admission) -> None:
    customer = await client.user(Role.CUSTOMER)
    bearer = f"authorization: Bearer {customer}".encode()
    fill(admission.writes)
    refused = await spoken(client, put_cart(b"{}" * 1_000, bearer) + put_cart(b'{"items":[]}', bearer))
    assert refused.count(b"HTTP/1.1 503") == 2
    empty(admission.writes)
    assert (await client.call("PUT", "/v1/cart", {"items": []}, token=customer)).status == 200


async def test_what_is_refused_can_be_sent_again_on_the_same_connection(
    client: Client, admission: Admission
) -> None:
    customer = await client.user(Role.CUSTOMER)
    request = put_cart(b'{"items":[]}', f"authorization: Bearer {customer}".encode())
    host, port = client.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    fill(admission.writes)
    writer.write(request)
    assert (await _heard(reader)).startswith(b"HTTP/1.1 503")
    empty(admission.writes)
    writer.write(request)
    assert (await _heard(reader)).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_who_leaves_after_a_refusal_leaves_nothing_behind(
    client: Client, admission: Admission, caplog: pytest.LogCaptureFixture
) -> None:
    fill(admission.writes)
    assert (await spoken(client, put_cart())).startswith(b"HTTP/1.1 503")
    await asyncio.sleep(2 * DEAF_S)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_who_asks_again_at_once_is_not_heard_for_a_moment(
    client: Client, admission: Admission, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "deaf_s", lambda: 1.0)
    host, port = client.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    fill(admission.writes)
    writer.write(put_cart())
    assert (await _heard(reader)).startswith(b"HTTP/1.1 503")
    writer.write(put_cart())
    await asyncio.sleep(0.2)
    assert admission.refused == 1
    assert await asyncio.wait_for(reader.read(65536), 5.0)
    assert admission.refused == 2
    writer.close()


@pytest.mark.parametrize(
    "head",
    [
        b"content-length: %d" % (DROPPED_BYTES + 1),
        b"transfer-encoding: chunked",
        b"content-length: 5\r\nconnection: close",
    ],
)
async def test_who_is_refused_with_much_to_send_is_cut_off(
    client: Client, admission: Admission, head: bytes
) -> None:
    fill(admission.writes)
    answer = await spoken(client, b"PUT /v1/cart HTTP/1.1\r\nhost: x\r\n" + head + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"Connection: close" in answer or b"connection: close" in answer
    assert told(answer) == document(Overloaded())


async def test_everything_under_way_is_counted_and_uncounted(client: Client, admission: Admission) -> None:
    customer = await client.user(Role.CUSTOMER)
    calls = [client.call("PUT", "/v1/cart", {"items": []}, token=customer) for _ in range(20)]
    calls += [client.call("GET", "/v1/cart", token=customer) for _ in range(20)]
    calls += [client.call("POST", "/v1/orders", {}, token="bad") for _ in range(20)]
    answers = await asyncio.gather(*calls)
    assert {answer.status for answer in answers} == {200, 401}
    # An application is done a little after its answer is sent.
    await asyncio.sleep(0.1)
    assert (admission.reads.under_way, admission.writes.under_way) == (0, 0)
    assert admission.refused == 0


async def test_a_body_that_drips_in_keeps_nobody_out(client: Client, admission: Admission) -> None:
    customer = await client.user(Role.CUSTOMER)
    head = put_cart(b'{"items":[]}', f"authorization: Bearer {customer}".encode())[:-4]
    host, port = client.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head)
    await asyncio.sleep(0.1)
    assert admission.writes.under_way == 0
    writer.write(b's":[]}'[-4:])
    assert (await _heard(reader)).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_a_greedy_sender_does_not_keep_others_out(client: Client, admission: Admission) -> None:
    greedy, other = await client.user(), await client.user()
    admission.writes.bound = 8.0
    calls = [client.call("PUT", "/v1/cart", {"items": []}, token=greedy) for _ in range(60)]
    flood = asyncio.gather(*calls)
    await asyncio.sleep(0)
    kept = [await client.call("PUT", "/v1/cart", {"items": []}, token=other) for _ in range(5)]
    statuses = [answer.status for answer in await flood]
    assert [answer.status for answer in kept] == [200] * 5
    assert {*statuses} == {200, 503}
